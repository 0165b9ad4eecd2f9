//! What is this engine's own, on real servers. What every engine must do stands in `tests/transport_contract.rs`.

mod failover;
mod guard;
mod loss;
mod retention;
mod schema;
mod writers;

use std::net::SocketAddr;

use petasos_testkit::{
    patiently,
    servers::{EngineServer, postgres::PostgresServer},
};

use super::*;
use crate::{
    Update,
    transport::{
        ErrorKind, Retention,
        remote::{Address, RemoteConfig},
    },
};

fn unique() -> String {
    format!("log{}", uuid::Uuid::new_v4().simple())
}

fn config(url: &str) -> PostgresConfig {
    let address = Address::parse(url).expect("a URL");
    PostgresConfig::new(&RemoteConfig { address, retention: Some(Retention::default()) })
        .expect("a configuration")
}

/// A log of its own on the server of the test program.
fn shared() -> (&'static PostgresServer, String, PostgresConfig) {
    let (server, log) = (PostgresServer::shared(), unique());
    let config = config(&server.url(&log));
    (server, log, config)
}

/// The same log through something that passes bytes on.
fn through(server: &PostgresServer, address: SocketAddr, log: &str) -> PostgresConfig {
    config(&server.url_at(address, log))
}

async fn open(config: &PostgresConfig) -> PostgresTransport {
    patiently("an open log", PostgresTransport::open(config.clone())).await.expect("an open log")
}

fn entry(id: &str) -> Append {
    let update = Update::from_stored(id.into(), vec!["t".into()], format!("data of {id}"), false, None, None);
    Append { update: Arc::new(update), presence: None }
}

async fn append(log: &PostgresTransport, id: &str) -> Position {
    let stored = patiently("an append", log.append(AttemptId::new(), vec![entry(id)])).await;
    stored.expect("an append").expect("a position")
}

/// As a hub does: tries until it is stored.
async fn append_at_last(log: &PostgresTransport, id: &str) -> Position {
    let attempt = AttemptId::new();
    patiently("an append", async {
        loop {
            match log.append(attempt, vec![entry(id)]).await {
                Ok(position) => return position.expect("a position"),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    })
    .await
}

async fn ids(log: &PostgresTransport) -> Vec<String> {
    let limit = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let hint = ReadHint::default();
    let mut found = Vec::new();
    let mut after = Position::START;
    loop {
        let page = log.read(after, Position(u64::MAX), limit, &hint).await.expect("a read");
        if page.events.is_empty() {
            return found;
        }
        found.extend(page.events.iter().map(|event| event.update.id().to_owned()));
        after = page.next;
    }
}

/// The next `count` events of a tail that is told of a lost server in between.
async fn follow(tail: &mut Box<dyn Tail>, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match patiently("the tail's next events", tail.next()).await {
            Ok(events) => found.extend(events.iter().map(|event| event.update.id().to_owned())),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    found
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    patiently(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}
