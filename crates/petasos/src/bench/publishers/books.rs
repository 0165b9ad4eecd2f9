//! What a thread of publishers notes about its updates.

use std::{collections::HashSet, sync::Arc};

use super::Record;
use crate::bench::{histogram::Latencies, marker::Marker, window::Window};

/// What is noted about all updates of a thread.
pub(super) struct Books {
    /// The number of the next update, by stream.
    pub(super) next: Vec<u64>,
    pub(super) excused: HashSet<(u32, u64)>,
    pub(super) acknowledged: u64,
    pub(super) window: Arc<Window>,
    pub(super) latencies: Latencies,
    pub(super) recent: Latencies,
}

impl Books {
    /// Of so many streams, none of which has had an update.
    pub(super) fn new(streams: u32, window: &Arc<Window>) -> Self {
        Self {
            next: vec![0; streams as usize],
            excused: HashSet::new(),
            acknowledged: 0,
            window: Arc::clone(window),
            latencies: Latencies::default(),
            recent: Latencies::default(),
        }
    }

    pub(super) fn acknowledge(&mut self, marker: &Marker, now: u64) {
        self.acknowledged += 1;
        self.pass(marker);
        let latency = now.saturating_sub(marker.sent_ns);
        self.recent.record_ns(latency);
        if self.window.holds(marker.sent_ns) {
            self.latencies.record_ns(latency);
        }
    }

    /// An update that was due is not sent any more.
    pub(super) fn late(&mut self, due_ns: u64, now: u64) {
        if self.window.holds(due_ns) {
            self.latencies.record_ns(now.saturating_sub(due_ns));
        }
    }

    pub(super) fn excuse(&mut self, marker: &Marker) {
        self.pass(marker);
        self.excused.insert((marker.stream, marker.number));
    }

    fn pass(&mut self, marker: &Marker) {
        if let Some(next) = self.next.get_mut(marker.stream as usize) {
            *next = (*next).max(marker.number + 1);
        }
    }

    pub(super) fn record(&self) -> Record {
        Record {
            published: self.next.clone(),
            excused: self.excused.clone(),
            latencies: self.latencies.clone(),
        }
    }
}
