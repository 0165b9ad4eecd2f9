//! The newest part of the log, kept encoded in memory and bounded in bytes: a storm of reconnecting subscribers after a
//! restart reads it and not the disk.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::RwLock;

use super::event::Event;
use crate::transport::Position;

#[derive(Debug)]
pub(super) struct Recent {
    ring: RwLock<Ring>,
    limit_bytes: usize,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event of the log above this position and up to `until` is here.
    above: Position,
    until: Position,
}

impl Recent {
    /// Empty, at the head of the log.
    pub(super) fn new(head: Position, limit_bytes: usize) -> Self {
        let ring = Ring { events: VecDeque::new(), bytes: 0, above: head, until: head };
        Self { ring: RwLock::new(ring), limit_bytes }
    }

    /// Adds the next events of the log and returns how many bytes are kept now.
    pub(super) fn push(&self, events: &[Arc<Event>]) -> usize {
        let mut ring = self.ring.write();
        for event in events {
            ring.bytes += event.memory_bytes();
            ring.until = event.position;
            ring.events.push_back(Arc::clone(event));
        }
        while ring.bytes > self.limit_bytes {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= oldest.memory_bytes();
            ring.above = oldest.position;
        }
        ring.bytes
    }

    /// The newest event that was handed to the event loops.
    pub(super) fn newest(&self) -> Position {
        let until = self.ring.read().until;
        if until == Position(u64::MAX) { Position::START } else { until }
    }

    /// Forgets everything, and answers nobody until [`Self::restart`]: what comes next does not follow what is here.
    pub(super) fn forget(&self) {
        self.restart(Position(u64::MAX));
    }

    /// What comes next follows this position.
    pub(super) fn restart(&self, above: Position) {
        let mut ring = self.ring.write();
        ring.events.clear();
        ring.bytes = 0;
        ring.above = above;
        ring.until = above;
    }

    /// Events after one position and up to another, as many as a number of bytes allows, and how far they reach. `None`
    /// where the first position lies before what is kept, or before everything: what is kept of the whole log is for the
    /// transport to say, whose retention may have discarded events that are still here.
    pub(super) fn after(
        &self,
        after: Position,
        until: Position,
        limit_bytes: usize,
    ) -> Option<(Vec<Arc<Event>>, Position)> {
        let ring = self.ring.read();
        if after < ring.above || after == Position::START {
            return None;
        }
        let start = ring.events.partition_point(|event| event.position <= after);
        let end = ring.events.partition_point(|event| event.position <= until).max(start);
        let mut bytes = 0;
        let events: Vec<_> = ring
            .events
            .range(start..end)
            .take_while(|event| {
                let room = bytes < limit_bytes;
                bytes += event.len();
                room
            })
            .map(Arc::clone)
            .collect();
        let complete = start + events.len() == end;
        let reached = if complete {
            ring.until.min(until)
        } else {
            events.last().map_or(after, |event| event.position)
        };
        Some((events, reached.max(after)))
    }
}
