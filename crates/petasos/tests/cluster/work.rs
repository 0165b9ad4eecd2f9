//! The load that goes on while something goes wrong, and what must be true of it at the end.
//!
//! Publishers on every node; on every node subscribers that stay, and one that leaves and comes back with its cursor again
//! and again. What each of them saw is compared with the log, and the log with what the publishers were told.

use std::time::{Duration, Instant};

use petasos_testkit::{
    conclusion::first_difference,
    follower::{Followed, Follower, log_of},
    health::HealthWatch,
    ledger::Ledger,
    load::{Load, Publishers},
};

use crate::{
    cluster::{Cluster, NODES},
    list::listed,
    outcome::Outcome,
};

/// The topic of all updates.
pub(crate) const TOPIC: &str = "https://example.com/ledger";

/// The data of the event behind the last one that counts.
const MARKER: &str = "the end";

/// Publishers on each node.
const PUBLISHERS: usize = 2;

/// Between two updates of a publisher.
const PAUSE: Duration = Duration::from_millis(20);

/// Subscribers on each node that stay.
pub(crate) const STAYING: usize = 2;

/// How long the restless one on each node stays on a stream.
const RESTLESS_STAY: Duration = Duration::from_millis(700);

/// Acknowledged updates on each node before anything goes wrong.
const WARM_UP: usize = 20;

/// How soon publishing must work again when the engine is back.
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take until all nodes list who is there: a lease, the look that finds that it has run out, and what
/// comes of it.
const PRESENCE_LIMIT: Duration = Duration::from_secs(20);

/// The load at work.
pub(crate) struct Work {
    publishers: Vec<Publishers>,
    staying: Vec<Follower>,
    restless: Vec<Follower>,
    health: HealthWatch,
}

impl Work {
    /// Starts it on all nodes, and returns when updates are acknowledged on all of them.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let (mut staying, mut restless, mut publishers) = (Vec::new(), Vec::new(), Vec::new());
        for node in &cluster.nodes {
            for _ in 0..STAYING {
                staying.push(Follower::start(node.hub(), TOPIC, MARKER).await);
            }
            restless.push(Follower::restless(node.hub(), TOPIC, MARKER, RESTLESS_STAY).await);
        }
        let load = Load::on(TOPIC).paced(PAUSE);
        for (number, node) in cluster.nodes.iter().enumerate() {
            publishers.push(Publishers::start(|| node.hub(), &format!("n{number}p"), PUBLISHERS, &load));
        }
        let health = HealthWatch::start(cluster.nodes.iter().map(|node| node.hub().admin()));
        let work = Self { publishers, staying, restless, health };
        work.goes_on(WARM_UP).await;
        work
    }

    /// Waits until so many more updates were acknowledged on each node.
    pub(crate) async fn goes_on(&self, count: usize) {
        for publishers in &self.publishers {
            publishers.acknowledge_more(count).await;
        }
    }

    /// Waits until so many more updates were acknowledged on one node.
    pub(crate) async fn goes_on_at(&self, node: usize, count: usize) {
        self.publishers[node].acknowledge_more(count).await;
    }

    /// Waits until publishing works on every node, and returns how long the slowest took.
    pub(crate) async fn recovers(&self) -> Duration {
        let begin = Instant::now();
        // One more than could have been on its way.
        self.goes_on(PUBLISHERS + 1).await;
        let took = begin.elapsed();
        assert!(took < RECOVERY_LIMIT, "publishing did not work again for {took:?}");
        took
    }

    /// Ends it: waits until presence is as it should be on every node, lets publishers finish, and compares what all saw.
    pub(crate) async fn end(self, cluster: &Cluster) -> Outcome {
        let everybody = self.staying.len() + self.restless.len();
        presence_settles(cluster, everybody).await;
        let mut ledgers = Vec::new();
        for publishers in self.publishers {
            ledgers.push(publishers.stop().await);
        }
        let health = self.health.end().await;
        let mut ledger = Ledger::default();
        ledgers.iter().for_each(|one| ledger.extend(one.entries().iter().cloned()));
        ledger.doubt_unavailable();

        cluster.nodes[0].hub().publish(TOPIC, MARKER).await;
        let log = log_of(&cluster.nodes[NODES - 1].hub(), TOPIC, MARKER).await;
        let kept: Vec<_> = cluster.history().await.iter().filter_map(of_topic).collect();
        // The last one is the marker.
        assert_eq!(
            first_difference(&kept[..kept.len() - 1], &log),
            None,
            "the engine and what a node reads of it"
        );
        ledger.check(&log);
        let staying = compare("that stays", self.staying, &log).await;
        let restless = compare("that comes back", self.restless, &log).await;
        Outcome { engine: cluster.engine, ledgers, staying, restless, health, stored: log.len() }
    }
}

/// The id of an event of the topic.
fn of_topic(line: &serde_json::Value) -> Option<String> {
    let topics = line["topics"].as_array().unwrap();
    topics.iter().any(|topic| topic == TOPIC).then(|| line["id"].as_str().unwrap().to_owned())
}

async fn compare(what: &str, followers: Vec<Follower>, log: &[String]) -> Vec<Followed> {
    let mut all = Vec::new();
    for (number, follower) in followers.into_iter().enumerate() {
        let followed = follower.end().await;
        assert_eq!(first_difference(&followed.ids(), log), None, "follower {number} {what}, and the log");
        all.push(followed);
    }
    all
}

/// Waits until every node lists the same subscriptions, and as many as there are subscribers.
async fn presence_settles(cluster: &Cluster, count: usize) {
    let begin = Instant::now();
    loop {
        let mut lists = Vec::new();
        for node in &cluster.nodes {
            lists.push(listed(&node.hub(), TOPIC).await.map(|list| list.ids));
        }
        let same = lists.windows(2).all(|pair| pair[0] == pair[1]);
        if same && lists[0].as_ref().is_some_and(|ids| ids.len() == count) {
            return;
        }
        if begin.elapsed() >= PRESENCE_LIMIT {
            let mut connected = Vec::new();
            for node in &cluster.nodes {
                connected.push(node.hub().counted("mercure_subscribers_connected").await);
            }
            panic!(
                "the nodes do not agree on {count} subscriptions: {:?}, and have {connected:?} streams\n{lists:#?}",
                lists.iter().map(|ids| ids.as_ref().map(std::collections::BTreeSet::len)).collect::<Vec<_>>(),
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
