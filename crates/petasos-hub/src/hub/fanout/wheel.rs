//! A timer wheel: one timer for each subscriber, set, moved and taken back in constant time and without an allocation.
//! Heartbeats, the ends of streams and their limits of time come from it. Knows nothing of what they are for.
//!
//! A timer stands in the bucket of its tick, modulo the number of buckets. One that lies more than a turn of the wheel
//! ahead is met and left where it is.

/// Buckets of the wheel: at ten milliseconds a tick a turn takes 41 seconds, a little more than the default heartbeat.
const BUCKETS: usize = 4_096;

/// No timer.
const NONE: u32 = u32::MAX;

/// See the module. Timers are told apart by the small numbers of their owners, which are used again.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The first timer of each bucket.
    heads: Box<[u32]>,
    /// Which buckets have timers, one bit each.
    occupied: [u64; BUCKETS / 64],
    timers: Vec<Timer>,
    /// Everything up to this tick has been handed out.
    now: u64,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    due: u64,
    previous: u32,
    next: u32,
    set: bool,
}

impl Timer {
    const UNSET: Self = Self { due: 0, previous: NONE, next: NONE, set: false };
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { heads: vec![NONE; BUCKETS].into(), occupied: [0; BUCKETS / 64], timers: Vec::new(), now: 0 }
    }

    /// Sets the timer of `owner`, which may be set already. One that is due fires with the next tick.
    pub(super) fn set(&mut self, owner: usize, due: u64) {
        self.clear(owner);
        if self.timers.len() <= owner {
            self.timers.resize(owner + 1, Timer::UNSET);
        }
        let due = due.max(self.now + 1);
        let bucket = bucket(due);
        let next = self.heads[bucket];
        self.timers[owner] = Timer { due, previous: NONE, next, set: true };
        let owner = number(owner);
        if let Some(next) = self.timers.get_mut(next as usize) {
            next.previous = owner;
        }
        self.heads[bucket] = owner;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Takes the timer of `owner` back, if there is one.
    pub(super) fn clear(&mut self, owner: usize) {
        let Some(timer) = self.timers.get_mut(owner).filter(|timer| timer.set) else { return };
        let Timer { due, previous, next, .. } = std::mem::replace(timer, Timer::UNSET);
        let bucket = bucket(due);
        match self.timers.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.heads[bucket] = next,
        }
        if let Some(next) = self.timers.get_mut(next as usize) {
            next.previous = previous;
        }
        if self.heads[bucket] == NONE {
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        }
    }

    /// When the timer of `owner` is due, if it is set.
    pub(super) fn due(&self, owner: usize) -> Option<u64> {
        self.timers.get(owner).filter(|timer| timer.set).map(|timer| timer.due)
    }

    /// Goes on to this tick and appends to `due` the owners of all timers that are due by then. They are not set any
    /// more.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<usize>) {
        let ticks = now.saturating_sub(self.now).min(BUCKETS as u64);
        let begin = now - ticks + 1;
        self.now = self.now.max(now);
        let first = due.len();
        for tick in begin..begin + ticks {
            let mut at = self.heads[bucket(tick)];
            while let Some(timer) = self.timers.get(at as usize) {
                if timer.due <= now {
                    due.push(at as usize);
                }
                at = timer.next;
            }
        }
        due.iter().skip(first).for_each(|owner| self.clear(*owner));
    }

    /// When to look again: no timer is due before, and there may be none then either. `None` where none is set.
    pub(super) fn next(&self) -> Option<u64> {
        let begin = bucket(self.now + 1);
        // The first word is looked at twice: the part from where we stand on, and in the end the part before.
        (0..=self.occupied.len()).find_map(|step| {
            let word = (begin / 64 + step) % self.occupied.len();
            let mask = match step {
                0 => u64::MAX << (begin % 64),
                _ if step == self.occupied.len() => !(u64::MAX << (begin % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            let bucket = (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)?;
            Some(self.now + 1 + ((bucket + BUCKETS - begin) % BUCKETS) as u64)
        })
    }

    /// Gives back the memory of owners above this number.
    pub(super) fn shrink(&mut self, owners: usize) {
        if self.timers.len() > 2 * owners && self.timers[owners..].iter().all(|timer| !timer.set) {
            self.timers.truncate(owners);
            self.timers.shrink_to_fit();
        }
    }
}

fn bucket(tick: u64) -> usize {
    // The remainder is smaller than the number of buckets.
    (tick % BUCKETS as u64) as usize
}

/// As small as the table of subscribers makes them: there are never four billion.
fn number(owner: usize) -> u32 {
    u32::try_from(owner).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(usize, u64),
        Clear(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let far = 3 * BUCKETS as u64;
        let step = prop_oneof![
            (0..40_usize, 0..far).prop_map(|(owner, ahead)| Step::Set(owner, ahead)),
            (0..40_usize).prop_map(Step::Clear),
            prop_oneof![0..100_u64, 0..2 * far].prop_map(Step::Advance),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_table_does(steps in steps()) {
            let mut wheel = Wheel::new();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Set(owner, ahead) => {
                        wheel.set(owner, now + ahead);
                        model.insert(owner, (now + ahead).max(now + 1));
                    }
                    Step::Clear(owner) => {
                        wheel.clear(owner);
                        model.remove(&owner);
                    }
                    Step::Advance(ticks) => {
                        now += ticks;
                        let mut due = Vec::new();
                        wheel.advance(now, &mut due);
                        due.sort_unstable();
                        let expected: Vec<_> =
                            model.iter().filter(|(_, at)| **at <= now).map(|(owner, _)| *owner).collect();
                        model.retain(|_, at| *at > now);
                        prop_assert_eq!(due, expected);
                    }
                }
                match (wheel.next(), model.values().min()) {
                    (None, None) => {}
                    (Some(next), Some(first)) => {
                        prop_assert!(next > now && next <= *first, "{} not in {}..={}", next, now, first);
                        prop_assert!(*first - now > BUCKETS as u64 || next == *first || next < *first);
                    }
                    (next, first) => prop_assert!(false, "{:?} {:?}", next, first),
                }
            }
        }
    }

    #[test]
    fn within_a_turn_the_next_look_is_exact() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), None);
        wheel.set(3, 4_000);
        wheel.set(1, 250);
        assert_eq!(wheel.next(), Some(250));
        wheel.clear(1);
        assert_eq!(wheel.next(), Some(4_000));
        wheel.advance(3_999, &mut Vec::new());
        assert_eq!(wheel.next(), Some(4_000));
        let mut due = Vec::new();
        wheel.advance(10_000_000, &mut due);
        assert_eq!((due, wheel.next()), (vec![3], None));
    }

    #[test]
    fn memory_follows_the_owners() {
        let mut wheel = Wheel::new();
        wheel.set(10_000, 5);
        wheel.shrink(1);
        assert_eq!(wheel.next(), Some(5));
        wheel.clear(10_000);
        wheel.shrink(1);
        assert_eq!(wheel.timers.len(), 1);
        wheel.clear(10_000);
    }
}
