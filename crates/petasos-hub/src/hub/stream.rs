//! One open subscription, as its connection sees it: a source of ready bytes, or, once it is live, something that a
//! socket can be handed to.

use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    EndReason, Inner,
    fanout::{Command, Handed, Key},
    presence::Announced,
    queue::{Queue, Taken},
    replay::{Replay, Step},
};
use crate::sse;

/// How many bytes of live events go out in one piece.
const PIECE_BYTES: usize = 64 << 10;

/// One open subscription: a source of ready bytes. Dropping it ends it, and with it its presence.
pub struct Subscription {
    cursor: Option<String>,
    queue: Arc<Queue>,
    phase: Phase,
    greeted: bool,
    lifetime: Lifetime,
}

/// Whoever handed the socket of a stream over. Dropped where the connection is dead or was cut.
pub trait SocketOwner: Send + 'static {
    /// The stream has come to its clean end: its terminating chunk is written, and nothing else of it waits. The socket
    /// is not blocking; `read_ahead` is what the client has sent behind its request. Called on the thread of an event
    /// loop, which must not be held up.
    fn give_back(self: Box<Self>, socket: std::net::TcpStream, read_ahead: Bytes);
}

/// A subscription that replays and one that is live.
enum Phase {
    Replaying(Pin<Box<dyn Future<Output = Step> + Send>>),
    Live,
    Ended,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Subscription")
            .field("subscriber", &self.lifetime.subscriber)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(
        inner: Arc<Inner>,
        queue: Arc<Queue>,
        key: Key,
        cursor: Option<String>,
        replay: Option<Box<Replay>>,
    ) -> Self {
        let metrics = &inner.shared.metrics;
        metrics.subscribers_total.inc();
        metrics.subscribers_connected.inc();
        let phase = match replay {
            Some(replay) => Phase::Replaying(Box::pin(replay.step())),
            None => Phase::Live,
        };
        let lifetime = Lifetime {
            inner,
            key,
            subscriber: uuid::Uuid::new_v4(),
            announced: None,
            ended: None,
            queue: Some(Arc::clone(&queue)),
            kept: None,
        };
        Self { cursor, queue, phase, greeted: false, lifetime }
    }

    pub(super) fn set_announced(&mut self, announced: Announced) {
        self.lifetime.announced = Some(announced);
    }

    /// From here on a connection that does not come for bytes is slow, and not the hub.
    pub(super) fn expects_connection(&self) {
        self.queue.handed_over();
    }

    /// Says that the reader took some of the bytes that were handed out last, and not yet all of them: it is not stuck.
    pub fn progressed(&self) {
        self.queue.handed_over();
    }

    /// What `Mercure-Last-Event-ID` says (R02); `None` where no cursor was asked for.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// A random `urn:uuid:` (E03).
    pub fn subscriber_id(&self) -> String {
        self.lifetime.subscriber.urn().to_string()
    }

    /// Whether nothing is left to replay: from here on [`Self::hand_over`] may be called.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Keeps `thing` for as long as the stream is open.
    pub fn keep(&mut self, thing: impl Any + Send) {
        self.lifetime.kept = Some(Box::new(thing));
    }

    /// The next bytes for the wire: the first comment, replayed and live events (whole ones, as many as wait), and
    /// heartbeats. `None` is the clean end of the stream.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if matches!(self.phase, Phase::Ended) {
                return Poll::Ready(None);
            }
            let live = matches!(self.phase, Phase::Live);
            match self.queue.take(PIECE_BYTES, live, cx) {
                Taken::End(reason) => {
                    self.ends_for(reason);
                    return Poll::Ready(None);
                }
                Taken::Bytes(bytes) => {
                    self.greeted = true;
                    return Poll::Ready(Some(bytes));
                }
                Taken::Heartbeat => {
                    self.greeted = true;
                    return Poll::Ready(Some(Bytes::from_static(sse::HEARTBEAT)));
                }
                Taken::Nothing => {}
            }
            // S10: something is on the wire at once, whatever the log has to say.
            if !std::mem::replace(&mut self.greeted, true) {
                self.queue.handed_over();
                return Poll::Ready(Some(Bytes::from_static(sse::HEARTBEAT)));
            }
            let Phase::Replaying(step) = &mut self.phase else { return Poll::Pending };
            match step.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Step::Bytes(replay, bytes)) => {
                    self.phase = Phase::Replaying(Box::pin(replay.step()));
                    self.queue.handed_over();
                    return Poll::Ready(Some(bytes));
                }
                Poll::Ready(Step::Live) => self.phase = Phase::Live,
                Poll::Ready(Step::End(reason)) => {
                    self.queue.end(reason);
                    self.ends_for(reason);
                }
            }
        }
    }

    /// Hands the socket of a live stream to an event loop, which writes chunks of HTTP/1.1 to it from now on: first
    /// `first`, then what waits and what comes, heartbeats, and the terminating chunk. The socket must not block, and
    /// nothing else may read from it or write to it. `read_ahead` is what the client has sent behind its request.
    ///
    /// Before the stream is live there is nobody to take the socket, and it is closed.
    pub fn hand_over(
        self,
        stream: std::net::TcpStream,
        first: Bytes,
        read_ahead: Bytes,
        owner: Box<dyn SocketOwner>,
    ) {
        if !self.is_live() {
            return;
        }
        let Self { mut lifetime, .. } = self;
        lifetime.queue = None;
        let (inner, key) = (Arc::clone(&lifetime.inner), lifetime.key);
        let handed = Box::new(Handed { stream, first, read_ahead, lifetime, owner });
        inner.fanout.command(key, Command::TakeSocket { key, handed });
    }

    fn ends_for(&mut self, reason: EndReason) {
        self.phase = Phase::Ended;
        self.lifetime.ends_for(reason);
    }
}

/// What there is for as long as a stream is open, whoever owns it. Dropping it counts its end, ends its presence and
/// takes it out of the fan-out.
pub(super) struct Lifetime {
    inner: Arc<Inner>,
    key: Key,
    subscriber: uuid::Uuid,
    /// Ends the presence when it is dropped.
    announced: Option<Announced>,
    ended: Option<EndReason>,
    /// Knows why the stream ended, where its connection did not ask any more. `None` once its socket is handed over.
    queue: Option<Arc<Queue>>,
    kept: Option<Box<dyn Any + Send>>,
}

impl Lifetime {
    /// Lets go of what is kept for as long as the stream is open.
    pub(super) fn release(&mut self) {
        self.kept = None;
    }

    /// Notes why the stream ends; the first reason counts.
    pub(super) fn ends_for(&mut self, reason: EndReason) {
        self.ended.get_or_insert(reason);
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.inner.fanout.command(self.key, Command::Detach { key: self.key });
        let by_queue = self.queue.as_ref().and_then(|queue| queue.end_reason());
        let reason = self.ended.or(by_queue).unwrap_or(EndReason::ClientGone);
        self.release();
        let metrics = &self.inner.shared.metrics;
        metrics.subscribers_connected.dec();
        metrics
            .disconnects_total
            .get_or_create(&crate::metrics::ReasonLabel { reason: reason.as_str() })
            .inc();
        if reason == EndReason::SlowReader {
            tracing::info!(
                subscriber = %self.subscriber.urn(),
                "a reader that did not take its events was disconnected; it can resume by its last event id"
            );
        }
        self.inner.left();
    }
}
