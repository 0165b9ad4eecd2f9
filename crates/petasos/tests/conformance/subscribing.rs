//! S01 to S04: opening a stream by `GET`, `HEAD` and `QUERY`, and how parameters are read.

use petasos_testkit::{
    Connection, HUB_PATH, Protocol, SUBSCRIPTIONS, matching, matching_exactly, matching_pattern,
    matching_raw, topic,
};

use crate::{common::Engine, support::nothing_more};

pub(crate) async fn s01_get_opens_an_event_stream(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    let id = hub.publish("a", "1").await;
    let event = stream.next().await;
    assert_eq!((event.id, event.data), (id, "1".to_owned()));
}

pub(crate) async fn s01_get_opens_an_event_stream_over_http2(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    for data in ["1", "2", "3"] {
        let id = hub.publish("a", data).over(Protocol::Http2).await;
        let event = stream.next().await;
        assert_eq!((event.id, event.data), (id, data.to_owned()));
    }
}

pub(crate) async fn s01_head_answers_the_same_headers_and_no_body(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let stream = hub.subscribe(matching("a")).after("earliest").over(protocol).await;
        let answer = hub.subscribe(matching("a")).after("earliest").over(protocol).head_only().answer().await;
        let answer = answer.expect(200);
        for name in ["content-type", "cache-control", "x-accel-buffering", "mercure-last-event-id"] {
            assert_eq!(answer.header(name), stream.header(name), "{name} over {protocol:?}");
        }
        assert_eq!(answer.required("content-type"), "text/event-stream");
    }
}

pub(crate) async fn s01_head_leaves_the_connection_usable(engine: Engine) {
    let hub = engine.hub().await;
    let mut connection = Connection::open(hub.address()).await;
    let request = hub.subscribe(matching("a")).head_only().request().bytes();
    for _ in 0..2 {
        connection.send(&request).await;
        assert_eq!(connection.head().await.status, 200, "a HEAD must not be followed by a body");
    }
}

pub(crate) async fn s01_head_makes_no_presence(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.subscriptions = true).await;
    hub.subscribe(matching("a")).head_only().answer().await.expect(200);
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let list = hub.get(SUBSCRIPTIONS).bearer(&token).send().await.expect(200).json();
    assert_eq!(list["subscriptions"], serde_json::json!([]));
}

pub(crate) async fn s02_query_unites_component_and_body(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut stream = hub.subscribe(matching("a")).with_body("match=b&match_exact=c").over(protocol).await;
        for name in ["a", "x", "b", "c"] {
            hub.publish(name, name).await;
        }
        assert_eq!(stream.next_data_of(3).await, ["a", "b", "c"], "over {protocol:?}");
        nothing_more(&hub, &mut stream, "b").await;
    }
}

pub(crate) async fn s02_query_needs_no_component(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching_raw("")).with_body("match=a").await;
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn s02_the_cursor_comes_from_field_then_component_then_body(engine: Engine) {
    let hub = engine.hub().await;
    for id in ["urn:x:1", "urn:x:2", "urn:x:3"] {
        hub.publish("a", "").id(id).await;
    }
    let body_only = hub.subscribe(matching("a")).with_body("last_event_id=urn:x:3");
    let component = hub.subscribe(matching("a")).after_in_query("urn:x:2").with_body("last_event_id=urn:x:3");
    let field = component.clone().after("urn:x:1");
    for (subscribe, expected) in [(body_only, "urn:x:3"), (component, "urn:x:2"), (field, "urn:x:1")] {
        let stream = subscribe.await;
        assert_eq!(stream.cursor(), if hub.has_history() { expected } else { "earliest" });
    }
}

pub(crate) async fn s02_query_with_another_media_type_is_415(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().mint();
    for media_type in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let target = format!("{HUB_PATH}?match=a");
        let request = hub.request("QUERY", &target).bearer(&token).header("Content-Type", media_type);
        request.body("match=a").send().await.expect(415);
    }
}

pub(crate) async fn s02_query_with_a_body_over_the_limit_is_413(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.body_bytes = 1_000).await;
    let body = format!("match={}", "a".repeat(2_000));
    hub.subscribe(matching("a")).with_body(body).answer().await.expect(413);
}

pub(crate) async fn s03_an_update_comes_once_however_many_matchers_hit(engine: Engine) {
    let hub = engine.hub().await;
    let matchers = matching("a").or(matching_exactly("a")).or(matching("b")).or(matching_pattern("*"));
    let mut stream = hub.subscribe(matchers).await;
    hub.publish(topic("a").and("b").and("c"), "once").await;
    assert_eq!(stream.next_data().await, "once");
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn s03_every_parameter_name_matches(engine: Engine) {
    let hub = engine.hub().await;
    let matchers = matching("a").or(matching_exactly("b")).or(matching_pattern("https://example.com/:any"));
    let mut stream = hub.subscribe(matchers).await;
    for name in ["a", "b", "c", "https://example.com/d", "https://example.com/:any"] {
        hub.publish(name, name).await;
    }
    assert_eq!(
        stream.next_data_of(4).await,
        ["a", "b", "https://example.com/d", "https://example.com/:any"],
        "the value :any of a pattern is a name, not a text"
    );
}

pub(crate) async fn s03_any_topic_of_an_update_can_hit(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("alternate")).await;
    hub.publish(topic("canonical").and("other").and("alternate"), "1").await;
    assert_eq!(stream.next_data().await, "1");
}

pub(crate) async fn s04_parameters_are_decoded_as_forms(engine: Engine) {
    let hub = engine.hub().await;
    for (query, reached) in [
        ("match=a+b", "a b"),
        ("match=a%20b", "a b"),
        ("match=a%2Bb", "a+b"),
        ("match=a;match=b", "a;match=b"),
        ("match=a%26b%3Dc", "a&b=c"),
        ("match=a=b", "a=b"),
        ("match=100%", "100%"),
        ("match=%zz%4", "%zz%4"),
        ("match=%25", "%"),
        ("match=%e2%82%AC", "\u{20ac}"),
        ("%6Datc%68=a", "a"),
        ("match%5Fexact=a", "a"),
        ("&&match=a&", "a"),
        ("match&match=a", "a"),
    ] {
        let mut stream = hub.subscribe(matching_raw(query)).await;
        hub.publish(reached, query).await;
        assert_eq!(stream.next_data().await, query, "{query} selects {reached}");
    }
}

pub(crate) async fn s04_values_are_checked_after_decoding(engine: Engine) {
    let hub = engine.hub().await;
    hub.subscribe(matching_raw("match=a%0A")).answer().await.expect(400);
    // What looks like an escape after decoding is a text of three characters.
    let mut stream = hub.subscribe(matching_raw("match=a%250A")).await;
    hub.publish("a%0A", "1").await;
    assert_eq!(stream.next_data().await, "1");
}
