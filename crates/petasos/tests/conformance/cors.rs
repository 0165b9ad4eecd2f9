//! S14: CORS fields on every answer, whatever its status.

use petasos_testkit::{Answer, HUB_PATH, Protocol, Request, SUBSCRIPTIONS, TestHub, form, matching, topic};

use crate::{
    common::{Engine, origins},
    support::{LISTED, UNLISTED, bare_get, bare_post, list_origin},
};

/// Where D01 is answered.
const METADATA: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

async fn hub(engine: Engine) -> TestHub {
    engine
        .hub_with(|config| {
            list_origin(&mut config.http);
            config.hub.subscriptions = true;
            config.http.limits.streams_per_subject = 1;
            config.http.limits.body_bytes = 10_000;
        })
        .await
}

/// One request for every status that the hub has, with that status.
async fn one_of_each(hub: &TestHub) -> Vec<(u16, Request)> {
    let reader = hub.subscriber().may_subscribe(&["*"]).claim("sub", "reader").mint();
    let limited = hub.subscriber().claim("sub", "limited").mint();
    let no_scope = hub.subscriber().claim("sub", "none").mint();
    let post = |fields: &str| hub.post_form(fields.to_owned());
    let list = hub.get(SUBSCRIPTIONS).bearer(&reader);
    vec![
        (200, hub.request("HEAD", &format!("{HUB_PATH}?match=a")).bearer(&reader)),
        (200, bare_get(hub).bearer(&hub.subscriber().claim("sub", "streaming").mint())),
        (200, post("topic=b")),
        (200, hub.get(METADATA)),
        (200, list.clone()),
        (304, list.header("If-None-Match", "*")),
        (400, hub.get(HUB_PATH).bearer(&reader)),
        (400, hub.get(&format!("{HUB_PATH}?match=a&Match=a")).bearer(&reader)),
        (400, post("topic=mercure")),
        (400, hub.get(&format!("{SUBSCRIPTIONS}/exact/%FF")).bearer(&reader)),
        (400, bare_post(hub).header("Authorization", "Bearer")),
        (401, bare_get(hub)),
        (401, bare_post(hub)),
        (401, bare_get(hub).bearer("not.a.token")),
        (401, hub.get(SUBSCRIPTIONS)),
        (403, hub.publish(topic("a"), "").granted(&["b"]).request()),
        (403, hub.get(SUBSCRIPTIONS).bearer(&no_scope)),
        (404, hub.get(&format!("{SUBSCRIPTIONS}/exact/a/urn:uuid:0")).bearer(&reader)),
        (405, hub.request("DELETE", HUB_PATH).bearer(&reader)),
        (413, hub.post_form(form::encode([("topic", "a"), ("data", &"x".repeat(20_000))]))),
        (
            415,
            hub.request("QUERY", HUB_PATH)
                .bearer(&reader)
                .header("Content-Type", "text/plain")
                .body("match=a"),
        ),
        (429, bare_get(hub).bearer(&limited)),
    ]
}

fn assert_listed(answer: &Answer, origin: &str, what: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{what}: {answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{what}: {answer:?}");
    assert!(answer.list("vary").contains(&"origin".to_owned()), "{what}: {answer:?}");
}

fn assert_exposed(answer: &Answer, what: &str) {
    let exposed = answer.list("access-control-expose-headers");
    for name in ["link", "mercure-last-event-id"] {
        assert!(exposed.contains(&name.to_owned()), "{what}: {name} is not exposed by {answer:?}");
    }
}

fn assert_unlisted(answer: &Answer, what: &str) {
    for name in ["access-control-allow-origin", "access-control-allow-credentials"] {
        assert_eq!(answer.header(name), None, "{what}: {answer:?}");
    }
}

pub(crate) async fn s14_every_status_is_readable_for_a_listed_origin(engine: Engine) {
    let hub = hub(engine).await;
    let _only =
        hub.subscribe(matching("a")).with_token(&hub.subscriber().claim("sub", "limited").mint()).await;
    for (status, request) in one_of_each(&hub).await {
        let what = format!("{status} for {request:?}");
        let answer = request.origin(LISTED).send().await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_listed(&answer, LISTED, &what);
        assert_exposed(&answer, &what);
    }
}

pub(crate) async fn s14_no_status_is_readable_for_an_unlisted_origin(engine: Engine) {
    let hub = hub(engine).await;
    let _only =
        hub.subscribe(matching("a")).with_token(&hub.subscriber().claim("sub", "limited").mint()).await;
    for (status, request) in one_of_each(&hub).await {
        let what = format!("{status} for {request:?}");
        let answer = request.origin(UNLISTED).send().await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_unlisted(&answer, &what);
    }
}

pub(crate) async fn s14_origins_are_compared_exactly(engine: Engine) {
    let hub = hub(engine).await;
    for origin in [
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil.example",
        "https://evil-app.example",
        "https://app.example/",
        "https://sub.app.example",
        "null",
        "*",
        "",
    ] {
        let answer = bare_get(&hub).origin(origin).send().await.expect(401);
        assert_unlisted(&answer, origin);
    }
    assert_unlisted(&bare_get(&hub).send().await.expect(401), "without an origin");
}

pub(crate) async fn s14_any_origin_never_comes_with_credentials(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.cors_origins = origins(&["*"])).await;
    for request in [bare_get(&hub), bare_post(&hub), hub.get(METADATA), hub.post_form("topic=a")] {
        let answer = request.origin(UNLISTED).send().await;
        let allowed = answer.required("access-control-allow-origin");
        assert!(["*", UNLISTED].contains(&allowed), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
        assert_exposed(&answer, "any origin");
    }
}

pub(crate) async fn s14_a_preflight_covers_every_method_and_field(engine: Engine) {
    let hub = hub(engine).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for target in [HUB_PATH, SUBSCRIPTIONS] {
            let preflight = hub.request("OPTIONS", target).over(protocol).origin(LISTED);
            let preflight = preflight.header("Access-Control-Request-Method", "QUERY");
            let fields = "authorization, cache-control, content-type, last-event-id";
            let answer = preflight.header("Access-Control-Request-Headers", fields).send().await.expect(204);
            assert_listed(&answer, LISTED, "preflight");
            let methods = answer.list("access-control-allow-methods");
            for method in ["get", "head", "post", "query"] {
                assert!(methods.contains(&method.to_owned()), "{method} is missing from {methods:?}");
            }
            let allowed = answer.list("access-control-allow-headers");
            for field in fields.split(", ") {
                assert!(allowed.contains(&field.to_owned()), "{field} is missing from {allowed:?}");
            }
        }
    }
}

pub(crate) async fn s14_a_preflight_of_an_unlisted_origin_allows_nothing(engine: Engine) {
    let hub = hub(engine).await;
    let preflight = hub.request("OPTIONS", HUB_PATH).origin(UNLISTED);
    let answer = preflight.header("Access-Control-Request-Method", "POST").send().await;
    assert_unlisted(&answer, "preflight");
}

pub(crate) async fn s14_a_stream_carries_its_fields(engine: Engine) {
    let hub = hub(engine).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let token = hub.subscriber().claim("sub", format!("{protocol:?}")).mint();
        let subscribe =
            hub.subscribe(matching("a")).with_token(&token).header("Origin", LISTED).over(protocol);
        let stream = subscribe.await;
        assert_eq!(stream.header("access-control-allow-origin"), Some(LISTED));
        assert_eq!(stream.header("access-control-allow-credentials"), Some("true"));
    }
}
