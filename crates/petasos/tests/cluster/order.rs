//! One order for everybody, on every engine, when nothing goes wrong and everybody hurries.

use petasos_testkit::{
    follower::Follower,
    ledger::Ledger,
    load::{Load, Publishers},
};

use crate::{
    cluster::{Cluster, NODES},
    common::count_from_environment,
    engine::Engine,
};

/// Updates on each node.
const ORDERED_UPDATES: usize = 200;

/// Publishers on each node: enough that appends of all nodes overlap all the time.
const PUBLISHERS: usize = 8;

/// Subscribers on each node.
const SUBSCRIBERS: usize = 2;

const TOPIC: &str = "https://example.com/order";
const MARKER: &str = "the end";

pub(crate) async fn all_subscribers_of_three_nodes_see_the_order_of_the_log(engine: Engine) {
    let updates = count_from_environment("ORDERED_UPDATES", ORDERED_UPDATES);
    let cluster = Cluster::start(engine, &[]).await;
    let mut followers = Vec::new();
    for node in &cluster.nodes {
        for _ in 0..SUBSCRIBERS {
            followers.push(Follower::start(node.hub(), TOPIC, MARKER).await);
        }
    }
    let load = Load::on(TOPIC);
    let publishers = cluster.nodes.iter().enumerate();
    let publishers: Vec<_> = publishers
        .map(|(number, node)| Publishers::start(|| node.hub(), &format!("n{number}p"), PUBLISHERS, &load))
        .collect();
    for publishers in &publishers {
        publishers.acknowledge_more(updates).await;
    }
    let mut ledger = Ledger::default();
    for publishers in publishers {
        ledger.extend(publishers.stop().await.entries().iter().cloned());
    }
    assert_eq!(ledger.failures(), Vec::<String>::new());
    let conclude = petasos_testkit::conclusion::conclude;
    let (log, followed) = conclude(&cluster.nodes[0].hub(), (TOPIC, MARKER), &ledger, followers).await;
    assert!(followed.iter().all(|follower| follower.ends.is_empty()), "a healthy reader was disconnected");
    let kept = cluster.history().await;
    let kept: Vec<_> =
        kept.iter().filter(|line| line["topics"][0] == TOPIC && line["data"] != MARKER).collect();
    assert_eq!(kept.len(), log.len());
    let differs = kept.iter().zip(&log).position(|(line, id)| line["id"] != **id);
    assert_eq!(differs, None, "the engine and what a node reads of it");
    let hands = log.windows(2).filter(|pair| pair[0][..2] != pair[1][..2]).count();
    println!(
        "{}: {} updates of {NODES} nodes in one order, which changed hands {hands} times",
        engine.name(),
        log.len()
    );
    cluster.stop().await;
}
