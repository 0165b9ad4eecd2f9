//! RFC 9112: messages that smuggle, and messages that never end. The list: length and chunks together,
//! doubled or malformed lengths, bare CR, obsolete folding, unfinished heads and bodies.

use std::time::Duration;

use petasos_testkit::{Connection, HUB_PATH, Protocol, TestHub, form, matching, matching_raw, within};

use crate::{common::Engine, support::nothing_more};

/// After this an unfinished request must have been cut off.
const CUT_OFF: Duration = Duration::from_secs(30);

/// A `POST` on topic `a` whose framing is written by hand; `fields` and `body` follow its ordinary fields.
fn post(hub: &TestHub, fields: &str, body: &str) -> Vec<u8> {
    let token = hub.publisher().may_publish(&["*"]).mint();
    let request = hub.request("POST", HUB_PATH).bearer(&token);
    let head = request.header("Content-Type", "application/x-www-form-urlencoded").bytes();
    [&head[..head.len() - 2], fields.as_bytes(), b"\r\n", body.as_bytes()].concat()
}

/// Sends the bytes and collects the statuses of all answers until the hub closes or falls silent.
async fn statuses(hub: &TestHub, bytes: &[u8]) -> (Vec<u16>, bool) {
    let mut connection = Connection::open(hub.address()).await;
    let _ = connection.try_send(bytes).await;
    let mut statuses = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(2), connection.try_head()).await {
            Ok(Ok(head)) => {
                statuses.push(head.status);
                connection.body(&head).await;
            }
            Ok(Err(_)) => return (statuses, true),
            Err(_) => return (statuses, false),
        }
    }
}

/// A request inside another one's body, published on `smuggled` if anybody takes it for a request.
fn smuggled(hub: &TestHub) -> String {
    let form = "topic=smuggled&data=1";
    let bytes = post(hub, &format!("Content-Length: {}\r\n", form.len()), form);
    String::from_utf8(bytes).unwrap()
}

pub(crate) async fn rfc9112_length_and_chunks_together_close_the_connection(engine: Engine) {
    let hub = engine.hub().await;
    let mut victim = hub.subscribe(matching("smuggled")).await;
    let inner = smuggled(&hub);
    let body = format!("7\r\ntopic=a\r\n0\r\n\r\n{inner}");
    for fields in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len()),
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
    ] {
        let (statuses, closed) = statuses(&hub, &post(&hub, &fields, &body)).await;
        assert!(statuses.len() <= 1, "{fields:?}: the rest was taken for a request: {statuses:?}");
        assert!(closed, "{fields:?}: {statuses:?}, and the connection stayed open");
    }
    nothing_more(&hub, &mut victim, "smuggled").await;
}

pub(crate) async fn rfc9112_doubled_and_malformed_lengths_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for fields in [
        "Content-Length: 7\r\nContent-Length: 8\r\n",
        "Content-Length: 7, 8\r\n",
        "Content-Length: +7\r\n",
        "Content-Length: -7\r\n",
        "Content-Length: 0x7\r\n",
        "Content-Length: 7 7\r\n",
        "Content-Length: 7.0\r\n",
        "Content-Length: seven\r\n",
        "Content-Length: 99999999999999999999999\r\n",
    ] {
        let (statuses, closed) = statuses(&hub, &post(&hub, fields, "topic=a")).await;
        assert!(statuses == [400] || statuses == [413] || statuses.is_empty(), "{fields:?}: {statuses:?}");
        assert!(closed, "{fields:?}: {statuses:?}, and the connection stayed open");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn rfc9112_unknown_codings_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for coding in [
        "xchunked",
        "chunked, identity",
        "gzip",
        "chunked, gzip",
        "chunked;x",
        "\x0bchunked",
        "chunked, chunked",
    ] {
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        let (statuses, closed) = statuses(&hub, &post(&hub, &fields, "7\r\ntopic=a\r\n0\r\n\r\n")).await;
        assert!(statuses.iter().all(|status| [400, 501].contains(status)), "{coding:?}: {statuses:?}");
        assert!(closed, "{coding:?}: {statuses:?}, and the connection stayed open");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn rfc9112_malformed_chunks_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for body in [
        "x\r\ntopic=a\r\n0\r\n\r\n",
        "-7\r\ntopic=a\r\n0\r\n\r\n",
        "7\r\ntopic=abc\r\n0\r\n\r\n",
        "7\ntopic=a\n0\n\n",
        "fffffffffffffffff\r\ntopic=a\r\n0\r\n\r\n",
    ] {
        let (statuses, closed) = statuses(&hub, &post(&hub, "Transfer-Encoding: chunked\r\n", body)).await;
        assert!(statuses.iter().all(|status| *status == 400), "{body:?}: {statuses:?}");
        assert!(closed, "{body:?}: {statuses:?}, and the connection stayed open");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn rfc9112_bare_cr_and_folding_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for fields in [
        "X-Field: a\rContent-Length: 7\r\nContent-Length: 7\r\n",
        "X-Field: a\r b\r\nContent-Length: 7\r\n",
        "X-Field: a\r\n b\r\nContent-Length: 7\r\n",
        "X-Field: a\r\n\tContent-Length: 8\r\nContent-Length: 7\r\n",
        "Content-Length : 7\r\n",
        " X-Field: a\r\nContent-Length: 7\r\n",
        "X-Field\r\nContent-Length: 7\r\n",
        "X-Field: a\0b\r\nContent-Length: 7\r\n",
    ] {
        let (statuses, closed) = statuses(&hub, &post(&hub, fields, "topic=a")).await;
        assert!(statuses.iter().all(|status| *status == 400), "{fields:?}: {statuses:?}");
        assert!(closed, "{fields:?}: {statuses:?}, and the connection stayed open");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn rfc9112_a_request_names_one_host(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().mint();
    for hosts in ["", "Host: a.example\r\nHost: b.example\r\n", "Host: a.example, b.example\r\n"] {
        let request =
            format!("GET {HUB_PATH}?match=a HTTP/1.1\r\n{hosts}Authorization: Bearer {token}\r\n\r\n");
        let (statuses, _) = statuses(&hub, request.as_bytes()).await;
        assert!(statuses.iter().all(|status| *status == 400), "{hosts:?}: {statuses:?}");
    }
}

pub(crate) async fn rfc9112_pipelined_publishes_keep_their_order(engine: Engine) {
    const UPDATES: usize = 200;
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    let mut connection = Connection::open(hub.address()).await;
    let mut bytes = Vec::new();
    for index in 0..UPDATES {
        bytes.extend_from_slice(
            &hub.post_form(form::encode([("topic", "a"), ("data", &index.to_string())])).bytes(),
        );
    }
    connection.send(&bytes).await;
    for index in 0..UPDATES {
        let head = connection.head().await;
        assert_eq!(head.status, 200, "answer {index}");
        connection.body(&head).await;
    }
    let expected: Vec<String> = (0..UPDATES).map(|index| index.to_string()).collect();
    assert_eq!(stream.next_data_of(UPDATES).await, expected);
}

pub(crate) async fn rfc9112_an_unfinished_head_is_cut_off(engine: Engine) {
    let hub = engine.hub_with(|config| config.server.head_timeout = Duration::from_secs(1)).await;
    for start in
        ["", "G", "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HTTP/2.0\r\n"]
    {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(start).await;
        within(Duration::from_secs(5), "the cut-off", connection.closed()).await;
    }
    // Also one that goes on without ever coming to an end.
    let mut connection = Connection::open(hub.address()).await;
    connection.send("GET / HTTP/1.1\r\n").await;
    let dripping = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        while connection.try_send("X: y\r\n").await.is_ok() {
            pace.tick().await;
        }
    };
    within(Duration::from_secs(8), "the cut-off of a dripping head", dripping).await;
}

pub(crate) async fn rfc9112_an_unfinished_body_is_cut_off(engine: Engine) {
    let hub = engine.hub().await;
    let mut connection = Connection::open(hub.address()).await;
    connection.send(post(&hub, "Content-Length: 1000\r\n", "topic=a&data=")).await;
    let closed = async {
        // A refusal may come first; what counts is that nobody waits for ever.
        while let Ok(head) = connection.try_head().await {
            assert!([400, 408, 413].contains(&head.status), "{head:?}");
        }
    };
    within(CUT_OFF + Duration::from_secs(3), "the cut-off", closed).await;
    hub.publish("a", "still there").await;
}

pub(crate) async fn rfc9112_a_head_over_its_limit_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    let many: String = (0..5_000).map(|index| format!("X-Field-{index}: y\r\n")).collect();
    let large = format!("X-Field: {}\r\n", "y".repeat(1 << 20));
    for fields in [many, large] {
        let bytes = format!("GET {HUB_PATH}?match=a HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let (statuses, closed) = statuses(&hub, bytes.as_bytes()).await;
        assert!(statuses.iter().all(|status| [400, 431].contains(status)), "{statuses:?}");
        assert!(closed, "the connection stayed open");
    }
}

pub(crate) async fn rfc9112_methods_and_paths_that_are_none_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    for (method, target, status) in [
        ("PUT", HUB_PATH, 405),
        ("DELETE", HUB_PATH, 405),
        ("PATCH", HUB_PATH, 405),
        ("BREW", HUB_PATH, 405),
        ("get", HUB_PATH, 405),
        ("GET", "/.well-known/mercur", 404),
        ("GET", "/.well-known/mercure/x", 404),
        ("GET", "/.well-known//mercure", 404),
        ("GET", "/.WELL-KNOWN/mercure", 404),
    ] {
        let answer = hub.request(method, target).bearer(&token).send().await;
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
    }
    let answer = hub.request("PUT", HUB_PATH).bearer(&token).send().await.expect(405);
    let allowed = answer.list("allow");
    for method in ["get", "head", "post", "query"] {
        assert!(allowed.contains(&method.to_owned()), "{allowed:?}");
    }
}

pub(crate) async fn rfc9113_many_streams_share_a_connection(engine: Engine) {
    let hub = engine.hub().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let mut responses = Vec::new();
    for _ in 0..50 {
        let request = client.get(format!("{}?match=a", hub.url())).bearer_auth(hub.subscriber().mint());
        let response = within(Duration::from_secs(10), "a stream", request.send()).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_2));
        responses.push(response);
    }
    let form = form::encode([("topic", "a"), ("data", "shared")]);
    let token = hub.publisher().may_publish(&["*"]).mint();
    let publish = client.post(hub.url()).bearer_auth(token).body(form);
    let publish = publish.header("Content-Type", "application/x-www-form-urlencoded").send();
    assert_eq!(within(Duration::from_secs(10), "an answer", publish).await.unwrap().status().as_u16(), 200);
    for response in &mut responses {
        let mut seen = Vec::new();
        while !seen.ends_with(b"data: shared\n\n") {
            let chunk =
                within(Duration::from_secs(10), "the event", response.chunk()).await.unwrap().unwrap();
            seen.extend_from_slice(&chunk);
        }
    }
}

pub(crate) async fn rfc9113_a_request_without_a_matcher_harms_no_other(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    hub.subscribe(matching_raw("")).over(Protocol::Http2).answer().await.expect(400);
    nothing_more(&hub, &mut stream, "a").await;
}
