//! A round: everything the log has gained since the last one, to everybody who gets it. Each event is matched once, and
//! each subscriber's part goes out in one piece.

use std::{sync::Arc, time::Duration};

use super::{
    event_loop::EventLoop,
    groups::NOTHING,
    outlet::Written,
    policy::{BEHIND_PART, Count, Crowd, Lagging, TOTAL_PART},
    subscriber::Sink,
};
use crate::{
    hub::{
        EndReason,
        event::Event,
        queue::{Pushed, Queue},
        selector::may_read,
    },
    transport::Head,
};

/// What a round is put together in is kept for the next one, if it is no larger.
const SCRATCH_BYTES: usize = 1 << 20;

impl EventLoop {
    /// Hands out the next events of the log.
    pub(super) fn round(&mut self, events: Vec<Arc<Event>>) {
        let Some(last) = events.last() else { return };
        self.head = Head { position: last.position, id: Some(last.update.id().to_owned()) };
        let (mut deliveries, mut bytes) = (0_u64, 0_u64);
        let mut hits = Vec::new();
        let mut woken: Vec<Arc<Queue>> = Vec::new();
        let mut touched: Vec<u32> = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let topics = event.topics();
            hits.clear();
            self.table.index().lookup(&topics, &mut hits);
            for slot in &hits {
                let Some(subscriber) = self.table.get_mut(*slot) else { continue };
                if event.position <= subscriber.from || !may_read(&subscriber.grant, event, &topics) {
                    continue;
                }
                match &subscriber.sink {
                    Sink::Queue(queue) => match queue.push(event) {
                        Pushed::Unwanted => continue,
                        Pushed::More => {}
                        Pushed::First => woken.push(Arc::clone(queue)),
                        Pushed::Full => self.pressing.push(*slot),
                    },
                    Sink::Socket(_) => {
                        if subscriber.list == NOTHING {
                            touched.push(small(*slot));
                        }
                        subscriber.list = self.groups.add(subscriber.list, small(number));
                    }
                }
                deliveries += 1;
                bytes += event.len() as u64;
            }
        }
        woken.iter().for_each(|queue| queue.wake());
        self.send(&events, &touched);
        let metrics = &self.shared.metrics;
        metrics.deliveries_total.inc_by(deliveries);
        metrics.delivered_bytes_total.inc_by(bytes);
        self.pressing_since_ms = self.now_ms;
        self.unfinished = events;
        self.shed();
        self.judge();
        let now_ms = self.now_ms;
        let crowded = self.most_are_behind() || self.shared.budget.is_half_used();
        self.crowd = crowded.then_some(Crowd { since_ms: now_ms, looked_ms: now_ms });
    }

    /// What a round takes at most, in bytes.
    pub(super) fn round_bytes(&self) -> usize {
        let config = &self.shared.config;
        let share = config.backlog_total_bytes / TOTAL_PART / self.shared.census.live().max(1);
        share.min(self.behind_bytes())
    }

    /// What waits for a reader that is behind.
    fn behind_bytes(&self) -> usize {
        self.shared.config.backlog_bytes / BEHIND_PART
    }

    /// Whether events are to wait, because most readers are behind, or because too much waits for all of them.
    pub(super) fn is_crowded(&mut self) -> bool {
        let Some(crowd) = self.crowd else { return false };
        if crowd.looked_ms == self.now_ms {
            return true;
        }
        let most = self.most_are_behind();
        let goes_on = (most || self.shared.budget.is_half_used())
            && !crowd.is_hopeless(self.now_ms, self.progress_ms, most);
        self.crowd = goes_on.then_some(Crowd { looked_ms: self.now_ms, ..crowd });
        goes_on
    }

    /// Counts this loop's readers anew, and says how it stands with all.
    fn most_are_behind(&mut self) -> bool {
        let bound_bytes = self.behind_bytes();
        let is_behind = |slot: usize| {
            self.table.get(slot).is_some_and(|subscriber| subscriber.waiting_bytes() > bound_bytes)
        };
        let behind = if self.table.queues() > 0 {
            self.table.iter().filter(|(_, subscriber)| subscriber.waiting_bytes() > bound_bytes).count()
        } else {
            self.waiting.iter().filter(|slot| is_behind(**slot)).count()
        };
        let now = Count { live: self.table.live(), behind };
        self.shared.census.recount(std::mem::replace(&mut self.count, now), now);
        self.shared.census.most_are_behind()
    }

    /// Sends each subscriber what it gets. Those with equal lists are sent the same bytes, put together once.
    fn send(&mut self, events: &[Arc<Event>], touched: &[u32]) {
        let mut by_list: Vec<(u32, u32)> = touched
            .iter()
            .filter_map(|slot| {
                let subscriber = self.table.get_mut(*slot as usize)?;
                Some((std::mem::replace(&mut subscriber.list, NOTHING), *slot))
            })
            .collect();
        by_list.sort_unstable();
        let mut list = Vec::new();
        let mut together = std::mem::take(&mut self.scratch);
        for group in by_list.chunk_by(|one, other| one.0 == other.0) {
            self.groups.list(group[0].0, &mut list);
            let pieces = || list.iter().filter_map(|number| events.get(*number)).map(|event| event.framed());
            let ready: &[u8] = match list[..] {
                [only] => events.get(only).map_or(&[], |event| event.framed()),
                _ => {
                    together.clear();
                    pieces().for_each(|piece| together.extend_from_slice(piece));
                    &together
                }
            };
            for (_, slot) in group {
                let slot = *slot as usize;
                let Some(subscriber) = self.table.get_mut(slot) else { continue };
                let Sink::Socket(outlet) = &mut subscriber.sink else { continue };
                let written = outlet.send(ready, pieces(), self.now_ms, &self.shared.budget);
                if written == Written::All {
                    continue;
                }
                let bound_bytes = self.shared.config.backlog_bytes;
                outlet.measure(bound_bytes, self.now_ms);
                if outlet.waiting_bytes() > bound_bytes {
                    self.pressing.push(slot);
                }
                self.after_write(slot, written);
            }
        }
        together.clear();
        together.shrink_to(SCRATCH_BYTES);
        self.scratch = together;
        self.groups.clear();
    }

    /// Looks at the readers that more than their bound waits for, disconnects those who are too slow, and finishes the
    /// round when none is left.
    pub(super) fn judge(&mut self) {
        if !self.pressing.is_empty() {
            let alone = !self.most_are_behind();
            let mut pressing = std::mem::take(&mut self.pressing);
            pressing.retain(|slot| self.is_pressing(*slot, alone));
            self.pressing.append(&mut pressing);
        }
        if self.pressing.is_empty() {
            let finished = std::mem::take(&mut self.unfinished);
            self.reached.advance(self.number, &finished);
        }
    }

    fn is_pressing(&mut self, slot: usize, alone: bool) -> bool {
        let bound_bytes = self.shared.config.backlog_bytes;
        let waited_ms = self.now_ms.saturating_sub(self.pressing_since_ms);
        let Some(subscriber) = self.table.get_mut(slot) else { return false };
        match &mut subscriber.sink {
            Sink::Queue(queue) => {
                let waits = queue.is_pressing(Duration::from_millis(waited_ms), alone);
                if waits {
                    queue.wake();
                }
                waits
            }
            Sink::Socket(outlet) => {
                outlet.measure(bound_bytes, self.now_ms);
                if outlet.waiting_bytes() <= bound_bytes {
                    return false;
                }
                let idle_ms = self.now_ms.saturating_sub(outlet.written_ms());
                let lagging = Lagging { idle_ms, over_ms: outlet.over_ms(), waited_ms, alone };
                if lagging.is_too_slow() {
                    tracing::info!(
                        ?lagging,
                        waiting_bytes = outlet.waiting_bytes(),
                        "a reader lags behind the others"
                    );
                    self.abandon(slot, EndReason::SlowReader);
                    return false;
                }
                true
            }
        }
    }

    /// While all together have more waiting than the process may hold: disconnects the reader of this loop that has most.
    pub(super) fn shed(&mut self) {
        while self.shared.budget.is_over() {
            let waiting = self.table.iter().map(|(slot, subscriber)| (subscriber.waiting_bytes(), slot));
            // Other loops have the readers that are to go, and look for them within the interval of stalls.
            let Some((waiting_bytes @ 1.., slot)) = waiting.max() else { return };
            tracing::info!(waiting_bytes, "all backlogs together are over their bound; the largest goes");
            match self.table.get(slot).map(|subscriber| &subscriber.sink) {
                Some(Sink::Queue(queue)) => queue.give_up(),
                Some(Sink::Socket(_)) => self.abandon(slot, EndReason::SlowReader),
                None => return,
            }
        }
    }
}

/// There are never four billion subscribers, or events in a round.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
