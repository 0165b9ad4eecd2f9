//! A rolling restart as Kubernetes does it: the new process is ready, then the old one is told to stop. Behind a load
//! balancer, nobody may notice.
//!
//! `ROLLOUTS`, `SUBSCRIBERS` and `DRAIN_SECONDS` in the environment make the run longer.

use std::time::{Duration, Instant};

use petasos_testkit::{
    balancer::Balancer,
    follower::{Followed, Follower},
    load::{Load, Publishers},
    node::Node,
    process::scratch,
};

use super::support::{MARKER, TOPIC, conclude, start};
use crate::common::count_from_environment;

const ROLLOUTS: usize = 3;
const SUBSCRIBERS: usize = 50;
const PUBLISHERS: usize = 2;
/// The drain window of the hubs.
const DRAIN_SECONDS: usize = 2;

/// Between two updates of a publisher.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a stopping hub still serves: long enough for the balancer to notice.
const SHUTDOWN_DELAY: Duration = Duration::from_millis(300);

/// What a process may take beyond delay and drain window: connections that end, and the close of its store.
const END_GRACE: Duration = Duration::from_secs(5);

/// How long a subscriber may be without updates: it has to notice the end of its stream, connect, and get what it
/// missed. A browser's own pause before it connects again comes on top in real life.
const GAP_LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_r01_c01_nobody_notices_rolling_restarts() {
    let rollouts = count_from_environment("ROLLOUTS", ROLLOUTS);
    let subscribers = count_from_environment("SUBSCRIBERS", SUBSCRIBERS);
    let window = Duration::from_secs(count_from_environment("DRAIN_SECONDS", DRAIN_SECONDS) as u64);
    let drain_timeout = format!("{}s", window.as_secs());
    let shutdown_delay = format!("{}ms", SHUTDOWN_DELAY.as_millis());
    let variables =
        [("PETASOS_DRAIN_TIMEOUT", &*drain_timeout), ("PETASOS_SHUTDOWN_DELAY", &*shutdown_delay)];

    let directory = scratch();
    let balancer = Balancer::start().await;
    let mut old = start(directory.path(), &variables).await;
    balancer.add(&old.hub());
    let mut followers = Vec::new();
    for _ in 0..subscribers {
        followers.push(Follower::start(balancer.hub(), TOPIC, MARKER).await);
    }
    let publishers =
        Publishers::start(|| balancer.hub(), "publisher", PUBLISHERS, &Load::on(TOPIC).paced(PAUSE));
    publishers.acknowledge_more(10).await;

    let mut drains = Vec::new();
    for _ in 0..rollouts {
        let new = start(directory.path(), &variables).await;
        balancer.add(&new.hub());
        let (admin, told) = (old.hub().admin(), Instant::now());
        let (status, ()) = tokio::join!(old.terminate(), async {
            Node::is_unready(admin).await;
            assert!(told.elapsed() < SHUTDOWN_DELAY, "unready only after {:?}", told.elapsed());
        });
        assert_eq!(status.code(), Some(0), "a drained process exits with 0");
        let length = told.elapsed();
        assert!(length < SHUTDOWN_DELAY + window + END_GRACE, "it took {length:?} to drain");
        drains.push((told, length));
        publishers.acknowledge_more(10).await;
        old = new;
    }

    let ledger = publishers.stop().await;
    let (log, followed) = conclude(&old.hub(), &ledger, followers).await;
    assert_eq!(ledger.failures(), Vec::<String>::new(), "no publish may fail");
    for follower in &followed {
        assert_eq!(follower.cuts, Vec::<String>::new(), "S13: streams end cleanly");
        assert_eq!(follower.unanswered, 0, "whoever is let in is answered");
    }
    let gap = followed.iter().map(Followed::longest_gap).max().unwrap();
    let shares: Vec<_> =
        drains.iter().map(|(told, length)| busiest_quarter(*told, *length, window, &followed)).collect();
    println!(
        "{rollouts} rollouts, {subscribers} subscribers, {PUBLISHERS} publishers: {} updates, 0 failed, 0 lost, 0 \
         doubled, 0 out of order; longest gap in a stream {gap:.1?}; {} reconnections, {} refused connections; drains \
         took {:.1?}; busiest quarter of a drain window ended {:.0?} % of the streams",
        log.len(),
        followed.iter().map(|follower| follower.ends.len()).sum::<usize>(),
        followed.iter().map(|follower| follower.refused).sum::<usize>(),
        drains.iter().map(|(_, length)| *length).collect::<Vec<_>>(),
        shares,
    );
    assert!(gap < GAP_LIMIT, "a subscriber had no updates for {gap:?}");
    for share in shares {
        assert!(share < 60.0, "{share} % of the streams ended in one quarter of the window");
    }
    assert_eq!(old.terminate().await.code(), Some(0));
}

/// How many per cent of the streams that ended in a drain did so in the quarter of its window with the most ends.
fn busiest_quarter(told: Instant, length: Duration, window: Duration, followed: &[Followed]) -> f64 {
    let mut quarters = [0_u32; 4];
    for end in followed.iter().flat_map(|follower| &follower.ends) {
        if let Some(after) = end.checked_duration_since(told + SHUTDOWN_DELAY)
            && *end < told + length
        {
            let quarter = (after.as_secs_f64() / window.as_secs_f64() * 4.0) as usize;
            quarters[quarter.min(3)] += 1;
        }
    }
    let all: u32 = quarters.iter().sum();
    assert!(all > 0, "no stream ended in a drain");
    f64::from(*quarters.iter().max().unwrap()) * 100.0 / f64::from(all)
}
