//! The fault matrix, the rows in which a node fails.

use std::time::{Duration, Instant};

use petasos_testkit::ledger::Fate;

use crate::{
    cluster::{Cluster, LEASE, NODES},
    common::count_from_environment,
    engine::Engine,
    outcome::Outcome,
    work::Work,
};

/// How often a node is killed, or paused.
const NODE_KILLS: usize = 3;
const NODE_PAUSES: usize = 2;

/// How long it is paused.
const NODE_PAUSE_SECONDS: usize = 3;

/// Acknowledged updates on each other node while one is gone.
const MEANWHILE: usize = 10;

pub(crate) async fn node_killed_and_started_again(engine: Engine) {
    let kills = count_from_environment("NODE_KILLS", NODE_KILLS);
    let mut cluster = Cluster::start(engine, &[]).await;
    let work = Work::start(&cluster).await;
    let (mut slowest, mut survivors) = (Duration::ZERO, Duration::ZERO);
    let mut killed = Vec::new();
    for turn in 0..kills {
        let victim = turn % NODES;
        killed.push((victim, Instant::now()));
        cluster.nodes[victim].kill().await;
        survivors = survivors.max(others_go_on(&work, victim).await);
        cluster.nodes[victim].start_again().await;
        slowest = slowest.max(work.recovers().await);
    }
    let outcome = work.end(&cluster).await;
    for (node, ledger) in outcome.ledgers.iter().enumerate() {
        let was_killed = killed.iter().any(|(victim, _)| *victim == node);
        for entry in ledger.entries() {
            // What was under way has no answer; nothing is refused.
            let expected = matches!(entry.fate, Fate::Acknowledged(_))
                || was_killed && matches!(entry.fate, Fate::Unknown(_));
            assert!(expected, "node {node}, {}: {:?}", entry.id, entry.fate);
        }
        if !was_killed {
            outcome.was_undisturbed(node);
        }
    }
    outcome.tell(
        &format!("{kills} times a node killed -9 and started again"),
        format!(
            "the others took at most {survivors:.1?} for their next {MEANWHILE} updates, all publish {slowest:.1?} after the start"
        ),
    );
    cluster.stop().await;
}

/// Longer than its lease: others have ended its subscriptions when it goes on, and it announces them again.
pub(crate) async fn node_paused_for_longer_than_its_lease(engine: Engine) {
    let pauses = count_from_environment("NODE_PAUSES", NODE_PAUSES);
    let length = Duration::from_secs(count_from_environment("NODE_PAUSE_SECONDS", NODE_PAUSE_SECONDS) as u64);
    assert!(length > LEASE);
    let cluster = Cluster::start(engine, &[]).await;
    let work = Work::start(&cluster).await;
    let (mut slowest, mut survivors) = (Duration::ZERO, Duration::ZERO);
    for turn in 0..pauses {
        let victim = turn % NODES;
        let begin = Instant::now();
        cluster.nodes[victim].pause();
        match tokio::time::timeout(length, others_go_on(&work, victim)).await {
            Ok(took) => survivors = survivors.max(took),
            Err(_) => assert!(engine.may_wait_for_a_node(), "no other node could publish for {length:?}"),
        }
        tokio::time::sleep(length.saturating_sub(begin.elapsed())).await;
        cluster.nodes[victim].go_on();
        slowest = slowest.max(work.recovers().await);
    }
    let outcome = work.end(&cluster).await;
    check_paused(engine, &outcome, pauses);
    outcome.tell(
        &format!("{pauses} times a node paused for {length:?}"),
        format!(
            "the others took at most {survivors:.1?} for their next {MEANWHILE} updates, all publish {slowest:.1?} after the end"
        ),
    );
    cluster.stop().await;
}

fn check_paused(engine: Engine, outcome: &Outcome, pauses: usize) {
    for node in 0..NODES {
        if node >= pauses && !engine.may_wait_for_a_node() {
            outcome.was_undisturbed(node);
        }
        // Publishers of a node that stands still wait; at worst it tells them afterwards that it was too late.
        for entry in outcome.ledgers[node].entries() {
            let expected = matches!(entry.fate, Fate::Acknowledged(_) | Fate::Refused(503));
            assert!(expected, "node {node}, {}: {:?}", entry.id, entry.fate);
        }
        for followed in outcome.staying_at(node) {
            assert!(followed.ends.is_empty(), "a stream of node {node} ended: {:?}", followed.cuts);
        }
    }
}

/// Waits until the other nodes have had some more updates acknowledged, and returns how long the slowest took.
async fn others_go_on(work: &Work, victim: usize) -> Duration {
    let begin = Instant::now();
    for node in (0..NODES).filter(|node| *node != victim) {
        work.goes_on_at(node, MEANWHILE).await;
    }
    begin.elapsed()
}
