//! The load itself. Half of the publishers keep their connections, the others take a new one for each update, which is what
//! meets a closed port.
//!
//! | variable | |
//! | --- | --- |
//! | `HUB` | address and port of the Service |
//! | `RATE` | updates a second, 50 |
//! | `PUBLISHERS` | 10 |
//! | `SUBSCRIBERS` | 20 |
//!
//! The hub must have the keys of the testkit.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use petasos_testkit::{
    Connection, TestHub,
    follower::Follower,
    load::{Load, Publishers},
};

use super::{control, report};

/// The data of the last event.
pub(crate) const MARKER: &str = "the end";

struct Working {
    hub: TestHub,
    topic: String,
    followers: Vec<Follower>,
    publishers: [Publishers; 2],
}

/// Works until it is told to stop, then waits to be ended.
pub(crate) async fn run() {
    let listener = control::listen().await;
    let mut working = Some(start().await);
    println!("the load is on");
    loop {
        let question = control::next(&listener).await;
        let words: Vec<&str> = question.words.iter().map(String::as_str).collect();
        match (words.as_slice(), &working) {
            (["status"], Some(load)) => {
                let text = format!("{} acknowledged", load.acknowledged());
                question.answer(true, &text).await;
            }
            (["more", count], Some(load)) => {
                let wanted = load.acknowledged() + count.parse::<usize>().unwrap();
                while load.acknowledged() < wanted {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                question.answer(true, &format!("{} acknowledged", load.acknowledged())).await;
            }
            (["stop"], Some(_)) => {
                let Some(load) = working.take() else { continue };
                match tokio::spawn(load.conclude()).await {
                    Ok(report) => question.answer(true, &report).await,
                    Err(error) => question.answer(false, &format!("the run failed: {error}")).await,
                }
            }
            _ => question.answer(false, "that is no question, or the load is off").await,
        }
    }
}

async fn start() -> Working {
    let address: SocketAddr = setting("HUB").expect("HUB is needed");
    let hub = || hub_at(address);
    let publishers: u32 = setting("PUBLISHERS").unwrap_or(10);
    let rate: u32 = setting("RATE").unwrap_or(50);
    // The nodes learn of a Service some moments after its hub is ready; until then nothing counts.
    while Connection::try_open_within(address, Duration::from_secs(1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A log that was used before may have events of other runs.
    let topic = format!("https://example.com/load/{}", petasos_testkit::token::now());
    let mut followers = Vec::new();
    for _ in 0..setting("SUBSCRIBERS").unwrap_or(20) {
        followers.push(Follower::start(hub(), &topic, MARKER).await);
    }
    let load = Load::on(&topic).steadily(Duration::from_secs(1) * publishers / rate);
    let half = publishers as usize / 2;
    let publishers = [
        Publishers::start(hub, "keeps", publishers as usize - half, &load),
        Publishers::start(hub, "anew", half, &load.clone().connecting_anew()),
    ];
    Working { hub: hub(), topic, followers, publishers }
}

/// The port of the scheme is no part of the resource identifier.
fn hub_at(address: SocketAddr) -> TestHub {
    let hub = TestHub::new(address, None, true);
    if address.port() == 80 {
        hub.known_as(&format!("http://{}{}", address.ip(), petasos_testkit::HUB_PATH))
    } else {
        hub
    }
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")))
}

impl Working {
    fn acknowledged(&self) -> usize {
        self.publishers.iter().map(Publishers::acknowledged).sum()
    }

    /// Ends the publishers, publishes the marker, and counts.
    async fn conclude(self) -> String {
        let (mut unconnected, mut longest_unconnected) = (0, Duration::ZERO);
        let mut ledger = petasos_testkit::ledger::Ledger::default();
        for publishers in self.publishers {
            unconnected += publishers.unconnected();
            longest_unconnected = longest_unconnected.max(publishers.longest_unconnected());
            ledger.extend(publishers.stop().await.entries().iter().cloned());
        }
        self.hub.publish(self.topic.as_str(), MARKER).await;
        let log = petasos_testkit::follower::log_of(&self.hub, &self.topic, MARKER).await;
        let mut followed = Vec::new();
        let mut failed = 0;
        for follower in self.followers {
            match tokio::spawn(follower.end()).await {
                Ok(seen) => followed.push(seen),
                Err(_) => failed += 1,
            }
        }
        let mut report = report::of(&ledger, &log, &followed, failed);
        report["unconnected"] = unconnected.into();
        report["longest_unconnected_ms"] = (longest_unconnected.as_millis() as u64).into();
        report.to_string()
    }
}
