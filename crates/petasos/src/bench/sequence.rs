//! Every subscriber checks that each update came once and in order. The usual case is one comparison; what is kept of
//! updates that are missing is bounded.

use std::collections::HashSet;

/// What went wrong with updates, summed over subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Faults {
    /// Published, acknowledged, and never received.
    pub(crate) lost: u64,
    /// Received more than once.
    pub(crate) doubled: u64,
    /// Received behind a later one.
    pub(crate) out_of_order: u64,
    /// Received without having been asked for.
    pub(crate) unasked: u64,
}

impl Faults {
    /// Adds those of others.
    pub(crate) fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.unasked += other.unasked;
    }

    /// Whether there are none.
    pub(crate) fn none(&self) -> bool {
        *self == Self::default()
    }
}

/// What subscribers note while they read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notes {
    /// What went wrong.
    pub(crate) faults: Faults,
    /// How many subscribers have had an update of each of their streams.
    pub(crate) ready: usize,
}

/// No update of this stream has come yet, and any may be the first.
const ANY: u64 = u64::MAX;

/// Gaps that a subscriber remembers. A hub that tears more holes than this into one stream is broken; what comes late
/// into a hole that is not remembered counts as doubled.
const MAX_GAPS: usize = 64;

/// Which updates of which streams one subscriber has.
#[derive(Debug)]
pub(crate) struct Sequence {
    first_stream: u32,
    /// The number that comes next, by stream.
    next: Box<[u64]>,
    /// Streams of which nothing has come yet.
    unseen: usize,
    gaps: Vec<Gap>,
    /// Missing updates of gaps that found no room.
    forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    stream: u32,
    from: u64,
    to: u64,
}

impl Sequence {
    /// Of these streams, from whatever comes first on.
    pub(crate) fn joining(first_stream: u32, streams: usize) -> Self {
        Self {
            first_stream,
            next: vec![ANY; streams].into(),
            unseen: streams,
            gaps: Vec::new(),
            forgotten: 0,
        }
    }

    /// Of these streams, from number 0 on.
    #[cfg(test)]
    fn from_the_start(first_stream: u32, streams: usize) -> Self {
        Self { next: vec![0; streams].into(), unseen: 0, ..Self::joining(first_stream, streams) }
    }

    /// Notes an update.
    #[inline]
    pub(crate) fn take(&mut self, stream: u32, number: u64, notes: &mut Notes) {
        let index = stream.wrapping_sub(self.first_stream) as usize;
        match self.next.get_mut(index) {
            Some(next) if *next == number => *next += 1,
            _ => self.surprise(stream, number, notes),
        }
    }

    #[cold]
    fn surprise(&mut self, stream: u32, number: u64, notes: &mut Notes) {
        let index = stream.wrapping_sub(self.first_stream) as usize;
        let Some(next) = self.next.get_mut(index) else {
            notes.faults.unasked += 1;
            return;
        };
        let expected = *next;
        if expected == ANY {
            *next = number + 1;
            self.unseen -= 1;
            notes.ready += usize::from(self.unseen == 0);
        } else if number > expected {
            *next = number + 1;
            if self.gaps.len() < MAX_GAPS {
                self.gaps.push(Gap { stream, from: expected, to: number });
            } else {
                self.forgotten += number - expected;
            }
        } else if self.fill(stream, number) {
            notes.faults.out_of_order += 1;
        } else {
            notes.faults.doubled += 1;
        }
    }

    /// Whether this update was missing; then it is no longer.
    fn fill(&mut self, stream: u32, number: u64) -> bool {
        let inside = |gap: &Gap| gap.stream == stream && (gap.from..gap.to).contains(&number);
        let Some(index) = self.gaps.iter().position(inside) else { return false };
        let gap = self.gaps.swap_remove(index);
        let parts = [Gap { to: number, ..gap }, Gap { from: number + 1, ..gap }];
        for part in parts.into_iter().filter(|part| part.from < part.to) {
            if self.gaps.len() < MAX_GAPS {
                self.gaps.push(part);
            } else {
                self.forgotten += part.to - part.from;
            }
        }
        true
    }

    /// How many updates are missing, where `published` says how many of each stream were sent (by stream, from 0 on)
    /// and `excused` which of them may not have been stored.
    pub(crate) fn lost(&self, published: &[u64], excused: &HashSet<(u32, u64)>) -> u64 {
        let mut lost = self.forgotten;
        let mut count = |stream: u32, from: u64, to: u64| {
            let pardoned = excused
                .iter()
                .filter(|(excused_stream, number)| *excused_stream == stream && (from..to).contains(number));
            lost += (to - from).saturating_sub(pardoned.count() as u64);
        };
        for gap in &self.gaps {
            count(gap.stream, gap.from, gap.to);
        }
        for (stream, next) in (self.first_stream..).zip(&self.next) {
            let sent = published.get(stream as usize).copied().unwrap_or(0);
            // A subscriber that saw nothing of a stream has missed it from its beginning.
            let next = if *next == ANY { 0 } else { *next };
            if next < sent {
                count(stream, next, sent);
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noted(numbers: &[u64]) -> (Sequence, Faults) {
        let (mut sequence, mut notes) = (Sequence::from_the_start(7, 2), Notes::default());
        for number in numbers {
            sequence.take(7, *number, &mut notes);
        }
        (sequence, notes.faults)
    }

    fn lost(sequence: &Sequence, of: u64) -> u64 {
        let mut published = vec![0; 9];
        published[7] = of;
        sequence.lost(&published, &HashSet::new())
    }

    #[test]
    fn a_whole_stream_has_no_faults() {
        let (sequence, faults) = noted(&[0, 1, 2, 3]);
        assert!(faults.none());
        assert_eq!(lost(&sequence, 4), 0);
    }

    #[test]
    fn gaps_and_a_missing_end_are_lost() {
        let (sequence, faults) = noted(&[0, 3, 4]);
        assert!(faults.none());
        assert_eq!(lost(&sequence, 5), 2);
        assert_eq!(lost(&sequence, 8), 5);
    }

    #[test]
    fn what_comes_twice_is_doubled_and_what_comes_late_is_out_of_order() {
        let (sequence, faults) = noted(&[0, 3, 1, 1, 3, 2]);
        assert_eq!(faults, Faults { doubled: 2, out_of_order: 2, ..Faults::default() });
        assert_eq!(lost(&sequence, 4), 0);
    }

    #[test]
    fn a_stream_that_nobody_asked_for_is_told() {
        let ((mut sequence, _), mut notes) = (noted(&[]), Notes::default());
        sequence.take(6, 0, &mut notes);
        sequence.take(9, 0, &mut notes);
        assert_eq!(notes.faults.unasked, 2);
    }

    #[test]
    fn a_subscriber_that_joins_late_misses_nothing_before_and_everything_if_nothing_comes() {
        let (mut sequence, mut notes) = (Sequence::joining(7, 1), Notes::default());
        assert_eq!(lost(&sequence, 3), 3);
        assert_eq!(notes.ready, 0);
        sequence.take(7, 41, &mut notes);
        sequence.take(7, 42, &mut notes);
        assert!(notes.faults.none() && notes.ready == 1);
        assert_eq!(lost(&sequence, 43), 0);
    }

    #[test]
    fn updates_whose_fate_is_unknown_are_not_lost() {
        let (sequence, _) = noted(&[0, 2]);
        let excused = HashSet::from([(7, 1), (7, 3), (8, 1)]);
        assert_eq!(sequence.lost(&[0, 0, 0, 0, 0, 0, 0, 4], &excused), 0);
    }

    proptest! {
        #[test]
        fn every_update_is_received_or_lost_whatever_the_order(
            received in Just((0..60_u64).collect::<Vec<_>>()).prop_shuffle(),
            kept in 0..60_usize,
        ) {
            let (sequence, faults) = noted(&received[..kept]);
            prop_assert_eq!(faults.doubled, 0);
            prop_assert_eq!(lost(&sequence, 60), 60 - kept as u64);
        }
    }
}
