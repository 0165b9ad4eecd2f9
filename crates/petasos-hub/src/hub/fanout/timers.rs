//! What a loop does when time has passed: heartbeats, the ends of streams, and readers that take nothing.

use std::time::Duration;

use rand::Rng;

use super::{event_loop::EventLoop, subscriber::Sink};
use crate::hub::EndReason;

/// A tick of the timer wheel.
pub(super) const TICK_MS: u64 = 10;

/// How often readers that take nothing are looked for, while there are any.
pub(super) const STALL_INTERVAL_MS: u64 = 500;

impl EventLoop {
    /// The timer of a subscriber has run out.
    pub(super) fn fire(&mut self, slot: usize) {
        let (now_ms, heartbeat) = (self.now_ms, self.shared.config.heartbeat);
        let Some(subscriber) = self.table.get_mut(slot) else { return };
        if matches!(&subscriber.sink, Sink::Socket(outlet) if outlet.is_ending()) {
            return self.abandon(slot, EndReason::SlowReader);
        }
        if let Some((_, reason)) = subscriber.end.filter(|(at, _)| *at <= now_ms / TICK_MS) {
            return self.end(slot, reason);
        }
        if heartbeat.is_zero() {
            return self.set_timer(slot, None);
        }
        let now = self.begun + Duration::from_millis(now_ms);
        let (next, written) = match &mut subscriber.sink {
            Sink::Queue(queue) => {
                let next = queue.heartbeat(now, heartbeat);
                let next_ms = u64::try_from((next - self.begun).as_millis()).unwrap_or(u64::MAX);
                (next_ms.div_ceil(TICK_MS), None)
            }
            Sink::Socket(outlet) => {
                let due = |since: u64| ticks_after(since, heartbeat);
                if due(outlet.written_ms()) > now_ms / TICK_MS {
                    (due(outlet.written_ms()), None)
                } else {
                    (due(now_ms), Some(outlet.heartbeat(now_ms, &self.shared.budget)))
                }
            }
        };
        self.set_timer(slot, Some(next));
        if let Some(written) = written {
            self.after_write(slot, written);
        }
    }

    /// Sets the timer of a subscriber to its next heartbeat or its end, whichever comes first.
    pub(super) fn set_timer(&mut self, slot: usize, heartbeat: Option<u64>) {
        let end = self.table.get(slot).and_then(|subscriber| subscriber.end).map(|(at, _)| at);
        match heartbeat.into_iter().chain(end).min() {
            Some(tick) => self.wheel.set(slot, tick),
            None => self.wheel.clear(slot),
        }
    }

    /// Disconnects readers whose sockets have taken nothing for too long, and tells how much waits.
    pub(super) fn look_for_stalls(&mut self) {
        if self.now_ms < self.stalls_looked_for_ms + STALL_INTERVAL_MS {
            return;
        }
        self.stalls_looked_for_ms = self.now_ms;
        let metrics = &self.shared.metrics;
        let backlog_bytes = self.shared.budget.used_bytes();
        metrics.backlog_bytes.set(i64::try_from(backlog_bytes).unwrap_or(i64::MAX));
        self.backlog_told = backlog_bytes > 0;
        if self.shared.budget.is_far_over() {
            self.shed();
        }
        let timeout = self.shared.config.dispatch_timeout;
        if timeout.is_zero() {
            return;
        }
        if self.table.queues() > 0 {
            for (_, subscriber) in self.table.iter() {
                if let Sink::Queue(queue) = &subscriber.sink {
                    queue.end_if_stalled(timeout);
                }
            }
        }
        let stalled = |slot: &usize| {
            let Some(Sink::Socket(outlet)) = self.table.get(*slot).map(|subscriber| &subscriber.sink) else {
                return false;
            };
            u128::from(self.now_ms.saturating_sub(outlet.written_ms())) > timeout.as_millis()
        };
        let stalled: Vec<usize> = self.waiting.iter().copied().filter(stalled).collect();
        for slot in stalled {
            if !self.takes_more(slot) {
                self.abandon(slot, EndReason::SlowReader);
            }
        }
    }

    /// Ends spread evenly, in random order, so that the clients do not come back in one wave.
    pub(super) fn drain(&mut self, window: Duration) {
        self.draining = true;
        let mut random = rand::rng();
        for slot in self.table.slots() {
            let delay = window.mul_f64(random.random_range(0.0..1.0));
            let at = ticks_after(self.now_ms, delay);
            if let Some(subscriber) = self.table.get_mut(slot)
                && subscriber.end.is_none_or(|(end, _)| end > at)
            {
                subscriber.end = Some((at, EndReason::Shutdown));
                let sooner = self.wheel.due(slot).is_none_or(|due| due > at);
                if sooner {
                    self.wheel.set(slot, at);
                }
            }
        }
    }
}

/// The tick at which so much time has passed.
pub(super) fn ticks_after(since_ms: u64, interval: Duration) -> u64 {
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    since_ms.saturating_add(interval_ms).div_ceil(TICK_MS)
}
