//! `local://`: the log in memory, without history (R07). It gives out positions and keeps a short ring for its tails;
//! the ring never answers a cursor.
//!
//! One lock guards everything and is never held across an await. Appending wakes the tails; a tail that falls behind the
//! ring is told that it was overtaken.

mod presence;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::presence::PresenceTable;
use super::{
    Append, AttemptId, Durability, ErrorKind, Head, NodeId, Page, Position, PresenceChange, PresenceFilter,
    PresenceSnapshot, ReadHint, ReadLimit, StoredEvent, SubscriptionRecord, Tail, Transport, TransportError,
    TransportHealth, TransportInfo, attempts::RecentAttempts, now_ms,
};

/// What the ring may hold, in bytes. Well above the lag that the hub allows itself, so that only a tail nobody reads is
/// overtaken.
const RING_BYTES: usize = 16 << 20;

/// What an event costs beside its text: the ring must be bounded for empty updates too.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// How many bytes of events a tail hands over at once.
const TAIL_BATCH_BYTES: usize = 256 << 10;

/// The transport in memory.
#[derive(Debug, Default)]
pub struct LocalTransport {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Log {
    head: Head,
    /// The newest events; their positions are consecutive.
    ring: VecDeque<StoredEvent>,
    ring_bytes: usize,
    attempts: RecentAttempts,
    presence: PresenceTable,
    closed: bool,
}

impl LocalTransport {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Log {
    fn append(
        &mut self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> Result<Option<Position>, TransportError> {
        if self.closed {
            return Err(TransportError::closed());
        }
        if let Some(outcome) = self.attempts.outcome(attempt) {
            return Ok(outcome);
        }
        let at_ms = now_ms();
        let mut last = None;
        for entry in entries {
            match entry.presence {
                Some(PresenceChange::Start(record)) => self.presence.start(record),
                Some(PresenceChange::End(record)) if !self.presence.end(&record) => continue,
                Some(PresenceChange::End(_)) | None => {}
            }
            self.head.position = Position(self.head.position.0 + 1);
            self.head.id = Some(entry.update.id().to_owned());
            last = Some(self.head.position);
            self.ring_bytes += entry.update.weight_bytes() + EVENT_OVERHEAD_BYTES;
            self.ring.push_back(StoredEvent { position: self.head.position, at_ms, update: entry.update });
        }
        while self.ring_bytes > RING_BYTES && self.ring.len() > 1 {
            if let Some(oldest) = self.ring.pop_front() {
                self.ring_bytes -= oldest.update.weight_bytes() + EVENT_OVERHEAD_BYTES;
            }
        }
        self.attempts.note(attempt, last);
        Ok(last)
    }
}

#[async_trait::async_trait]
impl Transport for LocalTransport {
    fn info(&self) -> TransportInfo {
        TransportInfo {
            engine: "local",
            history: false,
            durability: Durability::Memory,
            location: "local://".into(),
        }
    }

    fn append(
        &self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> BoxFuture<'static, Result<Option<Position>, TransportError>> {
        let outcome = self.shared.log.lock().append(attempt, entries);
        self.shared.grown.notify_waiters();
        future::ready(outcome).boxed()
    }

    async fn head(&self) -> Result<Head, TransportError> {
        Ok(self.shared.log.lock().head.clone())
    }

    async fn find(&self, _id: &str) -> Result<Option<Position>, TransportError> {
        Ok(None)
    }

    async fn read(
        &self,
        _after: Position,
        until: Position,
        _limit: ReadLimit,
        _hint: &ReadHint,
    ) -> Result<Page, TransportError> {
        Ok(Page { events: Vec::new(), next: until, truncated: false })
    }

    fn tail(&self, after: Position) -> Box<dyn Tail> {
        Box::new(LocalTail { shared: Arc::clone(&self.shared), after })
    }

    async fn renew(&self, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
        let now = Instant::now();
        Ok(self.shared.log.lock().presence.renew(node, now, now + lease))
    }

    async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
        let log = self.shared.log.lock();
        Ok(PresenceSnapshot { head: log.head.clone(), subscriptions: log.presence.list(filter) })
    }

    async fn expired(&self, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
        Ok(self.shared.log.lock().presence.expired(Instant::now(), limit))
    }

    fn health(&self) -> TransportHealth {
        let ready = if self.shared.log.lock().closed { Err("the hub is stopping".into()) } else { Ok(()) };
        TransportHealth { ready, live: Ok(()) }
    }

    async fn close(&self) {
        self.shared.log.lock().closed = true;
        self.shared.grown.notify_waiters();
    }
}

#[derive(Debug)]
struct LocalTail {
    shared: Arc<Shared>,
    after: Position,
}

impl LocalTail {
    /// What the ring holds beyond this tail; `None` where it must wait.
    fn take(&mut self) -> Option<Result<Vec<StoredEvent>, TransportError>> {
        let log = self.shared.log.lock();
        let Some(first) = log.ring.front().map(|event| event.position) else {
            return log.closed.then(|| Err(TransportError::closed()));
        };
        if first.0 > self.after.0 + 1 {
            self.after = Position(first.0 - 1);
            return Some(Err(TransportError::new(
                ErrorKind::Overtaken,
                "the tail fell behind what the local transport keeps in memory",
            )));
        }
        // Positions in the ring are consecutive, so that the offset is known.
        let offset = usize::try_from(self.after.0 + 1 - first.0).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let events: Vec<_> = log
            .ring
            .iter()
            .skip(offset)
            .take_while(|event| {
                let room = bytes < TAIL_BATCH_BYTES;
                bytes += event.update.weight_bytes() + EVENT_OVERHEAD_BYTES;
                room
            })
            .cloned()
            .collect();
        match events.last() {
            Some(last) => {
                self.after = last.position;
                Some(Ok(events))
            }
            None => log.closed.then(|| Err(TransportError::closed())),
        }
    }
}

#[async_trait::async_trait]
impl Tail for LocalTail {
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut grown = std::pin::pin!(shared.grown.notified());
            // Listen before looking, so that an append between the two is not missed.
            grown.as_mut().enable();
            if let Some(outcome) = self.take() {
                return outcome;
            }
            grown.await;
        }
    }
}

#[cfg(test)]
mod tests;
