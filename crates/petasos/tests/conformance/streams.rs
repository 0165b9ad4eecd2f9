//! S09 to S13: what goes over an open stream, and how it ends.

use std::time::{Duration, Instant};

use petasos_testkit::{
    End, EventStream, HUB_PATH, PATIENCE, Protocol, TestHub, form, matching, sse::Item, topic, within,
};

use crate::{
    common::Engine,
    support::{nothing_more, timed},
};

/// A wait that is short, and still long for a machine under load.
const SHORT: Duration = Duration::from_millis(200);

pub(crate) async fn s09_a_heartbeat_comes_when_nothing_else_did(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.heartbeat = SHORT).await;
    let mut stream = hub.subscribe(matching("a")).await;
    assert_eq!(stream.next_chunk().await, ":\n".as_bytes(), "the first comment");
    for _ in 0..3 {
        let (chunk, waited) = timed(stream.next_chunk()).await;
        assert_eq!(chunk, ":\n".as_bytes(), "C02: exactly a colon and one line feed");
        assert!(waited > SHORT / 2, "a heartbeat came after {waited:?}");
    }
}

pub(crate) async fn s09_a_heartbeat_comes_over_http2(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.heartbeat = SHORT).await;
    let mut stream = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    for _ in 0..3 {
        let item = within(PATIENCE, "a heartbeat", stream.next_item()).await;
        assert_eq!(item, Ok(Item::Comment(String::new())));
    }
}

pub(crate) async fn s09_events_put_the_heartbeat_off(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.heartbeat = Duration::from_secs(1)).await;
    let mut stream = hub.subscribe(matching("a")).await;
    assert_eq!(stream.next_item().await, Ok(Item::Comment(String::new())), "the first comment");
    let mut pace = tokio::time::interval(SHORT);
    for _ in 0..10 {
        pace.tick().await;
        hub.publish("a", "").await;
        let item = within(PATIENCE, "an event", stream.next_item()).await;
        assert!(matches!(item, Ok(Item::Event(_))), "{item:?} within a second of an event");
    }
}

pub(crate) async fn s09_a_heartbeat_of_zero_is_off(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.heartbeat = Duration::ZERO).await;
    let mut stream = hub.subscribe(matching("a")).await;
    assert_eq!(stream.next_item().await, Ok(Item::Comment(String::new())), "the first comment");
    tokio::time::sleep(2 * SHORT).await;
    hub.publish("a", "1").await;
    let item = within(PATIENCE, "an event", stream.next_item()).await;
    assert!(matches!(item, Ok(Item::Event(_))), "nothing but the event was to come: {item:?}");
}

pub(crate) async fn s10_a_stream_is_never_cached_or_buffered(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let stream = hub.subscribe(matching("a")).over(protocol).await;
        let directives: Vec<&str> =
            stream.header("cache-control").unwrap().split(',').map(str::trim).collect();
        assert_eq!(directives, ["private", "no-cache", "no-store", "must-revalidate", "max-age=0"]);
        assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    }
}

pub(crate) async fn s10_a_stream_says_keep_alive_over_http1_only(engine: Engine) {
    let hub = engine.hub().await;
    let stream = hub.subscribe(matching("a")).await;
    assert!(stream.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")));
    let stream = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    assert_eq!(stream.header("connection"), None, "RFC 9113, 8.2.2");
}

/// The heartbeat is far away, and nothing is published.
pub(crate) async fn s10_head_and_first_comment_come_at_once(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut stream = hub.subscribe(matching("a")).over(protocol).await;
        assert_eq!(stream.next_chunk().await, ":\n".as_bytes());
    }
}

/// The fields of one event as they stand on the wire.
fn fields(event: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(event).unwrap();
    let lines = text.strip_suffix("\n\n").expect("an event ends with a blank line").split('\n');
    let field = |line: &str| {
        let (name, value) = line.split_once(':').expect("every line is a field");
        (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    lines.map(field).collect()
}

async fn next_fields(stream: &mut EventStream) -> Vec<(String, String)> {
    loop {
        let chunk = stream.next_chunk().await;
        if chunk != ":\n".as_bytes() {
            return fields(&chunk);
        }
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) async fn s11_fields_come_in_their_order_and_only_if_given(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    hub.publish("a", " one\r\n\ntwo").id("urn:x:1").kind("tick").field("retry", "1500").await;
    let full = [
        ("id", "urn:x:1"),
        ("event", "tick"),
        ("retry", "1500"),
        ("data", " one"),
        ("data", ""),
        ("data", "two"),
    ];
    assert_eq!(next_fields(&mut stream).await, owned(&full));
    hub.publish("a", "x").id("urn:x:2").await;
    assert_eq!(next_fields(&mut stream).await, owned(&[("id", "urn:x:2"), ("data", "x")]));
}

pub(crate) async fn s11_an_update_without_data_is_sent_as_an_empty_line(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    hub.post_form("topic=a&id=urn:x:1").send().await.expect(200);
    assert_eq!(next_fields(&mut stream).await, owned(&[("id", "urn:x:1"), ("data", "")]));
    hub.post_form("topic=a&id=urn:x:2&data=").send().await.expect(200);
    assert_eq!(next_fields(&mut stream).await, owned(&[("id", "urn:x:2"), ("data", "")]));
}

pub(crate) async fn s11_data_arrives_as_published_with_its_breaks_as_lf(engine: Engine) {
    let hub = engine.hub().await;
    let mut streams = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        streams.push(hub.subscribe(matching("a")).over(protocol).await);
    }
    for data in [
        "plain",
        "  two leading spaces",
        "\ttab",
        ": looks like a comment",
        "\n",
        "\r",
        "\r\n",
        "\n\r",
        "\n\nempty lines\n\n",
        "a\rb\nc\r\nd",
        "paragraph\u{2029}, line\u{2028}, next line\u{85}, form feed\u{c}, vertical\u{b}",
        "\0 nul",
        "\u{feff}bom",
        "{\"json\": \"\\n\"}",
        "\u{1f980}\u{10ffff}",
        "trailing space ",
    ] {
        let id = hub.publish("a", data).await;
        for stream in &mut streams {
            let event = stream.next().await;
            assert_eq!(event.id, id);
            assert_eq!(event.data, data.replace("\r\n", "\n").replace('\r', "\n"), "published as {data:?}");
        }
    }
}

pub(crate) async fn s11_data_injects_no_field(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for line_break in ["\n", "\r", "\r\n"] {
        let hostile = ["x", "id: evil", "event: evil", "retry: 1", "", "data: second event", ":comment"]
            .join(line_break);
        let id = hub.publish("a", &hostile).await;
        let event = stream.next().await;
        assert_eq!((event.id, event.kind.as_str(), event.retry_ms), (id, "", None));
        assert_eq!(event.data, hostile.replace("\r\n", "\n").replace('\r', "\n"));
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn s12_all_subscribers_see_one_order(engine: Engine) {
    const PUBLISHERS: usize = 8;
    const UPDATES: usize = 25;
    let hub = engine.hub().await;
    let mut exact = hub.subscribe(matching("a")).await;
    let mut pattern = hub.subscribe(petasos_testkit::matching_pattern("/.well-known/:any")).await;
    let mut all = hub.subscribe(matching("*")).over(Protocol::Http2).await;
    let publisher = |publisher: usize, hub: &TestHub| {
        let protocol = if publisher.is_multiple_of(2) { Protocol::Http1 } else { Protocol::Http2 };
        let updates: Vec<_> = (0..UPDATES)
            .map(|index| {
                let fields = form::encode([("topic", "a"), ("data", &format!("{publisher}-{index}"))]);
                hub.post_form(fields).over(protocol)
            })
            .collect();
        tokio::spawn(async move {
            for update in updates {
                update.send().await.expect(200);
            }
        })
    };
    let publishers: Vec<_> = (0..PUBLISHERS).map(|index| publisher(index, &hub)).collect();
    let order = exact.next_data_of(PUBLISHERS * UPDATES).await;
    assert_eq!(pattern.next_data_of(PUBLISHERS * UPDATES).await, order);
    assert_eq!(all.next_data_of(PUBLISHERS * UPDATES).await, order);
    for publisher in publishers {
        publisher.await.unwrap();
    }
    if hub.has_history() {
        let mut replay = hub.subscribe(matching("a")).after("earliest").await;
        assert_eq!(replay.next_data_of(PUBLISHERS * UPDATES).await, order, "the history has the same order");
    }
    for index in 0..PUBLISHERS {
        let of_one: Vec<&String> =
            order.iter().filter(|data| data.starts_with(&format!("{index}-"))).collect();
        let expected: Vec<String> = (0..UPDATES).map(|update| format!("{index}-{update}")).collect();
        assert_eq!(of_one, expected.iter().collect::<Vec<_>>(), "one publisher's updates keep their order");
    }
}

pub(crate) async fn s13_a_stream_ends_at_a_random_part_of_write_timeout(engine: Engine) {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let hub = engine.hub_with(|config| config.hub.write_timeout = TIMEOUT).await;
    let mut streams = Vec::new();
    for index in 0..20 {
        let protocol = if index % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        let opened = Instant::now();
        let mut stream = hub.subscribe(matching("a")).over(protocol).await;
        streams.push(tokio::spawn(async move {
            stream.ends_cleanly().await;
            opened.elapsed()
        }));
    }
    let mut ages = Vec::new();
    for stream in streams {
        ages.push(stream.await.unwrap());
    }
    ages.sort();
    let (first, last) = (ages[0], ages[ages.len() - 1]);
    assert!(first >= TIMEOUT.mul_f32(0.79), "a stream ended after {first:?}");
    assert!(last <= TIMEOUT + Duration::from_secs(1), "a stream ended after {last:?}");
    assert!(last - first > TIMEOUT / 20, "20 streams all ended within {:?}", last - first);
}

pub(crate) async fn s13_a_write_timeout_of_zero_is_never(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.write_timeout = Duration::ZERO).await;
    let mut stream = hub.subscribe(matching("a")).await;
    stream.stays_silent(2 * SHORT).await;
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn s13_a_stream_ends_with_its_token(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let token = hub.subscriber().expiring_in(1.5).mint();
        let opened = Instant::now();
        let mut stream = hub.subscribe(matching("a")).with_token(&token).over(protocol).await;
        hub.publish("a", "while it is valid").await;
        assert_eq!(stream.next_data().await, "while it is valid");
        stream.ends_cleanly().await;
        let age = opened.elapsed();
        assert!(age > Duration::from_secs(1), "it ended long before its token, after {age:?}");
        assert!(age < Duration::from_millis(2_200), "it outlived its token, by {age:?} in all");
    }
}

pub(crate) async fn s13_events_before_the_end_are_whole(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.write_timeout = Duration::from_secs(1)).await;
    let mut stream = hub.subscribe(matching("a")).await;
    let publishing = async {
        loop {
            hub.publish(topic("a"), &"line\n".repeat(200)).await;
        }
    };
    let (events, end) = tokio::select! {
        () = publishing => unreachable!(),
        ended = stream.end_within(PATIENCE) => ended,
    };
    assert_eq!(end, End::Clean);
    assert!(!events.is_empty() && events.iter().all(|event| event.data.len() == 1_000));
}

pub(crate) async fn s13_a_stream_of_an_http1_client_that_closes_after_it_ends_cleanly(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.write_timeout = SHORT).await;
    let request = hub.subscribe(matching("a")).request().header("Connection", "close");
    let mut stream = request.stream().await;
    stream.ends_cleanly().await;
    // And the path is still there for the next one.
    hub.get(&format!("{HUB_PATH}?match=a")).bearer(&hub.subscriber().mint()).stream().await;
}
