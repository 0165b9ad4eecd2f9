//! What is particular to logs on Redis: groups that are known again, keys that come and go, fail-overs, clusters, logins.
//! What every engine must do is in the contract suites.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used)]

mod cluster;
mod failures;
mod logins;
mod retention;
mod retries;
mod sentinel;

use std::{sync::Arc, time::Duration};

use petasos_hub::{
    Update,
    transport::{
        Append, AttemptId, ErrorKind, Position, ReadHint, ReadLimit, Retention, StoredEvent, Tail, Transport,
        TransportError,
        redis::{RedisConfig, RedisTransport},
        remote::{Address, RemoteConfig},
    },
};
use petasos_testkit::patiently;

/// Between two looks at what nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn config(url: &str, retention: Retention) -> Result<RedisConfig, String> {
    RedisConfig::new(&RemoteConfig { address: Address::parse(url)?, retention: Some(retention) })
}

async fn try_open(url: &str) -> Result<RedisTransport, TransportError> {
    let config = config(url, Retention::default()).unwrap();
    patiently("a log", RedisTransport::open(config)).await
}

async fn open(url: &str) -> Arc<RedisTransport> {
    Arc::new(try_open(url).await.unwrap_or_else(|error| panic!("the log cannot be opened: {error}")))
}

async fn open_keeping(url: &str, retention: Retention) -> Arc<RedisTransport> {
    Arc::new(patiently("a log", RedisTransport::open(config(url, retention).unwrap())).await.unwrap())
}

fn entry(id: &str) -> Append {
    entry_of(id, "data")
}

fn entry_of(id: &str, data: &str) -> Append {
    let update = Update::from_stored(id.to_owned(), vec!["t".to_owned()], data.to_owned(), false, None, None);
    Append { update: Arc::new(update), presence: None }
}

async fn try_append(log: &RedisTransport, id: &str) -> Result<Position, TransportError> {
    let stored = patiently("an append", log.append(AttemptId::new(), vec![entry(id)])).await;
    stored.map(|position| position.expect("a position"))
}

async fn append(log: &RedisTransport, id: &str) -> Position {
    try_append(log, id).await.unwrap_or_else(|error| panic!("an append failed: {error}"))
}

/// Appends until the log takes it, as a publisher does that is told to try again; each try is a publish of its own.
async fn append_at_last(log: &RedisTransport, id: &str) -> Position {
    patiently("the log to take an event", async {
        loop {
            match try_append(log, id).await {
                Ok(position) => return position,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}

async fn kept(log: &RedisTransport) -> Vec<StoredEvent> {
    let limit = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let hint = ReadHint::default();
    let page = log.read(Position::START, Position(u64::MAX), limit, &hint);
    patiently("a read", page).await.unwrap_or_else(|error| panic!("a read failed: {error}")).events
}

async fn kept_ids(log: &RedisTransport) -> Vec<String> {
    ids(&kept(log).await)
}

fn ids(events: &[StoredEvent]) -> Vec<String> {
    events.iter().map(|event| event.update.id().to_owned()).collect()
}

/// What a tail brings up to the event with this id, and how often it was overtaken.
async fn follow_until(tail: &mut dyn Tail, last: &str) -> (Vec<StoredEvent>, usize) {
    let (mut seen, mut overtaken) = (Vec::new(), 0);
    while seen.last().is_none_or(|event: &StoredEvent| event.update.id() != last) {
        match patiently("the tail", tail.next()).await {
            Ok(events) => seen.extend(events),
            Err(error) if error.kind() == ErrorKind::Overtaken => overtaken += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    (seen, overtaken)
}

async fn until_ready(log: &RedisTransport, ready: bool) {
    patiently("the health to change", async {
        while log.health().ready.is_ok() != ready {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert_eq!(log.health().live, Ok(()), "a lost server never asks for a restart");
}
