//! Cases of a log that more than one node has open, or that is closed and opened again, and of what it keeps. For every
//! engine with history.

use std::{any::Any, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use petasos_hub::transport::{
    AttemptId, ErrorKind, NodeId, Position, PresenceFilter, ReadLimit, Retention, StoredEvent,
};

use super::{
    Log, append, event, event_on, ids,
    presence::{end, record, renew, start},
    read, read_all, tail_of,
};
use crate::patiently;

/// How many events are written while others read.
const EVENTS: usize = 200;
/// Nodes that write at the same time.
const NODES: usize = 3;
/// Long enough to outlast a case.
const LONG_LEASE: Duration = Duration::from_secs(600);
/// Between two looks at what nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where a log is that can be opened any number of times.
pub struct Place {
    /// Opens it as another node, keeping so much.
    pub open: Box<dyn Fn(Retention) -> BoxFuture<'static, Log> + Send + Sync>,
    /// What goes away with the place: a directory, a server.
    pub kept: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Place {
    async fn node(&self) -> Log {
        self.keeping(Retention::default()).await
    }

    async fn keeping(&self, retention: Retention) -> Log {
        patiently("an open log", (self.open)(retention)).await
    }

    async fn nodes(&self) -> Vec<Log> {
        join_all((0..NODES).map(|_| self.node())).await
    }
}

/// Makes a test of every case for one engine: `shared_contract!(sqlite_shared, crate::common::sqlite_place);`.
///
/// The second argument is the path of an `async fn() -> Place` of a log that is empty and that nobody has open.
#[macro_export]
macro_rules! shared_contract {
    ($engine:ident, $place:path) => {
        mod $engine {
            $crate::shared_contract! { @cases $place;
                nodes_see_one_order
                a_node_keeps_its_order_while_others_append
                what_one_node_acknowledged_all_find_at_once
                an_idle_tail_hears_of_another_node
                a_reopened_log_goes_on
                no_more_events_are_kept_than_asked_for
                no_more_bytes_are_kept_than_asked_for
                nothing_is_kept_longer_than_asked_for
                a_tail_never_skips_silently
                an_id_published_again_outlives_its_first_event
                what_is_discarded_is_neither_read_nor_found
                an_import_keeps_ids_and_order
                presence_is_the_same_on_all_nodes
                an_end_is_announced_by_one_of_many_nodes
                a_snapshot_and_the_events_after_it_are_the_whole_truth
            }
        }
    };
    (@cases $place:path; $($case:ident)*) => {
        /// How many cases there are.
        #[allow(dead_code)]
        pub const CASES: usize = [$(stringify!($case)),*].len();
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let place = $place().await;
                $crate::contract::$case(&place).await;
            }
        )*
    };
}

fn following(log: &Log, count: usize) -> tokio::task::JoinHandle<Vec<StoredEvent>> {
    let log = Arc::clone(log);
    tokio::spawn(async move { tail_of(&log, Position::START, count).await })
}

async fn joined<T>(what: &str, task: tokio::task::JoinHandle<T>) -> T {
    patiently(what, task).await.unwrap_or_else(|error| panic!("{what}: {error}"))
}

async fn close(nodes: impl IntoIterator<Item = Log>) {
    for node in nodes {
        patiently("the close", node.close()).await;
    }
}

async fn find(log: &Log, id: &str) -> Option<Position> {
    patiently("a search", log.find(id)).await.unwrap_or_else(|error| panic!("{error}"))
}

fn keeping_events(events: u64) -> Retention {
    Retention { events, ..Retention::default() }
}

/// Positions and events are the same for all, whoever wrote, and while they write.
pub async fn nodes_see_one_order(place: &Place) {
    let nodes = place.nodes().await;
    let readers: Vec<_> = nodes.iter().map(|node| following(node, NODES * EVENTS)).collect();
    let writers = nodes.iter().enumerate().map(|(number, node)| {
        let node = Arc::clone(node);
        tokio::spawn(async move {
            for index in 0..EVENTS {
                append(&node, event(&format!("{number}-{index}"))).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        joined("a writer", writer).await;
    }
    let log = read_all(&nodes[0]).await;
    assert_eq!(log.len(), NODES * EVENTS);
    let places = |events: &[StoredEvent]| -> Vec<_> {
        events.iter().map(|event| (event.position, event.update.id().to_owned())).collect()
    };
    for reader in readers {
        assert_eq!(places(&joined("a reader", reader).await), places(&log));
    }
    close(nodes).await;
}

/// Calls that are under way at the same time on one node, between those of others.
pub async fn a_node_keeps_its_order_while_others_append(place: &Place) {
    let nodes = place.nodes().await;
    let writers = nodes.iter().enumerate().map(|(number, node)| {
        let calls: Vec<_> = (0..EVENTS)
            .map(|index| node.append(AttemptId::new(), vec![event(&format!("{number}-{index}"))]))
            .collect();
        tokio::spawn(join_all(calls))
    });
    for writer in writers.collect::<Vec<_>>() {
        for outcome in joined("a writer", writer).await {
            outcome.unwrap_or_else(|error| panic!("an append failed: {error}"));
        }
    }
    let log = read_all(&nodes[0]).await;
    for number in 0..NODES {
        let own: Vec<_> = ids(&log).into_iter().filter(|id| id.starts_with(&format!("{number}-"))).collect();
        let expected: Vec<_> = (0..EVENTS).map(|index| format!("{number}-{index}")).collect();
        assert_eq!(own, expected);
    }
    close(nodes).await;
}

/// An acknowledgement means that every node finds it, whichever a client goes to next.
pub async fn what_one_node_acknowledged_all_find_at_once(place: &Place) {
    let nodes = place.nodes().await;
    for index in 0..20 {
        let id = format!("e{index}");
        let position = append(&nodes[index % NODES], event(&id)).await;
        for node in &nodes {
            assert_eq!(find(node, &id).await, Some(position));
            let head = patiently("the head", node.head()).await.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((head.position, head.id.as_deref()), (position, Some(&*id)));
            let before = Position(position.0 - 1);
            let page = read(node, before, position, ReadLimit::default()).await;
            assert_eq!(ids(&page.events), [&*id]);
        }
    }
    close(nodes).await;
}

/// A tail that waits is woken by the log, whoever wrote.
pub async fn an_idle_tail_hears_of_another_node(place: &Place) {
    let (writer, reader) = (place.node().await, place.node().await);
    append(&writer, event("before")).await;
    let head = patiently("the head", reader.head()).await.unwrap_or_else(|error| panic!("{error}"));
    let mut tail = reader.tail(head.position);
    for id in ["one", "two"] {
        let waiting = async { tail.next().await.unwrap_or_else(|error| panic!("the tail failed: {error}")) };
        let (events, _) =
            patiently("the event", async { tokio::join!(waiting, append(&writer, event(id))) }).await;
        assert_eq!(ids(&events), [id]);
    }
    close([writer, reader]).await;
}

/// Positions grow over restarts, and nothing is forgotten.
pub async fn a_reopened_log_goes_on(place: &Place) {
    let log = place.node().await;
    let first = append(&log, event("first")).await;
    close([log]).await;
    let log = place.node().await;
    assert_eq!(find(&log, "first").await, Some(first));
    let head = patiently("the head", log.head()).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((head.position, head.id.as_deref()), (first, Some("first")));
    assert!(append(&log, event("second")).await > first);
    assert_eq!(ids(&read_all(&log).await), ["first", "second"]);
    close([log]).await;
}

/// `size`, exactly, after every append.
pub async fn no_more_events_are_kept_than_asked_for(place: &Place) {
    let nodes = [place.keeping(keeping_events(10)).await, place.keeping(keeping_events(10)).await];
    for index in 0..35 {
        append(&nodes[index % 2], event(&format!("e{index}"))).await;
        let kept = read_all(&nodes[0]).await;
        let expected: Vec<_> =
            ((index + 1).saturating_sub(10)..=index).map(|index| format!("e{index}")).collect();
        assert_eq!(ids(&kept), expected);
    }
    assert_eq!(find(&nodes[0], "e24").await, None);
    assert!(find(&nodes[0], "e25").await.is_some());
    close(nodes).await;
}

/// `max_bytes`: the newest events whose topics and data fit. An engine that counts its own bytes keeps fewer.
pub async fn no_more_bytes_are_kept_than_asked_for(place: &Place) {
    const BOUND: u64 = 8 << 10;
    let log = place.keeping(Retention { bytes: BOUND, ..Retention::default() }).await;
    let topic = "t".repeat(500);
    for index in 0..40 {
        append(&log, event_on(&format!("e{index}"), &[&topic])).await;
    }
    let kept = read_all(&log).await;
    let bytes: u64 = kept.iter().map(|event| event.update.weight_bytes() as u64).sum();
    assert!(bytes <= BOUND, "{bytes} bytes are kept");
    assert!(bytes > BOUND / 2, "only {bytes} bytes are kept");
    let expected: Vec<_> = (40 - kept.len()..40).map(|index| format!("e{index}")).collect();
    assert_eq!(ids(&kept), expected);
    close([log]).await;
}

/// `max_age`, also when nobody publishes any more.
pub async fn nothing_is_kept_longer_than_asked_for(place: &Place) {
    let age = Some(Duration::from_secs(1));
    let log = place.keeping(Retention { age, ..Retention::default() }).await;
    append(&log, event("old")).await;
    assert_eq!(ids(&read_all(&log).await), ["old"]);
    patiently("the end of its age", async {
        while !read_all(&log).await.is_empty() || find(&log, "old").await.is_some() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    append(&log, event("new")).await;
    assert_eq!(ids(&read_all(&log).await), ["new"]);
    close([log]).await;
}

/// A tail that retention went past says so before it goes on.
pub async fn a_tail_never_skips_silently(place: &Place) {
    let (writer, reader) = (place.keeping(keeping_events(5)).await, place.keeping(keeping_events(5)).await);
    let begin = append(&writer, event("begin")).await;
    let mut tail = reader.tail(begin);
    for index in 0..30 {
        append(&writer, event(&format!("e{index}"))).await;
    }
    let mut seen = Vec::new();
    let mut told = false;
    patiently("the newest event", async {
        while seen.last().map(String::as_str) != Some("e29") {
            match tail.next().await {
                Ok(events) => seen.extend(events.iter().map(|event| event.update.id().to_owned())),
                Err(error) if error.kind() == ErrorKind::Overtaken => {
                    told = true;
                    seen.clear();
                }
                Err(error) => panic!("the tail failed: {error}"),
            }
        }
    })
    .await;
    let expected: Vec<_> = (30 - seen.len()..30).map(|index| format!("e{index}")).collect();
    assert_eq!(seen, expected, "no gap after the tail said so, and none if it did not");
    assert!(told || seen.len() == 30, "{} events are missing and nobody said so", 30 - seen.len());
    close([writer, reader]).await;
}

/// R05 and R04 together.
pub async fn an_id_published_again_outlives_its_first_event(place: &Place) {
    let log = place.keeping(keeping_events(3)).await;
    let first = append(&log, event("twice")).await;
    append(&log, event("a")).await;
    let second = append(&log, event("twice")).await;
    assert_eq!(find(&log, "twice").await, Some(first));
    append(&log, event("b")).await;
    assert_eq!(find(&log, "twice").await, Some(second));
    append(&log, event("c")).await;
    append(&log, event("d")).await;
    assert_eq!(find(&log, "twice").await, None);
    close([log]).await;
}

/// R04: by hand, as retention would.
pub async fn what_is_discarded_is_neither_read_nor_found(place: &Place) {
    let (log, other) = (place.node().await, place.node().await);
    let mut positions = Vec::new();
    for index in 0..5 {
        positions.push(append(&log, event(&format!("e{index}"))).await);
    }
    let discarded = patiently("the discard", log.discard(positions[2])).await;
    assert_eq!(discarded.unwrap_or_else(|error| panic!("{error}")), 3);
    for node in [&log, &other] {
        assert_eq!(ids(&read_all(node).await), ["e3", "e4"]);
        assert_eq!(find(node, "e2").await, None);
        let page = read(node, positions[0], Position(u64::MAX), ReadLimit::default()).await;
        assert!(page.truncated, "events between are missing");
        let page = read(node, positions[2], Position(u64::MAX), ReadLimit::default()).await;
        assert!(!page.truncated, "nothing after it is missing");
    }
    assert!(append(&other, event("e5")).await > positions[4]);
    close([log, other]).await;
}

/// What another log had.
pub async fn an_import_keeps_ids_and_order(place: &Place) {
    let log = place.node().await;
    let events: Vec<_> = (0..EVENTS)
        .map(|index| StoredEvent {
            position: Position(index as u64 + 1),
            at_ms: 1_700_000_000_000 + index as u64,
            update: event(&format!("e{index}")).update,
        })
        .collect();
    let imported = patiently("the import", log.import(events.clone())).await;
    imported.unwrap_or_else(|error| panic!("the import failed: {error}"));
    let kept = read_all(&log).await;
    assert_eq!(ids(&kept), ids(&events));
    assert!(find(&log, "e7").await.is_some());
    let stats = patiently("the statistics", log.stats()).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stats.events, EVENTS as u64);
    close([log]).await;
}

/// Every node lists what any node announced, and knows every lease.
pub async fn presence_is_the_same_on_all_nodes(place: &Place) {
    let nodes = place.nodes().await;
    let mut last = Position::START;
    for (number, log) in nodes.iter().enumerate() {
        let id = NodeId::random();
        assert!(!renew(log, id, LONG_LEASE).await, "a new node had no lease");
        for other in &nodes {
            assert!(renew(other, id, LONG_LEASE).await, "a lease is known to all");
        }
        last = append(log, start(&format!("begin-{number}"), &record(id, &format!("s{number}"), "a"))).await;
    }
    for log in &nodes {
        let snapshot = patiently("the list", log.presence(&PresenceFilter::default())).await;
        let snapshot = snapshot.unwrap_or_else(|error| panic!("no list: {error}"));
        assert_eq!(snapshot.head.position, last);
        let subscribers: Vec<_> = snapshot.subscriptions.iter().map(|one| &*one.subscriber).collect();
        assert_eq!(subscribers, ["s0", "s1", "s2"]);
        let expired =
            patiently("what is left", log.expired(10)).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(expired, []);
    }
    close(nodes).await;
}

/// All nodes end what a dead one left, at the same time.
pub async fn an_end_is_announced_by_one_of_many_nodes(place: &Place) {
    let nodes = place.nodes().await;
    let dead = NodeId::random();
    renew(&nodes[0], dead, Duration::from_millis(100)).await;
    let left: Vec<_> = (0..10).map(|number| record(dead, &format!("s{number}"), "a")).collect();
    for subscription in &left {
        append(&nodes[0], start(&format!("begin {}", subscription.subscriber), subscription)).await;
    }
    let endings = nodes.iter().map(|log| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            patiently("the end of the lease", async {
                loop {
                    let expired = log.expired(100).await.unwrap_or_else(|error| panic!("{error}"));
                    let listed = log.presence(&PresenceFilter::default()).await;
                    if listed.is_ok_and(|snapshot| snapshot.subscriptions.is_empty()) {
                        return;
                    }
                    let ends: Vec<_> =
                        expired.iter().map(|one| end(&format!("end {}", one.subscriber), one)).collect();
                    if ends.is_empty() {
                        tokio::time::sleep(LOOK_AGAIN).await;
                        continue;
                    }
                    let stored = log.append(AttemptId::new(), ends).await;
                    stored.unwrap_or_else(|error| panic!("the ends could not be stored: {error}"));
                }
            })
            .await;
        })
    });
    for ending in endings.collect::<Vec<_>>() {
        joined("the ends", ending).await;
    }
    let log = read_all(&nodes[0]).await;
    let mut ends: Vec<_> = ids(&log).into_iter().filter(|id| id.starts_with("end ")).collect();
    ends.sort_unstable();
    assert_eq!(ends, (0..10).map(|number| format!("end s{number}")).collect::<Vec<_>>());
    close(nodes).await;
}

/// E05: a list, and the events behind the position it names, come to what is active in the end.
pub async fn a_snapshot_and_the_events_after_it_are_the_whole_truth(place: &Place) {
    let (log, other) = (place.node().await, place.node().await);
    let node = NodeId::random();
    renew(&log, node, LONG_LEASE).await;
    let churn = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            for number in 0..60 {
                append(&log, start(&format!("begin {number}"), &record(node, &format!("s{number}"), "a")))
                    .await;
                if number >= 5 {
                    let gone = number - 5;
                    append(&log, end(&format!("end {gone}"), &record(node, &format!("s{gone}"), "a"))).await;
                }
            }
        }
    });
    let mut snapshots = Vec::new();
    while !churn.is_finished() {
        let snapshot = patiently("the list", other.presence(&PresenceFilter::default())).await;
        snapshots.push(snapshot.unwrap_or_else(|error| panic!("no list: {error}")));
    }
    joined("the churn", churn).await;
    let expected: Vec<_> = (55..60).map(|number| format!("s{number}")).collect();
    for snapshot in snapshots {
        let mut active: std::collections::BTreeSet<_> =
            snapshot.subscriptions.iter().map(|one| one.subscriber.to_string()).collect();
        let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
        let after = read(&other, snapshot.head.position, Position(u64::MAX), all).await;
        for event in &after.events {
            match event.update.id().split_once(' ') {
                Some(("begin", number)) => _ = active.insert(format!("s{number}")),
                Some(("end", number)) => _ = active.remove(&format!("s{number}")),
                _ => {}
            }
        }
        assert_eq!(active.into_iter().collect::<Vec<_>>(), expected);
    }
    close([log, other]).await;
}
