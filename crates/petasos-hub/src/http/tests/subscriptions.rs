//! E05 to E07.

use ::http::{Request, Response};
use axum::body::Body;
use serde_json::{Value, json};

use super::common::{
    App, HUB, HUB_URL, METADATA_URL, S, Stream, anonymous, get, json_of, request, secured, text, token,
    token_with,
};

fn with_token(token: &str, target: &str) -> Request<Body> {
    let mut request = get(target);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a value"));
    request
}

/// With a grant on everything.
fn ask(target: &str) -> Request<Body> {
    with_token(&token("subscribe", &["*"]), target)
}

/// Opens a stream and waits until its subscriptions are told.
async fn subscribed(app: &App, parameters: &str) -> Response<Body> {
    let details = json!([{
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["subscribe"],
        "topics": [{ "match": "*" }],
        "payload": { "name": "Ada", "n": 1 },
    }]);
    let mut watcher = Stream::of(app.send(ask(&format!("{HUB}?match_urlpattern={S}/*%3F"))).await);
    let opened = app.send(with_token(&token_with(details), &format!("{HUB}?{parameters}"))).await;
    assert_eq!(opened.status(), 200);
    while !watcher.event().await.contains("Ada") {}
    opened
}

/// The members that the tests do not choose, taken out.
fn without_subscriber(mut subscription: Value) -> (String, String, Value) {
    let members = subscription.as_object_mut().expect("an object");
    let mut text = |name: &str| {
        members.remove(name).and_then(|value| value.as_str().map(str::to_owned)).expect("a text")
    };
    (text("id"), text("subscriber"), subscription)
}

#[tokio::test]
async fn e05_the_collection_of_a_matcher_and_a_single_subscription() {
    let app = secured().start().await;
    let _open = subscribed(&app, "match=https%3A%2F%2Fa.example%2F%2525").await;
    let path = format!("{S}/exact/https%3A%2F%2Fa.example%2F%2525");
    let collection = json_of(app.send(ask(&path)).await).await;
    assert_eq!((&collection["id"], &collection["type"]), (&json!(path), &json!("subscriptions")));
    let listed = collection["subscriptions"].as_array().expect("a list");
    assert_eq!(listed.len(), 1);
    let (id, subscriber, rest) = without_subscriber(listed[0].clone());
    assert_eq!(
        rest,
        json!({
            "type": "subscription",
            "match_type": "exact",
            "match": "https://a.example/%25",
            "active": true,
            "payload": { "name": "Ada", "n": 1 },
        })
    );
    assert_eq!(id, format!("{path}/{}", subscriber.replace(':', "%3A")));
    assert_eq!(json_of(app.send(ask(&id)).await).await, listed[0]);
    // The same segments in another spelling are the same subscription.
    let spelled = format!("{path}/{subscriber}");
    assert_eq!(json_of(app.send(ask(&spelled)).await).await, listed[0]);
}

#[tokio::test]
async fn e05_what_is_not_there() {
    let app = secured().start().await;
    assert_eq!(app.refused(ask(&format!("{S}/exact/a/urn:uuid:none"))).await, (404, "not_found".into()));
    assert_eq!(app.refused(ask(&format!("{S}/regex/a"))).await, (400, "unknown_match_type".into()));
    assert_eq!(app.refused(ask(&format!("{S}/exact"))).await, (404, "not_found".into()));
    let empty = json_of(app.send(ask(&format!("{S}/exact/a"))).await).await;
    assert_eq!(empty, json!({ "id": format!("{S}/exact/a"), "type": "subscriptions", "subscriptions": [] }));
    let mut off = secured();
    off.hub.subscriptions = false;
    let app = off.start().await;
    for target in [S.to_owned(), format!("{S}/exact/a"), format!("{S}/regex/a")] {
        assert_eq!(app.refused(ask(&target)).await, (404, "not_found".into()));
    }
}

#[tokio::test]
async fn e06_a_grant_on_the_path_is_needed_even_where_anonymous_is_on() {
    let app = anonymous().start().await;
    let path = format!("{S}/exact/a%2Fb");
    let response = app.send(get(&path)).await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        format!(r#"Bearer resource_metadata="{METADATA_URL}""#)
    );
    for granted in
        ["a/b", "/.well-known/mercure/subscriptions", "/.well-known/mercure/subscriptions/exact/a/b"]
    {
        let refused = app.refused(with_token(&token("subscribe", &[granted]), &path)).await;
        assert_eq!(refused, (403, "topic_not_granted".into()), "{granted}");
    }
    assert_eq!(
        app.refused(with_token(&token("publish", &["*"]), &path)).await,
        (403, "topic_not_granted".into())
    );
    let granted = token("subscribe", &[path.as_str()]);
    assert_eq!(app.send(with_token(&granted, &path)).await.status(), 200);
    assert_eq!(
        app.send(with_token(&granted, &format!("{path}?x=y"))).await.status(),
        200,
        "without the query"
    );
    let pattern = token_with(json!([{
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["subscribe"],
        "topics": [{ "match": "/.well-known/mercure/subscriptions/:type/:match", "match_type": "urlpattern" }],
    }]));
    assert_eq!(app.send(with_token(&pattern, &path)).await.status(), 200);
    assert_eq!(app.refused(with_token(&pattern, S)).await, (403, "topic_not_granted".into()));
}

#[tokio::test]
async fn e07_link_etag_and_304() {
    let app = secured().start().await;
    let response = app.send(ask(S)).await;
    assert_eq!(response.headers()["cache-control"], "must-revalidate");
    assert_eq!(
        response.headers()["link"],
        format!(
            r#"<{HUB_URL}>; rel="mercure"; last-event-id="earliest"; type="mercure"; content-type="application/json""#
        )
    );
    let tag = response.headers()["etag"].clone();

    let again = |tag: &::http::HeaderValue| {
        let mut request = ask(S);
        request.headers_mut().insert("if-none-match", tag.clone());
        request
    };
    let unchanged = app.send(again(&tag)).await;
    assert_eq!(unchanged.status(), 304);
    assert_eq!(unchanged.headers()["etag"], tag);
    assert!(unchanged.headers().contains_key("link"));
    assert!(!unchanged.headers().contains_key("content-length"));
    assert!(!unchanged.headers().contains_key("content-type"));
    assert_eq!(text(unchanged).await, "");

    app.published("topic=a&id=urn:x:%22%C3%A9%5C").await;
    let changed = app.send(again(&tag)).await;
    assert_eq!(changed.status(), 200);
    let link = String::from_utf8(changed.headers()["link"].as_bytes().to_vec()).expect("UTF-8");
    assert!(link.contains(r#"last-event-id="urn:x:\"é\\";"#), "{link}");

    let mut head = ask(S);
    *head.method_mut() = ::http::Method::HEAD;
    let head = app.send(head).await;
    assert_eq!((head.status().as_u16(), &head.headers()["etag"]), (200, &changed.headers()["etag"]));
    assert_eq!(head.headers()["content-length"], text(changed).await.len().to_string());
    assert_eq!(text(head).await, "");
}

#[tokio::test]
async fn e05_paths_are_taken_as_they_came() {
    let app = secured().start().await;
    for path in [format!("{S}/exact/a%2fb"), format!("{S}/exact/%C3%A9")] {
        let answer = json_of(app.send(ask(&path)).await).await;
        assert_eq!(answer["id"], json!(path));
    }
    let other = request("GET", &format!("{S}/")).body(Body::empty()).expect("a request");
    assert_eq!(app.send(other).await.status(), 404);
}
