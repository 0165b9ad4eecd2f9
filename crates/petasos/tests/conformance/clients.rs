//! Section C: what real clients need and no other section says. C02 and C04 are checked by every stream of the suite
//! and in `streams`, C06 in `limits` and `credentials`, C08 in `tokens`, C07 in `old_presence` and `generations`.

use std::time::Duration;

use petasos::config::Config;
use petasos_testkit::{
    Chunk, Connection, End, HUB_PATH, Protocol, form, matching, patiently, process::scratch, topic,
};

use crate::{common::Engine, support::nothing_more};

/// A hub that drains closes its listener; no client may meet an answer that makes it give up.
pub(crate) async fn c01_a_draining_hub_refuses_connections_and_answers_nothing_else(engine: Engine) {
    let mut hub = engine.hub_with(|config| config.server.drain_timeout = Duration::from_secs(2)).await;
    let mut streams = Vec::new();
    for index in 0..20 {
        let protocol = if index % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        streams.push(hub.subscribe(matching("a")).over(protocol).await);
    }
    let request = hub.subscribe(matching("a")).request().bytes();
    let address = hub.address();
    let reconnecting = tokio::spawn(async move {
        let mut refused = false;
        while !refused {
            match Connection::try_open(address).await {
                Err(_) => refused = true,
                Ok(mut connection) => {
                    // It may still be accepted, and then be closed without an answer; any answer is a stream.
                    let _ = connection.try_send(&request).await;
                    if let Ok(Ok(head)) =
                        tokio::time::timeout(Duration::from_secs(5), connection.try_head()).await
                    {
                        assert_eq!(head.status, 200, "C01: {head:?}");
                    }
                }
            }
        }
    });
    hub.begin_to_stop();
    for stream in &mut streams {
        stream.ends_cleanly().await;
    }
    patiently("a closed listener", reconnecting).await.unwrap();
    hub.stopped().await;
}

pub(crate) async fn c01_what_a_draining_hub_acknowledges_is_stored(engine: Engine) {
    let directory = scratch();
    let slow_drain = |config: &mut Config| config.server.drain_timeout = Duration::from_secs(3);
    let mut hub = engine.hub_in(directory.path(), slow_drain).await;
    let mut stream = hub.subscribe(matching("a")).await;
    let requests: Vec<_> = (0..500)
        .map(|index| hub.post_form(form::encode([("topic", "a"), ("data", &index.to_string())])).bytes())
        .collect();
    let mut connection = Connection::open(hub.address()).await;
    let mut acknowledged = 0;
    for request in &requests {
        if acknowledged == 10 {
            hub.begin_to_stop();
        }
        if connection.try_send(request).await.is_err() {
            break;
        }
        let Ok(head) = patiently("an answer or the end", connection.try_head()).await else { break };
        let (_, end) = connection.body(&head).await;
        assert_eq!(end, End::Clean, "an answer that began is finished");
        if head.status != 200 {
            assert_eq!(head.status, 503, "a stopping hub: {head:?}");
            break;
        }
        acknowledged += 1;
    }
    assert!(acknowledged >= 10, "a hub that was not told to stop yet takes everything");
    let (events, end) = stream.end_within(Duration::from_secs(10)).await;
    assert_eq!(end, End::Clean);
    let numbers = |count: usize| (0..count).map(|index| index.to_string()).collect::<Vec<_>>();
    // The stream may end before the last one; what it got is a beginning without a gap.
    let seen: Vec<String> = events.into_iter().map(|event| event.data).collect();
    assert_eq!(seen, numbers(seen.len()));
    hub.stopped().await;
    if engine.has_history() {
        let next = engine.hub_in(directory.path(), |_| {}).await;
        let mut replay = next.subscribe(matching("a")).after("earliest").await;
        assert_eq!(replay.next_data_of(acknowledged).await, numbers(acknowledged));
    }
}

/// Clients that read chunks raw take each for a run of whole events.
pub(crate) async fn c03_no_event_spans_two_chunks_and_the_last_chunk_is_empty(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.write_timeout = Duration::from_secs(2)).await;
    let mut connection = Connection::open(hub.address()).await;
    connection.send(hub.subscribe(matching("a")).request().bytes()).await;
    let head = connection.head().await;
    assert!(head.is_chunked(), "{head:?}");
    let sizes = [0, 1, 100, 8_000, 16_300, 16_400, 70_000, 300_000];
    for size in sizes {
        hub.publish(topic("a"), &"x".repeat(size)).await;
    }
    let mut events = 0;
    loop {
        match connection.chunk().await {
            Chunk::Data(chunk) if &chunk[..] == b":\n" => {}
            Chunk::Data(chunk) => {
                let text = std::str::from_utf8(&chunk).unwrap();
                assert!(text.ends_with("\n\n"), "a chunk ends inside an event");
                assert!(text.starts_with("id: "), "a chunk begins inside an event: {:?}", &text[..20]);
                events += text.matches("\n\n").count();
            }
            Chunk::End(end) => {
                assert_eq!(end, End::Clean, "a stream ends with a terminating chunk");
                break;
            }
        }
    }
    assert_eq!(events, sizes.len());
}

pub(crate) async fn c03_large_events_are_whole_for_a_slow_reader(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    let data = "y".repeat(100_000);
    for _ in 0..5 {
        hub.publish("a", &data).await;
    }
    for _ in 0..5 {
        // Between two reads the sockets' buffers fill up; the check of C03 is in the stream itself.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(stream.next_data().await.len(), data.len());
    }
}

pub(crate) async fn c05_clients_without_fields_resume_by_parameter(engine: Engine) {
    let hub = engine.hub().await;
    hub.publish("a", "1").id("urn:x:1").await;
    hub.publish("a", "2").await;
    let mut stream = hub.subscribe(matching("a")).after_in_query("urn:x:1").await;
    if hub.has_history() {
        assert_eq!(stream.cursor(), "urn:x:1");
        assert_eq!(stream.next_data().await, "2");
    } else {
        assert_eq!(stream.cursor(), "earliest");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn c09_the_page_at_the_root_may_connect_to_itself(engine: Engine) {
    let hub = engine.hub().await;
    let answer = hub.get("/").send().await;
    assert!(answer.status < 500, "{answer:?}");
    if let Some(policy) = answer.header("content-security-policy") {
        let directive = |name: &str| {
            policy
                .split(';')
                .map(str::trim)
                .find_map(|directive| directive.strip_prefix(name))
                .map(str::to_owned)
        };
        let sources = directive("connect-src").or_else(|| directive("default-src"));
        assert!(
            sources.is_none_or(|sources| sources.contains("'self'") || sources.contains('*')),
            "{policy}"
        );
    }
}

pub(crate) async fn c01_the_stream_is_the_only_answer_to_a_good_request(engine: Engine) {
    let hub = engine.hub().await;
    // Many at once, as after a restart: none may be turned away.
    let requests: Vec<_> = (0..200)
        .map(|index| {
            let protocol = if index % 4 == 0 { Protocol::Http2 } else { Protocol::Http1 };
            let target =
                format!("{HUB_PATH}?{}", form::encode([("match", "a"), ("last_event_id", "earliest")]));
            hub.get(&target).bearer(&hub.subscriber().mint()).over(protocol)
        })
        .collect();
    let streams: Vec<_> = requests.into_iter().map(|request| tokio::spawn(request.stream())).collect();
    for stream in streams {
        stream.await.unwrap();
    }
}
