//! Cases of append, head, find and read.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::join_all;
use petasos_hub::{
    Update,
    transport::{Append, AttemptId, Head, Position, ReadHint, ReadLimit},
};

use super::{Log, append, event, event_on, ids, read, read_all, tail_of};
use crate::patiently;

/// How many appends are under way at once.
const CONCURRENT: usize = 64;

/// Order within a call, and nothing lost of an event.
pub async fn a_batch_keeps_its_order_and_every_field(log: Log) {
    let rich = Update::from_stored(
        "urn:x:rich\u{e9}".to_owned(),
        vec!["canonical".to_owned(), "https://example.com/\u{20ac}".to_owned()],
        "line\r\nline\n\0\u{2028}".to_owned(),
        true,
        Some("kind".to_owned()),
        Some(u64::MAX),
    );
    let bare = Update::from_stored("b".to_owned(), vec!["t".to_owned()], String::new(), false, None, None);
    let entries = [&rich, &bare].map(|update| Append { update: Arc::new(update.clone()), presence: None });
    let stored = patiently("an append", log.append(AttemptId::new(), entries.to_vec())).await;
    let last = stored.unwrap_or_else(|error| panic!("an append failed: {error}"));
    let events = tail_of(&log, Position::START, 2).await;
    assert_eq!(*events[0].update, rich);
    assert_eq!(*events[1].update, bare);
    assert!(events[0].position < events[1].position);
    assert_eq!(last, Some(events[1].position), "an append answers the position of its last entry");
}

/// `head` follows the appends.
pub async fn positions_grow_and_the_head_is_the_newest(log: Log) {
    let empty = patiently("the head", log.head()).await.unwrap_or_else(|error| panic!("no head: {error}"));
    // An engine may begin to count where it likes.
    assert_eq!(empty.id, None);
    let mut last = empty.position;
    for id in ["a", "b", "c"] {
        let position = append(&log, event(id)).await;
        assert!(position > last);
        last = position;
        let head = patiently("the head", log.head()).await.unwrap_or_else(|error| panic!("no head: {error}"));
        assert_eq!(head, Head { position, id: Some(id.to_owned()) });
    }
}

/// The call takes the place in line, not the polling of its future.
pub async fn calls_keep_their_order_whoever_is_polled_first(log: Log) {
    let expected: Vec<String> = (0..CONCURRENT).map(|index| format!("e{index}")).collect();
    let calls: Vec<_> = expected.iter().map(|id| log.append(AttemptId::new(), vec![event(id)])).collect();
    for call in calls.into_iter().rev() {
        let stored = patiently("an append", call).await;
        assert!(stored.is_ok_and(|position| position.is_some()));
    }
    assert_eq!(ids(&tail_of(&log, Position::START, CONCURRENT).await), expected);
}

/// Group commit loses and doubles nothing.
pub async fn concurrent_appends_are_each_stored_once(log: Log) {
    let tasks = (0..CONCURRENT).map(|index| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { append(&log, event(&format!("e{index}"))).await })
    });
    let positions: HashSet<Position> = join_all(tasks).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(positions.len(), CONCURRENT, "every append has a position of its own");
    let events = tail_of(&log, Position::START, CONCURRENT).await;
    assert_eq!(events.len(), CONCURRENT);
    assert_eq!(events.iter().map(|event| event.update.id()).collect::<HashSet<_>>().len(), CONCURRENT);
    assert!(events.is_sorted_by(|one, next| one.position < next.position));
}

/// A retry of an append whose answer was lost.
pub async fn a_repeated_attempt_is_stored_once(log: Log) {
    let attempt = AttemptId::new();
    for _ in 0..2 {
        let stored = patiently("an append", log.append(attempt, vec![event("a")])).await;
        assert!(stored.is_ok(), "a repeated attempt is no error: {stored:?}");
    }
    append(&log, event("b")).await;
    assert_eq!(ids(&tail_of(&log, Position::START, 2).await), ["a", "b"]);
}

/// Cancellation takes nothing with it.
pub async fn a_dropped_append_harms_no_other(log: Log) {
    drop(log.append(AttemptId::new(), vec![event("dropped")]));
    append(&log, event("kept")).await;
    let events = tail_of(&log, Position::START, 1).await;
    let kept = events.iter().filter(|event| event.update.id() != "dropped").count();
    // The dropped one may have been stored, in its place; if so the tail may hand it out on its own.
    let events = if kept == 0 { tail_of(&log, Position::START, 2).await } else { events };
    assert_eq!(events.last().map(|event| event.update.id()), Some("kept"));
}

/// R05, and unknown ids.
pub async fn an_id_is_found_at_its_earliest_event(log: Log) {
    let first = append(&log, event("twice")).await;
    append(&log, event("between")).await;
    append(&log, event("twice")).await;
    let found = patiently("a search", log.find("twice")).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found, log.info().history.then_some(first));
    let unknown = patiently("a search", log.find("never")).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(unknown, None);
}

/// At least one event, and no more than asked for.
pub async fn a_read_stops_at_its_limits_and_goes_on(log: Log) {
    for index in 0..10 {
        append(&log, event(&format!("e{index}"))).await;
    }
    if !log.info().history {
        return;
    }
    let weight = read_all(&log).await[0].update.weight_bytes();
    for limit in [
        ReadLimit { events: 3, bytes: usize::MAX },
        ReadLimit { events: usize::MAX, bytes: 3 * weight },
        ReadLimit { events: usize::MAX, bytes: 0 },
    ] {
        let (mut after, mut seen) = (Position::START, Vec::new());
        loop {
            let page = read(&log, after, Position(u64::MAX), limit).await;
            assert!(page.events.len() <= 3, "a page over its limit: {} events", page.events.len());
            assert!(page.next >= after && page.events.last().is_none_or(|last| page.next >= last.position));
            if page.events.is_empty() {
                break;
            }
            after = page.next;
            seen.extend(page.events.iter().map(|event| event.update.id().to_owned()));
        }
        let expected: Vec<String> = (0..10).map(|index| format!("e{index}")).collect();
        assert_eq!(seen, expected, "with {limit:?}");
    }
}

/// `after < position <= until`.
pub async fn a_read_stays_within_its_bounds(log: Log) {
    let mut positions = Vec::new();
    for id in ["a", "b", "c", "d"] {
        positions.push(append(&log, event(id)).await);
    }
    if !log.info().history {
        return;
    }
    let page = read(&log, positions[0], positions[2], ReadLimit::default()).await;
    assert_eq!(ids(&page.events), ["b", "c"]);
    assert!(!page.truncated);
    let page = read(&log, positions[3], Position(u64::MAX), ReadLimit::default()).await;
    assert_eq!(ids(&page.events), Vec::<&str>::new());
    assert!(page.next >= positions[3]);
}

/// An engine may ignore the hint, but may not lose by it.
pub async fn a_hint_never_hides_a_wanted_event(log: Log) {
    append(&log, event_on("1", &["a"])).await;
    append(&log, event_on("2", &["b"])).await;
    append(&log, event_on("3", &["c", "a"])).await;
    append(&log, event_on("4", &["A"])).await;
    append(&log, event_on("5", &["a", "b"])).await;
    if !log.info().history {
        return;
    }
    let hint = ReadHint { exact_topics: Arc::new(["a".to_owned(), "b".to_owned()]) };
    let limit = ReadLimit::default();
    let page = patiently("a read", log.read(Position::START, Position(u64::MAX), limit, &hint)).await;
    let page = page.unwrap_or_else(|error| panic!("a read failed: {error}"));
    let wanted = |id: &&str| *id != "4";
    assert_eq!(ids(&page.events).into_iter().filter(wanted).collect::<Vec<_>>(), ["1", "2", "3", "5"]);
}

/// Whoever was told `Ok` is stored; whoever comes later is told no.
pub async fn nothing_is_appended_after_the_close(log: Log) {
    append(&log, event("a")).await;
    log.close().await;
    let late = patiently("a late append", log.append(AttemptId::new(), vec![event("b")])).await;
    assert!(late.is_err(), "a closed transport took an event: {late:?}");
    log.close().await;
}
