//! Cases of tails.

use std::{sync::Arc, time::Duration};

use petasos_hub::transport::{ErrorKind, Position};

use super::{Log, append, event, ids, tail_of};
use crate::patiently;

/// How many events are written while tails read.
const EVENTS: usize = 300;

/// Every event, once, in order, whether it was there before the tail or came later.
pub async fn a_tail_has_every_event_once_in_order(log: Log) {
    append(&log, event("before")).await;
    let reading = tokio::spawn({
        let log = Arc::clone(&log);
        async move { tail_of(&log, Position::START, 1 + EVENTS).await }
    });
    for index in 0..EVENTS {
        append(&log, event(&format!("e{index}"))).await;
    }
    let events = patiently("the end of the tail", reading).await.unwrap_or_else(|error| panic!("{error}"));
    let expected: Vec<String> =
        std::iter::once("before".to_owned()).chain((0..EVENTS).map(|index| format!("e{index}"))).collect();
    assert_eq!(ids(&events), expected);
    assert!(events.is_sorted_by(|one, next| one.position < next.position));
}

/// The hand-over from replay to live stands on this.
pub async fn a_tail_from_the_head_has_only_what_comes_later(log: Log) {
    append(&log, event("old")).await;
    let head = patiently("the head", log.head()).await.unwrap_or_else(|error| panic!("no head: {error}"));
    let mut tail = log.tail(head.position);
    append(&log, event("new")).await;
    let events =
        patiently("the tail", tail.next()).await.unwrap_or_else(|error| panic!("the tail failed: {error}"));
    assert_eq!(ids(&events), ["new"]);
}

/// One order for all.
pub async fn two_tails_see_one_order(log: Log) {
    let read = |log: &Log| {
        let log = Arc::clone(log);
        tokio::spawn(async move { tail_of(&log, Position::START, EVENTS).await })
    };
    let (one, other) = (read(&log), read(&log));
    let writers = (0..4).map(|writer| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for index in 0..EVENTS / 4 {
                append(&log, event(&format!("{writer}-{index}"))).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        patiently("a writer", writer).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let one = patiently("one tail", one).await.unwrap_or_else(|error| panic!("{error}"));
    let other = patiently("the other tail", other).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ids(&one), ids(&other));
    assert_eq!(one.len(), EVENTS);
}

/// Cancellation of `next` is safe.
pub async fn a_dropped_wait_skips_nothing(log: Log) {
    let mut tail = log.tail(Position::START);
    let mut events = Vec::new();
    for index in 0..20 {
        // Cut short before, while and after the event comes.
        let wait = tokio::time::timeout(Duration::from_micros(200 * index), tail.next());
        let (cut, _) = tokio::join!(wait, append(&log, event(&format!("e{index}"))));
        if let Ok(more) = cut {
            events.extend(more.unwrap_or_else(|error| panic!("the tail failed: {error}")));
        }
    }
    while events.len() < 20 {
        let more = patiently("the tail", tail.next()).await;
        events.extend(more.unwrap_or_else(|error| panic!("the tail failed: {error}")));
    }
    let expected: Vec<String> = (0..20).map(|index| format!("e{index}")).collect();
    assert_eq!(ids(&events), expected);
}

/// A tail that waits is told.
pub async fn the_close_ends_a_tail(log: Log) {
    let mut tail = log.tail(Position::START);
    let waiting = tokio::spawn(async move { tail.next().await });
    // Let it begin to wait; a tail that is asked only after the close must say the same.
    tokio::task::yield_now().await;
    log.close().await;
    let ended = patiently("the end of the tail", waiting).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.map_err(|error| error.kind()).map(|events| ids(&events).len()), Err(ErrorKind::Closed));
}
