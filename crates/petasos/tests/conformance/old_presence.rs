//! L07 and C07: the subscription API and the events of subscriptions that were made with `topic`.

use petasos_testkit::{
    Answer, EventStream, HUB_PATH, SUBSCRIPTIONS, TestHub, form, matching, matching_pattern, matching_topic,
    sse::Event,
};
use serde_json::{Value, json};

use crate::common::Engine;

/// How clients of the 0.x generation watch all subscriptions.
const ALL_EVENTS: &str = "/.well-known/mercure/subscriptions{/topic}{/subscriber}";

async fn hub(engine: Engine) -> TestHub {
    engine.hub_with(|config| config.hub.subscriptions = true).await
}

fn old_token(hub: &TestHub) -> String {
    hub.old_subscriber().old_subscribe(&["*"]).old_claim("payload", json!({ "user": "ada" })).mint()
}

async fn old_list(hub: &TestHub, path: &str) -> Answer {
    hub.get(path).bearer(&old_token(hub)).send().await
}

/// The next event about a subscription with this topic.
async fn next_about(observer: &mut EventStream, topic: &str) -> (Event, Value) {
    loop {
        let event = observer.next().await;
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        if data["topic"] == topic {
            return (event, data);
        }
    }
}

/// The subscriber of the only subscription with this topic.
async fn subscriber_of(hub: &TestHub, topic: &str) -> String {
    let list = old_list(hub, &format!("{SUBSCRIPTIONS}/{}", form::escape(topic))).await.expect(200).json();
    assert_eq!(list["subscriptions"].as_array().map(Vec::len), Some(1), "{list}");
    list["subscriptions"][0]["subscriber"].as_str().expect("a subscriber").to_owned()
}

pub(crate) async fn l07_a_subscription_by_topic_is_announced_as_before(engine: Engine) {
    let hub = hub(engine).await;
    let mut observer = hub.subscribe(matching_topic(ALL_EVENTS)).granted_as_before(&["*"]).await;
    for topic in ["a", "https://example.com/books/{id}", "100% \u{e9}/?#", "*"] {
        let stream = hub.subscribe(matching_topic(topic)).with_token(&old_token(&hub)).await;
        let (event, start) = next_about(&mut observer, topic).await;
        // L07: its clients listen for messages, which an event with a type is none of.
        assert_eq!(event.kind, "");
        assert!(!event.id.is_empty());
        let subscriber = start["subscriber"].as_str().expect("a subscriber").to_owned();
        assert!(subscriber.starts_with("urn:uuid:"));
        let id = format!("{SUBSCRIPTIONS}/{}/{}", form::escape(topic), form::escape(&subscriber));
        let expected = |active: bool| {
            json!({
                "@context": "https://mercure.rocks/",
                "id": id,
                "type": "Subscription",
                "subscriber": subscriber,
                "topic": topic,
                "active": active,
                "payload": { "user": "ada" },
            })
        };
        assert_eq!(start, expected(true));
        drop(stream);
        let (_, end) = next_about(&mut observer, topic).await;
        assert_eq!(end, expected(false));
    }
}

pub(crate) async fn l07_each_kind_of_event_is_watched_in_its_own_way(engine: Engine) {
    let hub = hub(engine).await;
    let everything = |topic: &str| matching_topic(topic).or(matching("end"));
    let mut old = hub.subscribe(everything(ALL_EVENTS)).granted_as_before(&["*"]).await;
    let mut new =
        hub.subscribe(matching_pattern("/.well-known/mercure/subscriptions/:type/:match/:subscriber")).await;
    let mut one = hub
        .subscribe(everything(&format!("{SUBSCRIPTIONS}/wanted{{/subscriber}}")))
        .granted_as_before(&[&format!("{SUBSCRIPTIONS}/wanted{{/subscriber}}")])
        .await;
    // Events are private: another one sees none.
    let mut ungranted = hub.subscribe(everything(ALL_EVENTS)).granted_as_before(&["end"]).await;
    let _by_match = hub.subscribe(matching("wanted")).await;
    let _other = hub.subscribe(matching_topic("other")).await;
    let _by_topic = hub.subscribe(matching_topic("wanted")).await;
    next_about(&mut old, "other").await;
    let (event, _) = next_about(&mut old, "wanted").await;
    assert_eq!(event.kind, "");
    loop {
        let event = new.next().await;
        assert_eq!(event.kind, "mercure", "E01: only subscriptions by match are of this form");
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        if data["match"] == "wanted" {
            assert_eq!(data["match_type"], "exact");
            break;
        }
    }
    let data: Value = serde_json::from_str(&one.next_data().await).expect("JSON");
    assert_eq!(data["topic"], "wanted");
    hub.publish("end", "the end").private().await;
    assert_eq!(ungranted.next_data().await, "the end");
}

pub(crate) async fn l07_the_list_is_told_in_the_form_of_the_token(engine: Engine) {
    let hub = hub(engine).await;
    let _by_topic = hub.subscribe(matching_topic("/books/{id}")).with_token(&old_token(&hub)).await;
    let _by_match = hub.subscribe(matching("a")).await;
    let _by_pattern = hub.subscribe(matching_pattern("/:x")).await;
    let answer = old_list(&hub, SUBSCRIPTIONS).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/ld+json"));
    assert_eq!(answer.header("cache-control"), Some("must-revalidate"));
    let list = answer.json();
    assert_eq!(list["@context"], "https://mercure.rocks/");
    assert_eq!((&list["id"], &list["type"]), (&json!(SUBSCRIPTIONS), &json!("Subscriptions")));
    let link = answer.required("link");
    assert!(link.contains(&format!("last-event-id={}", list["lastEventID"])), "{link}");
    let told: Vec<_> =
        list["subscriptions"].as_array().expect("a list").iter().map(|one| one["topic"].clone()).collect();
    assert_eq!(told, ["a", "/books/{id}", "/:x"], "both kinds, in the order of their types");
    for one in list["subscriptions"].as_array().expect("a list") {
        let members: Vec<_> = one.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["active", "id", "payload", "subscriber", "topic", "type"]);
        assert_eq!(one["type"], "Subscription");
    }
    let tag = answer.required("etag").to_owned();
    hub.get(SUBSCRIPTIONS).bearer(&old_token(&hub)).header("If-None-Match", &tag).send().await.expect(304);
    // The same with a token of the 1.0 generation.
    let new = hub.get(SUBSCRIPTIONS).bearer(&hub.subscriber().may_subscribe(&["*"]).mint());
    let answer = new.header("If-None-Match", &tag).send().await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let list = answer.json();
    assert_eq!(list["type"], "subscriptions");
    let told: Vec<_> = list["subscriptions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            (
                one["match_type"].as_str().expect("a type"),
                one["match"].as_str().expect("a value"),
                one["topic"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("exact", "a", None), ("topic", "/books/{id}", Some("/books/{id}")), ("urlpattern", "/:x", None)]
    );
}

pub(crate) async fn l07_a_path_of_a_topic_lists_its_subscriptions(engine: Engine) {
    let hub = hub(engine).await;
    let topic = "https://example.com/books/{id}";
    let _first =
        hub.subscribe(matching_topic(topic).or(matching_topic("b"))).with_token(&old_token(&hub)).await;
    let subscriber = subscriber_of(&hub, topic).await;
    let _by_match = hub.subscribe(matching(topic)).await;
    let of_topic = format!("{SUBSCRIPTIONS}/{}", form::escape(topic));
    let single = format!("{of_topic}/{}", form::escape(&subscriber));
    // Whatever the token is, these paths are of the 0.x generation.
    for token in [old_token(&hub), hub.subscriber().may_subscribe(&["*"]).mint()] {
        let list = hub.get(&of_topic).bearer(&token).send().await.expect(200);
        assert_eq!(list.header("content-type"), Some("application/ld+json"));
        let list = list.json();
        assert_eq!((&list["id"], &list["type"]), (&json!(of_topic), &json!("Subscriptions")));
        assert_eq!(list["subscriptions"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["subscriptions"][0]["id"], single);
        let one = hub.get(&single).bearer(&token).send().await.expect(200).json();
        assert_eq!((&one["@context"], &one["id"]), (&json!("https://mercure.rocks/"), &json!(single)));
        assert_eq!(
            (&one["type"], &one["topic"], &one["active"]),
            (&json!("Subscription"), &json!(topic), &json!(true))
        );
        assert_eq!(one["lastEventID"], list["lastEventID"]);
        // The paths of the 1.0 generation are as they were.
        let by_type = format!("{SUBSCRIPTIONS}/exact/{}", form::escape(topic));
        let list = hub.get(&by_type).bearer(&token).send().await.expect(200);
        assert_eq!(list.header("content-type"), Some("application/json"));
        assert_eq!(list.json()["subscriptions"][0]["match"], topic);
    }
    for path in
        [format!("{of_topic}/urn%3Auuid%3A0"), format!("{SUBSCRIPTIONS}/c/{}", form::escape(&subscriber))]
    {
        old_list(&hub, &path).await.expect(404);
    }
    // E05: with three segments the first one can be nothing but a match type.
    for path in
        [format!("{SUBSCRIPTIONS}/a/b/c"), format!("{SUBSCRIPTIONS}/topic/b/{}", form::escape(&subscriber))]
    {
        old_list(&hub, &path).await.expect(400);
    }
    let nobody = old_list(&hub, &format!("{SUBSCRIPTIONS}/nobody")).await.expect(200).json();
    assert_eq!(nobody["subscriptions"], json!([]));
}

pub(crate) async fn l07_the_path_must_be_granted(engine: Engine) {
    let hub = hub(engine).await;
    let of_a = format!("{SUBSCRIPTIONS}/a");
    let ask = |path: &str, selectors: &[&str]| {
        hub.get(path).bearer(&hub.old_subscriber().old_subscribe(selectors).mint()).send()
    };
    for selector in ["*", ALL_EVENTS, &of_a, "/.well-known/mercure/subscriptions/{topic}", "{+any}"] {
        ask(&of_a, &[selector]).await.expect(200);
    }
    for selectors in [&["a"][..], &[SUBSCRIPTIONS], &[]] {
        ask(&of_a, selectors).await.expect_refusal(403, "insufficient_scope");
    }
    hub.get(&of_a).send().await.expect(401);
    hub.get(&format!("{of_a}?authorization={}", old_token(&hub))).send().await.expect(200);
    let off = engine.hub().await;
    old_list(&off, &of_a).await.expect(404);
}

/// A client in Python looks into the member without asking what it is.
pub(crate) async fn c07_every_old_subscription_has_a_payload(engine: Engine) {
    let hub = hub(engine).await;
    let _with = hub.subscribe(matching_topic("with")).with_token(&old_token(&hub)).await;
    let _text = {
        let token = hub.old_subscriber().old_claim("payload", "a text").mint();
        hub.get(&format!("{HUB_PATH}?topic=text&authorization={token}")).stream().await
    };
    let _without = hub.subscribe(matching_topic("without")).granted_as_before(&["*"]).await;
    let _by_match = hub.subscribe(matching("match")).await;
    let list = old_list(&hub, SUBSCRIPTIONS).await.expect(200).json();
    let payload = |topic: &str| {
        let mut all = list["subscriptions"].as_array().expect("a list").iter();
        let one = all.find(|one| one["topic"] == topic).unwrap_or_else(|| panic!("{topic} is not listed"));
        one.as_object()
            .expect("an object")
            .get("payload")
            .unwrap_or_else(|| panic!("{topic} has no payload"))
            .clone()
    };
    assert_eq!(payload("with"), json!({ "user": "ada" }));
    assert_eq!(payload("text"), json!("a text"));
    assert_eq!(payload("without"), json!({}));
    assert_eq!(payload("match"), json!({}));
}
