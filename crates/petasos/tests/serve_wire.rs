//! HTTP/1 on the wire: what two readers of the same bytes could read as different messages is refused, and everything
//! that is refused is answered, gently, on a connection that carries nothing after it (RFC 9112, 6.1 and 11.2).

mod serve_support;

use petasos_testkit::{Connection, End, HUB_PATH, TestHub};
use serve_support::{Exchange, config, start};

/// A request that must not be answered, because it came after one that was refused.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n";

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A publish with these framing fields and this body, and a request behind it.
fn post(fields: &str, body: &str) -> String {
    format!("POST {HUB_PATH} HTTP/1.1\r\nHost: hub\r\n{FORM}{fields}\r\n{body}{SMUGGLED}")
}

/// A `GET` with these lines after the request line, and a request behind it.
fn get(lines: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\n{lines}\r\n{SMUGGLED}")
}

async fn refuses(hub: &TestHub, shapes: &[(&str, String)]) {
    for (name, bytes) in shapes {
        let exchange = Exchange::of(hub, bytes).await;
        assert_eq!(exchange.statuses(), [400], "{name}: {:?}", exchange.text);
        assert_eq!(exchange.end, End::Clean, "{name}: the answer must not be destroyed by a reset");
    }
}

#[tokio::test]
async fn well_formed_requests_share_a_connection() {
    let hub = start(config());
    let two = "topic=a&data=1";
    let length = format!("Content-Length: {}\r\n", two.len());
    let chunked = "Transfer-Encoding: Chunked\r\n";
    let chunks = "7\r\ntopic=a\r\n7;x=y\r\n&data=2\r\n0\r\nDigest: x\r\n\r\n";
    let requests = [
        format!("\r\nPOST {HUB_PATH} HTTP/1.1\r\nHost: hub\r\n{FORM}{length}\r\n{two}"),
        "GET http://hub/healthz HTTP/1.1\r\nHost: hub\r\n\r\n".to_owned(),
        // The resources close behind chunks, because they do not know who reads the wire.
        format!("POST {HUB_PATH} HTTP/1.1\r\nhost:hub\r\n{FORM}{chunked}\r\n{chunks}"),
    ];
    let exchange = Exchange::of(&hub, requests.concat()).await;
    assert_eq!(exchange.statuses(), [200, 200, 200], "{}", exchange.text);
    assert_eq!(exchange.end, End::Clean);
}

#[tokio::test]
async fn lengths_that_are_doubled_or_malformed_are_refused() {
    let hub = start(config());
    let shape = |name: &'static str, fields: &str| (name, post(fields, "topic=a"));
    refuses(
        &hub,
        &[
            shape("doubled, equal", "Content-Length: 7\r\nContent-Length: 7\r\n"),
            shape("doubled, different", "Content-Length: 7\r\nContent-Length: 8\r\n"),
            shape("a list of equal ones", "Content-Length: 7, 7\r\n"),
            shape("a sign", "Content-Length: +7\r\n"),
            shape("negative", "Content-Length: -7\r\n"),
            shape("hexadecimal", "Content-Length: 0x7\r\n"),
            shape("two numbers", "Content-Length: 7 7\r\n"),
            shape("empty", "Content-Length:\r\n"),
            shape("too large for any machine", "Content-Length: 99999999999999999999\r\n"),
            shape("a vertical tab", "Content-Length: \u{b}7\r\n"),
        ],
    )
    .await;
}

#[tokio::test]
async fn lengths_and_chunks_together_and_codings_but_chunked_are_refused() {
    let hub = start(config());
    let chunks = "7\r\ntopic=a\r\n0\r\n\r\n";
    let shape = |name: &'static str, fields: &str| (name, post(fields, chunks));
    refuses(
        &hub,
        &[
            shape("length, then chunks", "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n"),
            shape("chunks, then length", "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n"),
            shape("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            shape("chunks twice in one", "Transfer-Encoding: chunked, chunked\r\n"),
            shape("chunks not last", "Transfer-Encoding: chunked, identity\r\n"),
            shape("compressed and chunked", "Transfer-Encoding: gzip, chunked\r\n"),
            shape("no chunks", "Transfer-Encoding: identity\r\n"),
            shape("not quite chunked", "Transfer-Encoding: xchunked\r\n"),
            shape("a control character", "Transfer-Encoding: \u{b}chunked\r\n"),
            shape("a space before the colon", "Transfer-Encoding : chunked\r\n"),
            shape("folded", "Transfer-Encoding:\r\n chunked\r\n"),
            (
                "chunks in HTTP/1.0",
                post("Transfer-Encoding: chunked\r\n", chunks).replacen("HTTP/1.1", "HTTP/1.0", 1),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn chunks_that_are_malformed_are_refused() {
    let hub = start(config());
    let long_extension = format!("7;{}\r\ntopic=a\r\n0\r\n\r\n", "x".repeat(64 << 10));
    let shape = |name: &'static str, body: &str| (name, post("Transfer-Encoding: chunked\r\n", body));
    refuses(
        &hub,
        &[
            shape("a size that overflows", "10000000000000007\r\ntopic=a\r\n0\r\n\r\n"),
            shape("a size with a sign", "+7\r\ntopic=a\r\n0\r\n\r\n"),
            shape("a size with a prefix", "0x7\r\ntopic=a\r\n0\r\n\r\n"),
            shape("no size", "\r\ntopic=a\r\n0\r\n\r\n"),
            shape("a size that ends with LF", "7\ntopic=a\r\n0\r\n\r\n"),
            shape("an extension that ends with LF", "7;x\ntopic=a\r\n0\r\n\r\n"),
            shape("an extension without end", &long_extension),
            shape("data that is longer than its size", "7\r\ntopic=aa\r\n0\r\n\r\n"),
            shape("data that ends with LF", "7\r\ntopic=a\n0\r\n\r\n"),
            shape("a length in the trailers", "7\r\ntopic=a\r\n0\r\nContent-Length: 5\r\n\r\n"),
            shape("folded trailers", "7\r\ntopic=a\r\n0\r\nA: b\r\n c\r\n\r\n"),
        ],
    )
    .await;
}

#[tokio::test]
async fn heads_that_are_malformed_are_refused() {
    let hub = start(config());
    let line = |name: &'static str, line: &str| (name, format!("{line}\r\nHost: hub\r\n\r\n{SMUGGLED}"));
    refuses(
        &hub,
        &[
            ("a bare CR", get("Host: hub\r\nA: b\rContent-Length: 5\r\n")),
            ("a bare LF", get("Host: hub\r\nA: b\nContent-Length: 5\r\n")),
            ("lines that end with CR", get("Host: hub\r\n").replace("\r\n", "\r")),
            ("lines that end with LF", get("Host: hub\r\n").replace("\r\n", "\n")),
            ("obsolete folding", get("Host: hub\r\nA: b\r\n\tc\r\n")),
            ("a field before all names", get(" Host: hub\r\n")),
            ("NUL in a value", get("Host: hub\r\nA: b\0c\r\n")),
            ("NUL in a name", get("Host: hub\r\nA\0: b\r\n")),
            ("a space before the colon", get("Host : hub\r\n")),
            ("a name without a colon", get("Host: hub\r\nA\r\n")),
            ("a name that is none", get("Host: hub\r\nA(b): c\r\n")),
            line("a method that is none", "GE(T /healthz HTTP/1.1"),
            line("no target", "GET HTTP/1.1"),
            line("two spaces", "GET  /healthz HTTP/1.1"),
            line("a space in the target", "GET /health z HTTP/1.1"),
            line("a tab", "GET\t/healthz HTTP/1.1"),
            line("a target that is none", "GET healthz\\ HTTP/1.1"),
            line("a version that is none", "GET /healthz HTTP/1.2"),
            line("another version", "GET /healthz HTTP/2.0"),
            line("no version", "GET /healthz"),
            line("another protocol", "\u{16}\u{3}\u{1}\u{2}"),
        ],
    )
    .await;
}

#[tokio::test]
async fn requests_that_do_not_say_which_host_they_are_for_are_refused() {
    let hub = start(config());
    for hosts in ["", "Host: hub\r\nHost: other\r\n", "Host: hub\r\nHost: hub\r\n", "Host: a b\r\n"] {
        let request = format!("GET {HUB_PATH}?match=a HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let exchange = Exchange::of(&hub, request).await;
        assert_eq!(exchange.statuses(), [400], "{hosts:?}: {}", exchange.text);
    }
}

#[tokio::test]
async fn methods_are_case_sensitive_and_tunnels_are_not_built() {
    let hub = start(config());
    for (method, target) in [("get", HUB_PATH), ("CONNECT", "hub:80"), ("TRACE", HUB_PATH)] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
        let exchange = Exchange::of(&hub, request).await;
        let status = exchange.statuses()[0];
        assert!(matches!(status, 400 | 404 | 405), "{method}: {}", exchange.text);
    }
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_the_answers_before_it_whole() {
    let hub = start(config());
    let good = "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
    let exchange =
        Exchange::of(&hub, format!("{good}{good}{}", post("Content-Length: +7\r\n", "topic=a"))).await;
    assert_eq!(exchange.statuses(), [200, 200, 400], "{}", exchange.text);
    assert_eq!(exchange.end, End::Clean);
}

#[tokio::test]
async fn p12_the_answer_to_a_body_that_nobody_reads_is_not_destroyed() {
    let hub = start(config());
    let body = "x".repeat(3 << 20);
    let request = format!(
        "POST {HUB_PATH} HTTP/1.1\r\nHost: hub\r\n{FORM}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let exchange = Exchange::of(&hub, request).await;
    assert_eq!(exchange.statuses(), [413], "{}", exchange.text);
    assert_eq!(exchange.end, End::Clean);
}

#[tokio::test]
async fn a_client_that_has_said_all_is_still_answered() {
    let hub = start(config());
    let get = "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
    let body = "topic=a&data=1";
    let post = format!(
        "POST {HUB_PATH} HTTP/1.1\r\nHost: hub\r\n{FORM}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for request in [get.to_owned(), post.clone(), format!("{get}{post}{get}")] {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(&request).await;
        connection.finish_sending().await;
        let (answers, end) = connection.closed().await;
        let answers = String::from_utf8_lossy(&answers);
        assert_eq!(answers.matches("HTTP/1.1 200").count(), request.matches("Host:").count(), "{answers}");
        assert_eq!(end, End::Clean);
    }
}

#[tokio::test]
async fn a_client_that_ends_within_a_message_or_before_a_stream_is_gone() {
    let hub = start(config());
    let requests = [
        format!("GET {HUB_PATH}?match=a HTTP/1.1\r\nHost: hub\r\n\r\n"),
        format!("POST {HUB_PATH} HTTP/1.1\r\nHost: hub\r\n{FORM}Content-Length: 100\r\n\r\ntopic=a"),
        "GET /heal".to_owned(),
    ];
    for request in requests {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(&request).await;
        connection.finish_sending().await;
        // The time limit is that of the test kit, far below all time limits of the hub.
        connection.closed().await;
    }
}
