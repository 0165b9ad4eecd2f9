//! R01 to R07: cursors, replay, and the seam between replay and live.

use petasos::config::TransportConfig;
use petasos_hub::transport::Retention;
use petasos_testkit::{
    HUB_PATH, Protocol, TestHub, form, matching, matching_pattern, process::scratch, topic,
};
use tokio::sync::oneshot;

use crate::{common::Engine, support::nothing_more};

/// Publishes updates `urn:x:{first}` to `urn:x:{last}` on topic `a`; the data is the number.
async fn publish_numbered(hub: &TestHub, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        hub.publish("a", &number.to_string()).id(&numbered(number)).await;
    }
}

fn numbered(number: usize) -> String {
    format!("urn:x:{number}")
}

fn numbers(range: std::ops::RangeInclusive<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) async fn r01_a_cursor_replays_what_came_after_it(engine: Engine) {
    let hub = engine.hub().await;
    publish_numbered(&hub, 1..=5).await;
    let in_field = hub.subscribe(matching("a")).after("urn:x:2");
    let in_query = hub.subscribe(matching("a")).after_in_query("urn:x:2");
    for subscribe in [in_field.clone(), in_query, in_field.over(Protocol::Http2)] {
        let mut stream = subscribe.await;
        if hub.has_history() {
            assert_eq!(stream.cursor(), "urn:x:2");
            assert_eq!(stream.next_data_of(3).await, ["3", "4", "5"]);
        } else {
            assert_eq!(stream.cursor(), "earliest");
        }
        hub.publish("b", "not asked for").await;
        publish_numbered(&hub, 5..=5).await;
        assert_eq!(stream.next_data().await, "5", "and then what comes live");
        if hub.has_history() {
            // R05: the repeated id is an event of its own, which the next round replays.
            break;
        }
    }
}

pub(crate) async fn r01_the_field_goes_before_the_parameter(engine: Engine) {
    let hub = engine.hub().await;
    publish_numbered(&hub, 1..=3).await;
    let stream = hub.subscribe(matching("a")).after_in_query("urn:x:1").after("urn:x:2").await;
    assert_eq!(stream.cursor(), if hub.has_history() { "urn:x:2" } else { "earliest" });
}

pub(crate) async fn r01_any_id_can_be_a_cursor(engine: Engine) {
    let hub = engine.hub().await;
    for id in
        ["a b", "https://example.com/?x=1&y=2#z", "100%", "+", "\u{20ac}", "%E2%82%AC", "x,y", "\"quoted\""]
    {
        hub.publish("a", id).id(id).await;
        hub.publish("a", "next").await;
        for subscribe in
            [hub.subscribe(matching("a")).after(id), hub.subscribe(matching("a")).after_in_query(id)]
        {
            let mut stream = subscribe.await;
            if hub.has_history() {
                assert_eq!(stream.cursor(), id);
                assert_eq!(stream.next_data().await, "next", "after {id:?}");
            } else {
                assert_eq!(stream.cursor(), "earliest");
            }
        }
    }
}

/// Many subscribers resume while updates are published at full speed: none may miss, double or reorder one.
pub(crate) async fn r01_the_seam_has_no_gap_and_no_duplicate(engine: Engine) {
    const UPDATES: usize = 400;
    /// The last of them wait until every reader is there, so that each has something to receive live.
    const BEFORE_ALL_ARE_THERE: usize = 300;
    let hub = engine.hub().await;
    publish_numbered(&hub, 1..=10).await;
    let requests: Vec<_> = (11..=UPDATES)
        .map(|number| {
            let id = numbered(number);
            hub.post_form(form::encode([("topic", "a"), ("data", &number.to_string()), ("id", &id)]))
        })
        .collect();
    let (all_are_there, mut readers_are_there) = oneshot::channel();
    let publishing = tokio::spawn(async move {
        for (index, request) in requests.into_iter().enumerate() {
            if index == BEFORE_ALL_ARE_THERE {
                (&mut readers_are_there).await.unwrap();
            }
            request.send().await.expect(200);
        }
    });
    let mut readers = Vec::new();
    for index in 0..20 {
        let after = 1 + index % 10;
        let protocol = if index % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        let matchers = if index % 3 == 0 { matching("a") } else { matching_pattern("/.well-known/:any") };
        let mut stream = hub.subscribe(matchers).after(&numbered(after)).over(protocol).await;
        let first = hub.has_history().then_some(after + 1);
        readers.push(tokio::spawn(async move {
            let begins_with: usize = stream.next_data().await.parse().unwrap();
            assert!(first.is_none_or(|first| first == begins_with), "{begins_with} is first after {after}");
            let rest = stream.next_data_of(UPDATES - begins_with).await;
            assert_eq!(rest, numbers(begins_with + 1..=UPDATES), "after {after}");
        }));
    }
    all_are_there.send(()).unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    publishing.await.unwrap();
}

pub(crate) async fn r02_a_cursor_is_answered_only_if_one_was_sent(engine: Engine) {
    let hub = engine.hub().await;
    publish_numbered(&hub, 1..=1).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut stream = hub.subscribe(matching("a")).over(protocol).await;
        assert_eq!(stream.header("mercure-last-event-id"), None);
        nothing_more(&hub, &mut stream, "a").await;
    }
}

pub(crate) async fn r02_an_empty_cursor_is_answered_with_the_newest_id(engine: Engine) {
    let hub = engine.hub().await;
    let ask = || [hub.subscribe(matching("a")).after(""), hub.subscribe(matching("a")).after_in_query("")];
    for subscribe in ask() {
        assert_eq!(subscribe.await.cursor(), "earliest", "nothing was ever published");
    }
    publish_numbered(&hub, 1..=2).await;
    // Hub-wide, whatever its topic.
    hub.publish("b", "").id("urn:x:newest").await;
    for subscribe in ask() {
        let mut stream = subscribe.await;
        assert_eq!(stream.cursor(), "urn:x:newest");
        hub.publish("a", "live").await;
        assert_eq!(stream.next_data().await, "live", "an empty cursor replays nothing");
        hub.publish("b", "").id("urn:x:newest").await;
    }
}

pub(crate) async fn r02_a_known_id_is_found_however_far_back(engine: Engine) {
    const UPDATES: usize = 3_000;
    let hub = engine.hub().await;
    let requests: Vec<_> = (0..UPDATES)
        .map(|number| hub.post_form(form::encode([("topic", "x"), ("id", &numbered(number))])))
        .collect();
    hub.publish("a", "the first").id("urn:x:first").await;
    // A few at a time: the order does not matter here.
    let mut requests = requests.into_iter();
    while requests.len() > 0 {
        let batch: Vec<_> = requests.by_ref().take(32).map(|request| tokio::spawn(request.send())).collect();
        for answer in batch {
            answer.await.unwrap().expect(200);
        }
    }
    hub.publish("a", "the last").await;
    let mut stream = hub.subscribe(matching("a")).after("urn:x:first").await;
    if hub.has_history() {
        assert_eq!(stream.cursor(), "urn:x:first");
        assert_eq!(stream.next_data().await, "the last");
    } else {
        assert_eq!(stream.cursor(), "earliest");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn r03_earliest_replays_everything(engine: Engine) {
    let hub = engine.hub().await;
    let stream = hub.subscribe(matching("a")).after("earliest").await;
    assert_eq!(stream.cursor(), "earliest");
    publish_numbered(&hub, 1..=300).await;
    for subscribe in [
        hub.subscribe(matching("a")).after("earliest"),
        hub.subscribe(matching_pattern("/.well-known/:x")).after_in_query("earliest"),
        hub.subscribe(matching("*")).after("earliest").over(Protocol::Http2),
    ] {
        let mut stream = subscribe.await;
        assert_eq!(stream.cursor(), "earliest");
        if hub.has_history() {
            assert_eq!(stream.next_data_of(300).await, numbers(1..=300));
        } else {
            hub.publish("a", "only live").await;
            assert_eq!(stream.next_data().await, "only live");
        }
    }
}

pub(crate) async fn r04_an_unknown_cursor_answers_earliest_and_replays_all(engine: Engine) {
    let hub = engine.hub().await;
    publish_numbered(&hub, 1..=3).await;
    for unknown in ["urn:x:never-was", "urn:x:1 ", "URN:X:1", "Earliest", "#1", "0"] {
        let mut stream = hub.subscribe(matching("a")).after_in_query(unknown).await;
        assert_eq!(stream.cursor(), "earliest", "{unknown:?}");
        if hub.has_history() {
            assert_eq!(stream.next_data_of(3).await, ["1", "2", "3"], "{unknown:?}");
        }
    }
}

pub(crate) async fn r04_a_discarded_cursor_answers_earliest_and_replays_what_is_kept(engine: Engine) {
    let hub = engine
        .hub_with(|config| match &mut config.transport {
            TransportConfig::Local => {}
            TransportConfig::Sqlite(sqlite) => sqlite.retention.events = 10,
            TransportConfig::Remote(remote) => {
                remote.retention = Some(Retention { events: 10, ..Retention::default() });
            }
        })
        .await;
    publish_numbered(&hub, 1..=30).await;
    for (cursor, answered) in [("urn:x:1", "earliest"), ("urn:x:20", "earliest"), ("urn:x:25", "urn:x:25")] {
        let mut stream = hub.subscribe(matching("a")).after(cursor).await;
        if hub.has_history() {
            assert_eq!(stream.cursor(), answered, "after {cursor}");
            let first = if answered == "earliest" { 21 } else { 26 };
            assert_eq!(stream.next_data_of(31 - first).await, numbers(first..=30), "after {cursor}");
        } else {
            assert_eq!(stream.cursor(), "earliest");
        }
    }
}

pub(crate) async fn r05_a_reused_id_means_its_earliest_update(engine: Engine) {
    let hub = engine.hub().await;
    for (id, data) in
        [("urn:x:1", "first"), ("urn:x:2", "between"), ("urn:x:1", "second"), ("urn:x:3", "last")]
    {
        assert_eq!(hub.publish("a", data).id(id).await, id, "an id is no key: the same one is stored again");
    }
    let mut stream = hub.subscribe(matching("a")).after("urn:x:1").await;
    if hub.has_history() {
        assert_eq!(stream.cursor(), "urn:x:1");
        assert_eq!(stream.next_data_of(3).await, ["between", "second", "last"]);
    } else {
        assert_eq!(stream.cursor(), "earliest");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn r06_a_cursor_is_hub_wide(engine: Engine) {
    let hub = engine.hub().await;
    hub.publish("a", "before").await;
    hub.publish("b", "").private().id("urn:x:foreign").await;
    hub.publish("a", "after").await;
    // Also the id of an update that this subscriber neither asked for nor may read.
    let mut stream = hub.subscribe(matching("a")).after("urn:x:foreign").granted_nothing().await;
    if hub.has_history() {
        assert_eq!(stream.cursor(), "urn:x:foreign");
        assert_eq!(stream.next_data().await, "after");
    } else {
        assert_eq!(stream.cursor(), "earliest");
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn r07_history_outlives_the_hub_where_there_is_one(engine: Engine) {
    let directory = scratch();
    let first = engine.hub_in(directory.path(), |_| {}).await;
    publish_numbered(&first, 1..=3).await;
    first.stop().await;
    let second = engine.hub_in(directory.path(), |_| {}).await;
    let mut stream = second.subscribe(matching("a")).after("urn:x:1").await;
    if second.has_history() {
        assert_eq!(stream.cursor(), "urn:x:1");
        assert_eq!(stream.next_data_of(2).await, ["2", "3"]);
    } else {
        assert_eq!(stream.cursor(), "earliest");
    }
    nothing_more(&second, &mut stream, "a").await;
}

pub(crate) async fn r01_a_replay_keeps_what_an_event_was(engine: Engine) {
    let hub = engine.hub().await;
    let mut live = hub.subscribe(matching("b")).await;
    let publish = hub.publish(topic("a").and("b"), "line\r\nline\0").id("urn:x:1").kind("tick");
    publish.field("retry", "1500").await;
    let event = live.next().await;
    assert_eq!((event.id.as_str(), event.kind.as_str(), event.retry_ms), ("urn:x:1", "tick", Some(1500)));
    assert_eq!(event.data, "line\nline\0");
    if hub.has_history() {
        let mut replay = hub.subscribe(matching("a")).after("earliest").await;
        assert_eq!(replay.next().await, event);
    }
}

pub(crate) async fn r02_head_and_query_answer_the_same_cursor(engine: Engine) {
    let hub = engine.hub().await;
    publish_numbered(&hub, 1..=2).await;
    for (cursor, known) in [("urn:x:1", true), ("urn:x:never", false), ("earliest", false)] {
        let expected = if known && hub.has_history() { cursor } else { "earliest" };
        let head = hub.subscribe(matching("a")).after(cursor).head_only().answer().await.expect(200);
        assert_eq!(head.required("mercure-last-event-id"), expected);
        let target = format!("{HUB_PATH}?{}", form::encode([("last_event_id", cursor)]));
        let query = hub.request("QUERY", &target).bearer(&hub.subscriber().mint()).form("match=a");
        assert_eq!(query.stream().await.cursor(), expected);
    }
}
