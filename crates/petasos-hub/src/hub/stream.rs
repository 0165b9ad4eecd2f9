//! One open subscription, as its connection sees it: a source of ready bytes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    EndReason, Inner,
    fanout::{Command, Key},
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
    inner: Arc<Inner>,
    queue: Arc<Queue>,
    key: Key,
    phase: Phase,
    greeted: bool,
    /// Ends the presence when it is dropped.
    announced: Option<Announced>,
    subscriber: Arc<str>,
}

/// A subscription that replays and one that is live.
enum Phase {
    Replaying(Pin<Box<dyn Future<Output = Step> + Send>>),
    Live,
    Ended(EndReason),
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Subscription").field("subscriber", &self.subscriber).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(
        inner: Arc<Inner>,
        queue: Arc<Queue>,
        key: Key,
        cursor: Option<String>,
        replay: Option<Box<Replay>>,
        subscriber: Arc<str>,
    ) -> Self {
        let metrics = &inner.shared.metrics;
        metrics.subscribers_total.inc();
        metrics.subscribers_connected.inc();
        let phase = match replay {
            Some(replay) => Phase::Replaying(Box::pin(replay.step())),
            None => Phase::Live,
        };
        Self { cursor, inner, queue, key, phase, greeted: false, announced: None, subscriber }
    }

    pub(super) fn set_announced(&mut self, announced: Announced) {
        self.announced = Some(announced);
    }

    /// What `Mercure-Last-Event-ID` says (R02); `None` where no cursor was asked for.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// A random `urn:uuid:` (E03).
    pub fn subscriber_id(&self) -> &str {
        &self.subscriber
    }

    /// The next bytes for the wire: the first comment, replayed and live events (whole ones, as many as wait), and
    /// heartbeats. `None` is the clean end of the stream.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if matches!(self.phase, Phase::Ended(_)) {
                return Poll::Ready(None);
            }
            let live = matches!(self.phase, Phase::Live);
            match self.queue.take(PIECE_BYTES, live, cx) {
                Taken::End(reason) => {
                    self.phase = Phase::Ended(reason);
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
                    self.phase = Phase::Ended(reason);
                }
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The fan-out is gone only where the hub is closed.
        let _ = self.inner.commands.send(Command::Detach { key: self.key });
        let reason = match &self.phase {
            Phase::Ended(reason) => *reason,
            _ => self.queue.end_reason().unwrap_or(EndReason::ClientGone),
        };
        let metrics = &self.inner.shared.metrics;
        metrics.subscribers_connected.dec();
        metrics
            .disconnects_total
            .get_or_create(&crate::metrics::ReasonLabel { reason: reason.as_str() })
            .inc();
        if reason == EndReason::SlowReader {
            tracing::info!(
                subscriber = %self.subscriber,
                "a reader that did not take its events was disconnected; it can resume by its last event id"
            );
        }
        self.inner.left();
    }
}
