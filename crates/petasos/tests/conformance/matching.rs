//! M01 to M06: which matchers select which topics.

use std::time::Duration;

use petasos_testkit::{
    EventStream, TestHub, Token,
    hub::{ISSUER, SUBSCRIBER_SECRET},
    keys::SigningKey,
    matching, matching_pattern,
    subscribe::Matchers,
    topic,
};
use serde_json::Value;

use crate::{
    common::Engine,
    support::{nothing_more, timed},
};

/// Asserts that of these topics, published one after the other, exactly those reach the matchers whose entry is true:
/// live, and once more as a replay.
async fn reaches(hub: &TestHub, matchers: Matchers, topics: &[(&str, bool)]) {
    let expected: Vec<&str> = topics.iter().filter(|(_, hit)| *hit).map(|(name, _)| *name).collect();
    let matchers = matchers.or(matching("the end"));
    let start = hub.publish("the start", "the start").await;
    let live = hub.subscribe(matchers.clone()).await;
    for (name, _) in topics {
        hub.publish(*name, name).await;
    }
    hub.publish("the end", "the end").await;
    assert_eq!(until_the_end(live).await, expected, "live, of {matchers:?}");
    if hub.has_history() {
        let replay = hub.subscribe(matchers.clone()).after(&start).await;
        assert_eq!(until_the_end(replay).await, expected, "replayed, of {matchers:?}");
    }
}

async fn until_the_end(mut stream: EventStream) -> Vec<String> {
    let mut reached = Vec::new();
    loop {
        match stream.next_data().await {
            data if data == "the end" => return reached,
            data => reached.push(data),
        }
    }
}

pub(crate) async fn m01_exact_is_byte_for_byte(engine: Engine) {
    let hub = engine.hub().await;
    let url = "https://example.com/a";
    let others = [
        ("https://EXAMPLE.com/a", false),
        ("https://example.com/A", false),
        ("https://example.com/a/", false),
        ("https://example.com:443/a", false),
        ("https://example.com/%61", false),
        ("https://example.com/./a", false),
        ("https://example.com/a#", false),
        ("/a", false),
        (" https://example.com/a", false),
        (url, true),
    ];
    reaches(&hub, matching(url), &others).await;
    let absolute = format!("{}/a", hub.origin());
    reaches(&hub, matching("/a"), &[("/a", true), ("a", false), (absolute.as_str(), false)]).await;
    reaches(&hub, matching("\u{e9}"), &[("e\u{301}", false), ("%C3%A9", false), ("\u{e9}", true)]).await;
    reaches(&hub, matching("/:id"), &[("/1", false), ("/:id", true)]).await;
}

pub(crate) async fn m02_a_pattern_selects_by_its_parts(engine: Engine) {
    let hub = engine.hub().await;
    let books = matching_pattern("https://example.com/books/:id");
    let topics = [
        ("https://example.com/books/1", true),
        ("https://example.com/books/\u{20ac}", true),
        ("https://example.com/books/", false),
        ("https://example.com/books/1/2", false),
        ("http://example.com/books/1", false),
        ("https://example.org/books/1", false),
        ("https://example.com:8443/books/1", false),
        ("https://example.com:443/books/1", true),
    ];
    reaches(&hub, books, &topics).await;
    let any = matching_pattern("https://*.example.com/*");
    let topics = [
        ("https://a.example.com/", true),
        ("https://a.b.example.com/x/y", true),
        ("https://example.com/x", false),
    ];
    reaches(&hub, any, &topics).await;
    let numbers = matching_pattern("https://example.com/:id(\\d+){.:format}?");
    let topics = [
        ("https://example.com/12", true),
        ("https://example.com/12.json", true),
        ("https://example.com/x", false),
        ("https://example.com/12.", false),
    ];
    reaches(&hub, numbers, &topics).await;
}

pub(crate) async fn m02_the_host_ignores_case_and_the_rest_does_not(engine: Engine) {
    let hub = engine.hub().await;
    let topics = [
        ("https://EXAMPLE.com/Books/1", true),
        ("HTTPS://example.com/Books/1", true),
        ("https://example.com/books/1", false),
    ];
    reaches(&hub, matching_pattern("https://Example.COM/Books/:id"), &topics).await;
}

pub(crate) async fn m02_relative_patterns_and_topics_meet_at_the_hub(engine: Engine) {
    let hub = engine.hub().await;
    let absolute = format!("{}/books/1", hub.origin());
    let topics = [
        (absolute.as_str(), true),
        ("/books/1", true),
        ("../books/1", true),
        ("/x/../books/1", true),
        ("https://example.com/books/1", false),
        ("books/1", false),
    ];
    reaches(&hub, matching_pattern("/books/:id"), &topics).await;
    reaches(&hub, matching_pattern(&format!("{}/books/:id", hub.origin())), &topics).await;
    let below = [("books/1", true), ("/.well-known/books/1", true), ("/books/1", false)];
    reaches(&hub, matching_pattern("books/:id"), &below).await;
}

pub(crate) async fn m02_other_schemes_can_be_patterns(engine: Engine) {
    let hub = engine.hub().await;
    // Without the escapes `:isbn` would be a name.
    let topics = [("urn:isbn:123", true), ("urn:uuid:1", false), ("https://example.com/urn:isbn:1", false)];
    reaches(&hub, matching_pattern("urn\\:isbn\\:*"), &topics).await;
}

/// Topics that are no URL references.
const NOT_URLS: [&str; 4] =
    ["http://[bad", "https://example.com:99999/", "https://exa mple.com/", "http://exa%00mple.com/"];

pub(crate) async fn m03_a_topic_that_is_no_url_matches_no_pattern(engine: Engine) {
    let hub = engine.hub().await;
    for pattern in ["http://:host/*", "https://*:*/*", "*://*/*", "/*", "/.well-known/*"] {
        reaches(&hub, matching_pattern(pattern), &NOT_URLS.map(|topic| (topic, false))).await;
    }
    for name in NOT_URLS {
        reaches(&hub, matching(name), &[(name, true)]).await;
    }
}

pub(crate) async fn m04_a_pathological_pattern_costs_little(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("alive")).await;
    let long = format!("/{}", "a".repeat(4_000));
    for pattern in [
        "/((?:a+)+)b",
        "/((?:a|a)*)b",
        "/((?:a|aa)+)b",
        "/((?:a*)*)b",
        "/((?:(?:a{1,100}){1,100}){1,100})b",
        "/((?:x{1000}){1000})",
        "/(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)b",
        "/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
        "/:a(.+):b(.+):c(.+):d(.+):e(.+):f(.+)b",
    ] {
        let work = async {
            let answer = hub.subscribe(matching_pattern(pattern)).answer().await;
            assert!([200, 400].contains(&answer.status), "{pattern}: {answer:?}");
            if answer.status == 200 {
                let mut hostile = hub.subscribe(matching_pattern(pattern).or(matching("end"))).await;
                hub.publish(long.as_str(), "long").await;
                nothing_more(&hub, &mut hostile, "end").await;
            }
        };
        let ((), took) = timed(work).await;
        assert!(took < Duration::from_secs(2), "{pattern} took {took:?}");
    }
    nothing_more(&hub, &mut stream, "alive").await;
}

pub(crate) async fn m05_the_wildcard_selects_everything(engine: Engine) {
    let hub = engine.hub().await;
    let topics =
        ["a", "https://example.com/x", "urn:x:1", "http://[bad", "\u{1f980}"].map(|topic| (topic, true));
    reaches(&hub, matching("*"), &topics).await;
    reaches(&hub, petasos_testkit::matching_exactly("*"), &topics).await;
    reaches(&hub, matching_pattern("*"), &topics).await;
}

pub(crate) async fn m06_the_base_is_the_pinned_resource_identifier(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.http.resource_identifier =
                Some("https://hub.example/.well-known/mercure".parse().unwrap());
        })
        .await;
    let by_address = format!("{}/books/1", hub.origin());
    let topics = [("/books/1", true), ("https://hub.example/books/1", true), (by_address.as_str(), false)];
    reaches(&hub, matching_pattern("/books/:id"), &topics).await;
    reaches(&hub, matching_pattern("https://hub.example/books/:id"), &topics).await;
}

pub(crate) async fn m06_the_base_is_the_url_of_the_subscribers_request(engine: Engine) {
    let hub = engine.hub().await;
    let on = |host: &str| {
        let audience = format!("http://{host}/.well-known/mercure");
        let token = Token::new(ISSUER, &audience, &SigningKey::secret(SUBSCRIBER_SECRET)).mint();
        hub.subscribe(matching_pattern("/books/:id").or(matching("end"))).on_host(host).with_token(&token)
    };
    let (mut one, mut two) = (on("one.example").await, on("two.example:8080").await);
    hub.publish("http://one.example/books/1", "one").await;
    hub.publish("http://two.example:8080/books/1", "two").await;
    hub.publish("/books/1", "relative").await;
    hub.publish("end", "end").await;
    assert_eq!(one.next_data_of(3).await, ["one", "relative", "end"]);
    assert_eq!(two.next_data_of(3).await, ["two", "relative", "end"]);
}

pub(crate) async fn m06_a_plain_name_lies_beside_the_hub(engine: Engine) {
    let hub = engine.hub().await;
    let topics = [("plain-name", true), ("/.well-known/plain-name", true), ("/plain-name", false)];
    for pattern in ["plain-name", "/.well-known/plain-name", "/.well-known/:name(plain-.*)", ":name"] {
        reaches(&hub, matching_pattern(pattern), &topics).await;
    }
}

pub(crate) async fn m06_subscription_events_are_matched_on_any_origin(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.subscriptions = true).await;
    let host = "elsewhere.example";
    let audience = format!("http://{host}/.well-known/mercure");
    let token =
        Token::new(ISSUER, &audience, &SigningKey::secret(SUBSCRIBER_SECRET)).may_subscribe(&["*"]).mint();
    let observer =
        hub.subscribe(matching_pattern("/.well-known/mercure/subscriptions/exact/:match/:subscriber"));
    let mut observer = observer.on_host(host).with_token(&token).await;
    let _subscriber = hub.subscribe(matching("seen")).await;
    let event: Value = serde_json::from_str(&observer.next_data().await).unwrap();
    assert_eq!((&event["match"], &event["active"]), (&"seen".into(), &true.into()));
}

pub(crate) async fn m06_a_topic_published_elsewhere_keeps_its_relative_form(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("books/1")).await;
    hub.publish(topic("books/1"), "1").await;
    assert_eq!(stream.next_data().await, "1");
}
