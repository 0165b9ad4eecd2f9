//! Cases of presence: subscriptions that begin, end and expire, in one transaction with their events.

use std::{sync::Arc, time::Duration};

use petasos_hub::{
    topic::MatchType,
    transport::{
        Append, AttemptId, NodeId, Position, PresenceChange, PresenceFilter, PresenceSnapshot,
        SubscriptionRecord,
    },
};
use tokio::time::Instant;

use super::{Log, append, event, ids, tail_of};
use crate::{PATIENCE, patiently};

/// Long enough to outlast a case.
const LONG_LEASE: Duration = Duration::from_secs(600);
/// Short enough to wait for.
const SHORT_LEASE: Duration = Duration::from_millis(50);
/// Between two questions whether a lease has run out, which nothing announces.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A subscription with an exact matcher and without a payload.
pub fn record(node: NodeId, subscriber: &str, value: &str) -> SubscriptionRecord {
    SubscriptionRecord {
        node,
        subscriber: Arc::from(subscriber),
        match_type: MatchType::Exact,
        match_value: Arc::from(value),
        payload: None,
    }
}

pub(super) fn start(id: &str, record: &SubscriptionRecord) -> Append {
    Append { presence: Some(PresenceChange::Start(record.clone())), ..event(id) }
}

pub(super) fn end(id: &str, record: &SubscriptionRecord) -> Append {
    Append { presence: Some(PresenceChange::End(record.clone())), ..event(id) }
}

async fn list(log: &Log, filter: &PresenceFilter) -> PresenceSnapshot {
    let snapshot = patiently("the list", log.presence(filter)).await;
    snapshot.unwrap_or_else(|error| panic!("no list: {error}"))
}

async fn all(log: &Log) -> Vec<SubscriptionRecord> {
    list(log, &PresenceFilter::default()).await.subscriptions
}

pub(super) async fn renew(log: &Log, node: NodeId, lease: Duration) -> bool {
    patiently("a renewal", log.renew(node, lease)).await.unwrap_or_else(|error| panic!("no renewal: {error}"))
}

/// The list and the log are one: the list names the event that it includes.
pub async fn a_start_is_listed_with_its_event(log: Log) {
    let node = NodeId::random();
    renew(&log, node, LONG_LEASE).await;
    let subscription =
        SubscriptionRecord { payload: Some(Arc::from(r#"{"a":1}"#)), ..record(node, "s", "a") };
    let position = append(&log, start("begin", &subscription)).await;
    let snapshot = list(&log, &PresenceFilter::default()).await;
    assert_eq!(snapshot.subscriptions, [subscription]);
    assert_eq!((snapshot.head.position, snapshot.head.id.as_deref()), (position, Some("begin")));
}

/// However many try: an end of what is not there stores neither change nor event.
pub async fn an_end_is_announced_once(log: Log) {
    let node = NodeId::random();
    renew(&log, node, LONG_LEASE).await;
    let subscription = record(node, "s", "a");
    append(&log, start("begin", &subscription)).await;
    append(&log, end("end", &subscription)).await;
    assert_eq!(all(&log).await, []);
    let again =
        patiently("a second end", log.append(AttemptId::new(), vec![end("again", &subscription)])).await;
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), None, "a no-op has no position");
    append(&log, event("after")).await;
    assert_eq!(ids(&tail_of(&log, Position::START, 3).await), ["begin", "end", "after"]);
}

/// A node that announces its subscriptions again doubles nothing.
pub async fn a_second_start_replaces_the_first(log: Log) {
    let node = NodeId::random();
    renew(&log, node, LONG_LEASE).await;
    append(&log, start("first", &record(node, "s", "a"))).await;
    let richer = SubscriptionRecord { payload: Some(Arc::from("{}")), ..record(node, "s", "a") };
    append(&log, start("second", &richer)).await;
    assert_eq!(all(&log).await, [richer]);
}

/// Every filter, and the order of the list.
pub async fn a_list_is_filtered_and_sorted(log: Log) {
    let (one, other) = (NodeId::random(), NodeId::random());
    renew(&log, one, LONG_LEASE).await;
    renew(&log, other, LONG_LEASE).await;
    let pattern = SubscriptionRecord { match_type: MatchType::UrlPattern, ..record(other, "s2", "a") };
    // One of the 0.x generation (L07).
    let topic = SubscriptionRecord { match_type: MatchType::Topic, ..record(one, "s3", "a") };
    let records = [record(one, "s1", "a"), record(other, "s2", "a"), record(one, "s1", "b"), topic, pattern];
    for index in [3, 1, 4, 2, 0] {
        append(&log, start(&index.to_string(), &records[index])).await;
    }
    assert_eq!(all(&log).await, records);
    let matcher = Some((MatchType::Exact, "a".to_owned()));
    let by_matcher = PresenceFilter { matcher, ..PresenceFilter::default() };
    assert_eq!(list(&log, &by_matcher).await.subscriptions, records[..2]);
    let matcher = Some((MatchType::Topic, "a".to_owned()));
    let by_topic = PresenceFilter { matcher, ..PresenceFilter::default() };
    assert_eq!(list(&log, &by_topic).await.subscriptions, records[3..4]);
    let by_subscriber = PresenceFilter { subscriber: Some("s1".to_owned()), ..PresenceFilter::default() };
    assert_eq!(list(&log, &by_subscriber).await.subscriptions, [records[0].clone(), records[2].clone()]);
    let by_node = PresenceFilter { node: Some(other), ..PresenceFilter::default() };
    assert_eq!(list(&log, &by_node).await.subscriptions, [records[1].clone(), records[4].clone()]);
}

/// A renewal says whether the node was known until now.
pub async fn a_node_is_known_while_its_lease_runs(log: Log) {
    let node = NodeId::random();
    assert!(!renew(&log, node, LONG_LEASE).await, "a new node is not known");
    assert!(renew(&log, node, LONG_LEASE).await);
    append(&log, start("begin", &record(node, "s", "a"))).await;
    let expired = patiently("the expired", log.expired(10)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(expired, [], "its lease is still running");
}

/// What a crashed node leaves behind is found, and forgotten once it has been ended.
pub async fn subscriptions_of_a_silent_node_expire(log: Log) {
    let (silent, alive) = (NodeId::random(), NodeId::random());
    renew(&log, silent, SHORT_LEASE).await;
    renew(&log, alive, LONG_LEASE).await;
    let left = [record(silent, "s", "a"), record(silent, "s", "b")];
    for (index, subscription) in left.iter().enumerate() {
        append(&log, start(&format!("begin {index}"), subscription)).await;
    }
    append(&log, start("other", &record(alive, "s2", "a"))).await;
    let deadline = Instant::now() + PATIENCE;
    let mut expired = loop {
        let expired =
            patiently("the expired", log.expired(10)).await.unwrap_or_else(|error| panic!("{error}"));
        if expired.len() == left.len() {
            break expired;
        }
        assert!(Instant::now() < deadline, "a lease does not run out: {expired:?}");
        tokio::time::sleep(ASK_AGAIN).await;
    };
    expired.sort_by(|one, other| one.match_value.cmp(&other.match_value));
    assert_eq!(expired, left);
    let bounded = patiently("the expired", log.expired(1)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bounded.len(), 1);
    for (index, subscription) in left.iter().enumerate() {
        append(&log, end(&format!("end {index}"), subscription)).await;
    }
    let none = patiently("the expired", log.expired(10)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(none, []);
    assert_eq!(all(&log).await.len(), 1);
}
