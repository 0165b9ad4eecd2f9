//! What the operator's log says of requests, and what it must not say.

use std::{
    cell::RefCell,
    io::Write,
    sync::{Arc, Mutex, Once},
};

use axum::body::Body;

use super::common::{HUB, S, anonymous, get, post, post_with, request, secured, token};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

thread_local! {
    /// Where the lines of this thread go.
    static CURRENT: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// Writes to the log of the thread that logs.
struct ToCurrent;

impl Write for ToCurrent {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        CURRENT.with_borrow(|log| {
            if let Some(log) = log {
                log.0.lock().expect("no panic while it was held").extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Of this thread, which in these tests is where the requests are answered.
    fn start() -> (Self, Logging) {
        static INSTALLED: Once = Once::new();
        // One for the whole process: whether a line is wanted is remembered across threads, so that subscribers that come
        // and go with the tests of other threads would now and then switch it off.
        INSTALLED.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(|| ToCurrent)
                .finish();
            tracing::subscriber::set_global_default(subscriber).expect("nobody else installs one");
        });
        let log = Self::default();
        CURRENT.set(Some(log.clone()));
        (log, Logging)
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no panic while it was held").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }
}

/// Ends the logging of this thread.
struct Logging;

impl Drop for Logging {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason_and_its_detail() {
    let app = secured().start().await;
    let (log, _guard) = Log::start();
    let mut cookie_post =
        request("POST", HUB).header("x-request-id", "trace-1").header("origin", "https://evil.example");
    cookie_post = cookie_post.header("cookie", "__Secure-mercure_access_token=a.b.c");
    app.send(cookie_post.body(Body::empty()).expect("a request")).await;
    let lines = log.lines();
    let line = lines.iter().find(|line| line.contains("refused")).expect("a line");
    for part in [
        "INFO",
        "trace-1",
        "POST",
        "origin_not_allowed",
        "https://evil.example",
        "publish_origins",
        "status=400",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn neither_tokens_nor_queries_nor_matchers_nor_data_are_logged() {
    let app = anonymous().start().await;
    let (log, _guard) = Log::start();
    let token = token("publish", &["a"]);
    let bad = "eyJhbGciOiJIUzI1NiJ9.eyJ0b3BzZWNyZXQiOjF9.topsecret";
    for request in [
        get(&format!("{HUB}?match=topsecret&authorization={token}")),
        get(&format!("{HUB}?Match=topsecret&authorization={token}")),
        get(&format!("{S}/exact/topsecret")),
        post_with(&token, "topic=a&data=topsecret"),
        post_with(&token, "topic=topsecret"),
        post_with(bad, "topic=topsecret"),
        post("topic=mercure&data=topsecret"),
        request("GET", HUB)
            .header("cookie", format!("__Secure-mercure_access_token={bad}"))
            .body(Body::empty())
            .expect("a request"),
    ] {
        app.send(request).await;
    }
    let lines = log.lines();
    assert!(lines.iter().filter(|line| line.contains("refused")).count() >= 5, "{lines:#?}");
    for line in lines {
        assert!(!line.contains("topsecret") && !line.contains("eyJ"), "{line}");
    }
}

/// A token of the 0.x generation, as `secured` hubs verify it in the mode.
fn old_token() -> String {
    let claims = serde_json::json!({ "mercure": { "subscribe": ["*"], "publish": ["topsecret"] } });
    super::common::signed(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), &claims)
}

#[tokio::test]
async fn l05_a_token_in_the_url_is_in_no_line_of_the_log() {
    let mut setup = secured();
    setup.auth.compatibility = Some(crate::auth::Compatibility::default());
    for setup in [setup, secured()] {
        let app = setup.start().await;
        let (log, _guard) = Log::start();
        let (good, bad) = (old_token(), format!("{}x", old_token()));
        for token in [&good, &bad] {
            for request in [
                get(&format!("{HUB}?topic=topsecret&authorization={token}")),
                get(&format!("{HUB}?topic=%00topsecret&authorization={token}&lastEventID=topsecret")),
                get(&format!("{S}?authorization={token}")),
                get(&format!("{S}/topsecret?authorization={token}")),
                get(&format!("/elsewhere?authorization={token}")),
                request("POST", &format!("{HUB}?authorization={token}"))
                    .body(Body::empty())
                    .expect("a request"),
                request("BREW", &format!("{HUB}?authorization={token}"))
                    .body(Body::empty())
                    .expect("a request"),
                request("GET", HUB)
                    .header("cookie", format!("mercureAuthorization={token}"))
                    .body(Body::empty())
                    .expect("a request"),
                post_with(token, "topic=topsecret"),
            ] {
                app.send(request).await;
            }
        }
        let lines = log.lines();
        assert!(lines.len() > 10, "{lines:#?}");
        for line in lines {
            assert!(!line.contains("topsecret") && !line.contains("eyJ"), "{line}");
        }
    }
}

#[tokio::test]
async fn l08_each_kind_of_old_client_is_told_of_once() {
    for compatible in [true, false] {
        let mut setup = anonymous();
        setup.auth.compatibility = compatible.then(crate::auth::Compatibility::default);
        let app = setup.start().await;
        let (log, _guard) = Log::start();
        for _ in 0..5 {
            let token = old_token();
            app.send(get(&format!("{HUB}?topic=a&lastEventID=x"))).await;
            app.send(get(&format!("{HUB}?match=a&authorization={token}"))).await;
            let by_cookie = request("GET", &format!("{HUB}?match=a"));
            app.send(
                by_cookie
                    .header("cookie", format!("mercureAuthorization={token}"))
                    .body(Body::empty())
                    .expect("a request"),
            )
            .await;
            app.send(post_with(&token, "topic=a")).await;
            app.send(get(&format!("{HUB}?match=a"))).await;
        }
        let lines = log.lines();
        let told: Vec<_> = lines.iter().filter(|line| line.contains("version 0.x")).collect();
        for kind in ["topic_parameter", "old_token", "old_cookie", "authorization_parameter", "old_cursor"] {
            // Refusals have their own line for each request, with a reason.
            let of_kind = told.iter().filter(|line| line.contains(&format!("kind=\"{kind}\""))).count();
            // Behind the `topic` that is refused, a hub without the mode reads no further.
            let expected = usize::from(compatible || kind != "old_cursor");
            assert_eq!(of_kind, expected, "{kind}: {told:#?}");
        }
        let level = if compatible { "INFO" } else { "WARN" };
        assert!(
            told.iter().filter(|line| line.contains("kind=")).all(|line| line.contains(level)),
            "{told:#?}"
        );
    }
}
