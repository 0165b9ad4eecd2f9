//! L03 to L05 and L08: tokens of the 0.x generation, and where they may come from.

use petasos_hub::auth::{Algorithm, Compatibility, KeySource, Secret};
use petasos_testkit::{
    End, HUB_PATH, SUBSCRIPTIONS, TestHub, Token, form, keys::SigningKey, matching, matching_topic, topic,
};
use serde_json::json;

use crate::{
    common::Engine,
    support::{COOKIE, LISTED, UNLISTED, bare_get, bare_post, list_origin, nothing_more},
};

const OLD_COOKIE: &str = "mercureAuthorization";

pub(crate) async fn l03_a_claim_grants_publishing_on_its_selectors(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("*")).await;
    let selectors = ["https://example.com/books/{id}", "exact"];
    for private in [false, true] {
        let publish = |topics: petasos_testkit::publish::Topics| {
            let publish = hub.publish(topics, "1").granted_as_before(&selectors);
            if private { publish.private() } else { publish }
        };
        publish(topic("exact").and("https://example.com/books/1")).await;
        assert_eq!(stream.next_data().await, "1");
        // Also a public update needs every topic to be granted (A14).
        for refused in [topic("other"), topic("exact").and("other"), topic("https://example.com/books/1/2")] {
            let challenge = publish(refused).answer().await.expect_refusal(403, "insufficient_scope");
            assert_eq!(challenge.description(), Some("topic_not_granted"));
        }
    }
    for token in
        [hub.old_publisher(), hub.old_publisher().old_publish(&[]), hub.old_publisher().without("mercure")]
    {
        let answer = hub.publish("exact", "1").with_token(&token.mint()).answer().await;
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    }
    hub.publish("anything", "2").granted_as_before(&["*"]).await;
    assert_eq!(stream.next_data().await, "2");
    // What may be published is a rule for everybody.
    hub.publish("mercure", "").granted_as_before(&["*"]).answer().await.expect(400);
    hub.publish("a\u{200b}", "").granted_as_before(&["*"]).answer().await.expect(400);
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn l03_a_claim_grants_reading_on_its_selectors(engine: Engine) {
    let hub = engine.hub().await;
    let all = || matching_topic("*");
    let mut one = hub.subscribe(all()).granted_as_before(&["/users/{id}"]).await;
    let mut everything = hub.subscribe(all()).granted_as_before(&["*"]).await;
    // A15: the grant may be on another topic of the update than the selector.
    let mut other = hub.subscribe(matching_topic("b")).granted_as_before(&["/users/{id}"]).await;
    hub.publish("/users/1/secrets", "for nobody else").private().await;
    hub.publish(topic("b").and("/users/1"), "private").private().await;
    hub.publish("b", "public").await;
    assert_eq!(one.next_data_of(2).await, ["private", "public"]);
    assert_eq!(other.next_data_of(2).await, ["private", "public"]);
    assert_eq!(everything.next_data_of(3).await, ["for nobody else", "private", "public"]);
    // A16: so it is with what was published before.
    let mut replay =
        hub.subscribe(all()).granted_as_before(&["/users/{id}"]).parameter("lastEventID", "earliest").await;
    if hub.has_history() {
        assert_eq!(replay.next_data_of(2).await, ["private", "public"]);
    }
    nothing_more(&hub, &mut replay, "b").await;
}

pub(crate) async fn l03_without_subscribe_a_token_reads_public_updates(engine: Engine) {
    let hub = engine.hub().await;
    for token in [
        hub.old_subscriber(),
        hub.old_subscriber().old_publish(&["*"]),
        hub.old_subscriber().old_subscribe(&[]),
    ] {
        let mut stream = hub.subscribe(matching_topic("a")).with_token(&token.mint()).await;
        hub.publish("a", "private").private().await;
        nothing_more(&hub, &mut stream, "a").await;
    }
    hub.subscribe(matching_topic("a")).without_token().answer().await.expect(401);
}

pub(crate) async fn l03_signature_times_and_role_are_checked(engine: Engine) {
    let hub = engine.hub().await;
    let good = || hub.old_subscriber().old_subscribe(&["*"]);
    let code = |token: String| {
        let answer = hub.subscribe(matching_topic("a")).with_token(&token).answer();
        async { answer.await.expect_refusal(401, "invalid_token").description().map(str::to_owned) }
    };
    hub.subscribe(matching_topic("a")).with_token(&good().expiring_in(60.0).mint()).await;
    for (token, expected) in [
        (good().expiring_in(-1.0).mint(), "expired"),
        (good().claim("nbf", petasos_testkit::token::now() + 60).mint(), "not_yet_valid"),
        (good().claim("exp", "soon").mint(), "malformed_claim"),
        (good().old_claim("subscribe", "*").mint(), "malformed_claim"),
        (
            good().signed_by(&SigningKey::secret("another secret, of more than 32 bytes")).mint(),
            "bad_signature",
        ),
        (good().header("alg", "none").mint_unsigned(), "algorithm_not_allowed"),
        // A key is for one role.
        (hub.old_publisher().old_subscribe(&["*"]).mint(), "bad_signature"),
    ] {
        assert_eq!(code(token).await.as_deref(), Some(expected));
    }
}

pub(crate) async fn l03_a_stream_ends_with_its_token_if_that_ends(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.old_subscriber().expiring_in(2.0).mint();
    let mut stream = hub.subscribe(matching_topic("a")).with_token(&token).await;
    let (events, end) = stream.end_within(std::time::Duration::from_secs(10)).await;
    assert_eq!((events.len(), end), (0, End::Clean));
}

/// The downgrade: what is of the 1.0 generation and broken is not taken for an old token.
pub(crate) async fn l03_a_token_of_the_1_0_generation_stands_under_its_own_rules(engine: Engine) {
    let hub = engine.hub().await;
    let all = || json!({ "publish": ["*"], "subscribe": ["*"] });
    let with_claim = || hub.subscriber().claim("mercure", all());
    let granted = || with_claim().may_subscribe(&["granted"]);
    for (token, code) in [
        (granted().header("typ", "JWT"), "wrong_type"),
        (granted().without_header("typ"), "wrong_type"),
        (granted().claim("aud", "https://other.example/"), "wrong_audience"),
        (granted().expiring_in(-1.0), "expired"),
        (granted().without("exp"), "missing_expiry"),
        (granted().claim("iss", "https://other.example"), "unknown_issuer"),
        (with_claim().claim("authorization_details", json!(null)).header("typ", "JWT"), "wrong_type"),
        (hub.old_subscriber().claim("mercure", all()).header("typ", "at+jwt"), "unknown_issuer"),
    ] {
        let answer = hub.subscribe(matching("a")).with_token(&token.mint()).answer().await;
        let challenge = answer.expect_refusal(401, "invalid_token");
        assert_eq!(challenge.description(), Some(code));
    }
    // Where it is valid, the old claim counts for nothing.
    for token in [granted(), with_claim()] {
        let matchers = matching("granted").or(matching_topic("a"));
        let mut stream = hub.subscribe(matchers).with_token(&token.mint()).await;
        hub.publish("a", "private").private().await;
        nothing_more(&hub, &mut stream, "granted").await;
    }
    let publisher = hub.publisher().claim("mercure", all()).mint();
    hub.publish("a", "1").with_token(&publisher).answer().await.expect_refusal(403, "insufficient_scope");
}

fn with_old_cookie(token: &str) -> String {
    format!("theme=dark; {OLD_COOKIE}={token}; other=1")
}

pub(crate) async fn l04_the_old_cookie_is_read_where_the_new_one_is_absent(engine: Engine) {
    let hub = engine.hub().await;
    let old = hub.old_subscriber().old_subscribe(&["a"]).mint();
    let new = hub.subscriber().may_subscribe(&["a"]).mint();
    for token in [&old, &new] {
        let mut stream = bare_get(&hub).header("Cookie", with_old_cookie(token)).stream().await;
        hub.publish("a", "private").private().await;
        assert_eq!(stream.next_data().await, "private");
    }
    let both = |old: &str, new: &str| format!("{OLD_COOKIE}={old}; {COOKIE}={new}");
    bare_get(&hub).header("Cookie", both("bad", &new)).send().await.expect(200);
    bare_get(&hub).header("Cookie", both(&old, "bad")).send().await.expect_refusal(401, "invalid_token");
    bare_get(&hub).header("Cookie", both("bad", &old)).send().await.expect(200);
    bare_get(&hub).header("Cookie", with_old_cookie("bad")).send().await.expect_refusal(401, "invalid_token");
    bare_get(&hub).header("Cookie", with_old_cookie("")).send().await.expect(401);
    // An application that logs out by emptying its cookie is not to be given back what was left of another one.
    let answer = bare_get(&hub).header("Cookie", both(&old, "")).send().await.expect(401);
    assert_eq!(answer.challenge().error(), None, "A04");
    // A02: a field goes before any cookie.
    bare_get(&hub).bearer(&old).header("Cookie", with_old_cookie("bad")).send().await.expect(200);
    let answer = bare_get(&hub).bearer("bad").header("Cookie", with_old_cookie(&old)).send().await;
    answer.expect_refusal(401, "invalid_token");
}

/// A03 and C06 hold for the old cookie as well.
pub(crate) async fn l04_the_old_cookie_publishes_from_listed_origins_only(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    let token = hub.old_publisher().old_publish(&["*"]).mint();
    let mut stream = hub.subscribe(matching("a")).await;
    let post = || bare_post(&hub).header("Cookie", with_old_cookie(&token));
    for request in [post(), post().origin(UNLISTED), post().origin("null")] {
        let challenge = request.send().await.expect_refusal(400, "invalid_request");
        assert_eq!(challenge.description(), Some("origin_not_allowed"));
    }
    post().origin(LISTED).send().await.expect(200);
    assert_eq!(stream.next_data().await, "1");
    nothing_more(&hub, &mut stream, "a").await;
}

/// Nobody is to take a stream without private updates for one with them.
pub(crate) async fn l05_a_token_in_the_url_that_cannot_be_used_is_never_passed_over(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    let code = async |request: petasos_testkit::Request| {
        request.send().await.expect_refusal(401, "invalid_token").description().map(str::to_owned)
    };
    let cookie = format!("{COOKIE}={}", hub.subscriber().may_subscribe(&["*"]).mint());
    let new = hub.subscriber().may_subscribe(&["*"]);
    for (token, expected) in [
        (new.mint(), "token_in_url"),
        (new.header("typ", "JWT").mint(), "token_in_url"),
        (hub.old_subscriber().header("typ", "at+jwt").mint(), "token_in_url"),
        ("bad".to_owned(), "malformed_token"),
        ("a.b.c".to_owned(), "malformed_token"),
    ] {
        assert_eq!(code(in_url(&hub, &token)).await.as_deref(), Some(expected));
        assert_eq!(code(in_url(&hub, &token).header("Cookie", &cookie)).await.as_deref(), Some(expected));
    }
    let bytes = hub.get(&format!("{HUB_PATH}?topic=a&authorization=&authorization=%FF"));
    assert_eq!(code(bytes).await.as_deref(), Some("malformed_token"));
    in_url(&hub, "").send().await.expect(200);
    // A02: a field goes before it.
    in_url(&hub, "bad").bearer(&hub.old_subscriber().mint()).send().await.expect(200);
}

fn in_url(hub: &TestHub, token: &str) -> petasos_testkit::Request {
    hub.get(&format!("{HUB_PATH}?{}", form::encode([("topic", "a"), ("authorization", token)])))
}

pub(crate) async fn l05_a_token_may_stand_in_the_url_if_it_is_an_old_one(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.subscriptions = true).await;
    let reader = hub.old_subscriber().old_subscribe(&["*"]).mint();
    let writer = hub.old_publisher().old_publish(&["a"]).mint();
    let mut stream = in_url(&hub, &reader).stream().await;
    let post = |token: &str| hub.request("POST", &format!("{HUB_PATH}?authorization={token}"));
    // It needs no origin: nobody but its holder can make such a request (A03).
    post(&writer).form("topic=a&data=1&private").send().await.expect(200);
    assert_eq!(stream.next_data().await, "1");
    hub.get(&format!("{SUBSCRIPTIONS}?authorization={reader}")).send().await.expect(200);
    // A02: never one of the 1.0 generation, also not where nothing but the old claim could make it one.
    let new = hub.subscriber().may_subscribe(&["*"]).mint();
    in_url(&hub, &new).send().await.expect(401);
    in_url(&hub, &hub.subscriber().claim("mercure", json!({ "subscribe": ["*"] })).mint())
        .send()
        .await
        .expect(401);
    in_url(&hub, &hub.subscriber().may_subscribe(&["*"]).header("typ", "JWT").mint())
        .send()
        .await
        .expect(401);
    post(&hub.publisher().may_publish(&["*"]).mint()).form("topic=a").send().await.expect(401);
    // Never from a body.
    hub.request("POST", HUB_PATH).form(format!("topic=a&authorization={writer}")).send().await.expect(401);
    hub.request("QUERY", HUB_PATH).form(format!("topic=a&authorization={reader}")).send().await.expect(401);
    // A field goes before it, and it before a cookie.
    in_url(&hub, &reader).bearer("bad").send().await.expect_refusal(401, "invalid_token");
    in_url(&hub, &reader).header("Cookie", format!("{COOKIE}=bad")).send().await.expect(200);
    in_url(&hub, &hub.old_subscriber().expiring_in(-1.0).mint())
        .send()
        .await
        .expect_refusal(401, "invalid_token");
    in_url(&hub, "").send().await.expect(401);
}

pub(crate) async fn l05_a_token_in_the_url_is_not_repeated_by_any_answer(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    let reader = hub.old_subscriber().old_subscribe(&["*"]).mint();
    let query = format!("topic=a&authorization={reader}");
    for request in [
        hub.get(&format!("{HUB_PATH}?{query}")),
        hub.get(&format!("{HUB_PATH}?{query}&match_x=1")),
        hub.get(&format!("{HUB_PATH}?authorization={reader}")),
        hub.get(&format!("{SUBSCRIPTIONS}?{query}")),
        hub.request("POST", &format!("{HUB_PATH}?{query}")).form("topic=a"),
        hub.request("DELETE", &format!("{HUB_PATH}?{query}")),
        hub.get(&format!("/elsewhere?{query}")),
    ] {
        let answer = request.origin(LISTED).send().await;
        let shown = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        assert!(!shown.contains("eyJ") && !shown.contains(&reader), "{shown}");
    }
}

pub(crate) async fn l08_a_key_without_an_issuer_verifies_old_tokens_only(engine: Engine) {
    const OLD_SECRET: &str = "a secret that no issuer has, of more than 32 bytes";
    let key = || Some(KeySource::Static { key: Secret::new(OLD_SECRET), algorithm: Algorithm::HS256 });
    let hub = engine
        .hub_with(|config| {
            config.auth.compatibility = Some(Compatibility { publisher: key(), subscriber: key() });
        })
        .await;
    let signer = SigningKey::secret(OLD_SECRET);
    let old = Token::old(&signer).old_publish(&["*"]).old_subscribe(&["*"]);
    let mut stream = hub.subscribe(matching_topic("a")).with_token(&old.mint()).await;
    hub.publish("a", "1").with_token(&old.mint()).private().await;
    assert_eq!(stream.next_data().await, "1");
    // The keys of the issuer do so as well, and its tokens go on.
    hub.publish("a", "2").granted_as_before(&["*"]).await;
    hub.publish("a", "3").await;
    assert_eq!(stream.next_data_of(2).await, ["2", "3"]);
    let new = hub.publisher().may_publish(&["*"]).signed_by(&signer);
    for token in [new.clone(), new.clone().claim("iss", ""), new.without("iss")] {
        hub.publish("a", "no").with_token(&token.mint()).answer().await.expect_refusal(401, "invalid_token");
    }
    nothing_more(&hub, &mut stream, "a").await;
}
