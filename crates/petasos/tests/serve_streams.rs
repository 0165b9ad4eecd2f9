//! Streams on plain HTTP/1.1, which leave the HTTP library for an event loop of the hub and come back: seen byte by byte.

mod serve_support;

use std::time::{Duration, Instant};

use petasos_testkit::{Chunk, Connection, End, HUB_PATH, TestHub, matching, patiently, topic};

use crate::serve_support::{config, start};

/// Nearly as much as an update may have.
const LARGE: usize = 1_000_000;

fn get(hub: &TestHub, name: &str) -> String {
    format!("GET {HUB_PATH}?match={name} HTTP/1.1\r\nHost: {}\r\n\r\n", hub.address())
}

async fn open(hub: &TestHub, name: &str) -> Connection {
    let mut connection = Connection::open(hub.address()).await;
    connection.send(get(hub, name)).await;
    begins(&mut connection).await;
    connection
}

/// Reads the head of a stream and its first comment.
async fn begins(connection: &mut Connection) {
    let head = connection.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(connection.chunk().await, Chunk::Data(":\n".into()));
}

async fn next_text(connection: &mut Connection) -> String {
    match connection.chunk().await {
        Chunk::Data(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
        Chunk::End(end) => panic!("the stream ended: {end:?}"),
    }
}

async fn becomes(hub: &TestHub, name: &str, value: u64) {
    patiently(name, async {
        while hub.counted(name).await != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn answers_before_a_stream_are_whole_and_in_their_order() {
    let hub = start(config());
    let mut connection = Connection::open(hub.address()).await;
    let health = "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
    let missing = "GET /nothing HTTP/1.1\r\nHost: hub\r\n\r\n";
    connection.send(format!("{health}{missing}{health}{}", get(&hub, "a"))).await;
    for status in [200, 404, 200] {
        let head = connection.head().await;
        assert_eq!(head.status, status);
        assert_eq!(connection.body(&head).await.1, End::Clean);
    }
    begins(&mut connection).await;
    hub.publish(topic("a"), "1").await;
    assert!(next_text(&mut connection).await.ends_with("data: 1\n\n"));
}

#[tokio::test]
async fn a_connection_goes_on_after_its_stream_with_what_was_sent_meanwhile() {
    let mut config = config();
    config.hub.write_timeout = Duration::from_millis(300);
    let hub = start(config);
    let mut connection = open(&hub, "a").await;
    // In two pieces, the first of them in the middle of a request.
    let next = format!("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n{}", get(&hub, "b"));
    let (one, other) = next.split_at(20);
    connection.send(one).await;
    assert_eq!(connection.chunk().await, Chunk::End(End::Clean), "s13_ends_cleanly");
    connection.send(other).await;
    let head = connection.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(connection.body(&head).await.1, End::Clean);
    begins(&mut connection).await;
    hub.publish(topic("b"), "1").await;
    assert!(next_text(&mut connection).await.contains("data: 1\n"));
}

#[tokio::test]
async fn a_connection_ends_after_its_stream_where_the_client_asked_for_it() {
    let mut config = config();
    config.hub.write_timeout = Duration::from_millis(200);
    let hub = start(config);
    let mut connection = Connection::open(hub.address()).await;
    connection
        .send(format!("GET {HUB_PATH}?match=a HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"))
        .await;
    let head = connection.head().await;
    assert_eq!(head.header("connection"), Some("close"));
    assert_eq!(connection.body(&head).await, (":\n".into(), End::Clean));
    assert_eq!(connection.closed().await, (bytes::Bytes::new(), End::Clean));
    becomes(&hub, "petasos_connections_open", 0).await;
}

#[tokio::test]
async fn what_a_client_sends_ahead_without_end_is_not_kept_and_its_stream_goes_on() {
    let hub = start(config());
    let mut connection = open(&hub, "a").await;
    let piece = vec![b'x'; 16 << 10];
    let flood = tokio::time::timeout(Duration::from_millis(300), async {
        for _ in 0..10_000 {
            connection.try_send(&piece).await.expect("the connection is open");
        }
    });
    assert!(flood.await.is_err(), "160 MB were taken");
    hub.publish(topic("a"), "1").await;
    assert!(next_text(&mut connection).await.contains("data: 1\n"));
}

#[tokio::test]
async fn c03_events_larger_than_a_socket_takes_arrive_whole_and_in_order() {
    let mut config = config();
    config.server.send_buffer_bytes = 8 << 10;
    config.hub.backlog_bytes = 8 << 20;
    let hub = start(config);
    let mut connection = open(&hub, "a").await;
    let sizes = [300_000, 1, 900_000, 0, 70_000, 200_000];
    for (number, size) in sizes.into_iter().enumerate() {
        hub.publish(topic("a"), &format!("{number} {}", "x".repeat(size))).await;
    }
    for (number, size) in sizes.into_iter().enumerate() {
        let event = next_text(&mut connection).await;
        let data = event.split_once("\ndata: ").expect("data").1;
        assert!(
            data == format!("{number} {}\n\n", "x".repeat(size)),
            "event {number} is not what was published"
        );
    }
    becomes(&hub, "petasos_backlog_bytes", 0).await;
}

#[tokio::test]
async fn s13_a_stream_whose_token_runs_out_ends_with_the_event_that_has_begun() {
    let mut config = config();
    config.auth.anonymous = false;
    config.server.send_buffer_bytes = 8 << 10;
    config.hub.backlog_bytes = 64 << 20;
    config.hub.dispatch_timeout = Duration::from_secs(60);
    let hub = start(config);
    let token = hub.subscriber().expiring_in(6.0).mint();
    let mut connection = Connection::open(hub.address()).await;
    let request = get(&hub, "a").replace("\r\n\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n\r\n"));
    connection.send(request).await;
    begins(&mut connection).await;
    const UPDATES: usize = 20;
    for _ in 0..UPDATES {
        hub.publish(topic("a"), &"x".repeat(LARGE)).await;
    }
    let backlog = || hub.counted("petasos_backlog_bytes");
    patiently("a backlog, and its end with the token", async {
        while backlog().await < 4 * LARGE as u64 {
            tokio::task::yield_now().await;
        }
        while backlog().await > 2 * LARGE as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut events = 0;
    loop {
        match connection.chunk().await {
            Chunk::Data(event) => {
                assert!(event.ends_with(b"x\n\n") && event.len() > LARGE, "an event is not whole");
                events += 1;
            }
            Chunk::End(end) => break assert_eq!(end, End::Clean),
        }
    }
    assert!((1..UPDATES).contains(&events), "{events} events came of {UPDATES}");
}

#[tokio::test]
async fn over_the_bound_of_the_process_those_with_the_most_waiting_are_disconnected() {
    let mut config = config();
    config.server.send_buffer_bytes = 8 << 10;
    config.hub.backlog_bytes = 64 << 20;
    config.hub.backlog_total_bytes = 16 << 20;
    config.hub.dispatch_timeout = Duration::from_secs(600);
    let hub = start(config);
    let mut greedy = open(&hub, "much").await;
    let mut modest = open(&hub, "little").await;
    let mut healthy = hub.subscribe(matching("much")).await;
    let data = "x".repeat(LARGE);
    for _ in 0..3 {
        hub.publish(topic("little"), &data).await;
    }
    let begun = Instant::now();
    while hub.counted("petasos_disconnects_total{reason=\"slow_reader\"}").await == 0 {
        hub.publish(topic("much"), &data).await;
        assert_eq!(healthy.next_data().await, data);
        assert!(hub.counted("petasos_backlog_bytes").await <= 24 << 20);
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody was disconnected");
    }
    assert_ne!(greedy.closed().await.1, End::Clean);
    for _ in 0..3 {
        assert!(next_text(&mut modest).await.len() > LARGE, "who had less waiting is still there");
    }
}

#[tokio::test]
async fn a_reader_that_leaves_while_others_wait_for_it_holds_nobody_up() {
    let mut config = config();
    config.server.send_buffer_bytes = 8 << 10;
    config.hub.backlog_bytes = 64 << 10;
    let hub = start(config);
    let begun = Instant::now();
    for round in 0..10 {
        let stalled = open(&hub, "a").await;
        // More than may be under way at once: nobody can publish before it is handed out.
        hub.publish(topic("a"), &"x".repeat(LARGE)).await;
        stalled.reset();
        let mut next = open(&hub, "b").await;
        hub.publish(topic("b"), &round.to_string()).await;
        assert!(next_text(&mut next).await.ends_with(&format!("data: {round}\n\n")));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "somebody waited: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_large_update_for_many_is_no_reason_to_disconnect_any_of_them() {
    let mut config = config();
    config.server.send_buffer_bytes = 8 << 10;
    config.hub.backlog_bytes = 2 << 20;
    // What waits for all of them is counted for each, and is one update.
    config.hub.backlog_total_bytes = 16 << 20;
    let hub = start(config);
    let mut readers = Vec::new();
    for _ in 0..24 {
        readers.push(open(&hub, "a").await);
    }
    hub.publish(topic("a"), &"x".repeat(LARGE)).await;
    for mut reader in readers {
        assert!(next_text(&mut reader).await.len() > LARGE);
    }
    assert_eq!(hub.counted("petasos_disconnects_total{reason=\"slow_reader\"}").await, 0);
}

#[tokio::test]
async fn memory_and_table_follow_the_streams_under_churn() {
    let hub = start(config());
    let _stays = open(&hub, "a").await;
    for round in 0..20 {
        let mut leaving = Vec::new();
        for number in 0..20 {
            leaving.push(open(&hub, &format!("{round}-{number}")).await);
        }
        for (number, connection) in leaving.into_iter().enumerate() {
            if number % 2 == 0 {
                connection.reset();
            }
        }
    }
    becomes(&hub, "mercure_subscribers_connected", 1).await;
    becomes(&hub, "petasos_connections_open", 1).await;
    assert_eq!(hub.counted("mercure_subscribers_total").await, 401);
}
