//! Everything that can go wrong, in any order, some of it at the same time. Which order is decided by a seed, which is
//! printed; `CHAOS_SEED` takes it again.

use std::time::{Duration, Instant};

use petasos_testkit::ledger::Fate;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    cluster::{Cluster, NODES},
    common::count_from_environment,
    engine::Engine,
    work::Work,
};

/// How much goes wrong.
const CHAOS_ROUNDS: usize = 5;

/// How long each of it lasts, and how long it is quiet after that: sometimes too short to recover.
const LENGTH_MS: std::ops::Range<u64> = 0..2_500;
const QUIET_MS: std::ops::Range<u64> = 0..500;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    EngineKilled,
    EnginePaused,
    EngineRestarted,
    NetworkHeld,
    NetworkRefused,
    RepliesDropped,
    OneNodeCut,
    OneNodeHeld,
    NodeKilled,
    NodePaused,
}

const FAULTS: [Fault; 10] = [
    Fault::EngineKilled,
    Fault::EnginePaused,
    Fault::EngineRestarted,
    Fault::NetworkHeld,
    Fault::NetworkRefused,
    Fault::RepliesDropped,
    Fault::OneNodeCut,
    Fault::OneNodeHeld,
    Fault::NodeKilled,
    Fault::NodePaused,
];

pub(crate) async fn nothing_is_lost_doubled_or_moved_whatever_fails(engine: Engine) {
    let seed = match std::env::var("CHAOS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("{}, chaos with the seed {seed}", engine.name());
    let mut random = StdRng::seed_from_u64(seed);
    let rounds = count_from_environment("CHAOS_ROUNDS", CHAOS_ROUNDS);
    let mut cluster = Cluster::start(engine, &[]).await;
    let work = Work::start(&cluster).await;
    let (mut faults, mut killed) = (Vec::new(), [false; NODES]);
    for _ in 0..rounds {
        let Some(fault) = FAULTS.choose(&mut random).copied() else { break };
        let node = random.random_range(0..NODES);
        let length = Duration::from_millis(random.random_range(LENGTH_MS));
        faults.push((fault, node, length));
        killed[node] |= fault == Fault::NodeKilled;
        happen(&mut cluster, fault, node, length).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(QUIET_MS))).await;
    }
    println!("{}, what went wrong: {faults:?}", engine.name());
    let begin = Instant::now();
    work.recovers().await;
    let recovered = begin.elapsed();
    let outcome = work.end(&cluster).await;
    for (node, was_killed) in killed.into_iter().enumerate() {
        for entry in outcome.ledgers[node].entries() {
            let expected = matches!(entry.fate, Fate::Acknowledged(_) | Fate::Refused(503))
                || was_killed && matches!(entry.fate, Fate::Unknown(_));
            assert!(expected, "node {node}, {}: {:?}", entry.id, entry.fate);
        }
        if !was_killed {
            for followed in outcome.staying_at(node) {
                assert!(followed.ends.is_empty(), "a stream of node {node} ended: {:?}", followed.cuts);
            }
        }
    }
    outcome.tell(&format!("{rounds} faults in any order"), format!("publishes again after {recovered:.1?}"));
    cluster.stop().await;
}

async fn happen(cluster: &mut Cluster, fault: Fault, node: usize, length: Duration) {
    let wait = || tokio::time::sleep(length);
    match fault {
        Fault::EngineKilled => {
            cluster.server(|server| server.process_mut().kill());
            wait().await;
            cluster.server(|server| server.start_again());
        }
        Fault::EnginePaused => {
            cluster.server(|server| server.process().pause());
            wait().await;
            cluster.server(|server| server.process().go_on());
        }
        Fault::EngineRestarted => cluster.server(|server| server.restart()),
        Fault::NetworkHeld => {
            cluster.proxies().iter().for_each(|proxy| proxy.hold());
            wait().await;
            cluster.proxies().iter().for_each(|proxy| proxy.go_on());
        }
        Fault::NetworkRefused => {
            cluster.proxies().iter().for_each(|proxy| proxy.refuse());
            wait().await;
            cluster.proxies().iter().for_each(|proxy| proxy.go_on());
        }
        Fault::RepliesDropped => {
            cluster.proxies().iter().for_each(|proxy| proxy.drop_replies());
            wait().await;
            for proxy in cluster.proxies() {
                proxy.cut();
                proxy.go_on();
            }
        }
        Fault::OneNodeCut => {
            cluster.proxy(node).refuse();
            wait().await;
            cluster.proxy(node).go_on();
        }
        Fault::OneNodeHeld => {
            cluster.proxy(node).hold();
            wait().await;
            cluster.proxy(node).cut();
            cluster.proxy(node).go_on();
        }
        Fault::NodeKilled => {
            cluster.nodes[node].kill().await;
            wait().await;
            cluster.nodes[node].start_again().await;
        }
        Fault::NodePaused => {
            cluster.nodes[node].pause();
            wait().await;
            cluster.nodes[node].go_on();
        }
    }
}
