//! How far all event loops have come: what the slowest of them has handed out, everybody has.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    hub::{event::Event, publish::Lag},
    metrics::Metrics,
    transport::{Position, now_ms},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Reached {
    by_loop: Mutex<Box<[Position]>>,
    by_all: watch::Sender<Position>,
    lag: Arc<Lag>,
    metrics: Arc<Metrics>,
}

impl Reached {
    pub(super) fn new(loops: usize, head: Position, lag: Arc<Lag>, metrics: Arc<Metrics>) -> Self {
        let by_loop = Mutex::new(vec![head; loops].into());
        Self { by_loop, by_all: watch::Sender::new(head), lag, metrics }
    }

    /// The position up to which everything has been handed out.
    pub(super) fn by_all(&self) -> &watch::Sender<Position> {
        &self.by_all
    }

    /// A loop has handed out these events, which are the next ones of the log.
    pub(super) fn advance(&self, number: usize, events: &[Arc<Event>]) {
        let Some(last) = events.last() else { return };
        let (before, now) = {
            let mut by_loop = self.by_loop.lock();
            if let Some(position) = by_loop.get_mut(number) {
                *position = last.position;
            }
            let slowest = by_loop.iter().min().copied().unwrap_or(last.position);
            // Under the lock, so that it never goes back.
            (self.by_all.send_replace(slowest), slowest)
        };
        if now == before {
            return;
        }
        self.lag.reached(now);
        self.metrics.fanout_lag_bytes.set(i64::try_from(self.lag.bytes()).unwrap_or(i64::MAX));
        // The loop that moves the slowest position was at it, so that these are among its own events.
        let now_ms = now_ms();
        for event in events.iter().filter(|event| event.position > before && event.position <= now) {
            let millis = now_ms.saturating_sub(event.at_ms);
            self.metrics.publish_to_write_seconds.observe(millis as f64 / 1_000.0);
        }
    }
}
