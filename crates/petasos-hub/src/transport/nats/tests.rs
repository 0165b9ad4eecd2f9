//! What becomes of presence where a hub dies between its steps.

use std::time::Duration;

use async_nats::HeaderMap;
use petasos_testkit::{
    patiently,
    servers::{
        EngineServer,
        nats::{NatsServer, NatsVersion},
    },
};

use super::{presence::Step, *};
use crate::{
    Update,
    topic::MatchType,
    transport::{
        PresenceChange, Retention,
        remote::{Address, RemoteConfig, wire::encode_event},
    },
};

const LEASE: Duration = Duration::from_millis(100);

/// Two hubs on one log, on either version.
async fn hubs(log: &str) -> Vec<[NatsTransport; 2]> {
    let mut all = Vec::new();
    for version in [NatsVersion::Debian, NatsVersion::Current] {
        let url = NatsServer::shared(version).url(log);
        let open = async || {
            let address = Address::parse(&url).expect("a URL");
            let config = RemoteConfig { address, retention: Some(Retention::default()) };
            NatsTransport::open(NatsConfig::new(&config).expect("a configuration")).await.expect("a log")
        };
        all.push([open().await, open().await]);
    }
    all
}

fn record(node: NodeId, payload: Option<&str>) -> SubscriptionRecord {
    SubscriptionRecord {
        node,
        subscriber: "urn:uuid:1".into(),
        match_type: MatchType::Exact,
        match_value: "a".into(),
        payload: payload.map(Into::into),
    }
}

fn update(id: &str) -> Arc<Update> {
    Arc::new(Update::from_stored(id.into(), vec!["t".into()], "data".into(), true, None, None))
}

async fn append(
    log: &NatsTransport,
    id: &str,
    change: impl Fn(SubscriptionRecord) -> PresenceChange,
    record: &SubscriptionRecord,
) -> Option<Position> {
    let entry = Append { update: update(id), presence: Some(change(record.clone())) };
    patiently("an append", log.append(AttemptId::new(), vec![entry])).await.expect("stored")
}

async fn ids(log: &NatsTransport) -> Vec<String> {
    let limit = ReadLimit { events: 100, bytes: usize::MAX };
    let page = log.read(Position::START, Position(u64::MAX), limit, &ReadHint::default()).await;
    page.expect("a page").events.iter().map(|event| event.update.id().to_owned()).collect()
}

async fn listed(log: &NatsTransport) -> Vec<SubscriptionRecord> {
    log.presence(&PresenceFilter::default()).await.expect("a list").subscriptions
}

/// What is left of a node whose lease is over.
async fn expired(log: &NatsTransport) -> Vec<SubscriptionRecord> {
    patiently("the end of the lease", async {
        loop {
            let expired = log.expired(10).await.expect("a list");
            if !expired.is_empty() {
                return expired;
            }
            tokio::time::sleep(LEASE / 10).await;
        }
    })
    .await
}

/// A hub marks a subscription as ending, and dies.
async fn mark(log: &NatsTransport, record: &SubscriptionRecord, id: &str) -> (String, u64) {
    let step = presence::end(&log.store, record, &update(id), "attempt.0").await.expect("marked");
    match step {
        Step::Finish { attempt, record, .. } => (attempt, record),
        step => panic!("the subscription was not there: {step:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_without_its_event_is_finished_by_somebody_else() {
    for [dying, other] in hubs("marked").await {
        let node = NodeId::random();
        dying.renew(node, LEASE).await.expect("a lease");
        let record = record(node, Some("{}"));
        append(&dying, "begin", PresenceChange::Start, &record).await;
        mark(&dying, &record, "end").await;
        assert_eq!(listed(&other).await, [], "what ends is not active");
        assert_eq!(expired(&other).await, std::slice::from_ref(&record));
        // Both repair it at the same time; the event is the one that was meant to be.
        let ends = futures_util::join!(
            append(&dying, "end again", PresenceChange::End, &record),
            append(&other, "end by another", PresenceChange::End, &record),
        );
        assert!(ends.0.is_some() || ends.1.is_some(), "nobody announced it");
        assert_eq!(ids(&other).await, ["begin", "end"]);
        assert_eq!(append(&other, "end at last", PresenceChange::End, &record).await, None);
        assert_eq!(other.expired(10).await.expect("a list"), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_whose_record_was_not_deleted_is_not_announced_again() {
    for [dying, other] in hubs("undeleted").await {
        let node = NodeId::random();
        dying.renew(node, LEASE).await.expect("a lease");
        let record = record(node, None);
        append(&dying, "begin", PresenceChange::Start, &record).await;
        mark(&dying, &record, "end").await;
        // Appended long ago, for all that JetStream knows: under another attempt.
        let event = encode_event(1, &update("end"));
        let subject = dying.store.streams.event_subject("end");
        dying.store.api.publish(subject, HeaderMap::new(), event.into()).await.expect("stored");
        assert_eq!(expired(&other).await, std::slice::from_ref(&record));
        assert_eq!(append(&other, "end again", PresenceChange::End, &record).await, None);
        assert_eq!(ids(&other).await, ["begin", "end"]);
        assert_eq!(other.expired(10).await.expect("a list"), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_without_its_event_is_ended_with_its_node() {
    for [dying, other] in hubs("unannounced").await {
        let node = NodeId::random();
        dying.renew(node, LEASE).await.expect("a lease");
        let record = record(node, None);
        presence::start(&dying.store, &record).await.expect("written");
        assert_eq!(expired(&other).await, std::slice::from_ref(&record));
        assert!(append(&other, "end", PresenceChange::End, &record).await.is_some());
        assert_eq!(ids(&other).await, ["end"]);
        assert_eq!(listed(&other).await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_of_the_old_node_does_not_hit_what_the_new_one_announced() {
    for [one, other] in hubs("renamed").await {
        let (old, new) = (record(NodeId::random(), None), record(NodeId::random(), None));
        append(&one, "begin", PresenceChange::Start, &old).await;
        append(&one, "begin again", PresenceChange::Start, &new).await;
        assert_eq!(append(&other, "end", PresenceChange::End, &old).await, None);
        assert_eq!(append(&one, "end", PresenceChange::End, &old).await, None);
        assert_eq!(listed(&other).await, std::slice::from_ref(&new));
        assert!(append(&one, "end of the new", PresenceChange::End, &new).await.is_some());
        assert_eq!(listed(&other).await, []);
        assert_eq!(ids(&other).await, ["begin", "begin again", "end of the new"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_and_its_end_may_come_together() {
    for [one, other] in hubs("together").await {
        let record = record(NodeId::random(), None);
        let entries = [
            ("begin", PresenceChange::Start(record.clone())),
            ("end", PresenceChange::End(record.clone())),
            ("begin again", PresenceChange::Start(record.clone())),
        ];
        let entries = entries.map(|(id, change)| Append { update: update(id), presence: Some(change) });
        one.append(AttemptId::new(), entries.into()).await.expect("stored");
        assert_eq!(ids(&other).await, ["begin", "end", "begin again"]);
        assert_eq!(listed(&other).await, [record]);
    }
}
