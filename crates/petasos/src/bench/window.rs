//! The time within which updates count, known to all threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// From when until when an update must have been sent (or have been due) for its latency to count.
#[derive(Debug)]
pub(crate) struct Window {
    from_ns: AtomicU64,
    until_ns: AtomicU64,
}

impl Default for Window {
    fn default() -> Self {
        Self { from_ns: AtomicU64::new(u64::MAX), until_ns: AtomicU64::new(u64::MAX) }
    }
}

impl Window {
    /// It begins.
    pub(crate) fn open(&self, at_ns: u64) {
        self.from_ns.store(at_ns, Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn close(&self, at_ns: u64) {
        self.until_ns.store(at_ns, Ordering::Relaxed);
    }

    /// Whether what was sent then counts.
    #[inline]
    pub(crate) fn holds(&self, sent_ns: u64) -> bool {
        sent_ns >= self.from_ns.load(Ordering::Relaxed) && sent_ns < self.until_ns.load(Ordering::Relaxed)
    }
}
