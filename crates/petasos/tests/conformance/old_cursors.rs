//! L06 and C05: cursors of the 0.x generation.

use petasos_testkit::{matching, matching_topic};

use crate::{
    common::Engine,
    support::{LISTED, list_origin, nothing_more},
};

/// All work whichever version is asked for. The last one is in the README of event-source-polyfill.
const PARAMETERS: [&str; 3] = ["lastEventID", "Last-Event-ID", "Last-Event-Id"];

pub(crate) async fn c05_l06_clients_without_fields_resume_by_either_parameter(engine: Engine) {
    let hub = engine.hub().await;
    hub.publish("a", "1").id("urn:x:1").await;
    hub.publish("a", "2").await;
    for name in PARAMETERS {
        for matchers in [matching_topic("a"), matching("a")] {
            let mut stream = hub.subscribe(matchers.clone()).parameter(name, "urn:x:1").await;
            if hub.has_history() {
                assert_eq!(stream.cursor(), "urn:x:1");
                assert_eq!(stream.next_data().await, "2");
            } else {
                assert_eq!(stream.cursor(), "earliest");
            }
            let in_body = petasos_testkit::form::encode([(name, "urn:x:1")]);
            let mut by_query = hub.subscribe(matchers.clone()).with_body(in_body).await;
            if hub.has_history() {
                assert_eq!(by_query.next_data().await, "2");
            }
            // R04, R02
            let unknown = hub.subscribe(matchers.clone()).parameter(name, "urn:x:never").await;
            assert_eq!(unknown.cursor(), "earliest");
            let mut empty = hub.subscribe(matchers).parameter(name, "").await;
            assert!(!empty.cursor().is_empty());
            nothing_more(&hub, &mut empty, "a").await;
        }
    }
    let other = hub.subscribe(matching_topic("a")).parameter("lasteventid", "urn:x:1").await;
    assert_eq!(other.header("mercure-last-event-id"), None, "names are case-sensitive");
}

pub(crate) async fn l06_a_cursor_of_the_present_goes_before_one_of_the_past(engine: Engine) {
    let hub = engine.hub().await;
    if !hub.has_history() {
        // R07: every cursor is answered alike.
        let stream = hub.subscribe(matching_topic("a")).parameter("lastEventID", "x").after("y").await;
        assert_eq!(stream.cursor(), "earliest");
        return;
    }
    for number in 1..=3 {
        hub.publish("a", "").id(&format!("urn:x:{number}")).await;
    }
    for name in PARAMETERS {
        let old = || hub.subscribe(matching_topic("a")).parameter(name, "urn:x:1");
        assert_eq!(old().await.cursor(), "urn:x:1");
        assert_eq!(old().after_in_query("urn:x:2").await.cursor(), "urn:x:2");
        assert_eq!(old().after("urn:x:3").after_in_query("urn:x:2").await.cursor(), "urn:x:3");
    }
    let both = hub
        .subscribe(matching_topic("a"))
        .parameter("Last-Event-ID", "urn:x:2")
        .parameter("lastEventID", "urn:x:1");
    assert_eq!(both.await.cursor(), "urn:x:2", "of two the first counts");
}

pub(crate) async fn l06_the_answer_carries_both_fields_and_cors_exposes_them(engine: Engine) {
    let hub = engine.hub_with(|config| list_origin(&mut config.http)).await;
    hub.publish("a", "1").id("urn:x:\u{e9}\"1").await;
    for request in [
        hub.subscribe(matching_topic("a")).parameter("lastEventID", "urn:x:\u{e9}\"1"),
        hub.subscribe(matching("a")).after("urn:x:\u{e9}\"1"),
        hub.subscribe(matching("a")).after_in_query(""),
    ] {
        let stream = request.header("Origin", LISTED).await;
        let [new, old] = ["mercure-last-event-id", "last-event-id"]
            .map(|name| stream.headers().get(name).expect("a cursor"));
        assert_eq!(new, old);
        let exposed = stream.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
        for name in ["link", "mercure-last-event-id", "last-event-id"] {
            assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name} among {exposed}");
        }
    }
    let live = hub.subscribe(matching_topic("a")).await;
    assert_eq!((live.header("mercure-last-event-id"), live.header("last-event-id")), (None, None));
}

pub(crate) async fn l06_the_head_of_a_stream_says_the_same(engine: Engine) {
    let hub = engine.hub().await;
    for name in PARAMETERS {
        let answer = hub
            .subscribe(matching_topic("a"))
            .parameter(name, "earliest")
            .head_only()
            .answer()
            .await
            .expect(200);
        assert_eq!(answer.header("last-event-id"), Some("earliest"));
        assert_eq!(answer.header("mercure-last-event-id"), Some("earliest"));
    }
}
