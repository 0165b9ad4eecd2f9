//! What a connection may cost: heads, silence, slowness and numbers have limits, in HTTP/1 and in HTTP/2.

mod serve_support;

use std::time::{Duration, Instant};

use petasos::config::Config;
use petasos_testkit::{Connection, End, HUB_PATH, Protocol, Request, TestHub, matching};
use serve_support::{Exchange, config, start};

/// What an HTTP/2 client sends first, and empty settings.
const H2_OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const TARGET_LIMIT: usize = 60 << 10;

/// A `GET` of a target of this many bytes that any hub answers.
fn get(hub: &TestHub, target_bytes: usize) -> Request {
    let path = "/healthz?";
    hub.get(&format!("{path}{}", "x".repeat(target_bytes - path.len())))
}

fn impatient() -> Config {
    let mut config = config();
    config.server.head_timeout = Duration::from_millis(300);
    config.server.idle_timeout = Duration::from_millis(900);
    config.server.peer_timeout = Duration::from_secs(1);
    config
}

/// Waits until the server closes the connection, and returns how long that took.
async fn closes(connection: &mut Connection) -> Duration {
    let begun = Instant::now();
    connection.closed().await;
    begun.elapsed()
}

#[track_caller]
fn about(took: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    // The upper bound allows for a busy machine.
    let slack = Duration::from_secs(3);
    assert!(took >= expected && took < expected + slack, "took {took:?} instead of {expected:?}");
}

#[tokio::test]
async fn s07_targets_up_to_sixty_kibibytes_pass_and_longer_ones_are_refused_in_words() {
    let hub = start(config());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        get(&hub, TARGET_LIMIT).over(protocol).send().await.expect(200);
        let refused =
            get(&hub, TARGET_LIMIT + 1).over(protocol).origin("https://a.example").send().await.expect(414);
        assert!(refused.text().starts_with("target_too_long"), "{}", refused.text());
    }
}

#[tokio::test]
async fn s07_a_longest_target_leaves_room_for_tokens_and_cookies() {
    let hub = start(config());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let request = get(&hub, TARGET_LIMIT)
            .over(protocol)
            .header("Cookie", format!("a={}", "c".repeat(8 << 10)))
            .header("X-Token", "t".repeat(8 << 10));
        request.send().await.expect(200);
    }
}

#[tokio::test]
async fn s07_heads_without_end_are_refused_gently() {
    let hub = start(config());
    let head = |target: usize, field: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: hub\r\nA: {}\r\n\r\n", "x".repeat(target), "y".repeat(field))
    };
    for (target, field, status) in
        [(70 << 10, 1, 414), (200 << 10, 1, 431), (1, 200 << 10, 431), (1, 4 << 20, 431)]
    {
        let exchange = Exchange::of(&hub, head(target, field)).await;
        assert_eq!(exchange.statuses(), [status], "{target} {field}");
        assert_eq!(exchange.end, End::Clean, "{target} {field}");
    }
    let many = "A: b\r\n".repeat(101);
    let exchange = Exchange::of(&hub, format!("GET / HTTP/1.1\r\nHost: hub\r\n{many}\r\n")).await;
    assert_eq!(exchange.statuses(), [431]);
}

#[tokio::test]
async fn s07_heads_without_end_are_refused_over_http2() {
    let hub = start(config());
    let too_large = hub.get("/healthz").over(Protocol::Http2).header("X-Large", "y".repeat(100 << 10));
    too_large.send().await.expect(431);
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let hub = start(impatient());
    let mut connection = Connection::open(hub.address()).await;
    about(closes(&mut connection).await, 300);
}

#[tokio::test]
async fn a_head_that_trickles_is_closed() {
    let hub = start(impatient());
    let mut connection = Connection::open(hub.address()).await;
    let begun = Instant::now();
    // Every byte on its own, far more of them than there is time for.
    let head = format!("GET /healthz HTTP/1.1\r\nHost: hub\r\nA: {}", "b".repeat(1000));
    for byte in head.bytes() {
        if connection.try_send([byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        if begun.elapsed() > Duration::from_millis(600) {
            break;
        }
    }
    let (rest, _) = connection.closed().await;
    assert!(rest.is_empty(), "{rest:?}");
    about(begun.elapsed(), 300);
}

#[tokio::test]
async fn a_kept_alive_connection_may_be_silent_longer_but_its_next_head_may_not_take_longer() {
    let hub = start(impatient());
    let request = "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
    let mut silent = Connection::open(hub.address()).await;
    let mut trickling = Connection::open(hub.address()).await;
    for connection in [&mut silent, &mut trickling] {
        connection.send(request).await;
        let head = connection.head().await;
        connection.body(&head).await;
    }
    trickling.send("GET /").await;
    let (silent, trickling) = tokio::join!(closes(&mut silent), closes(&mut trickling));
    about(silent, 900);
    about(trickling, 300);
    assert!(trickling < silent);
}

#[tokio::test]
async fn streams_are_not_subject_to_the_limits_of_silence() {
    let hub = start(impatient());
    let mut http1 = hub.subscribe(matching("a")).await;
    let mut http2 = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    hub.publish(petasos_testkit::topic("a"), "still here").await;
    assert_eq!(http1.next_data().await, "still here");
    assert_eq!(http2.next_data().await, "still here");
}

#[tokio::test]
async fn http2_connections_that_say_too_little_are_closed() {
    let hub = start(impatient());
    // A HEADERS frame without END_HEADERS, whose CONTINUATION never comes.
    let unfinished = [H2_OPENING, b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat();
    let shapes: [(&str, &[u8]); 4] = [
        ("part of the preface", &H2_OPENING[..10]),
        ("the preface and nothing else", &H2_OPENING[..24]),
        ("part of a frame", &[H2_OPENING, b"\0\0"].concat()),
        ("an unfinished head", &unfinished),
    ];
    for (name, bytes) in shapes {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(bytes).await;
        let took = closes(&mut connection).await;
        assert!(took < Duration::from_secs(4), "{name}: {took:?}");
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_even_where_its_peer_is_alive() {
    let hub = start(impatient());
    let socket = tokio::net::TcpStream::connect(hub.address()).await.expect("a connection");
    let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let uri = format!("http://{}/healthz", hub.address());
    let request = http::Request::get(uri).body(()).expect("a request");
    let (answer, _) = sender.send_request(request, true).expect("sent");
    assert_eq!(answer.await.expect("an answer").status(), 200);
    let begun = Instant::now();
    petasos_testkit::patiently("the end", connection).await.expect("no panic").expect("a clean end");
    about(begun.elapsed(), 900);
}

#[tokio::test]
async fn p12_the_answer_to_a_body_that_nobody_reads_can_be_read_over_http2() {
    let hub = start(config());
    let socket = tokio::net::TcpStream::connect(hub.address()).await.expect("a connection");
    let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}{HUB_PATH}", hub.address()))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(())
        .expect("a request");
    let (answer, mut body) = sender.send_request(request, false).expect("sent");
    // A body without end, of which the hub takes some.
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        loop {
            body.reserve_capacity(16 << 10);
            let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { return sent };
            sent += room;
            if body.send_data(vec![b'a'; room].into(), false).is_err() {
                return sent;
            }
        }
    });
    let answer =
        petasos_testkit::patiently("an answer", answer).await.expect("it is not destroyed by a reset");
    assert_eq!(answer.status(), 413);
    let sent = petasos_testkit::patiently("the end of the body", sending).await.expect("no panic");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_room() {
    let mut config = config();
    config.server.connections = 2;
    let hub = start(config);
    let first = hub.subscribe(matching("a")).await;
    let _second = hub.subscribe(matching("a")).await;
    let mut third = Connection::open(hub.address()).await;
    third.send("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(
        tokio::time::timeout(Duration::from_millis(200), third.try_head()).await.is_err(),
        "there was room"
    );
    drop(first);
    assert_eq!(third.head().await.status, 200);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off_and_others_go_on() {
    let mut config = config();
    config.hub.dispatch_timeout = Duration::from_millis(300);
    config.hub.backlog_bytes = 64 << 10;
    config.server.send_buffer_bytes = 16 << 10;
    let hub = start(config);
    let mut stalled = Connection::open(hub.address()).await;
    stalled.send(format!("GET {HUB_PATH}?match=a HTTP/1.1\r\nHost: hub\r\n\r\n")).await;
    assert_eq!(stalled.head().await.status, 200);
    let mut healthy = hub.subscribe(matching("a")).await;
    let data = "x".repeat(64 << 10);
    let begun = Instant::now();
    while hub.counted("petasos_disconnects_total{reason=\"slow_reader\"}").await == 0 {
        hub.publish(petasos_testkit::topic("a"), &data).await;
        assert_eq!(healthy.next_data().await, data);
        assert!(begun.elapsed() < Duration::from_secs(20), "the reader is still there");
    }
    // What it left in the kernel is given up, too.
    petasos_testkit::patiently("the cut", async {
        while hub.counted("petasos_connections_open").await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_, end) = stalled.closed().await;
    assert_ne!(end, End::Clean, "nobody can be told of an end that he does not read");
}
