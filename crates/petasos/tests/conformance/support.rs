//! Sentences that several sections share.

use std::time::{Duration, Instant};

use petasos_hub::http::HttpConfig;
use petasos_testkit::{Answer, EventStream, HUB_PATH, Request, TestHub, form, patiently, topic};

use crate::common::origins;

/// An origin that the hubs of these cases list.
pub(crate) const LISTED: &str = "https://app.example";
/// One that they do not.
pub(crate) const UNLISTED: &str = "https://evil.example";
/// The default cookie (A02).
pub(crate) const COOKIE: &str = "__Secure-mercure_access_token";

/// One character of every kind that is forbidden (F): C0, DEL, C1 and Cf.
pub(crate) const FORBIDDEN: [char; 18] = [
    '\0',
    '\t',
    '\n',
    '\r',
    '\u{1b}',
    '\u{1f}',
    '\u{7f}',
    '\u{80}',
    '\u{85}',
    '\u{9f}',
    '\u{ad}',
    '\u{61c}',
    '\u{200b}',
    '\u{202e}',
    '\u{2060}',
    '\u{feff}',
    '\u{1d173}',
    '\u{e0041}',
];
/// Escaped bytes that are no UTF-8: a stray byte, a cut sequence, an overlong one, a surrogate, beyond the end.
pub(crate) const NOT_UTF8: [&str; 6] = ["%FF", "a%E2%82", "%C3%28", "%C0%AF", "%ED%A0%80", "%F4%90%80%80"];

/// Publishes a marker on `name`, which the stream must match, and asserts that it is the next event: nothing else was
/// sent before it.
pub(crate) async fn nothing_more(hub: &TestHub, stream: &mut EventStream, name: &str) {
    hub.publish(topic(name), "the marker").await;
    assert_eq!(stream.next_data().await, "the marker", "something came that should not");
}

/// Lists [`LISTED`] for CORS and for publishing by cookie.
pub(crate) fn list_origin(config: &mut HttpConfig) {
    config.cors_origins = origins(&[LISTED]);
    config.publish_origins = origins(&[LISTED]);
}

/// A `Cookie` field with this token.
pub(crate) fn cookie(token: &str) -> String {
    format!("theme=dark; {COOKIE}={token}; other=1")
}

/// A `POST` of a public update on topic `a` without any credentials.
pub(crate) fn bare_post(hub: &TestHub) -> Request {
    hub.request("POST", HUB_PATH).form(form::encode([("topic", "a"), ("data", "1")]))
}

/// A `GET` on topic `a` without any credentials.
pub(crate) fn bare_get(hub: &TestHub) -> Request {
    hub.get(&format!("{HUB_PATH}?match=a"))
}

/// Asks until the answer is the one wanted, for what becomes true without an announcement. Fails after ten seconds.
pub(crate) async fn eventually<F: Future<Output = Answer>>(
    wanted: u16,
    mut ask: impl FnMut() -> F,
) -> Answer {
    let mut last = 0;
    patiently("the wanted status", async {
        loop {
            let answer = ask().await;
            if answer.status == wanted {
                return answer;
            }
            if last != answer.status {
                last = answer.status;
                eprintln!("waiting for {wanted}, got {last}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Awaits `future` and says how long it took.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let begun = Instant::now();
    let output = future.await;
    (output, begun.elapsed())
}

/// Whether a text shows the inside of the program: source paths, types, addresses.
pub(crate) fn shows_internals(text: &str) -> bool {
    [".rs", "src/", "::", "panicked", "0x", "regex", "Tokenizer"].iter().any(|sign| text.contains(sign))
}

/// Asserts how many requests of each generation and kind were counted.
pub(crate) async fn counts(hub: &TestHub, expected: &[(&str, &str, u64)]) {
    for (generation, kind, count) in expected {
        let sample =
            format!("petasos_requests_by_generation_total{{generation=\"{generation}\",kind=\"{kind}\"}}");
        assert_eq!(hub.counted(&sample).await, *count, "{sample}");
    }
}
