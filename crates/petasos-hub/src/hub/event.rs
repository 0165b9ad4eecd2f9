//! An event as the fan-out carries it: encoded once per process and shared by everybody who gets it (invariant 6).

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Update, chunk, sse,
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
    /// Its bytes as a chunk of HTTP/1.1: what a socket is sent.
    framed: Bytes,
    /// Where they begin in it.
    begin: usize,
}

impl Event {
    pub(super) fn new(stored: StoredEvent) -> Self {
        let (framed, begin) = chunk::framed(&sse::encode(&stored.update));
        Self { position: stored.position, at_ms: stored.at_ms, update: stored.update, framed, begin }
    }

    /// As one chunk of HTTP/1.1.
    pub(super) fn framed(&self) -> &Bytes {
        &self.framed
    }

    /// Without the frame of the chunk.
    pub(super) fn bytes(&self) -> Bytes {
        self.framed.slice(self.begin..self.begin + self.len())
    }

    /// [`Self::bytes`], borrowed.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.framed[self.begin..self.begin + self.len()]
    }

    /// The length of [`Self::bytes`].
    pub(super) fn len(&self) -> usize {
        self.framed.len() - self.begin - 2
    }

    /// What it costs to have it wait for a subscriber: its bytes, and its topics, which it keeps in memory though they are
    /// not sent. An update may have a megabyte of topics and no data.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.len() + (self.update.weight_bytes() - self.update.data().len())
    }

    /// What keeping it costs: its encoded form, and the update that matchers look at.
    pub(super) fn memory_bytes(&self) -> usize {
        self.len() + self.update.weight_bytes() + self.update.id().len() + OVERHEAD_BYTES
    }

    /// The topics, ready for matchers.
    pub(super) fn topics(&self) -> Vec<ParsedTopic<'_>> {
        self.update.topics().iter().map(|topic| ParsedTopic::new(topic)).collect()
    }
}
