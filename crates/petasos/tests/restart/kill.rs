//! One of two processes killed without a warning, again and again, at random moments under load.
//!
//! `PAIR_KILLS` in the environment makes the run longer.

use std::time::{Duration, Instant};

use petasos_testkit::{
    balancer::Balancer,
    follower::Follower,
    ledger::Fate,
    load::{Load, Publishers},
    process::scratch,
};
use rand::Rng;

use super::support::{MARKER, TOPIC, conclude, start};
use crate::common::count_from_environment;

const PAIR_KILLS: usize = 5;

/// Publishers on each process.
const PUBLISHERS: usize = 6;

/// Subscribers that come back to whichever process is there.
const SUBSCRIBERS: usize = 4;

/// Between two updates of a publisher, so that a long run stays small.
const PAUSE: Duration = Duration::from_millis(2);

/// When a process is killed, from the moment in which both work.
const KILL_AFTER_MS: std::ops::Range<u64> = 5..500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_s12_kill_9_of_one_of_two_loses_doubles_and_moves_nothing() {
    let kills = count_from_environment("PAIR_KILLS", PAIR_KILLS);
    let directory = scratch();
    let mut nodes = [start(directory.path(), &[]).await, start(directory.path(), &[]).await];
    let balancer = Balancer::start().await;
    nodes.iter().for_each(|node| balancer.add(&node.hub()));
    let mut followers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        followers.push(Follower::start(balancer.hub(), TOPIC, MARKER).await);
    }
    let load = Load::on(TOPIC).paced(PAUSE);
    let publishers =
        [0, 1].map(|node| Publishers::start(|| nodes[node].hub(), ["a", "b"][node], PUBLISHERS, &load));

    let mut longest = Duration::ZERO;
    for _ in 0..kills {
        let (victim, after) = {
            let mut random = rand::rng();
            (random.random_range(0..2), random.random_range(KILL_AFTER_MS))
        };
        tokio::time::sleep(Duration::from_millis(after)).await;
        nodes[victim].kill().await;
        let killed = Instant::now();
        publishers[1 - victim].acknowledge_more(PUBLISHERS).await;
        longest = longest.max(killed.elapsed());
        nodes[victim].start_again().await;
        balancer.add(&nodes[victim].hub());
        publishers[victim].acknowledge_more(PUBLISHERS).await;
    }

    let [a, b] = publishers;
    let mut ledger = a.stop().await;
    ledger.extend(b.stop().await.entries().iter().cloned());
    let (log, followed) = conclude(&nodes[0].hub(), &ledger, followers).await;
    assert_eq!(ledger.refused(), 0, "a process that is there takes updates");
    let unknown = |entry: &&petasos_testkit::ledger::Entry| matches!(entry.fate, Fate::Unknown(_));
    println!(
        "{kills} kills of one of two: {} acknowledged, {} without an answer, {} stored, 0 lost, 0 doubled, 0 out of order; \
         {} reconnections of {SUBSCRIBERS} subscribers; a survivor took {longest:.1?} at most for its next \
         {PUBLISHERS} updates",
        ledger.acknowledged(),
        ledger.entries().iter().filter(unknown).count(),
        log.len(),
        followed.iter().map(|follower| follower.ends.len()).sum::<usize>(),
    );
    assert!(longest < Duration::from_secs(5), "a survivor waited {longest:?} for a process that is dead");
    for node in nodes {
        assert!(node.terminate().await.success());
    }
}
