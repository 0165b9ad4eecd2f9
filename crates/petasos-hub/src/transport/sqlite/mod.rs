//! The embedded store: SQLite in WAL mode, shared by the processes of one host.
//!
//! Who owns what: the writer thread (`writer`) owns the writing connection; reads (`read`) run on blocking threads
//! with a small pool of connections; the bell (`bell`) is a thread that tells tails (`tail`) of other processes'
//! commits; housekeeping (`maintain`) is a task. The database file is never opened outside SQLite: closing it would
//! drop SQLite's locks.

mod append;
mod bell;
mod config;
mod error;
mod filesystem;
mod history;
mod index;
mod maintain;
mod presence;
mod read;
mod row;
mod schema;
mod segment;
mod state;
mod tail;
mod takeover;
mod task;
mod writer;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub use self::config::{BoltSource, SqliteConfig, Sync};
use self::{bell::Bell, read::Readers, takeover::Progress, writer::Writer};
use super::{
    Append, AttemptId, Durability, Head, LogStats, NodeId, Page, Position, PresenceFilter, PresenceSnapshot,
    ReadHint, ReadLimit, StoredEvent, SubscriptionRecord, Tail, Transport, TransportError, TransportHealth,
    TransportInfo, Verification,
    committed::{COMMITTED_BATCHES, Committed},
    now_ms,
};

/// How long a reader of the past waits for a history that is being taken over.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(10);

/// The transport on SQLite.
#[derive(Debug)]
pub struct SqliteTransport {
    store: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    config: SqliteConfig,
    /// The number of this process among all that ever opened the store.
    instance: u64,
    writer: Writer,
    readers: Arc<Readers>,
    bell: Arc<Bell>,
    committed: broadcast::Sender<Committed>,
    closed: CancellationToken,
    takeover: watch::Receiver<Progress>,
}

impl SqliteTransport {
    /// Opens the store, creating or migrating it. Other processes may have it open.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) where the location cannot hold a store (network file system, foreign file, newer schema),
    /// [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt) where it is damaged, [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where trying again may help.
    pub async fn open(config: SqliteConfig) -> Result<Self, TransportError> {
        Self::open_as(config, false).await
    }

    /// Opens a store to look after it, even where events are damaged, so that what is sound can be read.
    ///
    /// # Errors
    /// As [`Self::open`], except for damage that leaves something readable.
    pub async fn open_even_damaged(config: SqliteConfig) -> Result<Self, TransportError> {
        Self::open_as(config, true).await
    }

    async fn open_as(config: SqliteConfig, even_damaged: bool) -> Result<Self, TransportError> {
        let (progress, takeover) = watch::channel(Progress::Running);
        let store =
            tokio::task::spawn_blocking(move || Store::open(config, takeover, even_damaged)).await.map_err(
                |error| TransportError::unavailable(format!("opening the store was aborted: {error}")),
            )??;
        let store = Arc::new(store);
        tokio::spawn(maintain::run(Arc::clone(&store)));
        takeover::start(&store, progress);
        Ok(Self { store })
    }
}

impl Store {
    fn open(
        config: SqliteConfig,
        takeover: watch::Receiver<Progress>,
        even_damaged: bool,
    ) -> Result<Self, TransportError> {
        let path = config.path.clone();
        let conn = schema::open_writer(&config)?;
        // Before anything is written: a store that is refused stays as it is.
        let readers = Arc::new(Readers::open(path.clone(), config.retention, even_damaged)?);
        let instance = conn
            .query_row("UPDATE log_state SET instances = instances + 1 RETURNING instances", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(|error| error::translate(&error, "cannot write to the store", &path))?
            .cast_unsigned();
        let bell = Bell::open(&path, instance).map_err(|error| {
            TransportError::unavailable(format!(
                "cannot open {}-bell beside the store: {error}",
                path.display()
            ))
        })?;
        let bell = Arc::new(bell);
        let (committed, _) = broadcast::channel(COMMITTED_BATCHES);
        let writer = {
            let (bell, readers, committed) = (Arc::clone(&bell), Arc::clone(&readers), committed.clone());
            Writer::start(conn, config.clone(), move |events| {
                if let Err(error) = bell.ring() {
                    // The others look by themselves within a second.
                    tracing::warn!(%error, "the other processes on the store could not be called");
                }
                readers.index.lock().feed(&events);
                // Fails only where nobody tails.
                let _ = committed.send(events.into());
            })
            .map_err(|error| {
                TransportError::unavailable(format!("cannot start the store's thread: {error}"))
            })?
        };
        Ok(Self {
            config,
            instance,
            writer,
            readers,
            bell,
            committed,
            closed: CancellationToken::new(),
            takeover,
        })
    }

    /// Waits until a history that is being taken over is complete: whoever asks for the past would miss it.
    async fn wait_for_past(&self) -> Result<(), TransportError> {
        let mut takeover = self.takeover.clone();
        let complete = takeover.wait_for(|progress| *progress != Progress::Running);
        match tokio::time::timeout(TAKEOVER_PATIENCE, complete).await {
            Ok(_) => Ok(()),
            Err(_) => Err(TransportError::unavailable("an older history is still being taken over")),
        }
    }
}

#[async_trait::async_trait]
impl Transport for SqliteTransport {
    fn info(&self) -> TransportInfo {
        TransportInfo {
            engine: "sqlite",
            history: true,
            durability: match self.store.config.sync {
                Sync::Full => Durability::Disk,
                Sync::Normal => Durability::Process,
            },
            location: format!("sqlite://{}", self.store.config.path.display()),
        }
    }

    fn append(
        &self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> BoxFuture<'static, Result<Option<Position>, TransportError>> {
        append::append(&self.store.writer, attempt, entries)
    }

    async fn head(&self) -> Result<Head, TransportError> {
        self.store.readers.run(|conn, _| read::head(conn)).await
    }

    async fn find(&self, id: &str) -> Result<Option<Position>, TransportError> {
        let id: Arc<str> = id.into();
        let wanted = Arc::clone(&id);
        let found = self.store.readers.run(move |conn, readers| readers.find(conn, &wanted)).await?;
        if found.is_some() || *self.store.takeover.borrow() != Progress::Running {
            return Ok(found);
        }
        self.store.wait_for_past().await?;
        self.store.readers.run(move |conn, readers| readers.find(conn, &id)).await
    }

    async fn read(
        &self,
        after: Position,
        until: Position,
        limit: ReadLimit,
        hint: &ReadHint,
    ) -> Result<Page, TransportError> {
        if after.0 < schema::FIRST_POSITION - 1 {
            self.store.wait_for_past().await?;
        }
        let hint = hint.clone();
        self.store.readers.run(move |conn, readers| readers.page(conn, after, until, limit, &hint)).await
    }

    fn tail(&self, after: Position) -> Box<dyn Tail> {
        Box::new(tail::SqliteTail::new(Arc::clone(&self.store), after))
    }

    async fn renew(&self, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        task::write(&self.store.writer, move |group| {
            let expires_ms = group.now_ms.saturating_add(lease_ms);
            presence::renew(group.conn, node, group.now_ms, expires_ms)
        })
        .await
    }

    async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
        let filter = filter.clone();
        self.store
            .readers
            .run(move |conn, _| {
                Ok(PresenceSnapshot {
                    head: read::head(conn)?,
                    subscriptions: presence::list(conn, &filter)?,
                })
            })
            .await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
        let now_ms = now_ms();
        let (expired, dead) = self
            .store
            .readers
            .run(move |conn, _| {
                Ok((presence::expired(conn, now_ms, limit)?, presence::has_dead_nodes(conn, now_ms)?))
            })
            .await?;
        if expired.is_empty() && dead {
            task::write(&self.store.writer, move |group| presence::forget_dead_nodes(group.conn, now_ms))
                .await?;
        }
        Ok(expired)
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
        self.store.writer.health()
    }

    async fn close(&self) {
        self.store.closed.cancel();
        let store = Arc::clone(&self.store);
        let finished = tokio::task::spawn_blocking(move || {
            store.writer.close();
            store.readers.close();
        })
        .await;
        if let Err(error) = finished {
            tracing::warn!(%error, "the store could not be closed in order");
        }
    }
}

#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod tests;
