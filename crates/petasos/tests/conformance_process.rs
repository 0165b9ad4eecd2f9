//! What only the real program can show: memory, file descriptors, signals.

#![allow(clippy::unwrap_used)]

mod common;

use std::{path::Path, time::Duration};

use petasos_testkit::{
    Connection, EventStream, HUB_PATH, Protocol, matching,
    process::{HubProcess, ProcessOptions, scratch},
    within,
};

use crate::common::{PROGRAM, process_options};

/// How much a hostile request may make the program grow: buffers of a connection, and some room for the allocator.
const GROWTH_LIMIT_KIB: u64 = 32 << 10;

/// A number of `/proc/{pid}/status`, in KiB.
fn status_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// The processor time that the program has used.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may contain anything; the 14th and 15th field are the 12th and 13th behind it.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel's USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

/// P12: whatever length is declared, and whatever is sent without an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_gibibyte_costs_no_memory() {
    const PIECE: usize = 1 << 20;
    let directory = scratch();
    let process = HubProcess::start(&process_options(directory.path())).await;
    let hub = process.hub();
    hub.publish("a", "warm").await;
    let before = status_kib(process.pid(), "VmHWM");
    let token = hub.publisher().may_publish(&["*"]).mint();
    let head = |framing: &str, value: &str| {
        let request = hub.request("POST", HUB_PATH).bearer(&token).header(framing, value);
        request.header("Content-Type", "application/x-www-form-urlencoded").bytes()
    };
    let piece = vec![b'x'; PIECE];
    let chunk = [format!("{PIECE:x}\r\n").as_bytes(), &piece, b"\r\n"].concat();
    for (head, piece) in [
        (head("Content-Length", &(1_u64 << 30).to_string()), &piece),
        (head("Transfer-Encoding", "chunked"), &chunk),
    ] {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(head).await;
        for _ in 0..1_024 {
            if connection.try_send(piece).await.is_err() {
                break;
            }
        }
        // An answer is fine, and so is an end without one for a client that does not look.
        if let Ok(head) = connection.try_head().await {
            assert_eq!(head.status, 413);
        }
    }
    let grown = status_kib(process.pid(), "VmHWM") - before;
    assert!(grown < GROWTH_LIMIT_KIB, "the program grew by {grown} KiB");
    hub.publish("a", "still there").await;
    process.kill().await;
}

/// Heads that never end, on many connections at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc9112_endless_heads_cost_little_memory() {
    const CONNECTIONS: usize = 50;
    let directory = scratch();
    let process = HubProcess::start(&process_options(directory.path())).await;
    let hub = process.hub();
    let before = status_kib(process.pid(), "VmHWM");
    let line = format!("X-Field: {}\r\n", "y".repeat(4_000));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(hub.address()).await;
        connection.send("GET / HTTP/1.1\r\nHost: x\r\n").await;
        for _ in 0..1_000 {
            if connection.try_send(&line).await.is_err() {
                break;
            }
        }
        connections.push(connection);
    }
    let grown = status_kib(process.pid(), "VmHWM") - before;
    assert!(grown < GROWTH_LIMIT_KIB, "{CONNECTIONS} endless heads made the program grow by {grown} KiB");
    process.kill().await;
}

fn with_few_descriptors(directory: &Path, descriptors: usize) -> ProcessOptions {
    let options = process_options(directory);
    let script = format!("ulimit -n {descriptors} && exec \"$0\" serve");
    ProcessOptions {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script, PROGRAM.into()],
        ..options
    }
}

async fn receives(stream: &mut EventStream, data: &str) {
    assert_eq!(stream.next_data().await, data);
}

/// Existing streams go on, nothing spins, and when there is room again, new ones come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_file_descriptors_harms_no_open_stream() {
    const DESCRIPTORS: usize = 128;
    let directory = scratch();
    let process = HubProcess::start(&with_few_descriptors(directory.path(), DESCRIPTORS)).await;
    let hub = process.hub();
    let mut stream = hub.subscribe(matching("a")).await;
    let mut publisher = Connection::open(hub.address()).await;
    let mut publish = async |data: &str| {
        publisher.send(hub.post_form(format!("topic=a&data={data}")).bytes()).await;
        let head = publisher.head().await;
        assert_eq!(head.status, 200);
        publisher.body(&head).await;
    };
    publish("before").await;
    receives(&mut stream, "before").await;
    // The kernel completes these handshakes whether or not the program can accept.
    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(Connection::open(hub.address()).await);
    }
    publish("meanwhile").await;
    receives(&mut stream, "meanwhile").await;
    let before = processor_time(process.pid());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = processor_time(process.pid()) - before;
    assert!(used < Duration::from_millis(500), "it used {used:?} of processor time in two idle seconds");
    publish("still").await;
    receives(&mut stream, "still").await;
    drop(crowd);
    let mut new =
        within(Duration::from_secs(20), "a new stream", hub.subscribe(matching("a")).into_future()).await;
    publish("after").await;
    receives(&mut stream, "after").await;
    receives(&mut new, "after").await;
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_sigterm_ends_every_stream_cleanly() {
    let directory = scratch();
    let mut options = process_options(directory.path());
    options.environment.push(("PETASOS_DRAIN_TIMEOUT".to_owned(), "2s".to_owned()));
    let process = HubProcess::start(&options).await;
    let hub = process.hub();
    let mut streams = Vec::new();
    for index in 0..20 {
        let protocol = if index % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        let mut stream = hub.subscribe(matching("a")).over(protocol).await;
        streams.push(tokio::spawn(async move { stream.ends_cleanly().await }));
    }
    let status = process.terminate().await;
    assert!(status.success(), "a stop that was asked for is no failure: {status}");
    for stream in streams {
        stream.await.unwrap();
    }
    assert!(Connection::try_open(hub.address()).await.is_err(), "nobody listens any more");
}

/// The log of a hub under fire shows neither tokens nor data of private updates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_shows_no_token_and_no_private_data() {
    let directory = scratch();
    let mut options = process_options(directory.path());
    options.environment.push(("PETASOS_LOG_FILTER".to_owned(), "trace".to_owned()));
    let process = HubProcess::start(&options).await;
    let hub = process.hub();
    let secret = "hush-this-is-private";
    let mut stream = hub.subscribe(matching("a")).await;
    hub.publish("a", secret).private().await;
    receives(&mut stream, secret).await;
    let mut tokens = vec![hub.publisher().may_publish(&["*"]).mint(), hub.subscriber().mint()];
    for token in [hub.subscriber().expiring_in(-10.0).mint(), hub.publisher().claim("aud", "other").mint()] {
        hub.subscribe(matching("a")).with_token(&token).answer().await.expect(401);
        hub.publish("a", secret).with_token(&token).answer().await.expect(401);
        hub.get(&format!("{HUB_PATH}?match=a&authorization={token}")).send().await.expect(401);
        let cookie = format!("__Secure-mercure_access_token={token}");
        hub.get(&format!("{HUB_PATH}?match=a")).header("Cookie", cookie).send().await.expect(401);
        tokens.push(token);
    }
    for token in &tokens[..2] {
        let _ = hub.get(&format!("{HUB_PATH}?match=a&authorization={token}")).send().await;
    }
    assert!(process.terminate().await.success());
    let log = std::fs::read_to_string(directory.path().join("hub.log")).unwrap();
    assert!(!log.is_empty(), "at this level there is something to read");
    for token in &tokens {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!log.contains(signature), "a token is in the log");
    }
    assert!(!log.contains(secret), "private data is in the log");
    for key in [petasos_testkit::hub::PUBLISHER_SECRET, petasos_testkit::hub::SUBSCRIBER_SECRET] {
        assert!(!log.contains(key), "a key is in the log");
    }
}
