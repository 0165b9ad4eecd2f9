//! Who is too slow (invariant 5, decision 20). A reader whose socket takes nothing while more than its bound waits for it
//! is disconnected and resumes by its cursor. It must not slow anybody down, and a reader must not be blamed for what is
//! the hub's doing or its machine's: a loop waits a little before it takes more events, and publishers wait behind it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How long a socket may take nothing before a full backlog counts against its reader and not against the hub: a reader
/// that reads comes round within the time that schedulers need, and that a packet needs which was lost once.
const SCHEDULING_GRACE: Duration = Duration::from_millis(500);

/// The same where most readers are behind, so that it is the machine which is slow, or the one program behind them all.
const COMMON_GRACE: Duration = Duration::from_secs(1);

/// How long, all in all, fan-out waits for one reader that lags behind all others: one that takes a little every now and
/// then would slow everybody down to its own pace. The same for readers that fill the memory of the process together.
pub(in crate::hub) const RELUCTANCE: Duration = Duration::from_millis(500);

/// However busy the machine is, fan-out does not wait longer than this for one reader.
pub(in crate::hub) const PATIENCE: Duration = Duration::from_secs(5);

/// A reader is behind when more than this part of its bound waits for it. A round takes no more than this, so that nobody
/// comes from nothing to its bound in one, and no more than this part of the bound of the process for all of them.
pub(super) const BEHIND_PART: usize = 16;
pub(super) const TOTAL_PART: usize = 2;

/// What part of the time in which a reader does not hold up others is forgiven of the time in which it does: less than a
/// fifth of all time is borne.
pub(super) const FORGIVEN_PART: u64 = 4;

/// How long the pace of a few readers is measured.
const PACE_TIME: Duration = Duration::from_millis(100);

/// The pace, in bytes a second for each, that readers must keep for all others to wait for them.
const CROWD_PACE: usize = 16 << 10;

/// How many readers there are on all loops, and how many of them are behind. Each loop counts its own.
#[derive(Debug, Default)]
pub(in crate::hub) struct Census {
    live: AtomicUsize,
    behind: AtomicUsize,
}

impl Census {
    /// Replaces what a loop has counted.
    pub(super) fn recount(&self, before: Count, now: Count) {
        for (total, before, now) in
            [(&self.live, before.live, now.live), (&self.behind, before.behind, now.behind)]
        {
            total.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// How many readers there are.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether more than half are behind.
    pub(super) fn most_are_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed) * 2 > self.live.load(Ordering::Relaxed)
    }
}

/// The readers of one loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) live: usize,
    pub(super) behind: usize,
}

/// Most readers are behind, or more waits for all together than the process may hold: it is the machine that is slow, or
/// the one program behind them all, and the loop takes no more events until it has got better. So all go at the pace that
/// most can keep, and publishers with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// Since when.
    since_ms: u64,
    /// When it was looked at.
    pub(super) looked_ms: u64,
    /// When their pace was last measured, and what waited for all of them then.
    measured_ms: u64,
    measured_bytes: usize,
    /// What the last measurement said.
    paced: bool,
}

impl Crowd {
    pub(super) fn new(now_ms: u64, waiting_bytes: usize) -> Self {
        Self {
            since_ms: now_ms,
            looked_ms: now_ms,
            measured_ms: now_ms,
            measured_bytes: waiting_bytes,
            paced: true,
        }
    }

    /// Whether so many readers take what waits for them at a pace at which it is worth to wait. Where they take next to
    /// nothing it is they who are slow, however many they are. A few have less time to show it.
    pub(super) fn keeps_pace(
        &mut self,
        now_ms: u64,
        most: bool,
        readers: usize,
        waiting_bytes: usize,
    ) -> bool {
        let passed_ms = now_ms.saturating_sub(self.measured_ms);
        if !longer(passed_ms, if most { SCHEDULING_GRACE } else { PACE_TIME }) {
            return self.paced;
        }
        let expected_bytes = u128::from(passed_ms) * (CROWD_PACE * readers.max(1)) as u128 / 1_000;
        let taken_bytes = self.measured_bytes.saturating_sub(waiting_bytes);
        (self.measured_ms, self.measured_bytes) = (now_ms, waiting_bytes);
        self.paced = taken_bytes as u128 >= expected_bytes;
        self.paced
    }

    /// Whether it has been long, whatever they do.
    pub(super) fn is_long(self, now_ms: u64) -> bool {
        longer(now_ms.saturating_sub(self.since_ms), PATIENCE)
    }
}

/// For how long a few readers have held up all others, less what is forgiven for the time in which they did not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    at_ms: u64,
    held_ms: u64,
}

impl Held {
    /// Time has passed, in which they did or did not.
    pub(super) fn pass(&mut self, now_ms: u64, held: bool) {
        let passed_ms = now_ms.saturating_sub(std::mem::replace(&mut self.at_ms, now_ms));
        self.held_ms = if held {
            self.held_ms + passed_ms
        } else {
            self.held_ms.saturating_sub(passed_ms / FORGIVEN_PART)
        };
    }

    /// Whether all others have borne enough.
    pub(super) fn is_too_long(self) -> bool {
        longer(self.held_ms, RELUCTANCE)
    }
}

fn longer(ms: u64, limit: Duration) -> bool {
    u128::from(ms) > limit.as_millis()
}

/// What is known of a reader that more than its bound waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lagging {
    /// How long its socket has taken nothing.
    pub(super) idle_ms: u64,
    /// How long it has been over its bound, less what was forgiven for the time in which it was not.
    pub(super) over_ms: u64,
    /// How long fan-out has waited for it now.
    pub(super) waited_ms: u64,
    /// Most others are not behind.
    pub(super) alone: bool,
}

impl Lagging {
    /// Whether it is the reader who is slow.
    pub(super) fn is_too_slow(self) -> bool {
        let grace = if self.alone { SCHEDULING_GRACE } else { COMMON_GRACE };
        longer(self.idle_ms, grace)
            || (self.alone && longer(self.over_ms, RELUCTANCE))
            || longer(self.waited_ms, PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Lagging = Lagging { idle_ms: 0, over_ms: 0, waited_ms: 0, alone: true };

    #[test]
    fn a_reader_that_takes_nothing_is_too_slow_and_one_that_was_just_filled_is_not() {
        assert!(!FRESH.is_too_slow());
        assert!(!Lagging { idle_ms: 500, ..FRESH }.is_too_slow());
        assert!(Lagging { idle_ms: 501, ..FRESH }.is_too_slow());
    }

    #[test]
    fn where_most_are_behind_a_reader_has_more_time() {
        assert!(!Lagging { idle_ms: 900, over_ms: 3_000, alone: false, ..FRESH }.is_too_slow());
        assert!(Lagging { idle_ms: 1_001, alone: false, ..FRESH }.is_too_slow());
    }

    #[test]
    fn one_that_takes_a_little_now_and_then_does_not_set_the_pace() {
        assert!(Lagging { idle_ms: 50, over_ms: 501, ..FRESH }.is_too_slow());
    }

    #[test]
    fn all_loops_are_counted() {
        let census = Census::default();
        census.recount(Count::default(), Count { live: 3, behind: 2 });
        assert!(census.most_are_behind());
        census.recount(Count::default(), Count { live: 1, behind: 0 });
        assert!(!census.most_are_behind());
        census.recount(Count { live: 3, behind: 2 }, Count { live: 1, behind: 1 });
        assert!(!census.most_are_behind());
        census.recount(Count { live: 1, behind: 0 }, Count::default());
        assert!(census.most_are_behind());
    }

    #[test]
    fn a_crowd_is_waited_for_while_it_reads() {
        let mut crowd = Crowd::new(10_000, 1 << 30);
        assert!(crowd.keeps_pace(10_500, true, 10, 1 << 30));
        assert!(!crowd.keeps_pace(10_501, true, 10, 1 << 30));
        let left_bytes = (1 << 30) - 10 * CROWD_PACE;
        assert!(crowd.keeps_pace(11_501, true, 10, left_bytes));
        assert!(
            !crowd.keeps_pace(12_601, true, 10, left_bytes - 10 * CROWD_PACE),
            "a little less than the pace"
        );
        assert!(!crowd.is_long(15_000) && crowd.is_long(15_001));
    }

    #[test]
    fn a_few_readers_have_less_time_to_show_that_they_read() {
        let mut crowd = Crowd::new(10_000, 1_000);
        assert!(crowd.keeps_pace(10_100, false, 1, 1_000));
        assert!(!crowd.keeps_pace(10_101, false, 1, 1_000));
        assert!(!crowd.keeps_pace(10_102, false, 1, 1_000), "until it is measured again");
    }

    #[test]
    fn a_few_hold_up_all_others_for_a_part_of_the_time() {
        let mut held = Held::default();
        for second in 0..60_u64 {
            held.pass(second * 1_000, false);
            held.pass(second * 1_000 + 190, true);
            assert!(!held.is_too_long(), "{held:?}");
        }
        let mut held = Held::default();
        held.pass(501, true);
        assert!(held.is_too_long());
        held.pass(10_000, false);
        assert!(!held.is_too_long());
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        assert!(Lagging { waited_ms: 5_001, alone: false, ..FRESH }.is_too_slow());
    }
}
