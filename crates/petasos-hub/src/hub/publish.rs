//! Publishing: the grant is checked, the publisher waits while the hub is behind, and the update takes its place in the
//! order of the log.
//!
//! What keeps memory bounded is a number of bytes that may be accepted and not yet fanned out. An update takes its bytes
//! from it before it is appended and gives them back when the fan-out has reached its position, so that back-pressure
//! comes before the append and never after.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Hub, PublishError};
use crate::{
    Update,
    auth::PublishGrant,
    metrics::Metrics,
    topic::ParsedTopic,
    transport::{Append, AttemptId, Position, TransportError},
};

/// What an update costs beside its text while it is under way.
const UPDATE_OVERHEAD_BYTES: usize = 512;

/// How often a publisher that waits looks whether the log still works.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);

/// Bytes accepted and not yet fanned out.
#[derive(Debug)]
pub(super) struct Lag {
    room: Arc<Semaphore>,
    bound_bytes: u32,
    /// Stored, and waiting for the fan-out, by position.
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    reached: Position,
    newest: Position,
    waiting: VecDeque<(Position, OwnedSemaphorePermit)>,
}

impl Lag {
    pub(super) fn new(bound_bytes: usize) -> Self {
        let bound_bytes = u32::try_from(bound_bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { room: Arc::new(Semaphore::new(bound_bytes as usize)), bound_bytes, stored: Mutex::default() }
    }

    /// Room for an update; one that is larger than all the room takes all of it.
    async fn enter(&self, update: &Update) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(update.weight_bytes() + UPDATE_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(bytes.min(self.bound_bytes)).await.ok()
    }

    /// The update is stored: it keeps its room until the fan-out has reached it.
    fn stored(&self, position: Position, permit: OwnedSemaphorePermit) {
        let mut stored = self.stored.lock();
        stored.newest = stored.newest.max(position);
        if position > stored.reached {
            // Commits are answered nearly in order, so that the place is near the end.
            let at = stored.waiting.partition_point(|(other, _)| *other <= position);
            stored.waiting.insert(at, (position, permit));
        }
    }

    /// The fan-out has reached this position.
    pub(super) fn reached(&self, position: Position) {
        let mut stored = self.stored.lock();
        stored.reached = stored.reached.max(position);
        let done = stored.waiting.partition_point(|(other, _)| *other <= position);
        stored.waiting.drain(..done);
    }

    /// What is stored and not handed out may never be: the log has lost it, or will not give it to the fan-out. Nobody waits
    /// for it any more.
    pub(super) fn give_up(&self) {
        let mut stored = self.stored.lock();
        stored.newest = stored.reached;
        stored.waiting.clear();
    }

    /// The newest position that was acknowledged to a publisher of this node.
    pub(super) fn newest(&self) -> Position {
        self.stored.lock().newest
    }

    /// How many bytes are under way.
    pub(super) fn bytes(&self) -> usize {
        self.bound_bytes as usize - self.room.available_permits()
    }
}

/// A publish that has its place in the log's order and waits for its commit.
pub struct Receipt {
    id: String,
    /// `None` once it has come to its end.
    under_way: Option<UnderWay>,
}

/// What a publish holds on to while it is under way.
struct UnderWay {
    lag: Arc<Lag>,
    room: OwnedSemaphorePermit,
    append: BoxFuture<'static, Result<Option<Position>, TransportError>>,
    metrics: Arc<Metrics>,
    since: Instant,
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Receipt").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Receipt {
    /// Waits until the update is stored as durably as the transport promises, and returns its id (P02).
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] where it could not be stored.
    pub async fn stored(mut self) -> Result<String, PublishError> {
        if let Some(under_way) = &mut self.under_way {
            let outcome = under_way.append.as_mut().await;
            if let Some(under_way) = self.under_way.take() {
                under_way.finish(outcome).map_err(PublishError::Unavailable)?;
            }
        }
        Ok(std::mem::take(&mut self.id))
    }
}

impl Drop for Receipt {
    /// A publisher that left takes nothing back: the update is stored all the same, and keeps its room until the fan-out
    /// has reached it. Else whoever publishes without waiting would fill the memory beyond its bound.
    fn drop(&mut self) {
        let Some(mut under_way) = self.under_way.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let outcome = under_way.append.as_mut().await;
                // Told to nobody, and counted.
                let _ = under_way.finish(outcome);
            });
        }
    }
}

impl UnderWay {
    fn finish(self, outcome: Result<Option<Position>, TransportError>) -> Result<(), TransportError> {
        self.metrics.append_seconds.observe(self.since.elapsed().as_secs_f64());
        match outcome {
            Ok(position) => {
                self.metrics.updates_total.inc();
                if let Some(position) = position {
                    self.lag.stored(position, self.room);
                }
                Ok(())
            }
            Err(error) => {
                self.metrics.updates_failed_total.inc();
                self.metrics.transport_errors_total.inc();
                Err(error)
            }
        }
    }
}

impl Hub {
    /// Checks the grant, waits while the hub is behind (invariant 5), and takes the update's place in the order of the
    /// log. When this returns, a later call is stored later. The caller awaits [`Receipt::stored`].
    ///
    /// # Errors
    /// See [`PublishError`]. Nothing has been stored then.
    pub async fn enqueue(&self, grant: &PublishGrant, update: Update) -> Result<Receipt, PublishError> {
        let granted = {
            let topics: Vec<_> = update.topics().iter().map(|topic| ParsedTopic::new(topic)).collect();
            grant.allows(&topics)
        };
        if !granted {
            return Err(PublishError::NotGranted);
        }
        let inner = &self.inner;
        if inner.closed.is_cancelled() {
            return Err(PublishError::Stopping);
        }
        let room = self.room(&update).await.inspect_err(|error| {
            if matches!(error, PublishError::Unavailable(_)) {
                inner.shared.metrics.updates_failed_total.inc();
            }
        })?;
        let id = update.id().to_owned();
        let entry = Append { update: Arc::new(update), presence: None };
        let under_way = UnderWay {
            lag: Arc::clone(&inner.shared.lag),
            room,
            since: Instant::now(),
            append: inner.transport.append(AttemptId::new(), vec![entry]),
            metrics: Arc::clone(&inner.shared.metrics),
        };
        Ok(Receipt { id, under_way: Some(under_way) })
    }

    /// Waits while the hub is behind. Where the log does not work, nobody waits for what cannot be delivered now: a publisher
    /// is told so at once.
    async fn room(&self, update: &Update) -> Result<OwnedSemaphorePermit, PublishError> {
        let shared = &self.inner.shared;
        let mut room = pin!(tokio::time::timeout(shared.config.publish_wait, shared.lag.enter(update)));
        loop {
            tokio::select! {
                biased;
                room = &mut room => return match room {
                    Ok(room) => room.ok_or(PublishError::Stopping),
                    Err(_) => Err(PublishError::Unavailable(TransportError::unavailable(
                        "delivery is behind and did not catch up in time",
                    ))),
                },
                () = tokio::time::sleep(HEALTH_INTERVAL) => {
                    if let Err(reason) = self.inner.transport.health().ready {
                        return Err(PublishError::Unavailable(TransportError::unavailable(reason)));
                    }
                }
            }
        }
    }

    /// [`Self::enqueue`] and [`Receipt::stored`] in one.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, grant: &PublishGrant, update: Update) -> Result<String, PublishError> {
        self.enqueue(grant, update).await?.stored().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Update {
        Update::from_stored("1".into(), vec!["t".into()], "data".into(), false, None, None)
    }

    #[tokio::test]
    async fn what_a_log_has_lost_holds_up_nobody() {
        let lag = Lag::new(1);
        let room = lag.enter(&update()).await.expect("room");
        lag.stored(Position(5), room);
        assert_eq!((lag.newest(), lag.bytes()), (Position(5), 1));
        lag.reached(Position(4));
        lag.give_up();
        // A subscriber waits for no more than was handed out, and a publisher has room.
        assert_eq!((lag.newest(), lag.bytes()), (Position(4), 0));
        assert!(lag.enter(&update()).await.is_some());
    }
}
