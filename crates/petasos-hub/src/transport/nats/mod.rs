//! NATS JetStream as a log, shared by the hubs of a cluster: a stream whose sequences are the positions.
//!
//! Who owns what: the writer task (`writer`) sends everything that is stored in the log, over a connection that it shares
//! with questions (`api`); tails and pages are read over a second one, so that a long replay holds up no acknowledgement.
//! Each connection is a task of the client library (`link`). Presence has a stream of its own (`presence`).

mod api;
mod config;
mod examine;
mod import;
mod link;
mod presence;
mod pull;
mod read;
mod streams;
mod tail;
mod time;
mod window;
mod writer;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{api::Api, config::Storage, link::Link, presence::Known, streams::Streams, writer::Writer};
pub use self::{
    config::{NatsConfig, PARAMETERS},
    examine::examine,
};
use super::{
    Append, AttemptId, Durability, Head, LogStats, NodeId, Page, Position, PresenceFilter, PresenceSnapshot,
    ReadHint, ReadLimit, StoredEvent, SubscriptionRecord, Tail, Transport, TransportError, TransportHealth,
    TransportInfo,
    remote::{Line, Status},
};

/// How long the close waits for what is under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The transport on NATS JetStream.
#[derive(Debug)]
pub struct NatsTransport {
    store: Arc<Store>,
    line: Line,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the tasks of one transport share.
#[derive(Debug)]
struct Store {
    config: NatsConfig,
    streams: Streams,
    /// The connection that is written to.
    api: Api,
    /// The connection from which messages are read.
    reads: Api,
    status: Status,
    known: Known,
    durability: Durability,
    closed: CancellationToken,
}

impl NatsTransport {
    /// Connects, and makes the streams of the log where they are missing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) where the streams are somebody else's or the server refuses us,
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where trying again may help.
    pub async fn open(config: NatsConfig) -> Result<Self, TransportError> {
        let domain = config.domain.as_deref();
        let api = Api::new(Arc::new(Link::connect(&config, "writer").await?), domain);
        let reads = Api::new(Arc::new(Link::connect(&config, "reader").await?), domain);
        let streams = Streams::new(&config);
        streams.open(&api, &config).await?;
        let is_in_memory = match config.storage {
            Some(storage) => storage == Storage::Memory,
            None => api.stream(&streams.log).await?.is_some_and(|info| info.config["storage"] == "memory"),
        };
        let store = Arc::new(Store {
            config,
            streams,
            api,
            reads,
            status: Status::new("nats"),
            known: Known::default(),
            // The disk only where the server syncs always, which it tells nobody.
            durability: if is_in_memory { Durability::Memory } else { Durability::Process },
            closed: CancellationToken::new(),
        });
        let head = read::head(&store).await?;
        store.streams.saw(head.position.0);
        let (line, queue) = Line::new();
        let writer = Writer::open(Arc::clone(&store), queue).await?;
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Ok(Self { store, line, writer })
    }
}

#[async_trait::async_trait]
impl Transport for NatsTransport {
    fn info(&self) -> TransportInfo {
        TransportInfo {
            engine: "nats",
            history: true,
            durability: self.store.durability,
            location: self.store.config.location.clone(),
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
        _hint: &ReadHint,
    ) -> Result<Page, TransportError> {
        read::page(&self.store, after, until, limit).await
    }

    fn tail(&self, after: Position) -> Box<dyn Tail> {
        Box::new(tail::NatsTail::new(Arc::clone(&self.store), after))
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
        read::stats(&self.store).await
    }

    async fn import(&self, events: Vec<StoredEvent>) -> Result<(), TransportError> {
        import::import(&self.store, events).await
    }

    async fn discard(&self, until: Position) -> Result<u64, TransportError> {
        read::discard(&self.store, until).await
    }

    fn health(&self) -> TransportHealth {
        self.store.status.health()
    }

    async fn close(&self) {
        self.store.closed.cancel();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && tokio::time::timeout(CLOSE_TIMEOUT, writer).await.is_err()
        {
            tracing::warn!("NATS did not acknowledge everything before the end");
        }
        self.store.status.close();
        self.store.api.link().close().await;
        self.store.reads.link().close().await;
    }
}

#[cfg(test)]
mod tests;
