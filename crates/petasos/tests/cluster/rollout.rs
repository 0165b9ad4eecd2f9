//! A rolling restart of three nodes behind a load balancer: each in turn is told to stop, ends, and starts again. Nobody may
//! notice.

use std::time::{Duration, Instant};

use petasos_testkit::{
    balancer::Balancer,
    conclusion::{conclude, first_difference},
    follower::{Followed, Follower},
    load::{Load, Publishers},
    node::Node,
};

use crate::{
    cluster::{Cluster, NODES},
    common::count_from_environment,
    engine::Engine,
};

/// How often all nodes are restarted.
const CLUSTER_ROLLOUTS: usize = 1;

const SUBSCRIBERS: usize = 20;
const PUBLISHERS: usize = 4;

/// Between two updates of a publisher.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a stopping node still serves: long enough for the balancer to notice.
const SHUTDOWN_DELAY: Duration = Duration::from_millis(300);

/// How long a subscriber may be without updates.
const GAP_LIMIT: Duration = Duration::from_secs(3);

const TOPIC: &str = "https://example.com/rollout";
const MARKER: &str = "the end";

pub(crate) async fn nobody_notices_a_rolling_restart(engine: Engine) {
    let rollouts = count_from_environment("CLUSTER_ROLLOUTS", CLUSTER_ROLLOUTS);
    let delay = format!("{}ms", SHUTDOWN_DELAY.as_millis());
    let mut cluster = Cluster::start(engine, &[("PETASOS_SHUTDOWN_DELAY", &delay)]).await;
    let balancer = Balancer::start().await;
    cluster.nodes.iter().for_each(|node| balancer.add(&node.hub()));
    let mut followers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        followers.push(Follower::start(balancer.hub(), TOPIC, MARKER).await);
    }
    let load = Load::on(TOPIC).paced(PAUSE);
    let publishers = Publishers::start(|| balancer.hub(), "publisher", PUBLISHERS, &load);
    publishers.acknowledge_more(PUBLISHERS * 5).await;

    let mut drains = Vec::new();
    for turn in 0..rollouts * NODES {
        let node = &mut cluster.nodes[turn % NODES];
        let (admin, told) = (node.hub().admin(), Instant::now());
        let (status, ()) = tokio::join!(node.stop(), Node::is_unready(admin));
        assert_eq!(status.code(), Some(0), "a drained node exits with 0");
        drains.push(told.elapsed());
        node.start_again().await;
        balancer.add(&node.hub());
        publishers.acknowledge_more(PUBLISHERS * 5).await;
    }

    let ledger = publishers.stop().await;
    let (log, followed) = conclude(&balancer.hub(), (TOPIC, MARKER), &ledger, followers).await;
    assert_eq!(ledger.failures(), Vec::<String>::new(), "no publish may fail");
    let kept = cluster.history().await;
    let kept = kept.iter().filter(|line| line["topics"][0] == TOPIC && line["data"] != MARKER);
    let kept: Vec<_> = kept.map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(first_difference(&kept, &log), None, "the engine and what a node reads of it");
    for follower in &followed {
        assert_eq!(follower.cuts, Vec::<String>::new(), "S13: streams end cleanly");
        assert_eq!(follower.unanswered, 0, "whoever is let in is answered");
    }
    let gap = followed.iter().map(Followed::longest_gap).max().unwrap();
    println!(
        "{}, {rollouts} rolling restarts of {NODES} nodes, {SUBSCRIBERS} subscribers, {PUBLISHERS} publishers: {} updates, 0 \
         failed, 0 lost, 0 doubled, 0 out of order; {} resumptions, {} refused connections; longest gap {gap:.1?}; nodes took \
         at most {:.1?} to end",
        engine.name(),
        log.len(),
        followed.iter().map(|follower| follower.ends.len()).sum::<usize>(),
        followed.iter().map(|follower| follower.refused).sum::<usize>(),
        drains.iter().max().unwrap(),
    );
    assert!(gap < GAP_LIMIT, "a subscriber had no updates for {gap:?}");
    cluster.stop().await;
}
