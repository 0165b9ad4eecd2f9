//! Clients of the 0.x generation on a hub that does not serve it: a clear answer, never a stream that stays silent.

use petasos_testkit::{HUB_PATH, SUBSCRIPTIONS, matching, matching_raw, matching_topic};

use crate::{
    common::Engine,
    support::{bare_get, bare_post, counts, nothing_more},
};

pub(crate) async fn l02_a_topic_parameter_is_refused_with_the_way_out(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    for query in ["topic=a", "match=a&topic=b", "topic=", "topic", "t%6Fpic=%FF", "topic=a&lastEventID=x"] {
        for request in [
            hub.subscribe(matching_raw(query)),
            hub.subscribe(matching_raw(query)).without_token(),
            hub.subscribe(matching("a")).with_body(query),
        ] {
            let answer = request.answer().await.expect(400);
            assert_eq!(answer.text().lines().next(), Some("topic_parameter"), "{query}");
            for part in ["match_urlpattern", "protocol_version_compatibility 8"] {
                assert!(answer.text().contains(part), "{query}: {answer:?}");
            }
        }
        hub.subscribe(matching_raw(query)).head_only().answer().await.expect(400);
    }
    // Another name is another parameter (S08).
    let mut stream = hub.subscribe(matching_raw("match=a&Topic=b&topics=c")).await;
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn l03_an_old_token_is_refused_with_a_code_of_its_own(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            // A05: also where nobody needs a token.
            config.auth.anonymous = true;
            config.hub.subscriptions = true;
        })
        .await;
    let mut stream = hub.subscribe(matching("a")).await;
    let reader = hub.old_subscriber().old_subscribe(&["*"]).mint();
    let writer = hub.old_publisher().old_publish(&["*"]).mint();
    let with_url = hub.old_publisher().claim("https://mercure.rocks/", 1).without("mercure").mint();
    for request in [
        bare_get(&hub).bearer(&reader),
        bare_get(&hub).header("Cookie", format!("{}={reader}", crate::support::COOKIE)),
        hub.get(SUBSCRIPTIONS).bearer(&reader),
        bare_post(&hub).bearer(&writer),
        bare_post(&hub).bearer(&with_url),
    ] {
        let answer = request.send().await;
        assert!(answer.text().contains("protocol_version_compatibility 8"), "{answer:?}");
        let challenge = answer.expect_refusal(401, "invalid_token");
        assert_eq!(challenge.description(), Some("old_token"));
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn l04_an_old_cookie_is_no_token_and_the_answer_says_so(engine: Engine) {
    let hub = engine.hub().await;
    for token in [hub.old_subscriber().old_subscribe(&["*"]).mint(), hub.subscriber().mint()] {
        let cookie = format!("mercureAuthorization={token}");
        for request in [bare_get(&hub), bare_post(&hub)] {
            let answer = request.header("Cookie", &cookie).send().await.expect(401);
            assert_eq!(answer.challenge().error(), None, "A04: {answer:?}");
            assert_eq!(answer.text().lines().next(), Some("old_cookie"));
            assert!(answer.text().contains("protocol_version_compatibility 8"), "{answer:?}");
        }
        // Where no token is needed, another cookie is another cookie.
        let open = engine.hub_with(|config| config.auth.anonymous = true).await;
        bare_get(&open).header("Cookie", &cookie).send().await.expect(200);
    }
}

pub(crate) async fn l05_a_token_in_the_url_is_no_token_and_the_answer_says_so(engine: Engine) {
    let hub = engine.hub_with(|config| config.hub.subscriptions = true).await;
    let reader = hub.old_subscriber().old_subscribe(&["*"]).mint();
    let writer = hub.old_publisher().old_publish(&["*"]).mint();
    for request in [
        hub.get(&format!("{HUB_PATH}?match=a&authorization={reader}")),
        hub.get(&format!("{SUBSCRIPTIONS}?authorization={reader}")),
        hub.request("POST", &format!("{HUB_PATH}?authorization={writer}")).form("topic=a"),
    ] {
        let answer = request.send().await.expect(401);
        assert_eq!(answer.challenge().error(), None, "A04: {answer:?}");
        assert_eq!(answer.text().lines().next(), Some("authorization_parameter"));
        assert!(answer.text().contains("protocol_version_compatibility 8"), "{answer:?}");
        assert!(!answer.text().contains("eyJ"), "the token is shown: {answer:?}");
    }
}

pub(crate) async fn l06_old_cursors_are_ignored(engine: Engine) {
    let hub = engine.hub().await;
    hub.publish("a", "1").await;
    for name in ["lastEventID", "Last-Event-ID"] {
        let mut stream = hub.subscribe(matching("a")).parameter(name, "earliest").await;
        assert_eq!(stream.header("mercure-last-event-id"), None, "S08");
        assert_eq!(stream.header("last-event-id"), None);
        nothing_more(&hub, &mut stream, "a").await;
    }
    let stream = hub.subscribe(matching("a")).after("earliest").await;
    assert_eq!(stream.header("last-event-id"), None);
}

pub(crate) async fn l08_requests_of_old_clients_are_counted_by_kind(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.anonymous = true).await;
    let reader = hub.old_subscriber().mint();
    hub.subscribe(matching_topic("a")).answer().await.expect(400);
    hub.subscribe(matching_topic("a")).parameter("lastEventID", "x").answer().await.expect(400);
    bare_get(&hub).bearer(&reader).send().await.expect(401);
    bare_get(&hub).header("Cookie", format!("mercureAuthorization={reader}")).send().await.expect(200);
    hub.subscribe(matching("a"))
        .without_token()
        .parameter("authorization", &reader)
        .answer()
        .await
        .expect(200);
    hub.subscribe(matching("a")).parameter("Last-Event-ID", "x").answer().await.expect(200);
    hub.subscribe(matching("a")).answer().await.expect(200);
    hub.publish("a", "1").await;
    counts(
        &hub,
        &[
            ("0.x", "topic_parameter", 2),
            ("0.x", "old_token", 1),
            ("0.x", "old_cookie", 1),
            ("0.x", "authorization_parameter", 1),
            ("0.x", "old_cursor", 1),
            ("1.0", "none", 2),
        ],
    )
    .await;
}
