//! Following the log. What this process commits comes to its tails directly, already decoded; what others commit is read
//! when the bell rings. Positions of the store's own events are consecutive, so that a gap before a batch says that
//! somebody else's events come first.

use std::{sync::Arc, time::Duration};

use tokio::sync::{broadcast, watch};

use super::Store;
use crate::transport::{
    ErrorKind, Position, StoredEvent, Tail, TransportError,
    committed::{BATCH, Committed, Following, Pending},
};

/// How often a tail looks even if nobody called it: the net below a bell that was missed.
const SAFETY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct SqliteTail {
    store: Arc<Store>,
    after: Position,
    committed: broadcast::Receiver<Committed>,
    bell: watch::Receiver<u64>,
    /// A batch that is not handed over completely yet.
    pending: Pending,
    /// There may be more in the log than what was committed here.
    look: bool,
}

impl SqliteTail {
    pub(super) fn new(store: Arc<Store>, after: Position) -> Self {
        let committed = store.committed.subscribe();
        let bell = store.bell.heard();
        Self { store, after, committed, bell, pending: Pending::default(), look: true }
    }

    async fn wait(&mut self) -> Result<(), TransportError> {
        tokio::select! {
            // What is committed here is the usual case and needs no look.
            biased;
            batch = self.committed.recv() => match batch {
                Ok(batch) => self.pending.put(batch),
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
            match self.pending.take_after(self.after) {
                Following::Events(events) => {
                    if let Some(last) = events.last() {
                        self.after = last.position;
                    }
                    return Ok(events);
                }
                Following::OthersFirst => self.look = true,
                Following::Nothing => {}
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
            if self.pending.is_empty() {
                self.wait().await?;
            }
        }
    }
}
