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
    connect::{Backoff, Link, in_time},
    entry,
    error::{translate, unexpected},
    read::{ask_all, page_arguments, read_look},
};
use crate::transport::{ErrorKind, Position, ReadLimit, StoredEvent, Tail, TransportError};

/// How long the server lets a read wait for events, and how much later the connection counts as dead.
const BLOCK: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(2);

/// How long the server may take to answer what it knows.
const PATIENCE: Duration = Duration::from_secs(2);

/// Entries of a read that waits, which nothing bounds in bytes. Whoever gets so many is behind, and reads by bytes.
const ENTRIES: usize = 16;

/// What one read brings where there is more.
const CATCH_UP: ReadLimit = ReadLimit { events: 1_024, bytes: 256 << 10 };

pub(super) struct RedisTail {
    engine: Arc<Engine>,
    after: Position,
    /// The event at `after`, if it is known.
    mark: Option<Mark>,
    link: Option<Link>,
    reading: Option<BoxFuture<'static, RedisResult<Answer>>>,
    /// Events that are handed over at the next call, after an error.
    ready: Vec<StoredEvent>,
    /// There is more than a read brings.
    is_behind: bool,
    server: watch::Receiver<String>,
    backoff: Backoff,
    /// The loss of the server was told.
    told: bool,
}

/// What a read has brought.
enum Answer {
    /// That of `XREAD`.
    Stream(Value),
    /// That of the script that reads by bytes.
    Page(Value),
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
            is_behind: false,
            server,
            backoff: Backoff::new(),
            told: false,
        }
    }

    /// Connects, and looks whether the log is still the one that was followed.
    async fn connect(&mut self) -> Result<(), TransportError> {
        self.server.mark_unchanged();
        let link = self.engine.connect(None).await?;
        let (after, keys) = (self.after, &self.engine.keys);
        let mut pipeline = redis::pipe();
        pipeline.cmd("XRANGE").arg(&keys.log).arg(format!("{after}-0")).arg(format!("{after}-0"));
        pipeline.cmd("HMGET").arg(&keys.state).arg("position").arg("trimmed").arg("floor").arg("base");
        let mut connection = link.connection.clone();
        let answer = in_time(PATIENCE, ask_all(&mut connection, &mut pipeline)).await;
        let [entries, state] = answer.map_err(|error| translate(&error))?;
        let state = from_redis_value::<Vec<Option<u64>>>(state).map_err(|_| unexpected("the log"))?;
        let number = |place: usize| Position(state.get(place).copied().flatten().unwrap_or_default());
        let (head, gone, base) = (number(0), number(1).max(number(2)), number(3));
        let found = entry::decode(entries)?;
        self.link = Some(link);
        self.is_behind = false;
        self.told = false;
        self.backoff = Backoff::new();
        let now = found.events.first().map(Mark::of);
        let known = std::mem::replace(&mut self.mark, now);
        let is_another = after != Position::START && after < base;
        let is_same = match (&known, &self.mark) {
            _ if is_another || after > head => false,
            (None, _) => true,
            (Some(known), Some(now)) => known == now,
            // A damaged event is still there.
            (Some(_), None) => found.damage.is_some() || after <= gone,
        };
        if is_same {
            return Ok(());
        }
        // What comes now stands behind the head, wherever this tail was; of another log, all.
        self.after = if is_another { base } else { after.min(head) };
        Err(TransportError::new(
            ErrorKind::Overtaken,
            format!(
                "the server lost events that were delivered already, up to position {after}: a fail-over, or an older copy \
                 of its data"
            ),
        ))
    }

    fn read(&self, link: &Link) -> BoxFuture<'static, RedisResult<Answer>> {
        let mut connection = link.connection.clone();
        if self.is_behind {
            let engine = Arc::clone(&self.engine);
            let arguments = page_arguments(self.after, Position(u64::MAX), CATCH_UP, true);
            let answer = async move {
                let program = &engine.programs.page;
                program.run(&engine.keys, &arguments, &mut connection).await.map(Answer::Page)
            };
            return in_time(PATIENCE, answer).boxed();
        }
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(ENTRIES).arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1));
        command.arg("STREAMS").arg(&self.engine.keys.log).arg(format!("{}-0", self.after));
        let answer = async move { command.query_async(&mut connection).await.map(Answer::Stream) };
        in_time(BLOCK + LATE, answer).boxed()
    }

    /// Takes what a read has brought.
    async fn take(&mut self, answer: Answer) -> Result<Vec<StoredEvent>, TransportError> {
        let mut entries = match answer {
            Answer::Stream(value) => {
                let entries = entry::decode_read(value)?;
                self.is_behind = entries.len() >= ENTRIES;
                entries
            }
            Answer::Page(value) => {
                let look = read_look(&self.engine, value)?;
                self.is_behind = !look.is_exhausted;
                look.entries
            }
        };
        // Positions have no gaps but where another server took over, and where retention has come past.
        let mut last = self.after;
        let gap = entries
            .events
            .iter()
            .position(|event| event.position.0 > std::mem::replace(&mut last, event.position).0 + 1);
        match (gap, &entries.damage) {
            // What comes behind it is read again, and looked at then.
            (Some(place @ 1..), _) => {
                entries.events.truncate(place);
                self.is_behind = true;
                return Ok(entries.events);
            }
            (Some(0), _) => {
                let first = entries.events.first().map_or(self.after, |event| event.position);
                let looked = look_into_gap(&self.engine, self.link.clone(), self.after, first).await;
                if let Err(error) = looked {
                    if error.kind() == ErrorKind::Overtaken {
                        self.after = Position(first.0 - 1);
                        self.ready = entries.events;
                    }
                    return Err(error);
                }
            }
            (None, Some((position, error))) if entries.events.is_empty() => {
                self.after = *position;
                self.mark = None;
                let error = format!("{error}; it is passed over");
                return Err(TransportError::new(ErrorKind::Overtaken, error));
            }
            (None, _) => {}
        }
        Ok(entries.events)
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

/// Whether events are missing between the position of a tail and the first that came.
async fn look_into_gap(
    engine: &Engine,
    link: Option<Link>,
    after: Position,
    first: Position,
) -> Result<(), TransportError> {
    let Some(Link { mut connection, .. }) = link else { return Ok(()) };
    let mut command = redis::cmd("HMGET");
    command.arg(&engine.keys.state).arg("trimmed").arg("base").arg("torn");
    let answer = in_time(PATIENCE, async { command.query_async::<Vec<Option<u64>>>(&mut connection).await });
    let answer = answer.await.map_err(|error| translate(&error))?;
    let number = |place: usize| Position(answer.get(place).copied().flatten().unwrap_or_default());
    let (trimmed, base, torn) = (number(0), number(1), number(2));
    // Before the first event of a log there is nothing.
    let after = if after == Position::START { base } else { after };
    let why = if after < trimmed {
        "retention discarded events before they were delivered: the history is kept too short for the rate of updates, \
         or the log was removed and begun anew"
    } else if after <= torn && torn < first {
        "another server has taken over, and may lack events that were acknowledged and not delivered yet"
    } else {
        return Ok(());
    };
    Err(TransportError::new(ErrorKind::Overtaken, why))
}
