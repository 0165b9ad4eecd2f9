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

    /// Whether half of it is used: time to wait, while there is time.
    pub(super) fn is_half_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bound_bytes / 2
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
