//! The fault matrix, the rows in which the engine or the way to it fails.

use std::time::{Duration, Instant};

use petasos_testkit::{health, matching, node::Node};

use crate::{
    cluster::{Cluster, LEASE, eventually},
    common::count_from_environment,
    engine::Engine,
    list::listed,
    outcome::{Loss, Times},
    work::{TOPIC, Work},
};

/// How long an engine is gone.
const AWAY_SECONDS: usize = 3;

/// How often, in one run.
const LOSSES: usize = 1;

/// How often replies are lost.
const LOST_REPLIES: usize = 5;

/// Subscribers of a node that is cut off, beside those of the load.
const BESIDE: usize = 3;
const BESIDE_TOPIC: &str = "https://example.com/beside";

/// How long a node that is cut off may be listed: its lease, and the look that finds that it has run out.
const EXPIRY_LIMIT: Duration = Duration::from_secs(10);

fn away() -> Duration {
    Duration::from_secs(count_from_environment("AWAY_SECONDS", AWAY_SECONDS) as u64)
}

/// Loses the engine and gets it back, as often as asked for, under load; then says what came of it.
async fn lose(engine: Engine, fault: &str, is_long: bool, go: impl AsyncFn(&mut Cluster) -> Loss) {
    let mut cluster = Cluster::start(engine, &[]).await;
    let work = Work::start(&cluster).await;
    let (mut losses, mut slowest) = (Vec::new(), Duration::ZERO);
    for _ in 0..count_from_environment("LOSSES", LOSSES) {
        losses.push(go(&mut cluster).await);
        slowest = slowest.max(work.recovers().await);
    }
    let outcome = work.end(&cluster).await;
    let times = outcome.check_loss(&losses, is_long);
    let gone = losses.iter().map(Loss::length).max().unwrap_or_default();
    outcome.tell(
        &format!("{} × {fault}, for {gone:.1?}", losses.len()),
        format!("{times}, publishes again after {slowest:.1?}"),
    );
    cluster.stop().await;
}

pub(crate) async fn engine_restarted_in_order(engine: Engine) {
    lose(engine, "restarted in order", false, async |cluster| {
        let since = Instant::now();
        cluster.server(|server| server.restart());
        Loss { since, away_until: since, until: Instant::now() }
    })
    .await;
}

pub(crate) async fn engine_killed_and_started_again(engine: Engine) {
    lose(engine, "killed -9 and started again", true, async |cluster| {
        let since = Instant::now();
        cluster.server(|server| server.process_mut().kill());
        tokio::time::sleep(away()).await;
        let away_until = Instant::now();
        cluster.server(|server| server.start_again());
        Loss { since, away_until, until: Instant::now() }
    })
    .await;
}

pub(crate) async fn engine_paused(engine: Engine) {
    lose(engine, "paused", true, async |cluster| {
        let since = Instant::now();
        cluster.server(|server| server.process().pause());
        tokio::time::sleep(away()).await;
        let away_until = Instant::now();
        cluster.server(|server| server.process().go_on());
        Loss { since, away_until, until: Instant::now() }
    })
    .await;
}

pub(crate) async fn network_passes_nothing_and_then_everything(engine: Engine) {
    lose(engine, "black hole, then everything comes", true, async |cluster| {
        let since = Instant::now();
        cluster.proxies().iter().for_each(|proxy| proxy.hold());
        tokio::time::sleep(away()).await;
        let away_until = Instant::now();
        cluster.proxies().iter().for_each(|proxy| proxy.go_on());
        Loss { since, away_until, until: Instant::now() }
    })
    .await;
}

pub(crate) async fn network_passes_nothing_and_is_cut(engine: Engine) {
    lose(engine, "black hole, then cut", true, async |cluster| {
        let since = Instant::now();
        cluster.proxies().iter().for_each(|proxy| proxy.hold());
        tokio::time::sleep(away()).await;
        let away_until = Instant::now();
        for proxy in cluster.proxies() {
            proxy.cut();
            proxy.go_on();
        }
        Loss { since, away_until, until: Instant::now() }
    })
    .await;
}

/// What a node sent has arrived, and nobody knows: it is sent again, and must not be stored again.
pub(crate) async fn replies_are_lost_in_the_middle_of_appends(engine: Engine) {
    let cluster = Cluster::start(engine, &[]).await;
    let work = Work::start(&cluster).await;
    let mut losses = Vec::new();
    let mut slowest = Duration::ZERO;
    let times = count_from_environment("LOST_REPLIES", LOST_REPLIES);
    for _ in 0..times {
        let since = Instant::now();
        for proxy in cluster.proxies() {
            proxy.lose_replies().await;
        }
        losses.push(Loss { since, away_until: since, until: Instant::now() });
        slowest = slowest.max(work.recovers().await);
    }
    let dropped: usize = cluster.proxies().iter().map(|proxy| proxy.dropped_bytes()).sum();
    let outcome = work.end(&cluster).await;
    let measured = outcome.check_loss(&losses, false);
    outcome.tell(
        &format!("connections cut {times} times, {dropped} bytes of replies lost"),
        format!("{measured}, publishes again after {slowest:.1?}"),
    );
    cluster.stop().await;
}

/// The others go on, end its subscriptions when its lease has run out, and see them again when it is back.
pub(crate) async fn one_node_is_cut_off(engine: Engine) {
    const VICTIM: usize = 0;
    let cluster = Cluster::start(engine, &[]).await;
    let work = Work::start(&cluster).await;
    let mut beside = Vec::new();
    for _ in 0..BESIDE {
        beside.push(cluster.nodes[VICTIM].hub().subscribe(matching(BESIDE_TOPIC)).await);
    }
    let other = cluster.nodes[1].hub();
    let of_victim = async || listed(&other, BESIDE_TOPIC).await.map(|list| list.ids.len());
    assert_eq!(of_victim().await, Some(BESIDE));
    let begin = Instant::now();
    cluster.proxy(VICTIM).refuse();
    let gone = async || of_victim().await == Some(0);
    let expired = eventually(EXPIRY_LIMIT, "the end of what the node had", gone).await;
    tokio::time::sleep(away().saturating_sub(begin.elapsed())).await;
    for node in 1..cluster.nodes.len() {
        work.goes_on_at(node, 5).await;
    }
    let until = Instant::now();
    cluster.proxy(VICTIM).go_on();
    let loss = Loss { since: begin, away_until: until, until };
    let slowest = work.recovers().await;
    let again = async || of_victim().await == Some(BESIDE);
    let listed_again = eventually(EXPIRY_LIMIT, "the list of what the node has", again).await;
    let outcome = work.end(&cluster).await;
    (1..cluster.nodes.len()).for_each(|node| outcome.was_undisturbed(node));
    let mut times = Times::default();
    outcome.check_loss_of(VICTIM, &[loss], true, &mut times);
    assert!(expired >= LEASE / 2, "the lease had been renewed shortly before");
    outcome.tell(
        "one node cut off",
        format!(
            "{times}, publishes again after {slowest:.1?}, its subscriptions ended after {expired:.1?} and were listed again \
             {listed_again:.1?} after that"
        ),
    );
    cluster.stop().await;
}

/// A hub whose engine is not there yet is alive, not ready, and listens to nobody (C01).
pub(crate) async fn engine_away_at_the_start(engine: Engine) {
    let mut cluster = Cluster::without_nodes(engine).await;
    cluster.server(|server| server.process_mut().kill());
    let options = cluster.options(0, &[]);
    let (address, admin) = (options.address, options.admin);
    let mut node = Node::spawn(options);
    eventually(EXPIRY_LIMIT, "an answer of the admin listener", async || {
        health::status(admin, health::LIVE).await.is_ok()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(health::status(admin, health::LIVE).await.unwrap(), 200);
    assert_eq!(health::status(admin, health::READY).await.unwrap(), 503);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it listens without a log");
    cluster.server(|server| server.start_again());
    let back = Instant::now();
    node.wait_until_ready().await;
    println!("{}, away at the start: ready {:.1?} after it came", engine.name(), back.elapsed());
    node.hub().publish(TOPIC, "here").await;
    cluster.nodes.push(node);
    cluster.stop().await;
}
