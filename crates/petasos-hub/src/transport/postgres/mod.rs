//! A log in PostgreSQL, shared by the hubs of a cluster; see `docs/postgresql.md`.
//!
//! Who owns what: the writer (`writer`) is a task with a connection of its own, which sends groups of appends; the listener
//! (`listen`) is one with another connection, which hears what other nodes append; reads (`read`) use small pools
//! (`connect`); housekeeping (`maintain`) is a task. All state is in the database, and all that must be atomic is one call of a
//! function there (`schema_1.sql`): appends take a lock, so that positions become visible in their order.

mod config;
mod connect;
mod continuity;
mod error;
mod group;
mod history;
mod listen;
mod maintain;
mod presence;
mod read;
mod row;
mod schema;
mod sql;
mod survey;
mod tail;
#[cfg(test)]
mod tests;
mod tls;
mod writer;

use std::{
    sync::{Arc, atomic::AtomicI32},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    config::{PARAMETERS, PostgresConfig},
    survey::{apply, examine, sql_to_apply},
};
use self::{
    connect::{Pool, Session},
    continuity::Continuity,
    presence::Leases,
    sql::Sql,
    tail::PostgresTail,
};
use super::{
    Append, AttemptId, Durability, Head, LogStats, NodeId, Page, Position, PresenceFilter, PresenceSnapshot,
    ReadHint, ReadLimit, StoredEvent, SubscriptionRecord, Tail, Transport, TransportError, TransportHealth,
    TransportInfo, Verification,
    committed::{COMMITTED_BATCHES, Committed},
    remote::{Line, Status},
};

/// Connections for reads, and for what must not wait for the reads of many subscribers: tails, leases, housekeeping.
const READ_CONNECTIONS: usize = 4;
const URGENT_CONNECTIONS: usize = 2;

/// How long a close waits for what is queued to be stored.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// The transport on PostgreSQL.
#[derive(Debug)]
pub struct PostgresTransport {
    store: Arc<Store>,
    line: Line,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Store {
    config: PostgresConfig,
    sql: Sql,
    durability: Durability,
    pool: Pool,
    urgent: Pool,
    status: Status,
    continuity: Continuity,
    committed: broadcast::Sender<Committed>,
    /// The newest position that was announced.
    heard: watch::Sender<u64>,
    /// The number of the writer's backend, whose announcements this node does not need.
    writer_backend: AtomicI32,
    leases: Leases,
    closed: CancellationToken,
}

impl PostgresTransport {
    /// Opens the log, making or migrating its tables. Other hubs may have it open.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where the server is not there,
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) where it refuses the hub, or the tables are of a later version.
    pub async fn open(config: PostgresConfig) -> Result<Self, TransportError> {
        let mut session = Session::open(&config, None).await?;
        for line in schema::prepare(&mut session.client, &config).await? {
            tracing::info!(schema = config.schema, "{line}");
        }
        let durability = survey::durability(&session.client).await?;
        let (committed, _) = broadcast::channel(COMMITTED_BATCHES);
        let store = Arc::new(Store {
            sql: Sql::new(&config.quoted_schema()),
            durability: durability.promise(),
            pool: Pool::new(config.clone(), READ_CONNECTIONS),
            urgent: Pool::new(config.clone(), URGENT_CONNECTIONS),
            config,
            status: Status::new("postgres"),
            continuity: Continuity::new(),
            committed,
            heard: watch::Sender::default(),
            writer_backend: AtomicI32::new(0),
            leases: Leases::default(),
            closed: CancellationToken::new(),
        });
        store.pool.give_back(Arc::new(session));
        // What this node has seen begins here.
        read::head(&store).await?;
        let (line, queue) = Line::new();
        let writer = tokio::spawn(writer::run(Arc::clone(&store), queue));
        tokio::spawn(listen::run(Arc::clone(&store)));
        tokio::spawn(maintain::run(Arc::clone(&store)));
        Ok(Self { store, line, writer: Mutex::new(Some(writer)) })
    }
}

impl Store {
    /// Looks whether the log still has what this node has seen.
    async fn check_continuity(&self) -> Result<(), TransportError> {
        self.urgent
            .ask("cannot look whether the log goes on", |session| async move {
                self.continuity.check(&session, &self.sql).await
            })
            .await
    }
}

#[async_trait::async_trait]
impl Transport for PostgresTransport {
    fn info(&self) -> TransportInfo {
        TransportInfo {
            engine: "postgres",
            history: true,
            durability: self.store.durability,
            location: self.store.config.location(),
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
        read::head(&self.store).await
    }

    async fn find(&self, id: &str) -> Result<Option<Position>, TransportError> {
        read::find(&self.store, id).await
    }

    async fn read(
        &self,
        after: Position,
        until: Position,
        limit: ReadLimit,
        hint: &ReadHint,
    ) -> Result<Page, TransportError> {
        read::page(&self.store, after, until, limit, hint).await
    }

    fn tail(&self, after: Position) -> Box<dyn Tail> {
        Box::new(PostgresTail::new(Arc::clone(&self.store), after))
    }

    async fn renew(&self, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
        presence::renew(&self.store, node, lease).await
    }

    async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
        presence::list(&self.store, filter).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
        presence::expired(&self.store, limit).await
    }

    async fn stats(&self) -> Result<LogStats, TransportError> {
        history::stats(&self.store).await
    }

    async fn import(&self, events: Vec<StoredEvent>) -> Result<(), TransportError> {
        history::import(&self.store, events).await
    }

    async fn discard(&self, until: Position) -> Result<u64, TransportError> {
        history::discard(&self.store, until).await
    }

    async fn verify(&self) -> Result<Verification, TransportError> {
        history::verify(&self.store).await
    }

    fn health(&self) -> TransportHealth {
        self.store.status.health()
    }

    async fn close(&self) {
        self.store.closed.cancel();
        let writer = self.writer.lock().take();
        if let Some(mut writer) = writer
            && timeout(CLOSE_PATIENCE, &mut writer).await.is_err()
        {
            tracing::warn!("the server does not answer: what was queued for it is given up");
            writer.abort();
        }
        self.store.status.close();
        self.store.pool.close();
        self.store.urgent.close();
    }
}
