//! How a hub stops (invariant 9, decision 26): nobody who was let in is turned away, and nobody holds it up.

mod serve_support;

use std::time::{Duration, Instant};

use http::Request;
use petasos_testkit::{Connection, End, HUB_PATH, TestHub, matching, patiently, topic};
use serve_support::{config, start};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";

fn post(body: &str) -> String {
    format!(
        "POST {HUB_PATH} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A hub that goes on serving for a while after it was told to stop.
fn slow_to_leave() -> TestHub {
    let mut config = config();
    config.server.shutdown_delay = Duration::from_secs(2);
    start(config)
}

/// Waits until the hub says that nobody should be sent to it.
async fn turns_unready(hub: &TestHub) {
    patiently("the turn", async {
        while hub.admin_get("/mercure/health/ready").await.status == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn s13_streams_end_cleanly_within_the_window_and_the_listener_is_closed() {
    let mut hub = start(config());
    let mut streams = Vec::new();
    for protocol in [petasos_testkit::Protocol::Http1, petasos_testkit::Protocol::Http2] {
        for _ in 0..5 {
            streams.push(hub.subscribe(matching("a")).over(protocol).await);
        }
    }
    hub.publish(topic("a"), "last words").await;
    let begun = Instant::now();
    hub.begin_to_stop();
    for stream in &mut streams {
        assert_eq!(stream.next_data().await, "last words");
        stream.ends_cleanly().await;
    }
    drop(streams);
    hub.stopped().await;
    // The window of a second, and what lingering connections may take.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(Connection::try_open(hub.address()).await.is_err());
}

#[tokio::test]
async fn a_leaving_hub_is_not_ready_but_alive_and_still_serves() {
    let mut hub = slow_to_leave();
    hub.admin_get("/mercure/health/ready").await.expect(200);
    hub.begin_to_stop();
    turns_unready(&hub).await;
    hub.admin_get("/mercure/health/live").await.expect(200);
    let mut stream = hub.subscribe(matching("a")).await;
    hub.publish(topic("a"), "late").await;
    assert_eq!(stream.next_data().await, "late");
    stream.ends_cleanly().await;
    hub.stopped().await;
}

#[tokio::test]
async fn publishers_of_a_leaving_hub_are_told_to_take_another_connection() {
    let mut hub = slow_to_leave();
    let mut publisher = Connection::open(hub.address()).await;
    publisher.send(post("topic=a")).await;
    let head = publisher.head().await;
    assert_eq!(head.header("connection"), None);
    publisher.body(&head).await;
    hub.begin_to_stop();
    turns_unready(&hub).await;
    publisher.send(post("topic=a")).await;
    let head = publisher.head().await;
    assert_eq!((head.status, head.header("connection")), (200, Some("close")));
    assert_eq!(publisher.body(&head).await.1, End::Clean);
    let (rest, end) = publisher.closed().await;
    assert_eq!((rest.len(), end), (0, End::Clean));
    let mut other = Connection::open(hub.address()).await;
    other.send(HEALTH).await;
    assert_eq!(other.head().await.header("connection"), None, "only publishers are told");
    drop(other);
    hub.stopped().await;
}

#[tokio::test]
async fn publishers_over_http2_are_sent_away_while_their_streams_go_on() {
    let mut hub = slow_to_leave();
    let socket = tokio::net::TcpStream::connect(hub.address()).await.expect("a connection");
    let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let url = format!("http://{}{HUB_PATH}", hub.address());
    let request = Request::get(format!("{url}?match=a")).body(()).expect("a request");
    let (answer, _) = sender.send_request(request, true).expect("sent");
    let mut stream = answer.await.expect("an answer").into_body();
    hub.begin_to_stop();
    turns_unready(&hub).await;

    let form = http::header::HeaderValue::from_static("application/x-www-form-urlencoded");
    let publish = || Request::post(&url).header("content-type", form.clone()).body(()).expect("a request");
    let (answer, mut body) = sender.send_request(publish(), false).expect("sent");
    body.send_data("topic=a&data=over-http2".into(), true).expect("sent");
    assert_eq!(patiently("an answer", answer).await.expect("an answer").status(), 200);
    patiently("GOAWAY", async {
        while let Ok((answer, _)) = sender.send_request(publish(), true) {
            // Requests that crossed with it are answered or refused, but not lost in silence.
            let _ = answer.await;
            tokio::task::yield_now().await;
        }
    })
    .await;

    let mut text = String::new();
    while let Some(data) = patiently("data", stream.data()).await {
        let data = data.expect("the stream goes on to its clean end");
        stream.flow_control().release_capacity(data.len()).expect("released");
        text.push_str(&String::from_utf8_lossy(&data));
    }
    assert!(text.contains("over-http2"), "{text}");
    drop(sender);
    patiently("the end", connection).await.expect("no panic").expect("a clean end");
    hub.stopped().await;
}

#[tokio::test]
async fn who_was_connected_before_the_stop_is_still_answered() {
    let mut hub = start(config());
    let mut silent = Connection::open(hub.address()).await;
    let mut half = Connection::open(hub.address()).await;
    let request = post("topic=a&data=under-way");
    half.send(&request[..request.len() - 5]).await;
    let mut stream = hub.subscribe(matching("a")).await;
    hub.begin_to_stop();
    patiently("the close of the listener", async {
        while Connection::try_open(hub.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    silent.send(post("topic=a&data=queued")).await;
    half.send(&request[request.len() - 5..]).await;
    for connection in [&mut silent, &mut half] {
        let head = connection.head().await;
        assert_eq!((head.status, head.header("connection")), (200, Some("close")));
        assert_eq!(connection.body(&head).await.1, End::Clean);
    }
    drop((silent, half));
    let (events, end) = stream.end_within(Duration::from_secs(5)).await;
    assert_eq!(end, End::Clean);
    assert!(events.len() <= 2);
    hub.stopped().await;
}

#[tokio::test]
async fn idle_and_silent_connections_do_not_hold_it_up() {
    let mut hub = start(config());
    let mut idle = Connection::open(hub.address()).await;
    idle.send(HEALTH).await;
    let head = idle.head().await;
    idle.body(&head).await;
    let _silent = Connection::open(hub.address()).await;
    let mut unfinished = Connection::open(hub.address()).await;
    unfinished.send("GET /heal").await;
    let begun = Instant::now();
    hub.begin_to_stop();
    let (rest, end) = idle.closed().await;
    assert_eq!((rest.len(), end), (0, End::Clean));
    drop(idle);
    hub.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}
