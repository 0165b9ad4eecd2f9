//! What happens between processes on one store, and between readers and writers of one process.

use super::{
    tests::{append, entry, ids, open},
    *,
};
use crate::transport::{PresenceChange, Retention, StoredEvent};

const PATIENCE: Duration = Duration::from_secs(10);

async fn next(tail: &mut Box<dyn Tail>) -> Result<Vec<StoredEvent>, TransportError> {
    tokio::time::timeout(PATIENCE, tail.next()).await.expect("in time")
}

#[tokio::test]
async fn a_tail_gets_what_another_process_wrote_and_retention_discarded_in_the_same_commit() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
    config.retention = Retention { events: 3, bytes: 0, age: None };
    let (one, two) = (open(&config).await, open(&config).await);
    let mut tail = two.tail(two.head().await.expect("head").position);
    for round in 0..3 {
        let entries = (0..10).map(|number| entry(&format!("urn:x:{round}-{number}"), "a")).collect();
        one.append(AttemptId::new(), entries).await.expect("append");
        let mut seen = Vec::new();
        while seen.len() < 10 {
            let events = next(&mut tail).await.expect("nothing was lost");
            seen.extend(events.iter().map(|event| event.update.id().to_owned()));
        }
        assert_eq!(seen, (0..10).map(|number| format!("urn:x:{round}-{number}")).collect::<Vec<_>>());
    }
    assert_eq!(ids(&two, &ReadHint::default()).await.len(), 3, "readers of the past get what is kept");
}

#[tokio::test]
async fn a_tail_whose_events_are_gone_is_told_and_goes_on() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
    config.retention = Retention { events: 3, bytes: 0, age: None };
    let (one, two) = (open(&config).await, open(&config).await);
    let mut tail = two.tail(two.head().await.expect("head").position);
    let entries = (0..10).map(|number| entry(&format!("urn:x:{number}"), "a")).collect();
    let last = one.append(AttemptId::new(), entries).await.expect("append").expect("a position");
    maintain::discard(&one.store, last.0 - 3).await.expect("discard");
    let error = next(&mut tail).await.expect_err("it must be told");
    assert_eq!(error.kind(), crate::transport::ErrorKind::Overtaken);
    let seen: Vec<_> = next(&mut tail).await.expect("it goes on").iter().map(|e| e.position.0).collect();
    assert_eq!(seen, [last.0 - 2, last.0 - 1, last.0]);
}

#[tokio::test]
async fn r02_a_read_that_began_before_a_segment_was_closed_finds_what_is_in_it() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
    config.sync = Sync::Normal;
    let transport = open(&config).await;
    let entries: Vec<_> = (0..5_000).map(|number| entry(&format!("urn:x:{number}"), "a")).collect();
    transport.append(AttemptId::new(), entries).await.expect("append");
    let readers = &transport.store.readers;
    let mut conn = schema::open_reader(&config.path).expect("a reader");
    let before = conn.transaction().expect("a transaction");
    read::head(&before).expect("the snapshot is taken");
    maintain::close_segments(&transport.store).await.expect("the segment is closed");
    let found = readers.find(&before, "urn:x:7").expect("find");
    assert_eq!(found, Some(Position(schema::FIRST_POSITION + 7)));
    let hint = ReadHint { exact_topics: vec!["a".to_owned()].into() };
    let page = readers
        .page(
            &before,
            Position::START,
            Position(u64::MAX),
            ReadLimit { events: 9_999, bytes: 1 << 30 },
            &hint,
        )
        .expect("read");
    assert_eq!(page.events.len(), 5_000);
}

#[tokio::test]
async fn reads_that_nobody_waits_for_still_count() {
    let directory = tempfile::tempdir().expect("directory");
    let transport = open(&SqliteConfig::new(directory.path().join("petasos.db"))).await;
    let readers = &transport.store.readers;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(parking_lot::Mutex::new(held));
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..4 {
        let (held, begun) = (Arc::clone(&held), begun.clone());
        let mut read = Box::pin(readers.run(move |_, _| {
            let _ = begun.send(());
            let _ = held.lock().recv();
            Ok(())
        }));
        tokio::select! {
            biased;
            _ = &mut read => panic!("it is held"),
            _ = has_begun.recv() => {}
        }
    }
    // All four futures are dropped, and their threads still read.
    let fifth = readers.run(|_, _| Ok(()));
    tokio::pin!(fifth);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut fifth).await.is_err(), "a fifth reads");
    drop(release);
    tokio::time::timeout(PATIENCE, fifth).await.expect("in time").expect("read");
}

#[tokio::test]
async fn e08_a_lease_that_ran_out_is_not_known_and_a_late_end_spares_the_new_node() {
    let directory = tempfile::tempdir().expect("directory");
    let sqlite = open(&SqliteConfig::new(directory.path().join("petasos.db"))).await;
    let local = crate::transport::LocalTransport::new();
    for transport in [&sqlite as &dyn Transport, &local] {
        let (old, new) = (NodeId::random(), NodeId::random());
        let record = |node| SubscriptionRecord {
            node,
            subscriber: "urn:uuid:1".into(),
            match_type: crate::topic::MatchType::Exact,
            match_value: "a".into(),
            payload: None,
        };
        let announce = |id: &str, change| vec![Append { presence: Some(change), ..entry(id, "s") }];
        assert!(!transport.renew(old, Duration::ZERO).await.expect("renew"));
        let start = announce("urn:x:1", PresenceChange::Start(record(old)));
        transport.append(AttemptId::new(), start).await.expect("append");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let expired = transport.expired(10).await.expect("expired");
        assert_eq!(expired, [record(old)]);
        assert!(!transport.renew(old, PATIENCE).await.expect("renew"), "others may be ending what it had");
        let again = announce("urn:x:2", PresenceChange::Start(record(new)));
        transport.append(AttemptId::new(), again).await.expect("append");
        let late = announce("urn:x:3", PresenceChange::End(record(old)));
        assert_eq!(transport.append(AttemptId::new(), late).await.expect("append"), None);
        let listed = transport.presence(&PresenceFilter::default()).await.expect("list");
        assert_eq!(listed.subscriptions, [record(new)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_create_a_store_at_once() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().expect("directory");
        let config = SqliteConfig::new(directory.path().join("petasos.db"));
        let opening: Vec<_> = (0..6).map(|_| tokio::spawn(SqliteTransport::open(config.clone()))).collect();
        for opening in opening {
            let transport = opening.await.expect("no panic").expect("the store opens");
            append(&transport, "urn:x:1", "a").await;
        }
    }
}
