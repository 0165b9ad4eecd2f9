//! A round: everything the log has gained since the last one, to everybody who gets it. Each event is matched once, and
//! each subscriber's part goes out in one piece.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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

/// The clock is looked at after so many sends: when a socket took bytes must not be told by the beginning of a long round.
const CLOCK_EVERY: usize = 256;

/// What a round is put together in is kept for the next one, if it is no larger.
const SCRATCH_BYTES: usize = 1 << 20;

impl EventLoop {
    /// Hands out the next events of the log.
    pub(super) fn round(&mut self, events: Vec<Arc<Event>>) {
        let Some(last) = events.last() else { return };
        self.head = Head { position: last.position, id: Some(last.update.id().to_owned()) };
        let (mut deliveries, mut bytes) = (0_u64, 0_u64);
        let behind_bytes = self.behind_bytes();
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
                        Pushed::More => {
                            self.waiting.insert(*slot);
                        }
                        Pushed::First => {
                            woken.push(Arc::clone(queue));
                            if event.len() > behind_bytes {
                                self.waiting.insert(*slot);
                            }
                        }
                        Pushed::Full => {
                            self.waiting.insert(*slot);
                            self.pressing.push(*slot);
                        }
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
        self.now_ms = self.clock(Instant::now());
        self.pressing_since_ms = self.now_ms;
        self.unfinished = events;
        self.recount();
        self.begin_to_wait();
        self.judge();
    }

    /// What a round takes at most, in bytes.
    pub(super) fn round_bytes(&self) -> usize {
        let share = self.shared.budget.share_bytes(self.shared.census.live()) / TOTAL_PART;
        share.min(self.behind_bytes()).max(1)
    }

    /// What waits for a reader that is behind.
    fn behind_bytes(&self) -> usize {
        self.shared.config.backlog_bytes / BEHIND_PART
    }

    /// After a round: whether the next one has to wait.
    fn begin_to_wait(&mut self) {
        self.held.pass(self.now_ms, false);
        if self.shared.budget.is_far_over() || (self.shared.budget.is_over() && self.held.is_too_long()) {
            self.shed();
        }
        let crowded = self.most_are_behind() || self.shared.budget.is_over();
        self.crowd = crowded.then(|| Crowd::new(self.now_ms, self.counted_bytes));
    }

    /// Whether events are to wait, because most readers are behind, or because too much waits for all of them. Where it
    /// is only a few who hold up all others, those with the most have to go when the others have borne enough.
    pub(super) fn is_crowded(&mut self) -> bool {
        let Some(mut crowd) = self.crowd.filter(|crowd| crowd.looked_ms != self.now_ms) else {
            return self.crowd.is_some();
        };
        let most = self.most_are_behind();
        let over = self.shared.budget.is_over();
        let paced = crowd.keeps_pace(self.now_ms, most, self.waiting.len(), self.counted_bytes);
        self.held.pass(self.now_ms, !most && !paced);
        if over && !paced && self.held.is_too_long() {
            self.shed();
        }
        let goes_on =
            (most || over) && !crowd.is_long(self.now_ms) && (paced || (!most && !self.held.is_too_long()));
        crowd.looked_ms = self.now_ms;
        self.crowd = goes_on.then_some(crowd);
        goes_on
    }

    /// Whether most readers of all loops are behind, looked at once a millisecond.
    fn most_are_behind(&mut self) -> bool {
        if self.counted.0 != self.now_ms {
            self.recount();
        }
        self.counted.1
    }

    /// Counts this loop's readers anew. Only those are looked at that something may wait for.
    fn recount(&mut self) {
        let bound_bytes = self.behind_bytes();
        let (mut behind, mut all_bytes) = (0, 0);
        let table = &self.table;
        self.waiting.retain(|slot| {
            let Some(subscriber) = table.get(*slot) else { return false };
            let bytes = subscriber.waiting_bytes();
            behind += usize::from(subscriber.is_live() && bytes > bound_bytes);
            all_bytes += bytes;
            bytes > 0
        });
        self.counted_bytes = all_bytes;
        let now = Count { live: table.live(), behind };
        self.shared.census.recount(std::mem::replace(&mut self.count, now), now);
        self.counted = (self.now_ms, self.shared.census.most_are_behind());
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
        let mut sent = 0_usize;
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
                sent += 1;
                if sent.is_multiple_of(CLOCK_EVERY) {
                    self.now_ms = self.clock(Instant::now());
                }
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
                if !lagging.is_too_slow() {
                    return true;
                }
                // Its news may not have been looked at yet: nobody is judged by what the loop has not come to.
                if self.takes_more(slot) {
                    return self
                        .table
                        .get(slot)
                        .is_some_and(|subscriber| subscriber.waiting_bytes() > bound_bytes);
                }
                // That it was disconnected is told with its name, when its lifetime ends.
                tracing::debug!(?lagging, "a reader lags behind the others");
                self.abandon(slot, EndReason::SlowReader);
                false
            }
        }
    }

    /// Whether the socket of a subscriber takes some of what waits.
    pub(super) fn takes_more(&mut self, slot: usize) -> bool {
        let Some(Sink::Socket(outlet)) = self.table.get_mut(slot).map(|subscriber| &mut subscriber.sink)
        else {
            return false;
        };
        let before = outlet.waiting_bytes();
        let written = outlet.flush(self.now_ms, &self.shared.budget);
        let took = outlet.waiting_bytes() < before;
        self.after_write(slot, written);
        took
    }

    /// While all together have more waiting than the process may hold: disconnects the readers of this loop that have more
    /// than their share, those with the most first. Those of other loops are found there.
    pub(super) fn shed(&mut self) {
        let share_bytes = self.shared.budget.share_bytes(self.shared.census.live());
        let mut waiting: Vec<_> = self
            .waiting
            .iter()
            .filter_map(|slot| Some((self.table.get(*slot)?.waiting_bytes(), *slot)))
            .filter(|(bytes, _)| *bytes > share_bytes)
            .collect();
        waiting.sort_unstable();
        let mut gone = 0_usize;
        while self.shared.budget.is_over()
            && let Some((_, slot)) = waiting.pop()
        {
            gone += 1;
            match self.table.get(slot).map(|subscriber| &subscriber.sink) {
                Some(Sink::Queue(queue)) => queue.give_up(),
                Some(Sink::Socket(_)) => self.abandon(slot, EndReason::SlowReader),
                None => {}
            }
        }
        if gone > 0 {
            tracing::info!(
                readers = gone,
                "more waited for all readers than the process may hold (hub.backlog_total): those with the most had to go"
            );
        }
    }
}

/// There are never four billion subscribers, or events in a round.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
