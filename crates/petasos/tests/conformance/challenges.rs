//! A01, A04 to A06: who is asked for a token, and how a refusal reads.

use petasos_testkit::{HUB_PATH, Protocol, SUBSCRIPTIONS, matching, topic};

use crate::{
    common::Engine,
    support::{bare_get, bare_post, nothing_more},
};

pub(crate) async fn a01_publishing_needs_a_token(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    let mut stream = hub.subscribe(matching("a")).without_token().await;
    bare_post(&hub).send().await.expect(401);
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn a01_subscribing_needs_a_token(engine: Engine) {
    let hub = engine.hub().await;
    for method in ["GET", "HEAD"] {
        hub.request(method, &format!("{HUB_PATH}?match=a")).send().await.expect(401);
    }
    hub.request("QUERY", HUB_PATH).form("match=a").send().await.expect(401);
}

pub(crate) async fn a01_the_anonymous_read_public_updates_only(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    let mut stream = hub.subscribe(matching("*")).without_token().await;
    hub.publish("a", "private").private().await;
    hub.publish("a", "public").await;
    assert_eq!(stream.next_data().await, "public");
}

pub(crate) async fn a04_without_a_token_the_challenge_has_no_error(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.subscriptions = true).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for request in [bare_get(&hub), bare_post(&hub), hub.get(SUBSCRIPTIONS)] {
            let answer = request.over(protocol).send().await.expect(401);
            let challenge = answer.challenge();
            assert_eq!(challenge.error(), None, "RFC 6750, 3.1");
            let expected =
                format!("{}/.well-known/oauth-protected-resource/.well-known/mercure", hub.origin());
            assert_eq!(challenge.resource_metadata(), expected);
        }
    }
}

pub(crate) async fn a04_the_challenge_leads_to_the_metadata(engine: Engine) {
    let hub = engine.hub().await;
    let challenge = bare_get(&hub).send().await.expect(401).challenge();
    let path = challenge.resource_metadata().strip_prefix(&hub.origin()).unwrap().to_owned();
    let metadata = hub.get(&path).send().await.expect(200).json();
    assert_eq!(metadata["resource"], hub.resource());
}

pub(crate) async fn a05_a_bad_token_is_401_also_where_none_is_needed(engine: Engine) {
    for anonymous in [false, true] {
        let hub = engine
            .hub_with(|config| {
                config.auth.anonymous = anonymous;
                config.hub.subscriptions = true;
            })
            .await;
        let expired = hub.subscriber().may_subscribe(&["*"]).expiring_in(-10.0).mint();
        for token in [expired.as_str(), "x", "a.b.c", "e30.e30."] {
            bare_get(&hub)
                .bearer(token)
                .send()
                .await
                .expect_refusal(401, "invalid_token")
                .resource_metadata();
            bare_post(&hub)
                .bearer(token)
                .send()
                .await
                .expect_refusal(401, "invalid_token")
                .resource_metadata();
            let list = hub.get(SUBSCRIPTIONS).bearer(token).send().await;
            list.expect_refusal(401, "invalid_token").resource_metadata();
        }
    }
}

pub(crate) async fn a06_a_token_without_the_grant_is_403(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.subscriptions = true).await;
    let publish = hub.publish(topic("a"), "").granted(&["b"]).answer().await;
    publish.expect_refusal(403, "insufficient_scope").resource_metadata();
    let list = hub.get(SUBSCRIPTIONS).bearer(&hub.subscriber().mint()).send().await;
    list.expect_refusal(403, "insufficient_scope").resource_metadata();
}

pub(crate) async fn a06_a_malformed_field_is_400(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    let good = hub.subscriber().mint();
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {good} {good}"),
        format!("Bearer {good}, Bearer {good}"),
        "Basic dXNlcjpwYXNzd29yZA==".to_owned(),
        good.clone(),
        String::new(),
    ] {
        let answer = bare_get(&hub).header("Authorization", &value).send().await;
        assert_eq!(answer.status, 400, "{value:?}: {answer:?}");
        answer.expect_refusal(400, "invalid_request").resource_metadata();
        let answer = bare_post(&hub).header("Authorization", &value).send().await;
        answer.expect_refusal(400, "invalid_request").resource_metadata();
    }
    let doubled = bare_get(&hub).bearer(&good).bearer(&good).send().await;
    doubled.expect_refusal(400, "invalid_request").resource_metadata();
}

pub(crate) async fn a06_a_refusal_discloses_no_claims(engine: Engine) {
    let hub = engine.hub().await;
    let secret_values =
        ["https://claimed-issuer.example", "claimed-audience", "claimed-subject", "claimed-topic"];
    let base = hub.publisher().claim("sub", secret_values[2]).may_publish(&[secret_values[3]]);
    for token in [
        base.clone().claim("iss", secret_values[0]),
        base.clone().claim("aud", secret_values[1]),
        base.clone().claim("exp", secret_values[1]),
        base.clone().claim("nbf", 99_999_999_999_u64),
        base,
    ] {
        let token = token.mint();
        let answer = bare_post(&hub).bearer(&token).send().await;
        let shown = format!("{} {:?}", answer.text(), answer.headers);
        for value in secret_values.iter().chain([&"99999999999", &token.as_str()]) {
            assert!(!shown.contains(value), "{value} is disclosed by {shown}");
        }
    }
}

pub(crate) async fn a06_reason_codes_are_documented_words(engine: Engine) {
    let hub = engine.hub().await;
    for (token, reason) in [
        (hub.subscriber().claim("aud", "other"), "wrong_audience"),
        (hub.subscriber().claim("iss", "other"), "unknown_issuer"),
        (hub.subscriber().header("typ", "JWT"), "wrong_type"),
        (hub.subscriber().without("exp"), "missing_expiry"),
        (hub.subscriber().expiring_in(-1.0), "expired"),
        (hub.subscriber().claim("nbf", petasos_testkit::token::now() + 60), "not_yet_valid"),
        (hub.subscriber().claim("authorization_details", "x"), "malformed_details"),
        (hub.publisher(), "bad_signature"),
    ] {
        let answer = bare_get(&hub).bearer(&token.mint()).send().await;
        let challenge = answer.expect_refusal(401, "invalid_token");
        assert_eq!(challenge.description(), Some(reason));
    }
    let answer = hub.publish(topic("a"), "").granted(&["b"]).answer().await;
    assert_eq!(answer.expect_refusal(403, "insufficient_scope").description(), Some("topic_not_granted"));
}
