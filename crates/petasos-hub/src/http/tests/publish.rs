//! Section P, and A01 to A06 for publishers.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;

use super::common::{
    FORM, HUB, LISTED, METADATA_URL, Stream, anonymous, get, post, post_with, request, secured, text, token,
};
use crate::http::{PublishOrder, Turn};

/// A body without end that counts what was taken of it.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static CHUNK: [u8; 64 << 10] = [b'a'; 64 << 10];
        self.0.fetch_add(CHUNK.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
    }
}

#[tokio::test]
async fn p02_the_answer_is_the_id_and_nothing_else() {
    let app = secured().start().await;
    let response = app.send(post("topic=a&id=urn:x:1&data=d")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text(response).await, "urn:x:1");
    assert!(app.published("topic=a").await.starts_with("urn:uuid:"));
}

#[tokio::test]
async fn p01_other_media_types_are_415() {
    let app = secured().start().await;
    for media_type in
        [Some("application/json"), Some("multipart/form-data; boundary=x"), Some("text/plain"), None]
    {
        let mut request = post("topic=a");
        match media_type {
            Some(media_type) => {
                request.headers_mut().insert("content-type", media_type.parse().expect("a value"))
            }
            None => request.headers_mut().remove("content-type"),
        };
        assert_eq!(app.refused(request).await, (415, "unsupported_media_type".into()), "{media_type:?}");
    }
    let mut request = post("topic=a");
    let with_charset = "Application/x-www-form-urlencoded; charset=UTF-8";
    request.headers_mut().insert("content-type", with_charset.parse().expect("a value"));
    assert_eq!(app.send(request).await.status(), 200);
}

#[tokio::test]
async fn p03_to_p11_every_field_has_its_refusal() {
    let app = secured().start().await;
    for (form, code) in [
        ("data=x", "missing_topic"),
        ("", "missing_topic"),
        ("topic=a%00", "forbidden_character"),
        ("topic=a&topic=%E2%80%8B", "forbidden_character"),
        ("topic=%FF", "invalid_utf8"),
        ("topic=mercure", "reserved_topic"),
        ("topic=", "reserved_topic"),
        ("topic=a&topic=/.well-known/x/../mercure", "reserved_topic"),
        ("topic=*", "wildcard_topic"),
        ("topic=a&data=%FF", "invalid_utf8"),
        ("topic=a&id=%23x", "reserved_id"),
        ("topic=a&id=earliest", "reserved_id"),
        ("topic=a&id=%0A", "forbidden_character"),
        ("topic=a&type=mercure", "reserved_type"),
        ("topic=a&type=%C2%85", "forbidden_character"),
        ("topic=a&retry=-1", "malformed_retry"),
        ("topic=a&retry=1s", "malformed_retry"),
    ] {
        assert_eq!(app.refused(post(form)).await, (400, code.into()), "{form}");
    }
}

#[tokio::test]
async fn p06_the_rules_of_the_fields_hold_before_the_grants_matter() {
    let app = secured().start().await;
    let token = token("publish", &["a"]);
    assert_eq!(app.refused(post_with(&token, "topic=mercure")).await, (400, "reserved_topic".into()));
    assert_eq!(app.refused(post_with(&token, "topic=b")).await, (403, "topic_not_granted".into()));
}

#[tokio::test]
async fn a14_every_topic_must_be_granted_and_nothing_is_dispatched_otherwise() {
    let app = anonymous().start().await;
    let mut stream = Stream::of(app.send(get(&format!("{HUB}?match=*"))).await);
    let token = token("publish", &["a", "b"]);
    let response = app.send(post_with(&token, "topic=a&topic=c&data=no")).await;
    assert_eq!(response.status(), 403);
    assert_eq!(
        response.headers()["www-authenticate"],
        format!(
            r#"Bearer resource_metadata="{METADATA_URL}", error="insufficient_scope", error_description="topic_not_granted""#
        )
    );
    assert_eq!(app.send(post_with(&token, "topic=a&topic=b&data=yes")).await.status(), 200);
    assert_eq!(stream.event().await, "data: yes");
}

#[tokio::test]
async fn a04_without_a_token_401_and_no_error_even_if_the_rest_is_wrong() {
    let app = secured().start().await;
    for form in ["topic=a", "topic=mercure&x=%FF"] {
        let mut request = post(form);
        request.headers_mut().remove("authorization");
        request.headers_mut().remove("content-type");
        let response = app.send(request).await;
        assert_eq!(response.status(), 401);
        let challenge = format!(r#"Bearer resource_metadata="{METADATA_URL}""#);
        assert_eq!(response.headers()["www-authenticate"], challenge);
        assert_eq!(text(response).await.lines().next(), Some("missing_token"));
    }
}

#[tokio::test]
async fn a05_a_bad_token_401_invalid_token_with_the_reason() {
    let app = secured().start().await;
    let mut token = token("publish", &["*"]);
    token.push('x');
    let response = app.send(post_with(&token, "topic=a")).await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().expect("ASCII").to_owned();
    let expected =
        format!(r#"Bearer resource_metadata="{METADATA_URL}", error="invalid_token", error_description=""#);
    assert!(challenge.starts_with(&expected), "{challenge}");
    let reason = text(response).await.lines().next().expect("a reason").to_owned();
    assert_eq!(challenge, format!("{expected}{reason}\""));
}

#[tokio::test]
async fn a06_a_malformed_field_400_invalid_request() {
    let app = secured().start().await;
    let mut request = post("topic=a");
    request.headers_mut().insert("authorization", "Basic dTpw".parse().expect("a value"));
    let response = app.send(request).await;
    assert_eq!(response.status(), 400);
    assert_eq!(
        response.headers()["www-authenticate"],
        format!(
            r#"Bearer resource_metadata="{METADATA_URL}", error="invalid_request", error_description="malformed_authorization""#
        )
    );
}

#[tokio::test]
async fn a03_c06_a_cookie_publish_from_an_unlisted_page_is_refused_and_not_published() {
    let app = anonymous().start().await;
    let mut stream = Stream::of(app.send(get(&format!("{HUB}?match=a"))).await);
    let by_cookie = |fields: &[(&str, &str)], data: &str| {
        let mut builder = request("POST", HUB)
            .header("content-type", FORM)
            .header("cookie", format!("__Secure-mercure_access_token={}", token("publish", &["*"])));
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::from(format!("topic=a&data={data}"))).expect("a request")
    };
    let refused = (400, "origin_not_allowed".to_owned());
    assert_eq!(app.refused(by_cookie(&[("origin", "https://evil.example")], "no")).await, refused);
    assert_eq!(app.refused(by_cookie(&[("origin", "null")], "no")).await, refused);
    assert_eq!(app.refused(by_cookie(&[], "no")).await, refused);
    assert_eq!(app.send(by_cookie(&[("origin", LISTED)], "one")).await.status(), 200);
    assert_eq!(app.send(by_cookie(&[("referer", "https://app.example.com/x")], "two")).await.status(), 200);
    assert_eq!((stream.event().await, stream.event().await), ("data: one".into(), "data: two".into()));
}

#[tokio::test]
async fn p12_over_the_limits_413() {
    let mut setup = secured();
    setup.http.limits.body_bytes = 1_000;
    setup.http.limits.update.topics = 2;
    setup.http.limits.update.field_bytes = 10;
    let app = setup.start().await;
    assert_eq!(app.refused(post(&"x".repeat(1_001))).await, (413, "body_too_large".into()));
    assert_eq!(app.refused(post("topic=a&topic=b&topic=c")).await, (413, "update_too_large".into()));
    assert_eq!(app.refused(post("topic=12345678901")).await, (413, "update_too_large".into()));
    assert_eq!(app.refused(post("topic=a&id=12345678901")).await, (413, "update_too_large".into()));
    assert_eq!(app.send(post(&format!("topic=a&data={}", "x".repeat(900)))).await.status(), 200);
}

#[tokio::test]
async fn p12_a_body_without_end_is_cut_off_and_the_connection_closed() {
    let app = secured().start().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let (mut parts, _) = post("").into_parts();
    let request = axum::extract::Request::from_parts(parts.clone(), Body::new(Endless(Arc::clone(&taken))));
    let response = app.send(request).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["connection"]),
        (413, &"close".parse().expect("a value"))
    );
    assert!(taken.load(Ordering::Relaxed) < 16 << 20);

    // Without a token nothing of it is even looked at, and a client that asks first is not told to send.
    taken.store(0, Ordering::Relaxed);
    parts.headers.remove("authorization");
    parts.headers.insert("expect", "100-continue".parse().expect("a value"));
    let request = axum::extract::Request::from_parts(parts, Body::new(Endless(Arc::clone(&taken))));
    assert_eq!(app.send(request).await.status(), 401);
    assert_eq!(taken.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn chunked_requests_end_their_connection_and_http2_ones_do_not() {
    let app = secured().start().await;
    let mut request = post("topic=a");
    request.headers_mut().insert("transfer-encoding", "chunked".parse().expect("a value"));
    let response = app.send(request).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["connection"]),
        (200, &"close".parse().expect("a value"))
    );
    let mut request = post("topic=a");
    *request.version_mut() = ::http::Version::HTTP_2;
    assert!(!app.send(request).await.headers().contains_key("connection"));
    assert!(!app.send(post("topic=a")).await.headers().contains_key("connection"));
}

#[tokio::test]
async fn publishes_of_one_connection_are_appended_in_the_order_of_their_heads() {
    let app = anonymous().start().await;
    let mut stream = Stream::of(app.send(get(&format!("{HUB}?match=a"))).await);
    let order = PublishOrder::default();
    let in_turn = |turn: Turn, form: &str| {
        let mut request = post(form);
        request.extensions_mut().insert(turn);
        request
    };
    let turns: Vec<Turn> = (0..5).map(|_| order.next_turn()).collect();
    let [first, refused, reading, second, third] = <[Turn; 5]>::try_from(turns).expect("five");
    let mut reading_request = get(&format!("{HUB}?match=b"));
    reading_request.extensions_mut().insert(reading);
    let (third, second, reading, refused, first) = tokio::join!(
        app.send(in_turn(third, "topic=a&data=third")),
        app.send(in_turn(second, "topic=a&data=second")),
        app.send(reading_request),
        app.send(in_turn(refused, "data=nothing")),
        app.send(in_turn(first, "topic=a&data=first")),
    );
    let statuses = [&first, &refused, &reading, &second, &third].map(|response| response.status().as_u16());
    assert_eq!(statuses, [200, 400, 200, 200, 200]);
    for data in ["first", "second", "third"] {
        assert_eq!(stream.event().await, format!("data: {data}"));
    }
}

#[tokio::test]
async fn p13_a_hub_may_be_open_for_publishers() {
    let mut setup = secured();
    setup.auth.anonymous_publish = true;
    let app = setup.start().await;
    let mut request = post("topic=a");
    request.headers_mut().remove("authorization");
    assert_eq!(app.send(request).await.status(), 200);
}

#[tokio::test]
async fn a_closed_hub_answers_503_with_retry_after() {
    let app = secured().start().await;
    app.hub.close().await;
    let response = app.send(post("topic=a")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"1".parse().expect("a value"))
    );
}
