//! An event as the fan-out carries it: encoded once per process and shared by everybody who gets it (invariant 6).

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Update, sse,
    topic::ParsedTopic,
    transport::{Position, StoredEvent},
};

/// What an event costs beside its text: the parts of its structures and of the allocator's.
const OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Event {
    pub(super) position: Position,
    pub(super) at_ms: u64,
    pub(super) update: Arc<Update>,
    pub(super) bytes: Bytes,
}

impl Event {
    pub(super) fn new(stored: StoredEvent) -> Self {
        let bytes = sse::encode(&stored.update);
        Self { position: stored.position, at_ms: stored.at_ms, update: stored.update, bytes }
    }

    /// What it costs to have it wait for a subscriber: its bytes, and its topics, which it keeps in memory though they are
    /// not sent. An update may have a megabyte of topics and no data.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes.len() + (self.update.weight_bytes() - self.update.data().len())
    }

    /// What keeping it costs: its encoded form, and the update that matchers look at.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.update.weight_bytes() + self.update.id().len() + OVERHEAD_BYTES
    }

    /// The topics, ready for matchers.
    pub(super) fn topics(&self) -> Vec<ParsedTopic<'_>> {
        self.update.topics().iter().map(|topic| ParsedTopic::new(topic)).collect()
    }
}
