//! What all subscribers together may have waiting, in bytes: the bound of the process, beside the bound of each.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of bytes with a bound that is looked at, not enforced: whoever finds it crossed disconnects the slowest.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    bound_bytes: usize,
}

impl Budget {
    pub(super) fn new(bound_bytes: usize) -> Self {
        Self { used: AtomicUsize::new(0), bound_bytes }
    }

    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bound_bytes
    }

    /// Whether it is over its bound by so much that there is no time to wait: one round may add a large update for
    /// everybody, which is in memory once.
    pub(super) fn is_far_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bound_bytes.saturating_mul(2)
    }

    /// What each of so many subscribers may have, if all have the same. Where the bound is crossed, somebody has more.
    pub(super) fn share_bytes(&self, subscribers: usize) -> usize {
        self.bound_bytes / subscribers.max(1)
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
