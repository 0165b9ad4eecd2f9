//! The hub: everything between a grant and the log. Matching, queues and the policy for slow readers live here, once,
//! and are the same on every transport.
//!
//! Who owns what: the event loops of the fan-out ([`fanout`]) own the table of subscribers, the matcher index and the
//! sockets of live streams on plain HTTP/1.1; a subscription ([`stream`]) owns its replay; a queue ([`queue`]) is the
//! only thing they share. The presence task ([`presence`]) owns what is announced. All are told to stop through one
//! token each and hold no lock across an await.

mod budget;
mod event;
mod fanout;
mod presence;
mod publish;
mod queue;
mod recent;
mod replay;
mod selector;
mod stream;
mod subscribe;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::{
    budget::Budget,
    fanout::{Census, Fanout, Shared},
    presence::Presence,
    publish::Lag,
    recent::Recent,
};
pub use self::{
    publish::Receipt,
    stream::{SocketOwner, Subscription},
};
use crate::{
    metrics::Metrics,
    topic::Matcher,
    transport::{
        PresenceFilter, PresenceSnapshot, Transport, TransportError, TransportHealth, TransportInfo,
    },
};

/// How much longer than its window a drain waits before it cuts what is left.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long closing waits for the last changes of presence to be stored.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// A hundred years: longer than any process runs, and short enough to calculate with.
const NEVER: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// The shortest lease that can be renewed three times while it runs.
const MIN_LEASE: Duration = Duration::from_millis(30);

/// How a hub behaves. Every bound is here; the defaults are documented in `docs/configuration.md`.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// A comment is sent when nothing was sent for so long (S09). Zero: never.
    pub heartbeat: Duration,
    /// A stream ends after a random 80 to 100 % of this (S13). Zero: never.
    pub write_timeout: Duration,
    /// How long a socket may take no bytes while some wait for it, before its reader is disconnected. Zero: as long as
    /// its backlog stays within its bound.
    pub dispatch_timeout: Duration,
    /// Whether subscription events are published and listed (section E).
    pub subscriptions: bool,
    /// What one subscriber may have waiting, in bytes of encoded events.
    pub backlog_bytes: usize,
    /// What all of them together may have waiting, in bytes. Events that wait for several are counted for each.
    pub backlog_total_bytes: usize,
    /// Event loops that share the subscribers. Zero: one for each processor.
    pub event_loops: usize,
    /// The newest part of the log kept encoded in memory, in bytes.
    pub recent_bytes: usize,
    /// How far fan-out may fall behind the log, in bytes, before publishers wait. Large enough for a burst of 64 KiB
    /// updates, small enough that a round stays short.
    pub fanout_lag_bytes: usize,
    /// How long a publish may wait for its turn before it is refused as unavailable.
    pub publish_wait: Duration,
    /// How long the presence of a node outlives its last sign of life.
    pub lease: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(40),
            write_timeout: Duration::from_secs(600),
            dispatch_timeout: Duration::from_secs(5),
            subscriptions: false,
            backlog_bytes: 1 << 20,
            backlog_total_bytes: 256 << 20,
            event_loops: 0,
            recent_bytes: 32 << 20,
            fanout_lag_bytes: 512 << 10,
            publish_wait: Duration::from_secs(10),
            lease: Duration::from_secs(15),
        }
    }
}

/// A hub. Cheap to clone; the clones are one hub.
#[derive(Clone, Debug)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    fanout: Fanout,
    presence: Option<Presence>,
    /// The hub was told that it will stop: it is not ready, and serves all the same.
    unready: AtomicBool,
    /// New subscriptions are refused.
    stopping: CancellationToken,
    /// New publishes are refused, and the tasks stop.
    closed: CancellationToken,
    streams: watch::Sender<usize>,
}

impl Inner {
    fn entered(&self) {
        self.streams.send_modify(|count| *count += 1);
    }

    fn left(&self) {
        self.streams.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Makes a [`Hub`].
#[derive(Debug)]
pub struct HubBuilder {
    transport: Arc<dyn Transport>,
    config: HubConfig,
    metrics: Arc<Metrics>,
}

impl HubBuilder {
    /// Replaces the default configuration.
    #[must_use]
    pub fn config(mut self, config: HubConfig) -> Self {
        self.config = config;
        self
    }

    /// Counts into these metrics instead of into ones that nobody sees.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Reads the head of the log and starts the tasks of the hub on the current tokio runtime, and the event
    /// loops of the fan-out on threads of their own.
    ///
    /// # Errors
    /// Where the log cannot be read, or no event loop can be started.
    pub async fn start(mut self) -> Result<Hub, TransportError> {
        self.config.heartbeat = self.config.heartbeat.min(NEVER);
        self.config.write_timeout = self.config.write_timeout.min(NEVER);
        self.config.lease = self.config.lease.clamp(MIN_LEASE, NEVER);
        let head = self.transport.head().await?;
        let shared = Arc::new(Shared {
            recent: Recent::new(head.position, self.config.recent_bytes),
            metrics: self.metrics,
            lag: Arc::new(Lag::new(self.config.fanout_lag_bytes)),
            budget: Arc::new(Budget::new(self.config.backlog_total_bytes)),
            census: Census::default(),
            gaps: watch::Sender::new(0),
            config: self.config,
        });
        let closed = CancellationToken::new();
        let tail = self.transport.tail(head.position);
        let fanout = Fanout::start(&shared, head, tail).map_err(|error| {
            TransportError::unavailable(format!("cannot start the event loops of the fan-out: {error}"))
        })?;
        let presence = shared.config.subscriptions.then(|| {
            let (lease, gaps) = (shared.config.lease, shared.gaps.subscribe());
            Presence::start(Arc::clone(&self.transport), lease, gaps, closed.clone())
        });
        Ok(Hub {
            inner: Arc::new(Inner {
                shared,
                transport: self.transport,
                fanout,
                presence,
                unready: AtomicBool::new(false),
                stopping: CancellationToken::new(),
                closed,
                streams: watch::Sender::new(0),
            }),
        })
    }
}

/// Why an update was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The grant does not cover one of the topics (A14).
    #[error("the token does not grant publishing on one of the topics")]
    NotGranted,
    /// The update could not be stored now: 503 with `Retry-After`.
    #[error("the update could not be stored: {0}")]
    Unavailable(TransportError),
    /// The hub is shutting down.
    #[error("the hub is stopping")]
    Stopping,
}

/// Why a subscription could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The log cannot be read now. Callers hold the response back or close without an answer (C01).
    #[error("the log could not be read: {0}")]
    Unavailable(TransportError),
    /// The hub is shutting down.
    #[error("the hub is stopping")]
    Stopping,
}

/// What a subscriber asks for.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// At least one.
    pub matchers: Vec<Matcher>,
    /// The cursor; `None` where neither field nor parameter was present, empty where one was present and empty.
    pub cursor: Option<String>,
    /// Told when the connection under the stream should be cut, because its reader takes no bytes any more.
    pub cut: Option<Arc<Notify>>,
}

impl Hub {
    /// A hub on this log.
    pub fn builder(transport: Arc<dyn Transport>) -> HubBuilder {
        HubBuilder { transport, config: HubConfig::default(), metrics: Arc::default() }
    }

    /// What it was started with.
    pub fn config(&self) -> &HubConfig {
        &self.inner.shared.config
    }

    /// What it counts into.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.shared.metrics
    }

    /// What its log is and promises.
    pub fn transport_info(&self) -> TransportInfo {
        self.inner.transport.info()
    }

    /// The active subscriptions of the whole log (E05). Who may ask is decided by the caller (E06).
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
        self.inner.transport.presence(filter).await
    }

    /// Whether it works, for probes. Not ready as soon as it drains.
    pub fn health(&self) -> TransportHealth {
        let mut health = self.inner.transport.health();
        if self.inner.unready.load(Ordering::Acquire) || self.inner.stopping.is_cancelled() {
            health.ready = Err("the hub is stopping".into());
        } else if self.inner.fanout.stopped().is_cancelled() {
            health.ready = Err("the fan-out has stopped".into());
            health.live = Err("the fan-out has stopped: see the log for its panic, and restart".into());
        }
        health
    }

    /// Makes [`Self::health`] say that it is not ready, and changes nothing else: load balancers need a moment.
    pub fn announce_stop(&self) {
        self.inner.unready.store(true, Ordering::Release);
    }

    /// Ends all streams cleanly, spread over `window`, and returns when they are gone. New subscriptions are refused;
    /// publishes that are under way are answered.
    pub async fn drain(&self, window: Duration) {
        let window = window.min(NEVER);
        let inner = &self.inner;
        inner.stopping.cancel();
        inner.fanout.drain(window);
        let mut streams = inner.streams.subscribe();
        let gone = tokio::time::timeout(window + DRAIN_GRACE, streams.wait_for(|count| *count == 0)).await;
        if gone.is_err() {
            tracing::info!("streams whose readers took nothing were cut at the end of the drain window");
            inner.fanout.cut();
        }
    }

    /// Announces the end of what is left, stops the tasks and closes the transport. After [`Self::drain`].
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.stopping.cancel();
        if let Some(presence) = &inner.presence {
            presence.finish(CLOSE_PATIENCE).await;
        }
        inner.closed.cancel();
        inner.fanout.stop();
        // What the loops hand back needs the caller's runtime, which may be gone once this has returned.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, inner.fanout.ended().cancelled()).await;
        inner.transport.close().await;
    }
}

/// Why a stream ended, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client closed it, or its connection died.
    ClientGone,
    /// `write_timeout` (S13).
    WriteTimeout,
    /// The token's `exp` (S13).
    TokenExpired,
    /// The socket took no bytes for `dispatch_timeout`, or its backlog went over its bound.
    SlowReader,
    /// The hub drains.
    Shutdown,
    /// Retention went past what this stream had still to read.
    Overtaken,
    /// The history could not be read to its end.
    LogUnavailable,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ClientGone,
        Self::WriteTimeout,
        Self::TokenExpired,
        Self::SlowReader,
        Self::Shutdown,
        Self::Overtaken,
        Self::LogUnavailable,
    ];

    /// As the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::WriteTimeout => "write_timeout",
            Self::TokenExpired => "token_expired",
            Self::SlowReader => "slow_reader",
            Self::Shutdown => "shutdown",
            Self::Overtaken => "overtaken",
            Self::LogUnavailable => "log_unavailable",
        }
    }
}
