//! What a process has committed itself comes to its own tails directly, already decoded. Shared by engines whose positions
//! are consecutive, so that a gap before such a batch says that somebody else's events come first.

use std::sync::Arc;

use super::{Position, ReadLimit, StoredEvent};

/// What one call of a tail hands over at most.
pub(super) const BATCH: ReadLimit = ReadLimit { events: 1_024, bytes: 256 << 10 };

/// Commits that a tail may be behind before it reads them from the log instead.
pub(super) const COMMITTED_BATCHES: usize = 64;

/// Events of one commit, shared by the tails.
pub(super) type Committed = Arc<[StoredEvent]>;

/// A batch that a tail has not handed over completely yet.
#[derive(Debug, Default)]
pub(super) struct Pending(Option<(Committed, usize)>);

/// What a pending batch has for a tail.
#[derive(Debug)]
pub(super) enum Following {
    /// Nothing that the tail has not handed over.
    Nothing,
    /// The events that follow directly, [`BATCH`] of them at most.
    Events(Vec<StoredEvent>),
    /// Somebody else's events come first. The log has all of them.
    OthersFirst,
}

impl Pending {
    pub(super) fn put(&mut self, batch: Committed) {
        self.0 = Some((batch, 0));
    }

    #[cfg(feature = "postgres")]
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes what comes behind this position.
    pub(super) fn take_after(&mut self, after: Position) -> Following {
        let Some((batch, offset)) = self.0.take() else { return Following::Nothing };
        let rest = &batch[offset..];
        // What a look into the log already gave is passed over.
        let fresh = rest.partition_point(|event| event.position <= after);
        let rest = &rest[fresh..];
        let Some(first) = rest.first() else { return Following::Nothing };
        if first.position.0 != after.0 + 1 {
            return Following::OthersFirst;
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
            self.0 = Some((Arc::clone(&batch), offset + fresh + count));
        }
        Following::Events(events)
    }
}
