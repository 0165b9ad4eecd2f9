//! A14 to A16: what a valid token allows.

use petasos_testkit::{matching, matching_pattern, token::grant_pattern, topic};

use crate::{common::Engine, support::nothing_more};

pub(crate) async fn a14_every_topic_must_be_granted(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("*")).await;
    for (topics, granted) in [
        (topic("a"), &["b"][..]),
        (topic("a").and("b"), &["a"]),
        (topic("a").and("b"), &["b"]),
        (topic("a").and("b").and("c"), &["a", "b"]),
        (topic("a/b"), &["a"]),
        (topic("A"), &["a"]),
    ] {
        let answer = hub.publish(topics.clone(), "").granted(granted).answer().await;
        assert_eq!(answer.status, 403, "{topics:?} with {granted:?}: {answer:?}");
        answer.expect_refusal(403, "insufficient_scope");
    }
    hub.publish(topic("a"), "").with_token(&hub.publisher().mint()).answer().await.expect(403);
    let wrong_action = hub.publisher().may_subscribe(&["*"]).mint();
    hub.publish(topic("a"), "").with_token(&wrong_action).answer().await.expect(403);
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn a14_granted_topics_are_published(engine: Engine) {
    let hub = engine.hub().await;
    for (topics, granted) in
        [(topic("a"), &["a"][..]), (topic("a").and("b"), &["b", "c", "a"]), (topic("a").and("b"), &["*"])]
    {
        hub.publish(topics, "").granted(granted).await;
    }
    // Several details add up.
    let token = hub.publisher().may_publish(&["a"]).may_publish(&["b"]).mint();
    hub.publish(topic("a").and("b"), "").with_token(&token).await;
}

pub(crate) async fn a14_a_pattern_grants_what_it_matches(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.publisher().detail(grant_pattern(&["publish"], "/books/:id")).mint();
    let absolute = format!("{}/books/1", hub.origin());
    for (name, status) in [
        ("/books/1", 200),
        (absolute.as_str(), 200),
        ("/x/../books/1", 200),
        ("/books/1/2", 403),
        ("https://example.com/books/1", 403),
        ("/Books/1", 403),
        ("http://[bad/books/1", 403),
    ] {
        hub.publish(name, "").with_token(&token).answer().await.expect(status);
    }
    let wildcard = hub.publisher().detail(grant_pattern(&["publish"], "*")).mint();
    hub.publish("http://[bad", "").with_token(&wildcard).await;
    // A value is a pattern only where its type says so.
    let exact = hub.publisher().may_publish(&["/books/:id"]).mint();
    hub.publish("/books/1", "").with_token(&exact).answer().await.expect(403);
}

pub(crate) async fn a14_private_updates_need_the_same_grant(engine: Engine) {
    let hub = engine.hub().await;
    hub.publish("a", "").private().granted(&["b"]).answer().await.expect(403);
    hub.publish("a", "").private().granted(&["a"]).await;
}

pub(crate) async fn a15_a_private_update_needs_one_granted_topic_and_one_hit(engine: Engine) {
    let hub = engine.hub().await;
    let private = || hub.publish(topic("a").and("b"), "private").private();
    // The matcher hits one topic, the grant is on the other.
    let mut reader = hub.subscribe(matching("a")).granted(&["b"]).await;
    private().await;
    assert_eq!(reader.next_data().await, "private");
    // A matcher widens nothing, a grant is no matcher, a publishing grant is no reading one.
    let publishing = hub.subscriber().may_publish(&["*"]).mint();
    let any = || hub.subscribe(matching("*"));
    for (stranger, what) in [
        (hub.subscribe(matching("a").or(matching("*")).or(matching("c"))).granted(&["c"]), "other grant"),
        (hub.subscribe(matching("c")).granted(&["a", "b", "*"]), "other matcher"),
        (any().granted_nothing(), "no grant"),
        (any().with_token(&publishing), "another action"),
        (any().granted(&["A", "a ", ""]), "nearly the topic"),
    ] {
        let mut stranger = stranger.await;
        private().await;
        hub.publish(topic("c"), what).await;
        assert_eq!(stranger.next_data().await, what);
    }
}

pub(crate) async fn a15_a_pattern_grants_reading(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().detail(grant_pattern(&["subscribe"], "/books/:id")).mint();
    let mut stream = hub.subscribe(matching("*")).with_token(&token).await;
    for (name, data) in [("/books/1/2", "no"), ("/films/1", "no"), ("/books/1", "yes")] {
        hub.publish(name, data).private().await;
    }
    assert_eq!(stream.next_data().await, "yes");
    // One subscriber's grant does nothing for the next one with the same matchers.
    let mut other = hub.subscribe(matching("*")).granted_nothing().await;
    hub.publish("/books/2", "yes").private().await;
    assert_eq!(stream.next_data().await, "yes");
    nothing_more(&hub, &mut other, "a").await;
}

pub(crate) async fn a15_public_updates_reach_everyone_who_asks(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    let mut streams = [
        hub.subscribe(matching("a")).granted(&["b"]).await,
        hub.subscribe(matching("a")).granted_nothing().await,
        hub.subscribe(matching_pattern("/.well-known/a")).without_token().await,
    ];
    hub.publish("a", "public").await;
    for stream in &mut streams {
        assert_eq!(stream.next_data().await, "public");
    }
}

pub(crate) async fn a15_unknown_actions_grant_nothing(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().detail(petasos_testkit::grant(&["Subscribe", "read", "*"], &["*"])).mint();
    let mut stream = hub.subscribe(matching("a")).with_token(&token).await;
    hub.publish("a", "private").private().await;
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn a16_a_replay_is_authorized_by_the_present_token(engine: Engine) {
    let hub = engine.hub().await;
    hub.publish("start", "").id("urn:x:start").await;
    hub.publish("a", "private a").private().await;
    hub.publish("b", "private b").private().await;
    hub.publish("a", "public").await;
    if !hub.has_history() {
        // R07: nothing to replay; what comes live is judged by the same token.
        let mut stream = hub.subscribe(matching("*")).after("urn:x:start").granted(&["b"]).await;
        hub.publish("a", "private a").private().await;
        hub.publish("b", "private b").private().await;
        assert_eq!(stream.next_data().await, "private b");
        return;
    }
    for (granted, expected) in [
        (&["a"][..], &["private a", "public"][..]),
        (&["b"], &["private b", "public"]),
        (&[], &["public"]),
        (&["*"], &["private a", "private b", "public"]),
    ] {
        let token = match granted {
            [] => hub.subscriber().mint(),
            topics => hub.subscriber().may_subscribe(topics).mint(),
        };
        let end = format!("the end for {granted:?}");
        let matchers = matching("a").or(matching("b")).or(matching(&end));
        let mut stream = hub.subscribe(matchers).after("urn:x:start").with_token(&token).await;
        assert_eq!(stream.next_data_of(expected.len()).await, expected, "{granted:?}");
        nothing_more(&hub, &mut stream, &end).await;
    }
}
