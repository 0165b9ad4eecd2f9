//! Following the log. What this process commits comes to its tails directly, already decoded; what others commit is read
//! when they announce it. Positions are consecutive, so that a gap before such a batch says that somebody else's events
//! come first; where the log skipped some, that costs one look.

use std::{sync::Arc, time::Duration};

use tokio::sync::{broadcast, watch};

use super::{
    Store,
    continuity::{Break, Mark},
    read::{self, Followed},
};
use crate::transport::{
    ErrorKind, Position, StoredEvent, Tail, TransportError,
    committed::{BATCH, Committed, Following, Pending},
};

/// The pauses between looks at a log that cannot be read.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct PostgresTail {
    store: Arc<Store>,
    after: Position,
    /// The event at `after`, where it is known: by it the log is recognized.
    known: Option<Mark>,
    committed: broadcast::Receiver<Committed>,
    heard: watch::Receiver<u64>,
    breaks: watch::Receiver<Break>,
    /// How many breaks of the log the reader has been told of.
    told: u64,
    /// A batch that is not handed over completely yet.
    pending: Pending,
    /// There may be more in the log than what was committed here.
    look: bool,
    /// How many looks have failed since the last that did not.
    failures: u32,
}

impl PostgresTail {
    pub(super) fn new(store: Arc<Store>, after: Position) -> Self {
        let committed = store.committed.subscribe();
        let heard = store.heard.subscribe();
        let breaks = store.continuity.breaks();
        let told = breaks.borrow().count;
        let known = store.continuity.at(after);
        Self {
            store,
            after,
            known,
            committed,
            heard,
            breaks,
            told,
            pending: Pending::default(),
            look: true,
            failures: 0,
        }
    }

    fn pass(&mut self, events: &[StoredEvent]) {
        if let Some(last) = events.last() {
            self.after = last.position;
            let mark = Mark::of(last);
            self.known = Some(mark);
            self.store.continuity.note(mark);
        }
    }

    /// Goes on in the log that is there now, if it is another one than before.
    fn meet_break(&mut self) -> Result<(), TransportError> {
        let last = *self.breaks.borrow_and_update();
        if last.count == self.told {
            return Ok(());
        }
        self.told = last.count;
        self.pending.clear();
        self.known = None;
        self.look = true;
        // What the log has gained up to its head is for readers that come back: they resume by their cursors.
        self.after = self.after.max(Position(last.head));
        Err(TransportError::new(
            ErrorKind::Overtaken,
            "the log is not the one that was followed: its server took over from another one that had more, or was restored \
             from a copy",
        ))
    }

    async fn look_after(&self, store: &Store) -> Result<Followed, TransportError> {
        if self.failures > 0 {
            let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures - 1);
            tokio::time::sleep(pause.min(LAST_PAUSE)).await;
        }
        read::follow(store, self.after, self.known, BATCH).await
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
            _ = self.breaks.changed() => {}
            _ = self.heard.changed() => {
                let heard = *self.heard.borrow_and_update();
                self.look |= heard != self.after.0;
            }
            () = self.store.closed.cancelled() => return Err(TransportError::closed()),
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Tail for PostgresTail {
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        loop {
            if self.store.closed.is_cancelled() {
                return Err(TransportError::closed());
            }
            self.meet_break()?;
            match self.pending.take_after(self.after) {
                Following::Events(events) => {
                    self.pass(&events);
                    return Ok(events);
                }
                Following::OthersFirst => self.look = true,
                Following::Nothing => {}
            }
            if self.look {
                let store = Arc::clone(&self.store);
                let looked = tokio::select! {
                    () = store.closed.cancelled() => return Err(TransportError::closed()),
                    looked = self.look_after(&store) => looked,
                };
                let followed = match looked {
                    Ok(followed) => followed,
                    Err(error) => {
                        self.failures += 1;
                        // A server that is gone is told of once; then this waits for it.
                        if self.failures == 1 || error.kind() != ErrorKind::Unavailable {
                            return Err(error);
                        }
                        continue;
                    }
                };
                self.failures = 0;
                if followed.broken {
                    self.store.check_continuity().await?;
                    // Should it be the mark that is wrong: the reader is told all the same, once.
                    if self.breaks.borrow().count == self.told {
                        self.store.continuity.distrust(self.after);
                    }
                    continue;
                }
                // Cleared only after the read, so that a dropped future looks again.
                self.look = !followed.page.events.is_empty();
                if followed.page.truncated {
                    // Goes on with what is still there.
                    let first = followed.page.events.first();
                    let floor = first.map_or(followed.page.next.0, |event| event.position.0 - 1);
                    self.after = self.after.max(Position(floor));
                    (self.known, self.look) = (None, true);
                    return Err(TransportError::new(
                        ErrorKind::Overtaken,
                        "retention discarded events before they were delivered: the history is kept too short for the \
                         rate of updates",
                    ));
                }
                if !followed.page.events.is_empty() {
                    self.pass(&followed.page.events);
                    return Ok(followed.page.events);
                }
                if followed.page.next > self.after {
                    (self.after, self.known) = (followed.page.next, None);
                }
            }
            if self.pending.is_empty() {
                self.wait().await?;
            }
        }
    }
}
