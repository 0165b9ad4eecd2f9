//! A02 and A03: where a token may come from.

use petasos_testkit::{HUB_PATH, Protocol, Request, TestHub, form, matching};

use crate::{
    common::Engine,
    support::{COOKIE, LISTED, UNLISTED, bare_get, bare_post, cookie, list_origin, nothing_more},
};

pub(crate) async fn a02_the_scheme_is_read_in_any_case(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().mint();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        bare_get(&hub).header("Authorization", format!("{scheme} {token}")).send().await.expect(200);
    }
}

pub(crate) async fn a02_the_cookie_carries_a_token(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().may_subscribe(&["a"]).mint();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut stream = bare_get(&hub).header("Cookie", cookie(&token)).over(protocol).stream().await;
        hub.publish("a", "private").private().await;
        assert_eq!(stream.next_data().await, "private");
    }
    bare_get(&hub).header("Cookie", cookie("x")).send().await.expect_refusal(401, "invalid_token");
    bare_get(&hub).header("Cookie", format!("{}={token}", COOKIE.to_lowercase())).send().await.expect(401);
}

pub(crate) async fn a02_the_cookies_name_can_be_configured(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.cookie_name = "mine".into()).await;
    let token = hub.subscriber().mint();
    bare_get(&hub).header("Cookie", format!("mine={token}")).send().await.expect(200);
    bare_get(&hub).header("Cookie", cookie(&token)).send().await.expect(401);
}

pub(crate) async fn a02_a_field_makes_the_cookie_ignored(engine: Engine) {
    let hub = engine.hub().await;
    let good = hub.subscriber().mint();
    bare_get(&hub).bearer(&good).header("Cookie", cookie("bad")).send().await.expect(200);
    let answer = bare_get(&hub).bearer("bad").header("Cookie", cookie(&good)).send().await;
    answer.expect_refusal(401, "invalid_token");
    let answer =
        bare_get(&hub).header("Authorization", "Basic x").header("Cookie", cookie(&good)).send().await;
    answer.expect_refusal(400, "invalid_request");
}

pub(crate) async fn a02_a_token_is_never_read_from_the_url_or_the_body(engine: Engine) {
    let hub = engine.hub().await;
    let reader = hub.subscriber().may_subscribe(&["*"]).mint();
    let writer = hub.publisher().may_publish(&["*"]).mint();
    for name in ["authorization", "access_token", "token", "jwt"] {
        hub.get(&format!("{HUB_PATH}?match=a&{name}={reader}")).send().await.expect(401);
        hub.request("POST", &format!("{HUB_PATH}?{name}={writer}")).form("topic=a").send().await.expect(401);
        hub.request("POST", HUB_PATH).form(format!("topic=a&{name}={writer}")).send().await.expect(401);
        let query = hub.request("QUERY", HUB_PATH).form(format!("match=a&{name}={reader}"));
        query.send().await.expect(401);
    }
}

fn cookie_post(hub: &TestHub) -> Request {
    let token = hub.publisher().may_publish(&["*"]).mint();
    bare_post(hub).header("Cookie", cookie(&token))
}

pub(crate) async fn a03_a_cookie_publishes_from_a_listed_origin(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    cookie_post(&hub).origin(LISTED).send().await.expect(200);
    cookie_post(&hub).header("Referer", format!("{LISTED}/page?x#y")).send().await.expect(200);
}

/// C06: such a request comes without a preflight, so the hub itself must refuse it.
pub(crate) async fn a03_a_cookie_publishes_from_nowhere_else(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    let mut stream = hub.subscribe(matching("a")).await;
    let forged = || cookie_post(&hub);
    for request in [
        forged(),
        forged().origin(UNLISTED),
        forged().origin("null"),
        forged().origin(&format!("{LISTED}.evil.example")),
        forged().origin(&LISTED.replace("https", "http")),
        forged().header("Referer", format!("{UNLISTED}/{LISTED}/")),
        forged().header("Referer", format!("{LISTED}.evil.example/")),
        forged().header("Referer", format!("{LISTED}@evil.example/")),
        forged().origin(UNLISTED).header("Referer", format!("{LISTED}/")),
        forged().origin("null").header("Referer", format!("{LISTED}/")),
    ] {
        let answer = request.send().await.expect_refusal(400, "invalid_request");
        assert_eq!(answer.description(), Some("origin_not_allowed"));
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn a03_the_origins_of_cors_are_not_those_of_publishing(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.cors_origins = crate::common::origins(&["*"])).await;
    cookie_post(&hub).origin(LISTED).send().await.expect_refusal(400, "invalid_request");
}

pub(crate) async fn a03_a_field_needs_no_origin(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    let token = hub.publisher().may_publish(&["*"]).mint();
    for request in [bare_post(&hub), bare_post(&hub).origin(UNLISTED)] {
        request.bearer(&token).send().await.expect(200);
    }
    // A form that a page of another origin could send has no such field.
    let form = form::encode([("topic", "a")]);
    hub.request("POST", HUB_PATH).origin(UNLISTED).form(form).send().await.expect(401);
}
