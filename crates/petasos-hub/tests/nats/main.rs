//! What is particular to logs on NATS JetStream: lost acknowledgements, servers that die or pause, streams of others, ways to
//! log in. What every engine must do is in the contract suites.

#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used)]

mod access;
mod cluster;
mod outages;
mod storing;

use std::{sync::Arc, time::Duration};

use petasos_hub::{
    Update,
    transport::{
        Append, AttemptId, ErrorKind, NodeId, Position, PresenceChange, PresenceFilter, ReadHint, ReadLimit,
        Retention, StoredEvent, Tail, Transport, TransportError,
        nats::{NatsConfig, NatsTransport},
        remote::{Address, RemoteConfig},
    },
};
use petasos_testkit::{
    patiently,
    servers::nats::{NatsOptions, NatsServer, NatsVersion},
};

/// Between two looks at what nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Within this a publisher is told that an engine is gone.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

fn config(url: &str, retention: Option<Retention>) -> NatsConfig {
    let address = Address::parse(url).unwrap();
    NatsConfig::new(&RemoteConfig { address, retention }).unwrap_or_else(|error| panic!("{error}"))
}

async fn try_open(url: &str) -> Result<NatsTransport, TransportError> {
    patiently("a log", NatsTransport::open(config(url, Some(Retention::default())))).await
}

async fn open(url: &str) -> Arc<NatsTransport> {
    Arc::new(try_open(url).await.unwrap_or_else(|error| panic!("the log cannot be opened: {error}")))
}

fn server(version: NatsVersion) -> NatsServer {
    NatsServer::start_with(NatsOptions::of(version))
}

fn entry(id: &str) -> Append {
    entry_of(id, "data")
}

fn entry_of(id: &str, data: &str) -> Append {
    let update = Update::from_stored(id.to_owned(), vec!["t".to_owned()], data.to_owned(), false, None, None);
    Append { update: Arc::new(update), presence: None }
}

async fn try_append(log: &NatsTransport, id: &str) -> Result<Position, TransportError> {
    let stored = patiently("an append", log.append(AttemptId::new(), vec![entry(id)])).await;
    stored.map(|position| position.expect("a position"))
}

async fn append(log: &NatsTransport, id: &str) -> Position {
    try_append(log, id).await.unwrap_or_else(|error| panic!("{id} was not stored: {error}"))
}

/// Appends until it works; returns the position.
async fn append_at_last(log: &NatsTransport, id: &str) -> Position {
    loop {
        match try_append(log, id).await {
            Ok(position) => return position,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
}

async fn read_all(log: &NatsTransport) -> Vec<StoredEvent> {
    try_read_all(log).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn try_read_all(log: &NatsTransport) -> Result<Vec<StoredEvent>, TransportError> {
    let (all, hint) = (ReadLimit { events: usize::MAX, bytes: usize::MAX }, ReadHint::default());
    let page = patiently("a read", log.read(Position::START, Position(u64::MAX), all, &hint)).await;
    page.map(|page| page.events)
}

fn ids(events: &[StoredEvent]) -> Vec<&str> {
    events.iter().map(|event| event.update.id()).collect()
}

/// What a tail hands out, until an event with this id.
async fn follow_until(tail: &mut dyn Tail, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some(last) {
        let events = next(tail).await.unwrap_or_else(|error| panic!("{error}"));
        seen.extend(events.iter().map(|event| event.update.id().to_owned()));
    }
    seen
}

/// What a tail hands out or tells next, other than that it cannot follow the log for the moment.
async fn next(tail: &mut dyn Tail) -> Result<Vec<StoredEvent>, TransportError> {
    loop {
        match patiently("the tail", tail.next()).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            outcome => return outcome,
        }
    }
}

/// Waits until the log says that it is ready, or that it is not.
async fn wait_ready(log: &NatsTransport, is_ready: bool) {
    patiently(if is_ready { "readiness" } else { "the loss of readiness" }, async {
        while log.health().ready.is_ok() != is_ready {
            assert_eq!(log.health().live, Ok(()));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}
