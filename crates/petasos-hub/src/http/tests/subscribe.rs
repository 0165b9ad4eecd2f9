//! Section S, R02, and A01 to A06 for subscribers.

use axum::body::Body;

use super::common::{
    FORM, HUB, METADATA_URL, Stream, anonymous, get, names, post, request, secured, text, token,
};
use crate::http::{CloseWithoutAnswer, ConnectionInfo, PublishOrder};

fn query(target: &str, form: &str) -> ::http::Request<Body> {
    request("QUERY", target)
        .header("content-type", FORM)
        .body(Body::from(form.to_owned()))
        .expect("a request")
}

#[tokio::test]
async fn s01_s10_c04_the_head_of_a_stream_and_head_answers_the_same() {
    let app = anonymous().start().await;
    let target = format!("{HUB}?match=a&last_event_id=earliest");
    let opened = app.send(get(&target)).await;
    assert_eq!(opened.status(), 200);
    assert_eq!(opened.headers()["content-type"], "text/event-stream");
    assert_eq!(opened.headers()["cache-control"], "private, no-cache, no-store, must-revalidate, max-age=0");
    assert_eq!(opened.headers()["x-accel-buffering"], "no");
    assert_eq!(opened.headers()["connection"], "keep-alive");
    let head = app.send(request("HEAD", &target).body(Body::empty()).expect("a request")).await;
    assert_eq!(head.status(), 200);
    assert_eq!(names(head.headers()), names(opened.headers()));
    assert_eq!(text(head).await, "");
    let mut stream = Stream::of(opened);
    stream.read_more().await.expect("a first comment at once");
    assert_eq!(stream.so_far(), ":\n");
}

#[tokio::test]
async fn s10_keep_alive_is_for_http1_and_for_clients_that_want_it() {
    let app = anonymous().start().await;
    let mut closing = get(&format!("{HUB}?match=a"));
    closing.headers_mut().insert("connection", "TE, Close".parse().expect("a value"));
    assert!(!app.send(closing).await.headers().contains_key("connection"));
    let mut request = get(&format!("{HUB}?match=a"));
    *request.version_mut() = ::http::Version::HTTP_2;
    let response = app.send(request).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("connection"));
}

#[tokio::test]
async fn s02_query_takes_the_union_of_query_component_and_body() {
    let app = anonymous().start().await;
    let mut stream = Stream::of(app.send(query(&format!("{HUB}?match=a"), "match=b")).await);
    for topic in ["a", "c", "b"] {
        app.published(&format!("topic={topic}&data={topic}")).await;
    }
    assert_eq!((stream.event().await, stream.event().await), ("data: a".into(), "data: b".into()));
    let empty = request("QUERY", &format!("{HUB}?match=a")).body(Body::empty()).expect("a request");
    assert_eq!(app.send(empty).await.status(), 200);
}

#[tokio::test]
async fn s02_a_query_body_has_a_size_and_a_media_type() {
    let mut setup = anonymous();
    setup.http.limits.body_bytes = 100;
    let app = setup.start().await;
    let long = format!("match={}", "a".repeat(100));
    assert_eq!(app.refused(query(HUB, &long)).await, (413, "body_too_large".into()));
    let json = request("QUERY", HUB).header("content-type", "application/json").body(Body::from("{}"));
    assert_eq!(app.refused(json.expect("a request")).await, (415, "unsupported_media_type".into()));
    assert_eq!(app.refused(query(HUB, "topic=a")).await, (400, "topic_parameter".into()));
    assert_eq!(app.refused(query(HUB, "x=y")).await, (400, "no_matcher".into()));
}

#[tokio::test]
async fn s05_s06_l02_parameters_have_their_refusals() {
    let app = anonymous().start().await;
    for (parameters, code) in [
        ("", "no_matcher"),
        ("?", "no_matcher"),
        ("?mat=a", "no_matcher"),
        ("?match=a&Match=b", "unknown_match_parameter"),
        ("?match_regex=a", "unknown_match_parameter"),
        ("?topic=a", "topic_parameter"),
        ("?match=%FF", "invalid_utf8"),
        ("?match=a%0Ab", "invalid_matcher"),
        ("?match_urlpattern=%E2%80%8B", "invalid_matcher"),
        ("?match_urlpattern=/(", "invalid_matcher"),
        ("?match=a&match_urlpattern=/:", "invalid_matcher"),
    ] {
        let refused = app.refused(get(&format!("{HUB}{parameters}"))).await;
        assert_eq!(refused, (400, code.into()), "{parameters}");
    }
    let body = text(app.send(get(&format!("{HUB}?match_urlpattern=/("))).await).await;
    assert!(!body.contains("0x") && !body.contains(".rs") && !body.contains("/("), "{body}");
}

#[tokio::test]
async fn s07_streams_over_a_limit_are_429_until_one_ends() {
    let mut setup = anonymous();
    setup.http.limits.streams_per_address = 1;
    let app = setup.start().await;
    let from = |peer: &str| {
        let mut request = get(&format!("{HUB}?match=a"));
        let info = ConnectionInfo {
            peer: peer.parse().expect("an address"),
            tls: false,
            order: PublishOrder::default(),
            cut: None,
            takes_streams: false,
        };
        request.extensions_mut().insert(info);
        request
    };
    let first = app.send(from("192.0.2.1:1000")).await;
    assert_eq!(first.status(), 200);
    let refused = app.send(from("192.0.2.1:1001")).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(app.send(from("192.0.2.2:1000")).await.status(), 200);
    drop(first);
    assert_eq!(app.send(from("192.0.2.1:1002")).await.status(), 200);
}

#[tokio::test]
async fn s07_the_limit_of_a_subject_is_that_of_its_token() {
    let mut setup = anonymous();
    setup.http.limits.streams_per_subject = 1;
    let app = setup.start().await;
    let with_token = || {
        let mut request = get(&format!("{HUB}?match=a"));
        let token = format!("Bearer {}", token("subscribe", &["*"]));
        request.headers_mut().insert("authorization", token.parse().expect("a value"));
        request
    };
    let first = app.send(with_token()).await;
    assert_eq!(first.status(), 200);
    assert_eq!(app.refused(with_token()).await, (429, "too_many_streams".into()));
    assert_eq!(app.send(get(&format!("{HUB}?match=a"))).await.status(), 200);
}

#[tokio::test]
async fn a01_a04_a_token_is_needed_unless_anonymous_is_on() {
    let app = secured().start().await;
    let response = app.send(get(&format!("{HUB}?match=a"))).await;
    assert_eq!(response.status(), 401);
    let challenge = format!(r#"Bearer resource_metadata="{METADATA_URL}""#);
    assert_eq!(response.headers()["www-authenticate"], challenge);
    let mut with_token = get(&format!("{HUB}?match=a"));
    let cookie = format!("a=b; __Secure-mercure_access_token={}", token("subscribe", &["a"]));
    with_token.headers_mut().insert("cookie", cookie.parse().expect("a value"));
    assert_eq!(app.send(with_token).await.status(), 200);
}

#[tokio::test]
async fn a05_a_bad_token_is_refused_even_where_none_is_needed() {
    let app = anonymous().start().await;
    let mut request = get(&format!("{HUB}?match=a"));
    request.headers_mut().insert("authorization", "Bearer a.b.c".parse().expect("a value"));
    let response = app.send(request).await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().expect("ASCII");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

#[tokio::test]
async fn a02_a_token_in_the_url_is_none() {
    let app = secured().start().await;
    let target = format!("{HUB}?match=a&authorization={}&access_token=x", token("subscribe", &["*"]));
    assert_eq!(app.refused(get(&target)).await, (401, "missing_token".into()));
}

#[tokio::test]
async fn r02_the_cursor_is_answered_if_and_only_if_one_was_asked_for() {
    let app = anonymous().start().await;
    let cursor = |response: &::http::Response<Body>| {
        response.headers().get("mercure-last-event-id").map(|cursor| cursor.as_bytes().to_vec())
    };
    assert_eq!(cursor(&app.send(get(&format!("{HUB}?match=a"))).await), None);
    for parameter in ["last_event_id=earliest", "last_event_id=never-was"] {
        let opened = app.send(get(&format!("{HUB}?match=a&{parameter}"))).await;
        assert_eq!(cursor(&opened).as_deref(), Some(&b"earliest"[..]), "{parameter}");
    }
    // An empty cursor is the newest event (decided): here those of the subscriptions before it.
    for parameter in ["last_event_id=", "last_event_id"] {
        let opened = app.send(get(&format!("{HUB}?match=a&{parameter}"))).await;
        assert!(cursor(&opened).is_some_and(|cursor| cursor.starts_with(b"urn:uuid:")), "{parameter}");
    }
    let mut by_field = get(&format!("{HUB}?match=a"));
    by_field.headers_mut().insert("last-event-id", "".parse().expect("a value"));
    let opened = app.send(by_field).await;
    assert!(cursor(&opened).is_some_and(|cursor| cursor.starts_with(b"urn:uuid:")));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn r01_r02_a_known_cursor_is_answered_and_resumed_from_whatever_characters_it_has() {
    use crate::transport::sqlite::{SqliteConfig, SqliteTransport};

    let directory = tempfile::tempdir().expect("a directory");
    let log = SqliteTransport::open(SqliteConfig::new(directory.path().join("log.db"))).await.expect("a log");
    let app = anonymous().start_on(std::sync::Arc::new(log)).await;
    for form in ["topic=a&data=1", "topic=a&data=2&id=urn:x:%C3%A9%22", "topic=a&data=3"] {
        app.published(form).await;
    }
    let mut by_field = get(&format!("{HUB}?match=a&last_event_id=earliest"));
    let field = ::http::HeaderValue::from_bytes("urn:x:é\"".as_bytes()).expect("a value");
    by_field.headers_mut().insert("last-event-id", field);
    for request in [get(&format!("{HUB}?match=a&last_event_id=urn:x:%C3%A9%22")), by_field] {
        let opened = app.send(request).await;
        assert_eq!(opened.headers()["mercure-last-event-id"].as_bytes(), "urn:x:é\"".as_bytes());
        assert_eq!(Stream::of(opened).event().await, "data: 3");
    }
    let opened = app.send(get(&format!("{HUB}?match=a&last_event_id=earliest"))).await;
    assert_eq!(Stream::of(opened).event().await, "data: 1");
}

#[tokio::test]
async fn decision_6_head_makes_no_presence() {
    let app = anonymous().start().await;
    app.send(request("HEAD", &format!("{HUB}?match=a")).body(Body::empty()).expect("a request")).await;
    assert_eq!(app.hub.metrics().subscribers_total.get(), 0);
}

#[tokio::test]
async fn a_target_over_the_limit_is_414() {
    let app = anonymous().start().await;
    let within = format!("{HUB}?match=a&x={}", "y".repeat(50_000));
    assert_eq!(app.send(get(&within)).await.status(), 200);
    let over = format!("{HUB}?match=a&x={}", "y".repeat(61_440));
    assert_eq!(app.refused(get(&over)).await, (414, "target_too_long".into()));
}

#[tokio::test]
async fn c01_a_draining_hub_closes_the_connection_without_an_answer() {
    let app = anonymous().start().await;
    let mut stream = Stream::of(app.send(get(&format!("{HUB}?match=a"))).await);
    let (_, ended) = tokio::join!(app.hub.drain(std::time::Duration::ZERO), async {
        while stream.read_more().await.is_some() {}
        true
    });
    assert!(ended);
    let response = app.send(get(&format!("{HUB}?match=a"))).await;
    assert_eq!(response.extensions().get(), Some(&CloseWithoutAnswer));
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn a_finished_request_is_counted_and_told_with_its_id() {
    let app = anonymous().start().await;
    let mut request = get(&format!("{HUB}?topic=a"));
    request.headers_mut().insert("x-request-id", "trace-1".parse().expect("a value"));
    assert_eq!(app.send(request).await.headers()["x-request-id"], "trace-1");
    assert!(app.send(post("topic=a")).await.headers().contains_key("x-request-id"));
    let metrics = app.hub.metrics();
    let refused = crate::metrics::ReasonLabel { reason: "topic_parameter" };
    assert_eq!(metrics.refusals_total.get_or_create(&refused).get(), 1);
    let answered = crate::metrics::RequestLabels { resource: "hub", method: "POST", status: 200 };
    assert_eq!(metrics.requests_total.get_or_create(&answered).get(), 1);
}
