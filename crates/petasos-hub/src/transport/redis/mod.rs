//! A log on Redis or Valkey: a stream, with what belongs to it in other keys of one slot. Everything that changes it is a
//! script (`script/`), so that it changes as a whole, on one server, in one order.
//!
//! Who owns what: the writer task (`writer`) has a connection for appends, each tail (`tail`) one for blocking reads, and
//! all other questions share one (`reader`); `connect` finds the server for each of them. Housekeeping (`maintain`) is a
//! task. They end when `closed` is cancelled, the writer once it has answered what was in line.
//!
//! A fail-over to a replica that lacks the newest events loses them, unless appends wait for replicas. It never gives
//! their positions to others: whoever first appends on another server raises the positions by far more than could be lost.

mod config;
mod connect;
mod entry;
mod error;
mod examine;
mod group;
mod history;
mod maintain;
mod presence;
mod read;
mod reader;
mod script;
mod server;
mod tail;
mod writer;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{config::Place, connect::Link, reader::Reader, script::Keys, script::Programs, writer::Writer};
pub use self::{
    config::{PARAMETERS, RedisConfig},
    examine::examine,
};
use super::{
    Append, AttemptId, Durability, Head, LogStats, NodeId, Page, Position, PresenceFilter, PresenceSnapshot,
    ReadHint, ReadLimit, StoredEvent, SubscriptionRecord, Tail, Transport, TransportError, TransportHealth,
    TransportInfo, Verification,
    remote::{Line, Status},
};

/// How long the close waits for what is in line.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads of events under way.
const READS: usize = 4;

/// The transport on Redis.
#[derive(Debug)]
pub struct RedisTransport {
    engine: Arc<Engine>,
    line: Line,
    tasks: TaskTracker,
}

/// What all parts share.
#[derive(Debug)]
struct Engine {
    config: RedisConfig,
    keys: Keys,
    programs: Programs,
    status: Status,
    reader: Reader,
    /// For events, which would keep leases and ids waiting.
    pages: Reader,
    turns: Semaphore,
    /// Where writes are taken, as far as is known.
    primary: Mutex<Option<Place>>,
    /// The newest position that this process knows of, wherever it was seen.
    seen: AtomicU64,
    durability: Mutex<Durability>,
    /// The server that takes writes, by its run id: tails on another one connect again.
    server: watch::Sender<String>,
    /// With which renewal the lease of a node of this process began, as far as that was answered.
    leases: Mutex<HashMap<NodeId, String>>,
    /// Called when retention has more to do than an append may.
    housekeeping: Notify,
    closed: CancellationToken,
}

impl Engine {
    fn new(config: RedisConfig) -> Self {
        Self {
            keys: Keys::new(&config.prefix),
            programs: Programs::new(),
            status: Status::new("redis"),
            reader: Reader::default(),
            pages: Reader::default(),
            turns: Semaphore::new(READS),
            primary: Mutex::new(None),
            seen: AtomicU64::new(0),
            durability: Mutex::new(Durability::Process),
            server: watch::Sender::new(String::new()),
            leases: Mutex::default(),
            housekeeping: Notify::new(),
            closed: CancellationToken::new(),
            config,
        }
    }

    fn seen(&self) -> Position {
        Position(self.seen.load(Ordering::Acquire))
    }

    fn saw(&self, position: Position) {
        self.seen.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Connects to the server that takes the writes of this process, or to the one that would.
    async fn connect(&self, patience: Option<Duration>) -> Result<Link, TransportError> {
        let primary = self.primary.lock().clone();
        if let Some(place) = primary
            && let Ok(link) = connect::connect_to(&self.config, &place, patience).await
        {
            return Ok(link);
        }
        connect::connect(&self.config, patience, &mut Vec::new()).await
    }

    /// Looks at a server that is written to from now on, and warns of what endangers the log there.
    async fn learn(&self, link: &Link) {
        *self.primary.lock() = Some(link.place.clone());
        self.reader.hope(&link.server).await;
        self.pages.hope(&link.server).await;
        let is_new = self.server.send_if_modified(|known| {
            let is_new = *known != link.server.run_id;
            known.clone_from(&link.server.run_id);
            is_new
        });
        if !is_new && !link.server.run_id.is_empty() {
            return;
        }
        let durability = server::durability(&self.config, &link.server, &mut link.connection.clone()).await;
        *self.durability.lock() = durability;
        for warning in link.server.warnings(durability) {
            tracing::warn!(server = %link.place, "{warning}");
        }
    }
}

impl RedisTransport {
    /// Connects, and makes the log where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) where only another configuration helps (login, version, topology),
    /// [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt) where keys of the log are missing or of a later version,
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where trying again may help.
    pub async fn open(config: RedisConfig) -> Result<Self, TransportError> {
        let engine = Arc::new(Engine::new(config));
        let (line, queue) = Line::new();
        let mut writer = Writer::new(Arc::clone(&engine), queue);
        let opened = writer.open().await;
        if let Err(failure) = &opened
            && !failure.is_refusal
        {
            return Err(failure.error.clone());
        }
        // A server that only takes no writes now can still be read, and discarding may be what it needs.
        let link = match opened {
            Ok(link) => {
                engine.learn(&link).await;
                Some(link)
            }
            Err(failure) => {
                engine.status.failed(&failure.error);
                None
            }
        };
        let tasks = TaskTracker::new();
        tasks.spawn(writer.run(link));
        tasks.spawn(maintain::run(Arc::clone(&engine)));
        tasks.close();
        Ok(Self { engine, line, tasks })
    }
}

#[async_trait::async_trait]
impl Transport for RedisTransport {
    fn info(&self) -> TransportInfo {
        TransportInfo {
            engine: "redis",
            history: true,
            durability: *self.engine.durability.lock(),
            location: self.engine.config.location.clone(),
        }
    }

    fn append(
        &self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> BoxFuture<'static, Result<Option<Position>, TransportError>> {
        self.line.append(attempt, entries)
    }

    async fn head(&self) -> Result<Head, TransportError> {
        read::head(&self.engine).await
    }

    async fn find(&self, id: &str) -> Result<Option<Position>, TransportError> {
        read::find(&self.engine, id).await
    }

    async fn read(
        &self,
        after: Position,
        until: Position,
        limit: ReadLimit,
        _: &ReadHint,
    ) -> Result<Page, TransportError> {
        read::page(&self.engine, after, until, limit).await
    }

    fn tail(&self, after: Position) -> Box<dyn Tail> {
        Box::new(tail::RedisTail::new(Arc::clone(&self.engine), after))
    }

    async fn renew(&self, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
        presence::renew(&self.engine, node, lease).await
    }

    async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
        presence::list(&self.engine, filter).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
        presence::expired(&self.engine, limit).await
    }

    async fn verify(&self) -> Result<Verification, TransportError> {
        history::verify(&self.engine).await
    }

    async fn stats(&self) -> Result<LogStats, TransportError> {
        history::stats(&self.engine).await
    }

    async fn import(&self, events: Vec<StoredEvent>) -> Result<(), TransportError> {
        history::import(&self.engine, events).await
    }

    async fn discard(&self, until: Position) -> Result<u64, TransportError> {
        history::discard(&self.engine, until).await
    }

    fn health(&self) -> TransportHealth {
        self.engine.status.health()
    }

    async fn close(&self) {
        self.engine.closed.cancel();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("the log was closed before the server had answered everything");
        }
        self.engine.status.close();
        self.engine.reader.close().await;
        self.engine.pages.close().await;
    }
}

impl Drop for RedisTransport {
    fn drop(&mut self) {
        self.engine.closed.cancel();
    }
}
