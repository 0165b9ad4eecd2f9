//! The log underneath: a transport is an ordered log with presence, not a bus. It appends, finds an event id, reads
//! ranges and tails. It knows nothing of HTTP, tokens or matchers; matching, authorization, queues and the policy for
//! slow readers live once, in the hub.
//!
//! This file is the contract. An engine can be written from it alone, and the suites of the testkit (`contract`) hold every
//! engine to it. What every engine with history promises, whichever it is:
//!
//! - **An acknowledged append is stored** as durably as the engine can be told to, and every node finds it.
//! - **One order**: all nodes see the same events at the same positions, and nothing appears before what is visible.
//! - **Once**: an append that is tried again because its answer was lost is stored once.
//! - **Constant time** to find an id, however far back it lies.
//! - **Retention is exact** after every append, by events, by bytes and by age, and frees what it discards. An engine whose own
//!   means count otherwise (bytes with overhead) keeps less and never more, and its page in the docs says how it counts.
//! - **Tails wait, they do not poll**: the log wakes them, whoever appended. They survive the loss of their engine, and say so
//!   ([`ErrorKind::Overtaken`]) where events are gone that they have not seen, also where an engine that failed over has lost
//!   what it had acknowledged.
//! - **A lost engine is told within two seconds**: appends answer [`ErrorKind::Unavailable`], [`Transport::health`] is not
//!   ready and stays live, and all works again by itself when the engine is back.
//! - **Presence is shared**: it changes with its event or not at all, a snapshot names the newest event it includes, and what a
//!   dead node left is listed as expired once its lease has run out.

mod attempts;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod committed;
mod error;
mod history;
mod local;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
mod presence;
#[cfg(feature = "redis")]
pub mod redis;
pub mod remote;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;

pub use self::{
    error::{ErrorKind, TransportError},
    history::{LogStats, Verification},
    local::LocalTransport,
    presence::{NodeId, PresenceChange, PresenceFilter, PresenceSnapshot, SubscriptionRecord},
};
use crate::Update;

/// A place in the log. Positions grow with the log's order and are never reused; they need not be consecutive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before every event.
    pub const START: Self = Self(0);
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A token made for one attempt to append. A transport stores equal tokens once, so that an append whose answer was
/// lost can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub u128);

impl AttemptId {
    /// A new one; time-ordered, so that engines that index it write in one place.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().as_u128())
    }
}

impl Default for AttemptId {
    fn default() -> Self {
        Self::new()
    }
}

/// One event to append, with the change of presence that it announces, if it does. Both are stored or neither.
#[derive(Clone, Debug)]
pub struct Append {
    /// The event.
    pub update: Arc<Update>,
    /// Stored in the same transaction. A [`PresenceChange::End`] of a subscription that is not there any more makes the
    /// whole entry a no-op: its event is not stored either, so that an end is announced once however many nodes try.
    pub presence: Option<PresenceChange>,
}

/// An event of the log.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Where it stands.
    pub position: Position,
    /// When it was appended, in milliseconds since the Unix epoch, by the clock of the node that did.
    pub at_ms: u64,
    /// The event.
    pub update: Arc<Update>,
}

/// The newest event of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its position; where nothing was ever stored, one before that of the first event to come.
    pub position: Position,
    /// Its id; `None` where nothing was ever stored.
    pub id: Option<String>,
}

/// A run of events read from the log.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In order. Empty where nothing is left.
    pub events: Vec<StoredEvent>,
    /// Everything up to here has been looked at: where the next read goes on. At least the position asked for, and at
    /// least that of the last event.
    pub next: Position,
    /// The read began before the oldest event kept, so that events between may be missing (R04).
    pub truncated: bool,
}

/// What one read may return at most: it stops at whichever comes first, and returns at least one event if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Number of events.
    pub events: usize,
    /// Sum of [`Update::weight_bytes`].
    pub bytes: usize,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { events: 1_000, bytes: 1 << 20 }
    }
}

/// A narrower read: only events that a subscriber could want. An engine with an index on topics uses it; one without
/// ignores it, and the hub filters what comes.
#[derive(Clone, Debug, Default)]
pub struct ReadHint {
    /// The only topics wanted, if they are known to be exact ones; empty means all.
    pub exact_topics: Arc<[String]>,
}

/// How much an acknowledged append survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: it is in memory.
    Memory,
    /// The death of the process, not of the machine.
    Process,
    /// Power loss.
    Disk,
}

/// Whether the transport works now, and whether it will again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportHealth {
    /// `Err` says why an append would fail now, for the operator.
    pub ready: Result<(), String>,
    /// `Err` says what is stalled so that only a restart may help. Never for a full disk or a lost engine.
    pub live: Result<(), String>,
}

/// What a log keeps. Zero means no bound, `None` no age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events: u64,
    /// Bytes of topics and data, as [`Update::weight_bytes`] counts them.
    pub bytes: u64,
    /// Age since the append.
    pub age: Option<std::time::Duration>,
}

impl Default for Retention {
    /// One million events and one GiB: bounded, and enough for the resume of a long absence.
    fn default() -> Self {
        Self { events: 1_000_000, bytes: 1 << 30, age: None }
    }
}

/// What a log is and promises.
#[derive(Clone, Debug)]
pub struct TransportInfo {
    /// The engine: `local`, `sqlite`, …
    pub engine: &'static str,
    /// Whether events are kept and cursors can be answered. Without (R07), [`Transport::find`] knows nothing.
    pub history: bool,
    /// What an acknowledged append survives.
    pub durability: Durability,
    /// Where the log is, without credentials.
    pub location: String,
}

/// An ordered log with presence. All methods may be called from any number of tasks at once.
#[async_trait::async_trait]
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// What this log is and promises.
    fn info(&self) -> TransportInfo;

    /// Appends `entries` in this order, as a whole or not at all, and returns the position of the last one stored
    /// (`None` where every entry was a no-op, see [`Append::presence`]).
    ///
    /// - Order: **calls** made one after the other on one node are stored in that order; the call itself takes the
    ///   place in line, polling the returned future does not. No position ever appears before one that is visible.
    ///   Where presence is kept apart from the log, a call without presence may pass one with it that is not answered.
    /// - Durability: `Ok` means that [`TransportInfo::durability`] holds for every entry, and that [`Self::find`],
    ///   [`Self::read`] and [`Self::head`] of every node see them.
    /// - Cancellation: dropping the future does not take the entries back; they may be stored.
    /// - Bounds: the engine groups concurrent calls into commits. The caller bounds what it has under way; an engine
    ///   over its own bound answers [`ErrorKind::Unavailable`] at once.
    /// - Errors: [`ErrorKind::Unavailable`] may be retried with the same `attempt` (it is stored once);
    ///   [`ErrorKind::Corrupt`] and [`ErrorKind::Invalid`] may not.
    fn append(
        &self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> BoxFuture<'static, Result<Option<Position>, TransportError>>;

    /// The newest event of the log, whoever appended it.
    async fn head(&self) -> Result<Head, TransportError>;

    /// The position of the earliest event kept with this id (R05); `None` where it is unknown or discarded (R04). Takes
    /// the same time however far back the event lies (R02).
    async fn find(&self, id: &str) -> Result<Option<Position>, TransportError>;

    /// Events kept with `after < position <= until`, in order, as many as `limit` allows. Never one that retention has
    /// discarded, even if it is still on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where an event fails its checksum: it is never skipped silently.
    async fn read(
        &self,
        after: Position,
        until: Position,
        limit: ReadLimit,
        hint: &ReadHint,
    ) -> Result<Page, TransportError>;

    /// Follows the log from `after` on: every event of every node, once, in order.
    ///
    /// The tail survives a loss of the engine: it waits and goes on from its last position, without gap or duplicate.
    fn tail(&self, after: Position) -> Box<dyn Tail>;

    /// Says that `node` is alive for another `lease`, and returns whether its last one was still running. `false` means
    /// that others may have ended its subscriptions, or be about to: the caller announces them again, under a new
    /// [`NodeId`], so that ends that are still on their way do not hit them (E08).
    async fn renew(&self, node: NodeId, lease: std::time::Duration) -> Result<bool, TransportError>;

    /// The active subscriptions that pass `filter`, of all nodes, and the newest event at that very moment.
    async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError>;

    /// Subscriptions of nodes whose lease has run out, at most `limit` of them. The caller ends each with an append;
    /// nodes that have none left are forgotten.
    async fn expired(&self, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError>;

    /// What is kept, for the operator. Without an implementation of its own, an engine is read from end to end.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn stats(&self) -> Result<LogStats, TransportError> {
        history::count(self).await
    }

    /// Appends events of another log in this order, as a whole or not at all, with the ids and times they had there.
    /// Retention applies to them as to all others. An engine that cannot keep times appends them as of now.
    ///
    /// # Errors
    /// As [`Self::append`].
    async fn import(&self, events: Vec<StoredEvent>) -> Result<(), TransportError> {
        let entries =
            events.into_iter().map(|event| Append { update: event.update, presence: None }).collect();
        self.append(AttemptId::new(), entries).await.map(|_| ())
    }

    /// Discards every event up to a position, as retention would, and returns how many there were.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where the engine cannot.
    async fn discard(&self, until: Position) -> Result<u64, TransportError> {
        let _ = until;
        Err(TransportError::new(
            ErrorKind::Invalid,
            format!("the transport {} cannot discard by hand", self.info().engine),
        ))
    }

    /// Reads everything that is kept and checks it; goes on after what is damaged, and counts it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] where it cannot be read at all.
    async fn verify(&self) -> Result<Verification, TransportError> {
        history::verify(self).await
    }

    /// Whether it works. Cheap: asked by probes every second.
    fn health(&self) -> TransportHealth;

    /// Finishes what is queued and lets go of files and connections. Later calls answer [`ErrorKind::Unavailable`].
    async fn close(&self);
}

/// A reader that stays at the end of the log.
#[async_trait::async_trait]
pub trait Tail: Send + fmt::Debug {
    /// Waits for events and returns all that are there, bounded in bytes, in order, at least one.
    ///
    /// - Cancellation: safe; nothing is skipped when the future is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Overtaken`]: retention discarded events that this tail had not read. The tail goes on after them;
    /// its readers must be told, by ending their streams. [`ErrorKind::Unavailable`]: for the operator's log; call
    /// again. [`ErrorKind::Closed`]: the transport was closed; there is nothing more.
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError>;
}

/// Milliseconds since the Unix epoch by this machine's clock; zero for a clock before it.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
