//! S07 and P12: limits, and what is answered over them.

use petasos_testkit::{
    Connection, End, HUB_PATH, Protocol, Request, TestHub, form, matching, matching_pattern, matching_raw,
    patiently, topic,
};

use crate::{
    common::Engine,
    support::{LISTED, eventually, list_origin, nothing_more},
};

/// The documented defaults.
const DEFAULT_MATCHERS: usize = 1_000;
const DEFAULT_BODY_BYTES: usize = 1 << 20;
const DEFAULT_TARGET_BYTES: usize = 60 << 10;

fn matchers(count: usize) -> String {
    (0..count).map(|index| format!("match=t{index}")).collect::<Vec<_>>().join("&")
}

pub(crate) async fn s07_a_thousand_matchers_are_taken_and_one_more_is_not(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching_raw(matchers(DEFAULT_MATCHERS))).await;
    hub.publish("t999", "in the URL").await;
    assert_eq!(stream.next_data().await, "in the URL");
    let mut stream = hub.subscribe(matching_raw("")).with_body(matchers(DEFAULT_MATCHERS)).await;
    hub.publish("t0", "in the body").await;
    assert_eq!(stream.next_data().await, "in the body");
    hub.subscribe(matching_raw(matchers(DEFAULT_MATCHERS + 1))).answer().await.expect(400);
    // The union counts.
    hub.subscribe(matching("one more")).with_body(matchers(DEFAULT_MATCHERS)).answer().await.expect(400);
}

pub(crate) async fn s07_a_matcher_over_its_length_is_refused(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.matcher_bytes = 100).await;
    hub.subscribe(matching(&"a".repeat(100))).await;
    hub.subscribe(matching(&"a".repeat(101))).answer().await.expect(400);
    // Bytes are counted, not characters.
    hub.subscribe(matching(&"\u{20ac}".repeat(34))).answer().await.expect(400);
    hub.subscribe(matching_pattern(&format!("/{}", "a".repeat(100)))).answer().await.expect(400);
}

pub(crate) async fn s07_a_target_over_its_length_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let padded = |bytes: usize| {
            let start = format!("{HUB_PATH}?match=a&x=");
            matching_raw(format!("match=a&x={}", "y".repeat(bytes - start.len())))
        };
        let mut stream = hub.subscribe(padded(DEFAULT_TARGET_BYTES)).over(protocol).await;
        nothing_more(&hub, &mut stream, "a").await;
        let answer = hub.subscribe(padded(DEFAULT_TARGET_BYTES + 1)).over(protocol).answer().await;
        assert!([414, 431].contains(&answer.status), "over {protocol:?}: {answer:?}");
    }
}

pub(crate) async fn s07_streams_are_not_limited_by_default(engine: Engine) {
    let hub = engine.hub().await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(hub.subscribe(matching("a")).await);
    }
    hub.publish("a", "1").await;
    for stream in &mut streams {
        assert_eq!(stream.next_data().await, "1");
    }
}

pub(crate) async fn s07_streams_over_the_total_are_429_with_retry_after(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.streams = 2).await;
    let first = hub.subscribe(matching("a")).await;
    let _second = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    refused_for_now(hub.subscribe(matching("a")).request()).await;
    refused_for_now(hub.subscribe(matching("a")).over(Protocol::Http2).request()).await;
    // A HEAD opens no stream, and a publish is none.
    hub.publish("a", "1").await;
    drop(first);
    eventually(200, || hub.subscribe(matching("a")).answer()).await;
}

pub(crate) async fn s07_streams_of_one_address_are_limited(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.streams_per_address = 1).await;
    let first = hub.subscribe(matching("a")).await;
    refused_for_now(hub.subscribe(matching("a")).request()).await;
    let _other = hub.subscribe(matching("a")).request().from([127, 0, 0, 2]).stream().await;
    drop(first);
    eventually(200, || hub.subscribe(matching("a")).answer()).await;
}

pub(crate) async fn s07_streams_of_one_subject_are_limited(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.streams_per_subject = 1).await;
    let of = |subject: &str| hub.subscriber().claim("sub", subject).mint();
    let first = hub.subscribe(matching("a")).with_token(&of("one")).await;
    refused_for_now(hub.subscribe(matching("a")).with_token(&of("one")).request()).await;
    let _other = hub.subscribe(matching("a")).with_token(&of("other")).await;
    drop(first);
    eventually(200, || hub.subscribe(matching("a")).with_token(&of("one")).answer()).await;
}

async fn refused_for_now(request: Request) {
    let answer = request.send().await.expect(429);
    let seconds: u32 = answer.required("retry-after").parse().unwrap();
    assert!(seconds > 0, "Retry-After invites to retry at once");
}

fn form_of(bytes: usize) -> String {
    let start = "topic=a&data=";
    format!("{start}{}", "x".repeat(bytes - start.len()))
}

pub(crate) async fn p12_a_body_of_a_mebibyte_is_taken_and_one_more_byte_is_413(engine: Engine) {
    let hub = engine.hub().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        hub.post_form(form_of(DEFAULT_BODY_BYTES)).over(protocol).send().await.expect(200);
        hub.post_form(form_of(DEFAULT_BODY_BYTES + 1)).over(protocol).send().await.expect(413);
    }
}

pub(crate) async fn p12_a_chunked_body_over_the_limit_is_413(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.body_bytes = 10_000).await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for (chunks, status) in [(2, 200), (3, 413)] {
        let mut connection = Connection::open(hub.address()).await;
        connection.send(chunked_head(&hub)).await;
        connection.send("d\r\ntopic=a&data=\r\n").await;
        for _ in 0..chunks {
            connection.send(&chunk).await;
        }
        connection.send("0\r\n\r\n").await;
        assert_eq!(connection.head().await.status, status, "{chunks} chunks of 4 KiB");
    }
}

fn chunked_head(hub: &TestHub) -> Vec<u8> {
    let head = hub.request("POST", HUB_PATH).bearer(&hub.publisher().may_publish(&["*"]).mint());
    let head = head.header("Content-Type", "application/x-www-form-urlencoded");
    head.header("Transfer-Encoding", "chunked").bytes().to_vec()
}

/// C06: the browser has sent the whole body before it looks.
pub(crate) async fn p12_a_413_of_a_3_mb_body_can_be_read_with_its_cors_fields(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    let answer = hub.post_form(form_of(3_000_000)).origin(LISTED).send().await.expect(413);
    assert_eq!(answer.required("access-control-allow-origin"), LISTED);
    assert_eq!(answer.required("access-control-allow-credentials"), "true");
}

pub(crate) async fn p12_a_declared_gibibyte_is_refused_before_it_is_sent(engine: Engine) {
    let hub = engine.hub().await;
    let mut connection = Connection::open(hub.address()).await;
    let head = hub.request("POST", HUB_PATH).bearer(&hub.publisher().may_publish(&["*"]).mint());
    let head = head.header("Content-Type", "application/x-www-form-urlencoded");
    connection.send(head.header("Content-Length", (1 << 30).to_string()).bytes()).await;
    connection.send("topic=a&data=").await;
    let head = patiently("the 413", connection.head()).await;
    assert_eq!(head.status, 413);
    let (_, end) = connection.body(&head).await;
    assert_eq!(end, End::Clean, "the 413 must be readable to its end");
}

pub(crate) async fn p12_without_a_limit_any_body_is_taken(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.body_bytes = 0).await;
    hub.post_form(form_of(3_000_000)).send().await.expect(200);
}

pub(crate) async fn p12_topics_and_fields_over_their_limits_are_413(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.http.limits.update.topics = 3;
            config.http.limits.update.field_bytes = 100;
        })
        .await;
    let (fits, too_long) = ("a".repeat(100), "a".repeat(101));
    hub.publish(topic("a").and("b").and("c"), "").await;
    hub.publish(topic("a").and("b").and("c").and("d"), "").answer().await.expect(413);
    hub.publish(fits.as_str(), "").id(&fits).kind(&fits).await;
    hub.publish(too_long.as_str(), "").answer().await.expect(413);
    hub.publish("a", "").id(&too_long).answer().await.expect(413);
    hub.publish("a", "").kind(&too_long).answer().await.expect(413);
    // Data is bounded by the body alone.
    hub.publish("a", &"a".repeat(1_000)).await;
}

pub(crate) async fn p12_what_is_over_a_limit_is_not_published(engine: Engine) {
    let hub = engine.hub_with(|config| config.http.limits.body_bytes = 1_000).await;
    let mut stream = hub.subscribe(matching("a")).await;
    hub.post_form(form::encode([("topic", "a"), ("data", &"x".repeat(1_000))])).send().await.expect(413);
    nothing_more(&hub, &mut stream, "a").await;
}
