//! Following the log: a blocking `XREAD` on a connection of its own.
//!
//! The read that is under way stays in the tail when the future of `next` is dropped. Wherever a tail has connected again
//! it looks whether the event at its position is still the one that it has handed out: a fail-over or a restored copy may
//! have lost it, and then its readers are told.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use redis::{RedisResult, Value, from_redis_value};
use tokio::sync::watch;

use super::{
    Engine,
    connect::{Backoff, Link, connect},
    entry,
    error::{translate, unexpected},
    read::ask_all,
};
use crate::transport::{ErrorKind, Position, StoredEvent, Tail, TransportError};

/// How long the server lets a read wait for events, and how much later the connection counts as dead.
const BLOCK: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(2);

/// How long the server may take to answer what it knows.
const PATIENCE: Duration = Duration::from_secs(2);

/// Entries of one read: few at first, as many as bring about this many bytes later.
const FIRST_ENTRIES: usize = 16;
const MOST_ENTRIES: usize = 1_024;
const READ_BYTES: usize = 256 << 10;

pub(super) struct RedisTail {
    engine: Arc<Engine>,
    after: Position,
    /// The event at `after`, if it is known.
    mark: Option<Mark>,
    link: Option<Link>,
    reading: Option<BoxFuture<'static, RedisResult<Value>>>,
    /// Events that are handed over at the next call, after an error.
    ready: Vec<StoredEvent>,
    count: usize,
    server: watch::Receiver<String>,
    backoff: Backoff,
    /// The loss of the server was told.
    told: bool,
}

/// By what an event is known again.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    id: String,
    at_ms: u64,
}

impl Mark {
    fn of(event: &StoredEvent) -> Self {
        Self { id: event.update.id().to_owned(), at_ms: event.at_ms }
    }
}

impl std::fmt::Debug for RedisTail {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RedisTail")
            .field("after", &self.after)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl RedisTail {
    pub(super) fn new(engine: Arc<Engine>, after: Position) -> Self {
        let server = engine.server.subscribe();
        Self {
            engine,
            after,
            mark: None,
            link: None,
            reading: None,
            ready: Vec::new(),
            count: FIRST_ENTRIES,
            server,
            backoff: Backoff::new(),
            told: false,
        }
    }

    /// Connects, and looks whether the log is still the one that was followed.
    async fn connect(&mut self) -> Result<(), TransportError> {
        self.server.mark_unchanged();
        let link = connect(&self.engine.config, None).await?;
        let (after, keys) = (self.after, &self.engine.keys);
        let mut pipeline = redis::pipe();
        pipeline.cmd("XRANGE").arg(&keys.log).arg(format!("{after}-0")).arg(format!("{after}-0"));
        pipeline.cmd("HMGET").arg(&keys.state).arg("position").arg("trimmed").arg("floor");
        let mut connection = link.connection.clone();
        let answer = in_time(PATIENCE, ask_all(&mut connection, &mut pipeline)).await;
        let [entries, state] = answer.map_err(|error| translate(&error))?;
        let state = from_redis_value::<Vec<Option<u64>>>(state).map_err(|_| unexpected("the log"))?;
        let number = |place: usize| state.get(place).copied().flatten().unwrap_or_default();
        let (head, gone) = (Position(number(0)), Position(number(1).max(number(2))));
        let found = entry::decode(entries)?;
        self.link = Some(link);
        self.count = FIRST_ENTRIES;
        self.told = false;
        self.backoff = Backoff::new();
        let now = found.events.first().map(Mark::of);
        let known = std::mem::replace(&mut self.mark, now);
        let is_same = match (&known, &self.mark) {
            (None, _) => true,
            (Some(known), Some(now)) => known == now,
            // A damaged event is still there.
            (Some(_), None) => found.damage.is_some() || after <= gone,
        };
        if is_same {
            return Ok(());
        }
        // What comes now stands behind the head, wherever this tail was.
        self.after = after.min(head);
        Err(TransportError::new(
            ErrorKind::Overtaken,
            format!(
                "the server lost events that were delivered already, up to position {after}: a fail-over, or an older copy \
                 of its data"
            ),
        ))
    }

    fn read(&self, link: &Link) -> BoxFuture<'static, RedisResult<Value>> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(self.count).arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1));
        command.arg("STREAMS").arg(&self.engine.keys.log).arg(format!("{}-0", self.after));
        let mut connection = link.connection.clone();
        in_time(BLOCK + LATE, async move { command.query_async(&mut connection).await }).boxed()
    }

    /// Takes what a read has brought.
    async fn take(&mut self, answer: Value) -> Result<Vec<StoredEvent>, TransportError> {
        let entries = entry::decode_read(answer)?;
        self.adapt(&entries);
        let first = entries.events.first().map(|event| event.position);
        let first = first.or(entries.damage.as_ref().map(|(position, _)| *position));
        let Some(first) = first else { return Ok(Vec::new()) };
        // Positions have no gaps but where another server took over.
        if first.0 > self.after.0 + 1 && self.after < trimmed(&self.engine, self.link.clone()).await? {
            self.after = Position(first.0 - 1);
            self.ready = entries.events;
            return Err(TransportError::new(
                ErrorKind::Overtaken,
                "retention discarded events before they were delivered: the history is kept too short for the rate of \
                 updates",
            ));
        }
        if let (Some((position, error)), None) = (&entries.damage, entries.events.last()) {
            self.after = *position;
            self.mark = None;
            return Err(TransportError::new(ErrorKind::Overtaken, format!("{error}; it is passed over")));
        }
        Ok(entries.events)
    }

    /// Reads more at once where little comes, and less where much does.
    fn adapt(&mut self, entries: &entry::Entries) {
        let bytes: usize = entries.events.iter().map(|event| event.update.weight_bytes()).sum();
        if bytes > READ_BYTES {
            self.count = (self.count * READ_BYTES / bytes).max(1);
        } else if entries.len() >= self.count {
            self.count = (self.count * 2).min(MOST_ENTRIES);
        }
    }

    /// One step; no events where there is nothing yet.
    async fn step(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        if self.link.is_none() {
            self.reading = None;
            self.connect().await?;
        }
        if self.reading.is_none() {
            let link = self.link.as_ref().ok_or_else(TransportError::closed)?;
            self.reading = Some(self.read(link));
        }
        let Some(reading) = self.reading.as_mut() else { return Err(unexpected("events")) };
        let answer = tokio::select! {
            biased;
            answer = reading => answer,
            Ok(()) = self.server.changed() => {
                let current = self.server.borrow_and_update().clone();
                if self.link.as_ref().is_some_and(|link| link.server.run_id != current) {
                    self.link = None;
                }
                return Ok(Vec::new());
            }
        };
        self.reading = None;
        let answer = answer.map_err(|error| translate(&error))?;
        self.take(answer).await
    }
}

#[async_trait::async_trait]
impl Tail for RedisTail {
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        let engine = Arc::clone(&self.engine);
        loop {
            let step = async {
                match std::mem::take(&mut self.ready) {
                    ready if ready.is_empty() => self.step().await,
                    ready => Ok(ready),
                }
            };
            let step = tokio::select! {
                biased;
                () = engine.closed.cancelled() => return Err(TransportError::closed()),
                step = step => step,
            };
            match step {
                Ok(events) => {
                    let Some(last) = events.last() else { continue };
                    self.after = last.position;
                    self.mark = Some(Mark::of(last));
                    engine.saw(last.position);
                    return Ok(events);
                }
                Err(error) if error.kind() == ErrorKind::Overtaken => return Err(error),
                Err(error) => {
                    self.link = None;
                    self.reading = None;
                    if !std::mem::replace(&mut self.told, true) {
                        return Err(TransportError::unavailable(error.to_string()));
                    }
                }
            }
            tokio::select! {
                () = engine.closed.cancelled() => return Err(TransportError::closed()),
                () = tokio::time::sleep(self.backoff.next()) => {}
            }
        }
    }
}

/// The newest position that has left the stream.
async fn trimmed(engine: &Engine, link: Option<Link>) -> Result<Position, TransportError> {
    let Some(Link { mut connection, .. }) = link else { return Ok(Position::START) };
    let mut command = redis::cmd("HGET");
    command.arg(&engine.keys.state).arg("trimmed");
    let answer = in_time(PATIENCE, async { command.query_async::<Option<u64>>(&mut connection).await }).await;
    Ok(Position(answer.map_err(|error| translate(&error))?.unwrap_or_default()))
}

async fn in_time<T>(limit: Duration, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
