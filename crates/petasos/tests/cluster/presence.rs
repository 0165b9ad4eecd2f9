//! Presence across nodes (E01, E05, E08): every node lists all, with the cursor from which the events go on, and what a
//! node leaves behind does not stay.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use petasos_testkit::{
    EventStream, SUBSCRIPTIONS, TestHub, matching, matching_pattern, node::Node, subscribe::Matchers, within,
};
use rand::Rng;
use serde_json::Value;

use crate::{
    cluster::{Cluster, LEASE, NODES, eventually},
    engine::Engine,
    list::{List, listed},
};

/// What is subscribed to.
const ROOM: &str = "room";

/// The topic of the event behind the last one that counts.
const MARKER: &str = "https://example.com/marker";

/// Subscribers that come while others go.
const ROUNDS: usize = 24;

/// Subscribers on each node.
const SUBSCRIBERS: usize = 3;

/// How long subscriptions of a node that is gone may still be listed: its lease, the look that finds it expired, and room
/// for a busy machine.
const EXPIRY_LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn every_list_goes_on_in_the_events_of_every_node(engine: Engine) {
    let cluster = Cluster::start(engine, &[]).await;
    let hubs = cluster.nodes.iter().map(Node::hub);
    let hubs: Vec<_> = hubs.collect();
    let mut observers = Vec::new();
    for hub in &hubs {
        observers.push(hub.subscribe(observed()).await);
    }
    let mut streams = Vec::new();
    let mut lists = vec![(0, listed(&hubs[0], ROOM).await.unwrap())];
    for round in 0..ROUNDS {
        let hub = &hubs[round % NODES];
        streams.push(hub.subscribe(matching(ROOM)).await);
        if round % 3 == 2 {
            let leaver = rand::rng().random_range(0..streams.len());
            drop(streams.swap_remove(leaver));
        }
        lists.push((round % NODES, listed(hub, ROOM).await.unwrap()));
    }
    let last = settled(&hubs, streams.len()).await;
    hubs[0].publish(MARKER, "the end").await;

    // All nodes tell the same, in the same order, and what they tell comes to what they list.
    let mut told = Vec::new();
    for observer in &mut observers {
        told.push(changes(observer).await);
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    assert_eq!(told[0].len(), ROUNDS + ROUNDS - streams.len(), "each begins once, and ends once");
    let nothing = List { ids: BTreeSet::new(), last_event_id: String::new() };
    assert_eq!(applied(&nothing, &told[0]), last.ids);
    // Every list, with the events behind its cursor from any other node, comes to the same.
    for (asked, list) in &lists {
        let other = &hubs[(asked + 1) % NODES];
        let mut stream = other.subscribe(observed()).after(&list.last_event_id).await;
        assert_eq!(stream.cursor(), list.last_event_id, "the cursor of a list is known on every node");
        let behind = changes(&mut stream).await;
        let after = match engine.lists_exactly() {
            true => applied(list, &behind),
            false => overwritten(list, &behind),
        };
        assert_eq!(after, last.ids, "a list of node {asked}, and what came behind it");
    }
    println!(
        "{}: {} lists taken while {} subscriptions came and {} went, each complete and gone on from on another node",
        engine.name(),
        lists.len(),
        ROUNDS,
        ROUNDS - streams.len()
    );
    cluster.stop().await;
}

pub(crate) async fn what_a_killed_node_left_ends_once(engine: Engine) {
    let mut cluster = Cluster::start(engine, &[]).await;
    let (mut observers, mut streams) = (Vec::new(), Vec::new());
    for node in &cluster.nodes[1..] {
        observers.push(node.hub().subscribe(observed()).await);
    }
    for node in &cluster.nodes {
        for _ in 0..SUBSCRIBERS {
            streams.push(node.hub().subscribe(matching(ROOM)).await);
        }
    }
    for observer in &mut observers {
        for _ in 0..SUBSCRIBERS * NODES {
            assert!(next_change(observer).await.1, "it ended");
        }
    }
    let killed = Instant::now();
    cluster.nodes[0].kill().await;
    let mut ended = BTreeSet::new();
    for _ in 0..SUBSCRIBERS {
        let (id, active) = within(EXPIRY_LIMIT, "an end", next_change(&mut observers[0])).await;
        assert!(!active && ended.insert(id), "a subscription began, or ended twice");
    }
    let latest = killed.elapsed();
    assert!(latest >= LEASE / 2, "the lease had been renewed shortly before");
    // The two survivors look at the leases all the time: a second end would come now.
    observers[0].stays_silent(LEASE).await;
    let others = changes_now(&mut observers[1], SUBSCRIBERS).await;
    assert_eq!(others, ended.iter().map(|id| (id.clone(), false)).collect::<BTreeSet<_>>());
    observers[1].stays_silent(Duration::from_millis(10)).await;

    cluster.nodes[0].start_again().await;
    let hubs: Vec<_> = cluster.nodes.iter().map(Node::hub).collect();
    let last = settled(&hubs, SUBSCRIBERS * (NODES - 1)).await;
    assert!(last.ids.is_disjoint(&ended));
    println!("{}: the last subscription of a killed node ended after {latest:.1?}", engine.name());
    cluster.stop().await;
}

pub(crate) async fn a_node_that_was_paused_is_listed_again(engine: Engine) {
    let cluster = Cluster::start(engine, &[]).await;
    let mut streams = Vec::new();
    for node in &cluster.nodes {
        for _ in 0..SUBSCRIBERS {
            streams.push(node.hub().subscribe(matching(ROOM)).await);
        }
    }
    let hubs: Vec<_> = cluster.nodes.iter().map(Node::hub).collect();
    let before = settled(&hubs, SUBSCRIBERS * NODES).await;
    cluster.nodes[0].pause();
    let gone = eventually(EXPIRY_LIMIT, "the end of what a paused node has", async || {
        listed(&hubs[1], ROOM).await.is_some_and(|list| list.ids.len() == SUBSCRIBERS * (NODES - 1))
    })
    .await;
    // Its end must not be undone by ends that others still have under way when it is back.
    tokio::time::sleep(LEASE / 2).await;
    cluster.nodes[0].go_on();
    let begin = Instant::now();
    let after = settled(&hubs, SUBSCRIBERS * NODES).await;
    assert_eq!(after.ids, before.ids);
    let back = begin.elapsed();
    tokio::time::sleep(LEASE).await;
    assert_eq!(settled(&hubs, SUBSCRIBERS * NODES).await.ids, before.ids, "they were ended after all");
    println!(
        "{}: the subscriptions of a paused node ended after {gone:.1?}, and were there again {back:.1?} after it went on",
        engine.name()
    );
    drop(streams);
    cluster.stop().await;
}

/// The events about the room, and the marker.
fn observed() -> Matchers {
    matching_pattern(&format!("{SUBSCRIPTIONS}/exact/{ROOM}/*")).or(matching(MARKER))
}

/// Waits until all nodes list the same, and so many.
async fn settled(hubs: &[TestHub], count: usize) -> List {
    let same = async || {
        let mut lists = Vec::new();
        for hub in hubs {
            lists.push(listed(hub, ROOM).await.map(|list| list.ids));
        }
        lists.iter().all(|list| list.as_ref().is_some_and(|ids| ids.len() == count && *list == lists[0]))
    };
    eventually(EXPIRY_LIMIT, &format!("a list of {count} on every node"), same).await;
    listed(&hubs[0], ROOM).await.unwrap()
}

/// The id of a subscription, and whether it is active.
type Change = (String, bool);

fn change(data: &str) -> Change {
    let event: Value = serde_json::from_str(data).unwrap();
    (event["id"].as_str().unwrap().to_owned(), event["active"].as_bool().unwrap())
}

async fn next_change(stream: &mut EventStream) -> Change {
    change(&stream.next_or_end().await.unwrap().data)
}

async fn changes_now(stream: &mut EventStream, count: usize) -> BTreeSet<Change> {
    let mut changes = BTreeSet::new();
    for _ in 0..count {
        changes.insert(change(&stream.next().await.data));
    }
    changes
}

/// What a stream tells before the marker.
async fn changes(stream: &mut EventStream) -> Vec<Change> {
    let mut changes = Vec::new();
    loop {
        let event = stream.next().await;
        if event.data == "the end" {
            return changes;
        }
        changes.push(change(&event.data));
    }
}

/// A list after these changes. None may be of something that is so already.
fn applied(list: &List, changes: &[Change]) -> BTreeSet<String> {
    let mut ids = list.ids.clone();
    for (id, active) in changes {
        let is_new = if *active { ids.insert(id.clone()) } else { ids.remove(id) };
        assert!(is_new, "{id} is told to be {active} twice");
    }
    ids
}

/// A list after these changes, some of which may be in it already.
fn overwritten(list: &List, changes: &[Change]) -> BTreeSet<String> {
    let mut ids = list.ids.clone();
    for (id, active) in changes {
        if *active {
            ids.insert(id.clone())
        } else {
            ids.remove(id)
        };
    }
    ids
}
