//! E01 to E04 and E08: subscription events.

use std::time::Duration;

use petasos_testkit::{
    DETAIL_TYPE, EventStream, SUBSCRIPTIONS, TestHub, form, grant, matching, matching_pattern, matching_raw,
    sse::Event, token::grant_pattern,
};
use serde_json::{Value, json};

use crate::{common::Engine, support::nothing_more};

/// Every subscription event, by a relative pattern.
const ALL_EVENTS: &str = "/.well-known/mercure/subscriptions/*";

async fn hub(engine: Engine) -> TestHub {
    engine.hub_with(|config| config.hub.subscriptions = true).await
}

async fn observer(hub: &TestHub) -> EventStream {
    hub.subscribe(matching_pattern(ALL_EVENTS)).await
}

/// The next event about a subscription with this value; those about the observer itself are not asked for.
async fn next_about(observer: &mut EventStream, value: &str) -> (Event, Value) {
    loop {
        let event = observer.next().await;
        assert_eq!(event.kind, "mercure", "E01: {event:?}");
        let data: Value = serde_json::from_str(&event.data).unwrap();
        if data["match"] == value {
            return (event, data);
        }
    }
}

pub(crate) async fn e01_a_subscription_announces_its_start_and_its_end(engine: Engine) {
    let hub = hub(engine).await;
    let mut observer = observer(&hub).await;
    let subscriber = hub.subscribe(matching("a")).await;
    let (start, data) = next_about(&mut observer, "a").await;
    assert_eq!(data["active"], true);
    assert!(!start.id.is_empty());
    drop(subscriber);
    let (end, data) = next_about(&mut observer, "a").await;
    assert_eq!(data["active"], false);
    assert_ne!(start.id, end.id);
}

pub(crate) async fn e01_the_topic_encodes_each_variable_once(engine: Engine) {
    let hub = hub(engine).await;
    for (value, encoded) in [
        ("a", "a"),
        ("A-z0.9_~", "A-z0.9_~"),
        ("https://example.com/a b?x=1&y#z", "https%3A%2F%2Fexample.com%2Fa%20b%3Fx%3D1%26y%23z"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("\u{e9}\u{20ac}", "%C3%A9%E2%82%AC"),
        ("*", "%2A"),
        ("!'()+,;:@$", "%21%27%28%29%2B%2C%3B%3A%40%24"),
        ("../x", "..%2Fx"),
    ] {
        let mut observer = observer(&hub).await;
        let _subscriber = hub.subscribe(matching(value)).await;
        let (_, data) = next_about(&mut observer, value).await;
        let subscriber = data["subscriber"].as_str().unwrap();
        let expected = format!("{SUBSCRIPTIONS}/exact/{encoded}/{}", form::escape(subscriber));
        assert_eq!(data["id"], expected);
    }
}

pub(crate) async fn e01_the_topic_is_what_matchers_and_grants_see(engine: Engine) {
    let hub = hub(engine).await;
    let pattern = format!("{SUBSCRIPTIONS}/exact/a%2Fb/:subscriber");
    let token = hub.subscriber().detail(grant_pattern(&["subscribe"], &pattern)).mint();
    let mut stream = hub.subscribe(matching_pattern(&pattern).or(matching("end"))).with_token(&token).await;
    let _other = hub.subscribe(matching("b")).await;
    let _wanted = hub.subscribe(matching("a/b")).await;
    let data: Value = serde_json::from_str(&stream.next_data().await).unwrap();
    assert_eq!(data["match"], "a/b");
    let topic = data["id"].as_str().unwrap().to_owned();
    let mut exact = hub.subscribe(matching(&topic)).granted(&[&topic]).after("earliest").await;
    if hub.has_history() {
        assert_eq!(exact.next().await.kind, "mercure", "it is in the history under that topic");
    }
    drop(_wanted);
    assert_eq!(exact.next().await.kind, "mercure", "and its end comes under the same one");
    nothing_more_about(&mut stream, "a/b", false).await;
}

async fn nothing_more_about(stream: &mut EventStream, value: &str, active: bool) {
    let (_, data) = next_about(stream, value).await;
    assert_eq!(data["active"], active);
}

pub(crate) async fn e01_subscription_events_are_private(engine: Engine) {
    let hub = hub(engine).await;
    let mut stranger = hub.subscribe(matching("*")).granted_nothing().await;
    let mut reader = observer(&hub).await;
    drop(hub.subscribe(matching("a")).await);
    // Only when the end is there as well can nothing more be under way.
    assert_eq!(next_about(&mut reader, "a").await.1["active"], true);
    assert_eq!(next_about(&mut reader, "a").await.1["active"], false);
    nothing_more(&hub, &mut stranger, "a").await;
}

pub(crate) async fn e01_without_the_feature_nothing_is_announced(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("*")).await;
    drop(hub.subscribe(matching("a")).await);
    nothing_more(&hub, &mut stream, "b").await;
}

pub(crate) async fn e01_subscription_events_are_in_the_history(engine: Engine) {
    let hub = hub(engine).await;
    let mut live = observer(&hub).await;
    drop(hub.subscribe(matching("a")).await);
    let (start, _) = next_about(&mut live, "a").await;
    let (end, _) = next_about(&mut live, "a").await;
    let mut replay = hub.subscribe(matching_pattern(ALL_EVENTS)).after(&start.id).await;
    if hub.has_history() {
        assert_eq!(replay.cursor(), start.id, "its id is a cursor like any other");
        assert_eq!(next_about(&mut replay, "a").await.0, end);
    } else {
        assert_eq!(replay.cursor(), "earliest");
        drop(hub.subscribe(matching("a")).await);
        assert_eq!(next_about(&mut replay, "a").await.1["active"], true);
    }
}

pub(crate) async fn e01_a_refused_subscription_announces_nothing(engine: Engine) {
    let hub = hub(engine).await;
    let mut stream = observer(&hub).await;
    hub.subscribe(matching_raw("match=a&Match=b")).answer().await.expect(400);
    hub.subscribe(matching("a")).without_token().answer().await.expect(401);
    hub.subscribe(matching("a")).with_token("x").answer().await.expect(401);
    let _subscriber = hub.subscribe(matching("accepted")).await;
    loop {
        let data: Value = serde_json::from_str(&stream.next_data().await).unwrap();
        assert_ne!(data["match"], "a");
        if data["match"] == "accepted" {
            break;
        }
    }
}

pub(crate) async fn e02_the_data_says_what_the_subscription_is(engine: Engine) {
    let hub = hub(engine).await;
    let mut observer = observer(&hub).await;
    let subscriber = hub.subscribe(matching_pattern("/books/:id")).granted_nothing().await;
    let (_, mut start) = next_about(&mut observer, "/books/:id").await;
    let id = start["subscriber"].as_str().unwrap().to_owned();
    assert_eq!(
        start,
        json!({
            "id": format!("{SUBSCRIPTIONS}/urlpattern/%2Fbooks%2F%3Aid/{}", form::escape(&id)),
            "type": "subscription",
            "match_type": "urlpattern",
            "match": "/books/:id",
            "subscriber": id,
            "active": true,
        })
    );
    drop(subscriber);
    let (_, end) = next_about(&mut observer, "/books/:id").await;
    start["active"] = json!(false);
    assert_eq!(end, start, "the end differs in nothing else");
}

pub(crate) async fn e03_a_subscriber_is_one_connection(engine: Engine) {
    let hub = hub(engine).await;
    let mut observer = observer(&hub).await;
    let claimed = "urn:uuid:00000000-0000-4000-8000-000000000000";
    let token = hub.subscriber().claim("sub", claimed).claim("subscriber", claimed).mint();
    let query = format!("match=a&match_urlpattern=b&subscriber={claimed}&id={claimed}");
    let connect =
        || hub.subscribe(matching_raw(query.clone())).with_token(&token).header("Subscriber", claimed);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let _subscriber = connect().await;
        let (_, first) = next_about(&mut observer, "a").await;
        let (_, second) = next_about(&mut observer, "b").await;
        assert_eq!(first["subscriber"], second["subscriber"], "shared by the subscriptions of a connection");
        let id = first["subscriber"].as_str().unwrap().to_owned();
        let uuid = id.strip_prefix("urn:uuid:").expect("a urn:uuid:");
        assert!(uuid.len() == 36 && uuid.as_bytes()[14] == b'4', "not random (v4): {id}");
        assert_ne!(id, claimed);
        seen.push(id);
        // The ends of the last connection come before the starts of the next one.
        drop(_subscriber);
        assert_eq!(next_about(&mut observer, "a").await.1["active"], false);
        assert_eq!(next_about(&mut observer, "b").await.1["active"], false);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

pub(crate) async fn e03_equal_matchers_are_one_subscription(engine: Engine) {
    let hub = hub(engine).await;
    let mut observer = observer(&hub).await;
    let subscriber = hub.subscribe(matching_raw("match=a&match_exact=a&match=a&match=b")).await;
    let mut about = [next_about(&mut observer, "a").await.1, next_about(&mut observer, "b").await.1];
    assert!(about.iter().all(|data| data["active"] == true));
    drop(subscriber);
    about = [next_about(&mut observer, "a").await.1, next_about(&mut observer, "b").await.1];
    assert!(about.iter().all(|data| data["active"] == false), "{about:?}");
}

fn detail_with_payload(topics: Value, payload: Value) -> Value {
    json!({ "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": topics, "payload": payload })
}

pub(crate) async fn e04_the_payload_is_that_of_the_first_matching_detail(engine: Engine) {
    let hub = hub(engine).await;
    let exact = |value: &str| json!([{ "match": value }]);
    let pattern = |value: &str| json!([{ "match": value, "match_type": "urlpattern" }]);
    let publish_only = json!({
        "type": DETAIL_TYPE, "actions": ["publish"], "topics": [{ "match": "*" }], "payload": { "of": "publish" },
    });
    let token = hub
        .subscriber()
        .detail(publish_only)
        .detail(grant(&["subscribe"], &["plain"]))
        .detail(detail_with_payload(exact("plain"), json!({ "of": "the second" })))
        .detail(detail_with_payload(exact("a"), json!({ "of": "a", "deep": [1, { "x": null }] })))
        .detail(detail_with_payload(pattern("/books/:id"), json!({ "of": "books" })))
        .detail(detail_with_payload(exact("/books/1"), json!({ "of": "too late" })))
        .mint();
    let mut observer = observer(&hub).await;
    for (query, value, payload) in [
        ("match=a", "a", json!({ "of": "a", "deep": [1, { "x": null }] })),
        ("match=/books/1", "/books/1", json!({ "of": "books" })),
        ("match_urlpattern=/books/:id", "/books/:id", json!({ "of": "books" })),
        ("match=b", "b", json!(null)),
        ("match=plain", "plain", json!(null)),
        ("match_urlpattern=/books/*", "/books/*", json!({ "of": "books" })),
        ("match_urlpattern=a", "a", json!({ "of": "a", "deep": [1, { "x": null }] })),
    ] {
        let subscriber = hub.subscribe(matching_raw(query)).with_token(&token).await;
        let (_, start) = next_about(&mut observer, value).await;
        assert_eq!(start["payload"], payload, "{query}");
        assert_eq!(start.get("payload").is_some(), !payload.is_null(), "no payload is no member: {start}");
        drop(subscriber);
        let (_, end) = next_about(&mut observer, value).await;
        assert_eq!((&end["payload"], &end["active"]), (&payload, &json!(false)), "{query}");
    }
}

pub(crate) async fn e04_the_wildcard_detail_gives_its_payload_to_all(engine: Engine) {
    let hub = hub(engine).await;
    let detail =
        detail_with_payload(json!([{ "match": "x" }, { "match": "*" }]), json!({ "user": "somebody" }));
    let token = hub.subscriber().detail(detail).mint();
    let mut observer = observer(&hub).await;
    for query in ["match=*", "match_urlpattern=http://*/x", "match=http://[bad"] {
        let value = query.split_once('=').unwrap().1;
        let _subscriber = hub.subscribe(matching_raw(query)).with_token(&token).await;
        assert_eq!(
            next_about(&mut observer, value).await.1["payload"],
            json!({ "user": "somebody" }),
            "{query}"
        );
    }
}

pub(crate) async fn e08_a_connection_that_dies_without_a_word_ends_its_subscriptions(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.hub.subscriptions = true;
            config.hub.heartbeat = Duration::from_millis(200);
        })
        .await;
    let mut observer = observer(&hub).await;
    let subscriber = hub.subscribe(matching("a")).await;
    assert_eq!(next_about(&mut observer, "a").await.1["active"], true);
    subscriber.vanish();
    assert_eq!(next_about(&mut observer, "a").await.1["active"], false);
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let list = hub.get(&format!("{SUBSCRIPTIONS}/exact/a")).bearer(&token).send().await.expect(200).json();
    assert_eq!(list["subscriptions"], json!([]));
}

pub(crate) async fn e08_a_stream_that_the_hub_ends_ends_its_subscriptions(engine: Engine) {
    let hub = hub(engine).await;
    let mut observer = observer(&hub).await;
    let token = hub.subscriber().expiring_in(1.5).mint();
    let mut subscriber = hub.subscribe(matching("a")).with_token(&token).await;
    assert_eq!(next_about(&mut observer, "a").await.1["active"], true);
    subscriber.ends_cleanly().await;
    assert_eq!(next_about(&mut observer, "a").await.1["active"], false);
}
