//! S04, P01: any bytes as a form or as a query are answered with 200 or 400, through the router as it is served.

#![no_main]

use std::sync::{Arc, LazyLock};

use axum::{Router, body::Body};
use http::Request;
use libfuzzer_sys::fuzz_target;
use petasos_hub::{
    Hub,
    auth::{AuthConfig, Authenticator},
    http::{AppState, HttpConfig, router},
    transport::LocalTransport,
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static FIXTURE: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let open = AuthConfig { anonymous: true, anonymous_publish: true, ..AuthConfig::default() };
    let hub = Hub::builder(Arc::new(LocalTransport::new()));
    let hub = runtime.block_on(hub.start()).expect("a log in memory");
    let auth = Arc::new(Authenticator::new(open).expect("no keys"));
    let router = router(AppState { hub, auth, config: Arc::new(HttpConfig::default()) });
    (runtime, router)
});

fuzz_target!(|bytes: &[u8]| {
    let (runtime, router) = &*FIXTURE;
    for method in ["POST", "QUERY"] {
        let request = Request::builder()
            .method(method)
            .uri("/.well-known/mercure")
            .header("Host", "hub.example")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(bytes.to_vec()))
            .expect("a request");
        let answer = runtime.block_on(router.clone().oneshot(request)).expect("an answer");
        let expected: &[u16] = if method == "POST" { &[200, 400, 413] } else { &[200, 400] };
        assert!(expected.contains(&answer.status().as_u16()), "{method}: {answer:?}");
    }
});
