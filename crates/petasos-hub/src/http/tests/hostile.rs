//! Any request at all: it is answered with what a rule names, never with a failure of the hub.

use ::http::{HeaderName, HeaderValue, Method, Request};
use axum::body::Body;
use proptest::prelude::*;

use super::common::{App, FORM, HUB, LISTED, S, anonymous, token};

/// Text that parsers have to look at twice.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "match",
        "match_urlpattern",
        "Match",
        "topic",
        "data",
        "private",
        "id",
        "type",
        "retry",
        "last_event_id",
        "=",
        "&",
        "%",
        "+",
        ";",
        "/",
        ":",
        "*",
        "(",
        ")",
        "{",
        "?",
        "%00",
        "%FF",
        "%2F",
        "%E2%80%8B",
        "a",
        "12",
        "mercure",
        "earliest",
    ];
    let piece = prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn field() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let names = [
        "host",
        "origin",
        "referer",
        "cookie",
        "authorization",
        "content-type",
        "content-encoding",
        "content-length",
        "if-none-match",
        "last-event-id",
        "x-forwarded-for",
        "forwarded",
        "x-request-id",
        "access-control-request-method",
    ];
    (proptest::sample::select(names.to_vec()), text())
}

fn requests() -> impl Strategy<Value = Request<Body>> {
    let methods = proptest::sample::select(&["GET", "HEAD", "POST", "QUERY", "OPTIONS", "PUT"][..]);
    let paths = proptest::sample::select(
        &[HUB, S, "/.well-known/mercure/subscriptions/", "/.well-known/mercure/subscriptions/exact/"][..],
    );
    let fields = proptest::collection::vec(field(), 0..4);
    (methods, paths, text(), text(), fields, text(), any::<bool>()).prop_filter_map(
        "no request",
        |(method, path, segment, query, fields, body, with_token)| {
            let target = [path.as_bytes(), &segment, b"?", &query].concat();
            let mut request = Request::new(Body::from(body));
            *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
            *request.uri_mut() = ::http::Uri::try_from(target).ok()?;
            let headers = request.headers_mut();
            headers.insert("host", HeaderValue::from_static("hub.example"));
            headers.insert("content-type", HeaderValue::from_static(FORM));
            if with_token {
                let action = if method == "POST" { "publish" } else { "subscribe" };
                headers.insert("authorization", format!("Bearer {}", token(action, &["*"])).parse().ok()?);
            }
            for (name, value) in fields {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?);
            }
            headers.insert("origin", HeaderValue::from_static(LISTED));
            Some(request)
        },
    )
}

#[test]
fn no_request_makes_the_hub_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let app: App = runtime.block_on(anonymous().start());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1_000));
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let outcome = runner.run(&requests(), |request| {
        let what = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let response = runtime.block_on(app.send(request));
        seen.borrow_mut().insert(response.status().as_u16());
        prop_assert!(response.status().as_u16() < 500, "{}: {}", response.status(), what);
        prop_assert_eq!(&response.headers()["access-control-allow-origin"], LISTED);
        Ok(())
    });
    outcome.expect("every request is answered");
    // The requests reach far enough in.
    let seen = seen.into_inner();
    assert!([200, 204, 400, 401, 404, 405].iter().all(|status| seen.contains(status)), "{seen:?}");
}
