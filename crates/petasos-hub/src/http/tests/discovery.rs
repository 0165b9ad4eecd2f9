//! D01, D02 and `/healthz`.

use ::http::{HeaderValue, Request};
use axum::body::Body;
use serde_json::json;

use super::common::{HUB, HUB_URL, anonymous, get, json_of, post, secured, text};
use crate::{
    auth::AuthConfig,
    http::{ConnectionInfo, PublishOrder},
};

const METADATA: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

fn over(mut request: Request<Body>, peer: &str, tls: bool, fields: &[(&'static str, &str)]) -> Request<Body> {
    let peer = peer.parse().expect("an address");
    let order = PublishOrder::default();
    request.extensions_mut().insert(ConnectionInfo { peer, tls, order, cut: None, takes_streams: false });
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    request
}

#[tokio::test]
async fn d01_the_metadata_of_the_protected_resource() {
    let app = secured().start().await;
    assert_eq!(
        json_of(app.send(get(METADATA)).await).await,
        json!({
            "resource": HUB_URL,
            "authorization_servers": ["https://issuer.example"],
            "bearer_methods_supported": ["header"],
            "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
            "mercure_cookie": "__Secure-mercure_access_token",
            "mercure_subscriptions": true,
        })
    );
}

#[tokio::test]
async fn d01_members_that_do_not_apply_are_left_out() {
    let mut setup = secured();
    setup.hub.subscriptions = false;
    setup.auth.issuers[0].authorization_server = false;
    let app = setup.start().await;
    let metadata = json_of(app.send(get(METADATA)).await).await;
    assert!(
        metadata.get("authorization_servers").is_none() && metadata.get("mercure_subscriptions").is_none()
    );
}

#[tokio::test]
async fn d01_a_hub_that_checks_no_tokens_has_none() {
    let mut setup = anonymous();
    setup.auth = AuthConfig { anonymous: true, anonymous_publish: true, ..AuthConfig::default() };
    let app = setup.start().await;
    assert_eq!(app.refused(get(METADATA)).await, (404, "not_found".into()));
}

#[tokio::test]
async fn d02_the_resource_identifier_follows_the_request() {
    let mut setup = secured();
    setup.http.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let app = setup.start().await;
    let resource =
        async |request| json_of(app.send(request).await).await["resource"].as_str().map(str::to_owned);
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "Public.example:443")];
    assert_eq!(
        resource(over(get(METADATA), "192.0.2.1:1", true, &forwarded)).await.as_deref(),
        Some("https://hub.example/.well-known/mercure"),
        "not from a trusted proxy"
    );
    assert_eq!(
        resource(over(get(METADATA), "10.0.0.1:1", false, &forwarded)).await.as_deref(),
        Some("https://public.example/.well-known/mercure")
    );
    let mut absolute = get(&format!("http://Other.example:8080{METADATA}"));
    *absolute.version_mut() = ::http::Version::HTTP_2;
    assert_eq!(
        resource(absolute).await.as_deref(),
        Some("http://other.example:8080/.well-known/mercure"),
        "the authority beats Host"
    );
}

#[tokio::test]
async fn d02_a_pinned_identifier_beats_the_request() {
    let mut setup = secured();
    setup.http.resource_identifier =
        Some("https://pinned.example/.well-known/mercure".parse().expect("a URL"));
    let app = setup.start().await;
    let metadata = json_of(app.send(get(METADATA)).await).await;
    assert_eq!(metadata["resource"], "https://pinned.example/.well-known/mercure");
    let mut request = post("topic=a");
    request.headers_mut().remove("authorization");
    let response = app.send(request).await;
    assert_eq!(
        response.headers()["www-authenticate"],
        r#"Bearer resource_metadata="https://pinned.example/.well-known/oauth-protected-resource/.well-known/mercure""#
    );
}

#[tokio::test]
async fn d02_other_origins_than_the_public_ones_are_421() {
    let mut setup = anonymous();
    setup.http.public_urls = vec![
        "https://hub.example".parse().expect("a URL"),
        "http://HUB.example:80/x".parse().expect("a URL"),
    ];
    setup.http.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let app = setup.start().await;
    let target = format!("{HUB}?match=a");
    assert_eq!(app.send(get(&target)).await.status(), 200);
    assert_eq!(app.send(over(get(&target), "192.0.2.1:1", true, &[])).await.status(), 200);
    let misdirected = (421, "misdirected_request".to_owned());
    for host in ["other.example", "hub.example:8080", "hub.example.", "127.0.0.1"] {
        let request = over(get(&target), "192.0.2.1:1", false, &[("host", host)]);
        assert_eq!(app.refused(request).await, misdirected, "{host}");
    }
    let forwarded = over(get(&target), "10.0.0.1:1", false, &[("x-forwarded-host", "other.example")]);
    assert_eq!(app.refused(forwarded).await, misdirected);
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let app = anonymous().start().await;
    let malformed = (400, "malformed_host".to_owned());
    let target = format!("{HUB}?match=a");
    for host in ["", "a/b", "user@hub.example", "hub.example, other.example", "hub.example:x", "é"] {
        let mut request = get(&target);
        request.headers_mut().insert("host", HeaderValue::from_bytes(host.as_bytes()).expect("a value"));
        assert_eq!(app.refused(request).await, malformed, "{host}");
    }
    let mut doubled = get(&target);
    doubled.headers_mut().append("host", HeaderValue::from_static("other.example"));
    assert_eq!(app.refused(doubled).await, malformed);
    let mut none = get(&target);
    none.headers_mut().remove("host");
    assert_eq!(app.refused(none).await, malformed);
}

#[tokio::test]
async fn healthz_says_whether_the_hub_is_alive_and_needs_no_host() {
    let app = secured().start().await;
    let mut request = get("/healthz");
    request.headers_mut().remove("host");
    let response = app.send(request).await;
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "ok\n"));
    app.hub.drain(std::time::Duration::ZERO).await;
    let response = app.send(get("/healthz")).await;
    // One that drains is no reason to restart it.
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "ok\n"));
}
