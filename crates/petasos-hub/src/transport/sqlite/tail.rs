//! Following the log. What this process commits comes to its tails directly, already decoded; what others commit is read
//! when the bell rings. Positions of the store's own events are consecutive, so that a gap before a batch says that
//! somebody else's events come first.

use std::{sync::Arc, time::Duration};

use tokio::sync::{broadcast, watch};

use super::Store;
use crate::transport::{ErrorKind, Position, ReadLimit, StoredEvent, Tail, TransportError};

/// How often a tail looks even if nobody called it: the net below a bell that was missed.
const SAFETY_INTERVAL: Duration = Duration::from_secs(1);

/// What one call hands over at most.
const BATCH: ReadLimit = ReadLimit { events: 1_024, bytes: 256 << 10 };

/// Events of one commit, shared by the tails.
pub(super) type Committed = Arc<[StoredEvent]>;

#[derive(Debug)]
pub(super) struct SqliteTail {
    store: Arc<Store>,
    after: Position,
    committed: broadcast::Receiver<Committed>,
    bell: watch::Receiver<u64>,
    /// A batch that is not handed over completely yet.
    pending: Option<(Committed, usize)>,
    /// There may be more in the log than what was committed here.
    look: bool,
}

impl SqliteTail {
    pub(super) fn new(store: Arc<Store>, after: Position) -> Self {
        let committed = store.committed.subscribe();
        let bell = store.bell.heard();
        Self { store, after, committed, bell, pending: None, look: true }
    }

    /// The next part of the pending batch, if it follows directly.
    fn take_pending(&mut self) -> Option<Vec<StoredEvent>> {
        let (batch, offset) = self.pending.take()?;
        let rest = &batch[offset..];
        // What a look into the log already gave is passed over.
        let fresh = rest.partition_point(|event| event.position <= self.after);
        let rest = &rest[fresh..];
        let first = rest.first()?;
        if first.position.0 != self.after.0 + 1 {
            // Somebody else's events come first. The log has all of them.
            self.look = true;
            return None;
        }
        let mut bytes = 0;
        let count = rest
            .iter()
            .take(BATCH.events)
            .take_while(|event| {
                let room = bytes < BATCH.bytes;
                bytes += event.update.weight_bytes();
                room
            })
            .count();
        let events = rest[..count].to_vec();
        if count < rest.len() {
            self.pending = Some((Arc::clone(&batch), offset + fresh + count));
        }
        Some(events)
    }

    async fn wait(&mut self) -> Result<(), TransportError> {
        tokio::select! {
            // What is committed here is the usual case and needs no look.
            biased;
            batch = self.committed.recv() => match batch {
                Ok(batch) => self.pending = Some((batch, 0)),
                Err(broadcast::error::RecvError::Lagged(_)) => self.look = true,
                Err(broadcast::error::RecvError::Closed) => return Err(TransportError::closed()),
            },
            changed = self.bell.changed() => match changed {
                Ok(()) => self.look = true,
                // The listener is gone; the interval remains.
                Err(_) => { tokio::time::sleep(SAFETY_INTERVAL).await; self.look = true; }
            },
            () = self.store.closed.cancelled() => return Err(TransportError::closed()),
            () = tokio::time::sleep(SAFETY_INTERVAL) => self.look = true,
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Tail for SqliteTail {
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        loop {
            if let Some(events) = self.take_pending() {
                if let Some(last) = events.last() {
                    self.after = last.position;
                }
                return Ok(events);
            }
            if self.look {
                let after = self.after;
                let page =
                    self.store.readers.run(move |conn, readers| readers.follow(conn, after, BATCH)).await?;
                // Cleared only after the read, so that a dropped future looks again.
                self.look = !page.events.is_empty();
                if page.truncated {
                    // Goes on with what is still there.
                    let floor = page.events.first().map_or(page.next.0, |event| event.position.0 - 1);
                    self.after = self.after.max(Position(floor));
                    self.look = true;
                    return Err(TransportError::new(
                        ErrorKind::Overtaken,
                        "retention discarded events before they were delivered: the history is kept too short for the \
                         rate of updates",
                    ));
                }
                if let Some(last) = page.events.last() {
                    self.after = last.position;
                    return Ok(page.events);
                }
                self.after = self.after.max(page.next);
            }
            if self.pending.is_none() {
                self.wait().await?;
            }
        }
    }
}
