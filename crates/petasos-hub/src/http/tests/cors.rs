//! S14: cross-origin fields on every response, and the other methods of the resources.

use ::http::Request;
use axum::body::Body;

use super::common::{FORM, HUB, LISTED, S, anonymous, get, post, request, secured, text, token};
use crate::http::Origins;

fn from_page(mut request: Request<Body>, origin: &'static str) -> Request<Body> {
    request.headers_mut().insert("origin", ::http::HeaderValue::from_static(origin));
    request
}

#[tokio::test]
async fn s14_every_response_has_the_fields_errors_included() {
    let mut setup = secured();
    setup.http.public_urls = vec!["http://hub.example".parse().expect("a URL")];
    setup.http.limits.streams = 1;
    setup.http.limits.body_bytes = 1_000;
    let app = setup.start().await;
    let subscribe = |target: &str| {
        let mut request = get(target);
        let token = format!("Bearer {}", token("subscribe", &["*"]));
        request.headers_mut().insert("authorization", token.parse().expect("a value"));
        request
    };
    let mut misdirected = get(&format!("{HUB}?match=a"));
    misdirected.headers_mut().insert("host", "other.example".parse().expect("a value"));
    let json = request("POST", HUB).header("authorization", format!("Bearer {}", token("publish", &["*"])));
    let stream = app.send(from_page(subscribe(&format!("{HUB}?match=a")), LISTED)).await;
    let cases = [
        (200, post("topic=a")),
        (400, post("data=x")),
        (400, subscribe(HUB)),
        (401, get(&format!("{HUB}?match=a"))),
        (403, super::common::post_with(&token("publish", &["b"]), "topic=a")),
        (404, get("/.well-known/mercure/nothing")),
        (404, get("/nothing")),
        (404, subscribe(&format!("{S}/exact/a/urn:x:1"))),
        (405, request("DELETE", HUB).body(Body::empty()).expect("a request")),
        (413, post(&"x".repeat(1_001))),
        (414, get(&format!("{HUB}?{}", "x".repeat(62_000)))),
        (415, json.body(Body::from("{}")).expect("a request")),
        (421, misdirected),
        (429, subscribe(&format!("{HUB}?match=a"))),
        (200, get("/healthz")),
        (200, get("/.well-known/oauth-protected-resource/.well-known/mercure")),
    ];
    for (status, request) in cases {
        let what = format!("{} {}", request.method(), request.uri().path());
        let response = app.send(from_page(request, LISTED)).await;
        assert_eq!(response.status(), status, "{what}");
        assert_eq!(response.headers()["access-control-allow-origin"], LISTED, "{status} {what}");
        assert_eq!(response.headers()["access-control-allow-credentials"], "true", "{status} {what}");
        assert_eq!(response.headers()["vary"], "Origin", "{status} {what}");
        let exposed = &response.headers()["access-control-expose-headers"];
        assert_eq!(exposed, "Link, Mercure-Last-Event-ID", "{status} {what}");
    }
    drop(stream);
    app.hub.drain(std::time::Duration::ZERO).await;
    app.hub.close().await;
    for request in [post("topic=a"), subscribe(&format!("{HUB}?match=a"))] {
        let response = app.send(from_page(request, LISTED)).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["access-control-allow-origin"], LISTED);
    }
}

#[tokio::test]
async fn s14_an_unlisted_origin_gets_none() {
    let app = anonymous().start().await;
    let response = app.send(from_page(get(&format!("{HUB}?match=a")), "https://evil.example")).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
    assert_eq!(response.headers()["vary"], "Origin");
}

#[tokio::test]
async fn s14_preflight_covers_the_methods_and_fields() {
    let mut setup = secured();
    setup.http.cors_origins = Origins::parse(["https://*.example.com"]).expect("origins");
    let app = setup.start().await;
    for target in
        [HUB, S, &format!("{S}/exact/a"), "/.well-known/oauth-protected-resource/.well-known/mercure"]
    {
        let preflight = request("OPTIONS", target)
            .header("access-control-request-method", "QUERY")
            .header("access-control-request-headers", "authorization,content-type,last-event-id")
            .body(Body::empty())
            .expect("a request");
        let response = app.send(from_page(preflight, LISTED)).await;
        assert_eq!(response.status(), 204, "{target}");
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], LISTED);
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["access-control-allow-methods"], "GET, HEAD, POST, QUERY");
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization, cache-control, content-type, last-event-id"
        );
        assert!(!headers.contains_key("content-length"));
        assert_eq!(text(response).await, "");
    }
}

#[tokio::test]
async fn other_methods_are_405_with_what_is_allowed() {
    let app = secured().start().await;
    let metadata = "/.well-known/oauth-protected-resource/.well-known/mercure";
    let methods = ["PUT", "DELETE", "PATCH", "TRACE", "BREW"];
    for (target, allowed) in [
        (HUB, "GET, HEAD, POST, QUERY, OPTIONS"),
        (S, "GET, HEAD, OPTIONS"),
        (metadata, "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ] {
        for method in methods {
            let response = app.send(request(method, target).body(Body::empty()).expect("a request")).await;
            assert_eq!(response.status(), 405, "{method} {target}");
            assert_eq!(response.headers()["allow"], allowed);
        }
        let options = request("OPTIONS", target).body(Body::empty()).expect("a request");
        let response = app.send(options).await;
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["allow"], allowed);
    }
    let post =
        request("POST", S).header("content-type", FORM).body(Body::from("topic=a")).expect("a request");
    assert_eq!(app.refused(post).await, (405, "method_not_allowed".into()));
}
