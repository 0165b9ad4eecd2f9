//! Two processes that serve one store: one order, quick delivery from one to the other, fair writing, and no work where
//! there is none.
//!
//! `UPDATES`, `FAIR_SECONDS` and `IDLE_SECONDS` in the environment make the runs longer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use petasos_testkit::{
    follower::{Followed, Follower},
    ledger::Fate,
    load::{Load, Publishers},
    matching,
    node::Node,
    percentile::Times,
    process::scratch,
};

use super::support::{MARKER, TOPIC, conclude, start, start_in_a_namespace};
use crate::common::count_from_environment;

/// Updates of the test of order, and of the one of latency.
const UPDATES: usize = 300;
const FAIR_SECONDS: usize = 2;
const IDLE_SECONDS: usize = 3;

/// Publishers on each process.
const PUBLISHERS: usize = 8;

/// Subscribers on each process.
const SUBSCRIBERS: usize = 3;

/// Idle streams on each process while its work is measured.
const IDLE_STREAMS: usize = 20;

/// What delivery from one process to the other may take at p99 on a machine that does other things as well. On an idle
/// one the goal is 20 ms.
const LATENCY_LIMIT: Duration = Duration::from_millis(250);
const LATENCY_GOAL: Duration = Duration::from_millis(20);

/// How many per cent of a core a process without work may use, and the goal on an idle machine.
const IDLE_LIMIT: f64 = 5.0;
const IDLE_GOAL: f64 = 1.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_all_subscribers_of_both_see_the_order_of_the_history() {
    let directory = scratch();
    let nodes = [start(directory.path(), &[]).await, start(directory.path(), &[]).await];
    assert_one_order(&nodes).await;
    let [one, other] = nodes;
    assert!(one.terminate().await.success());
    assert!(other.terminate().await.success());
}

/// Two containers on one host: each process is PID 1, and neither can see the other. Needs root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_processes_in_namespaces_of_their_own_share_a_store() {
    let directory = scratch();
    let mut nodes =
        [start_in_a_namespace(directory.path()).await, start_in_a_namespace(directory.path()).await];
    assert_one_order(&nodes).await;
    nodes[0].kill().await;
    nodes[1].hub().publish(TOPIC, "still there").await;
    nodes[0].start_again().await;
    nodes[0].hub().publish(TOPIC, "back").await;
    for node in &mut nodes {
        node.kill().await;
    }
}

/// Publishes on both at full speed, and checks that everybody sees the same.
async fn assert_one_order(nodes: &[Node; 2]) {
    let updates = count_from_environment("UPDATES", UPDATES);
    let mut followers = Vec::new();
    for node in nodes {
        for _ in 0..SUBSCRIBERS {
            followers.push(Follower::start(node.hub(), TOPIC, MARKER).await);
        }
    }
    let load = Load::on(TOPIC);
    let [one, other] = [("one", &nodes[0]), ("other", &nodes[1])]
        .map(|(name, node)| Publishers::start(|| node.hub(), name, PUBLISHERS, &load));
    tokio::join!(one.acknowledge_more(updates), other.acknowledge_more(updates));
    let mut ledger = one.stop().await;
    ledger.extend(other.stop().await.entries().iter().cloned());
    let (log, followed) = conclude(&nodes[0].hub(), &ledger, followers).await;
    assert_eq!(ledger.failures(), Vec::<String>::new());
    assert!(followed.iter().all(|follower| follower.ends.is_empty()), "a healthy reader was disconnected");
    let turns = log.windows(2).filter(|pair| pair[0][..3] != pair[1][..3]).count();
    println!("{} updates of two processes in one order, which changed hands {turns} times", log.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_cross_from_one_process_to_the_other_at_once() {
    let updates = count_from_environment("UPDATES", UPDATES);
    let directory = scratch();
    let nodes = [start(directory.path(), &[]).await, start(directory.path(), &[]).await];
    let mut followers = Vec::new();
    for node in &nodes {
        followers.push(Follower::start(node.hub(), TOPIC, MARKER).await);
    }
    let load = Load::on(TOPIC).paced(Duration::from_millis(10));
    let publishers = Publishers::start(|| nodes[0].hub(), "one", 1, &load);
    publishers.acknowledge_more(updates).await;
    let ledger = publishers.stop().await;
    let (_, followed) = conclude(&nodes[0].hub(), &ledger, followers).await;
    let mut sent = HashMap::new();
    let mut acknowledged = HashMap::new();
    for entry in ledger.entries() {
        let Fate::Acknowledged(at) = entry.fate else { panic!("{entry:?}") };
        sent.insert(entry.id.clone(), entry.sent);
        acknowledged.insert(entry.id.clone(), at);
    }
    let since = |from: &HashMap<String, Instant>, followed: &Followed| {
        Times::new(followed.seen.iter().map(|(id, at)| at.saturating_duration_since(from[id])))
    };
    let crossing = since(&acknowledged, &followed[1]);
    println!(
        "from the request to a subscriber of the same process: {}",
        since(&sent, &followed[0]).summary()
    );
    println!(
        "from the request to a subscriber of the other process: {}",
        since(&sent, &followed[1]).summary()
    );
    println!(
        "from the acknowledgement to a subscriber of the other process: {} (goal on an idle machine: p99 \
         {LATENCY_GOAL:?})",
        crossing.summary()
    );
    assert!(crossing.at(0.99) < LATENCY_LIMIT, "p99 {:?}", crossing.at(0.99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_process_starves_under_full_load_of_both() {
    let length = Duration::from_secs(count_from_environment("FAIR_SECONDS", FAIR_SECONDS) as u64);
    let directory = scratch();
    let nodes = [start(directory.path(), &[]).await, start(directory.path(), &[]).await];
    let load = Load::on(TOPIC);
    let [one, other] = [("one", &nodes[0]), ("other", &nodes[1])]
        .map(|(name, node)| Publishers::start(|| node.hub(), name, PUBLISHERS, &load));
    tokio::join!(one.acknowledge_more(PUBLISHERS), other.acknowledge_more(PUBLISHERS));
    let before = [one.acknowledged(), other.acknowledged()];
    tokio::time::sleep(length).await;
    let rates = [one.acknowledged() - before[0], other.acknowledged() - before[1]]
        .map(|count| count as f64 / length.as_secs_f64());
    let mut ledger = one.stop().await;
    ledger.extend(other.stop().await.entries().iter().cloned());
    conclude(&nodes[1].hub(), &ledger, Vec::new()).await;
    let longest = Times::new(ledger.entries().iter().filter_map(|entry| match entry.fate {
        Fate::Acknowledged(at) => Some(at - entry.sent),
        _ => None,
    }));
    println!(
        "full load of both: {:.0} and {:.0} durable publishes a second with {PUBLISHERS} publishers each; a publish took \
         {}",
        rates[0],
        rates[1],
        longest.summary()
    );
    let share = rates[0].min(rates[1]) / rates[0].max(rates[1]);
    assert!(share >= 0.25, "one process got only {share:.2} of the rate of the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_without_work_do_next_to_nothing() {
    let length = Duration::from_secs(count_from_environment("IDLE_SECONDS", IDLE_SECONDS) as u64);
    let directory = scratch();
    let variables = [("PETASOS_SUBSCRIPTIONS", "true")];
    let nodes = [start(directory.path(), &variables).await, start(directory.path(), &variables).await];
    let mut streams = Vec::new();
    for node in &nodes {
        for _ in 0..IDLE_STREAMS {
            streams.push(node.hub().subscribe(matching(TOPIC)).await);
        }
    }
    nodes[0].hub().publish(TOPIC, "the last for a while").await;
    for stream in &mut streams {
        stream.next().await;
    }
    let before = nodes.each_ref().map(|node| processor_time(node.pid()));
    let since = Instant::now();
    tokio::time::sleep(length).await;
    let elapsed = since.elapsed();
    let shares = [0, 1].map(|number| {
        let used = processor_time(nodes[number].pid()).saturating_sub(before[number]);
        used.as_secs_f64() * 100.0 / elapsed.as_secs_f64()
    });
    assert!(before.iter().all(|time| !time.is_zero()), "the kernel counts no processor time");
    println!(
        "without work, {IDLE_STREAMS} streams each, the processes used {:.2} % and {:.2} % of a core over {elapsed:.0?} \
         (goal: {IDLE_GOAL} %)",
        shares[0], shares[1]
    );
    assert!(shares.iter().all(|share| *share < IDLE_LIMIT), "{shares:?} % of a core");
}

/// The processor time that the threads of a process have used, from the scheduler, which counts nanoseconds.
fn processor_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let used = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat"));
        // A thread that has just ended has nothing to tell any more.
        let text = text.unwrap_or_else(|_| "0".to_owned());
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(used.sum())
}
