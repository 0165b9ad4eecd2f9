//! Both generations at once on one hub: what a team has while it migrates client by client.

use std::collections::BTreeMap;

use petasos_testkit::{
    EventStream, HUB_PATH, TestHub, form, matching, matching_pattern, matching_topic, topic,
};

use crate::{
    common::Engine,
    support::{COOKIE, counts, nothing_more},
};

const BOOKS: &str = "https://example.com/books/{id}";

/// Subscribers of either generation on the same topics, by what they may read.
async fn subscribers(hub: &TestHub) -> BTreeMap<&'static str, EventStream> {
    let old = |selectors: &[&str]| hub.old_subscriber().old_subscribe(selectors).mint();
    let pattern = || matching_pattern("https://example.com/books/:id");
    let everything = hub.subscriber().may_subscribe(&["*"]).mint();
    let in_url = form::encode([("topic", BOOKS), ("authorization", &old(&["*"]))]);
    BTreeMap::from([
        ("old, all", hub.subscribe(matching_topic(BOOKS)).with_token(&old(&["*"])).await),
        (
            "old, the first book",
            hub.subscribe(matching_topic(BOOKS)).with_token(&old(&["https://example.com/books/1"])).await,
        ),
        ("old, public", hub.subscribe(matching_topic(BOOKS)).with_token(&old(&[])).await),
        ("old, all, in the URL", hub.get(&format!("{HUB_PATH}?{in_url}")).stream().await),
        (
            "old, all, by the new cookie",
            hub.get(&format!("{HUB_PATH}?{}", form::encode([("topic", BOOKS)])))
                .header("Cookie", format!("{COOKIE}={}", old(&["*"])))
                .stream()
                .await,
        ),
        ("new, all", hub.subscribe(pattern()).with_token(&everything).await),
        ("new, the first book", hub.subscribe(pattern()).granted(&["https://example.com/books/1"]).await),
        ("new, public", hub.subscribe(pattern()).granted_nothing().await),
        // Halfway: parameters of one generation, a token of the other.
        ("old topic, new token, all", hub.subscribe(matching_topic(BOOKS)).with_token(&everything).await),
        (
            "new pattern, old token, the first book",
            hub.subscribe(pattern()).with_token(&old(&["{+any}/books/1"])).await,
        ),
        (
            "both, all",
            hub.subscribe(pattern().or(matching_topic(BOOKS)).or(matching_topic("*")))
                .with_token(&old(&["*"]))
                .await,
        ),
    ])
}

pub(crate) async fn l08_both_generations_see_everything_they_may_once(engine: Engine) {
    let hub = engine.hub().await;
    let mut subscribers = subscribers(&hub).await;
    let book = |number: usize| format!("https://example.com/books/{number}");
    // Two publishers of either generation at once, each with public and private updates on both books.
    let publish = |name: &'static str, is_old: bool| {
        let hub = &hub;
        async move {
            for number in 0..40 {
                let (of, private) = (1 + number % 2, number % 4 >= 2);
                let kind = if private { "private" } else { "public" };
                let update = hub.publish(topic(book(of)), &format!("{name} {number} {kind} of {of}"));
                let update = if private { update.private() } else { update };
                let update = if is_old { update.granted_as_before(&[BOOKS]) } else { update.granted(&["*"]) };
                update.await;
            }
        }
    };
    tokio::join!(publish("a", true), publish("b", false), publish("c", true), publish("d", false));
    let expected = |who: &str, name: &str| -> Vec<String> {
        let numbers = (0..40)
            .map(|number| (number, 1 + number % 2, if number % 4 >= 2 { "private" } else { "public" }));
        let may_read = |of: usize, kind: &str| {
            kind == "public" || who.contains("all") || who.contains("the first book") && of == 1
        };
        numbers
            .filter(|(_, of, kind)| may_read(*of, kind))
            .map(|(number, of, kind)| format!("{name} {number} {kind} of {of}"))
            .collect()
    };
    let mut order: Option<Vec<String>> = None;
    for (who, stream) in &mut subscribers {
        let count: usize = ["a", "b", "c", "d"].iter().map(|name| expected(who, name).len()).sum();
        let seen = stream.next_data_of(count).await;
        for name in ["a", "b", "c", "d"] {
            let of_one: Vec<_> = seen.iter().filter(|data| data.starts_with(name)).cloned().collect();
            assert_eq!(of_one, expected(who, name), "{who}");
        }
        // S12: one order for everybody, whatever they speak.
        if who.contains("all") {
            assert_eq!(order.get_or_insert_with(|| seen.clone()), &seen, "{who}");
        }
        nothing_more(&hub, stream, &book(3)).await;
    }
}

pub(crate) async fn c07_selectors_of_the_admin_reach_what_is_below(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.old_subscriber().old_subscribe(&["{+any}"]).mint();
    let origin = "https://admin.example.com";
    // The page sets the cookie from script, and subscribes to everything below its entry point.
    let target = format!("{HUB_PATH}?{}", form::encode([("topic", &*format!("{origin}/{{+any}}"))]));
    let cookie = format!("mercureAuthorization={token}; path=/");
    let mut stream =
        hub.get(&target).header("Cookie", cookie.split(';').next().unwrap_or_default()).stream().await;
    hub.publish(topic(format!("{origin}/books/1")), "1").private().await;
    hub.publish(topic(format!("{origin}/books/1/reviews?page=2")), "2").private().await;
    hub.publish(topic("https://elsewhere.example.com/books/1"), "not this").private().await;
    assert_eq!(stream.next_data_of(2).await, ["1", "2"]);
    nothing_more(&hub, &mut stream, &format!("{origin}/end")).await;
}

pub(crate) async fn l08_requests_are_counted_by_generation(engine: Engine) {
    let hub = engine.hub().await;
    let old = hub.old_subscriber().mint();
    hub.subscribe(matching_topic("a")).answer().await.expect(200);
    hub.subscribe(matching_topic("a"))
        .with_token(&old)
        .parameter("lastEventID", "x")
        .answer()
        .await
        .expect(200);
    hub.subscribe(matching("a")).without_token().parameter("authorization", &old).answer().await.expect(200);
    hub.get(&format!("{HUB_PATH}?match=a"))
        .header("Cookie", format!("mercureAuthorization={old}"))
        .send()
        .await
        .expect(200);
    hub.publish("a", "1").granted_as_before(&["a"]).await;
    hub.publish("a", "1")
        .with_token(&hub.old_publisher().expiring_in(-1.0).mint())
        .answer()
        .await
        .expect(401);
    hub.subscribe(matching("a")).answer().await.expect(200);
    hub.publish("a", "2").await;
    counts(
        &hub,
        &[
            ("0.x", "topic_parameter", 2),
            ("0.x", "old_token", 5),
            ("0.x", "old_cookie", 1),
            ("0.x", "authorization_parameter", 1),
            ("0.x", "old_cursor", 1),
            ("1.0", "none", 2),
        ],
    )
    .await;
}

pub(crate) async fn l08_the_metadata_is_that_of_the_1_0_generation(engine: Engine) {
    let hub = engine.hub().await;
    let answer =
        hub.get("/.well-known/oauth-protected-resource/.well-known/mercure").send().await.expect(200);
    let metadata = answer.json();
    assert_eq!(metadata["mercure_cookie"], COOKIE);
    assert_eq!(metadata["bearer_methods_supported"], serde_json::json!(["header"]));
}
