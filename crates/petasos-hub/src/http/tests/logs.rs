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
