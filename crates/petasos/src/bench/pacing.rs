//! When updates are to be sent. An update's time is the one at which it was intended, not the one at which a publisher
//! that was kept waiting got around to it: else a hub that stalls would look fast, because nothing was sent to it in
//! the meantime (coordinated omission).

use super::clock::SECOND_NS;

/// The timetable of one of several publishers that share a rate.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    start_ns: u64,
    /// Of all publishers together.
    per_second: f64,
    /// The place of this one among them, and how many there are.
    publisher: u64,
    publishers: u64,
    /// How many it has sent.
    sent: u64,
}

impl Timetable {
    /// The first update of publisher 0 is due at `start_ns`.
    pub(crate) fn new(start_ns: u64, per_second: f64, publisher: usize, publishers: usize) -> Self {
        let (publisher, publishers) = (publisher as u64, publishers as u64);
        Self { start_ns, per_second, publisher, publishers, sent: 0 }
    }

    /// When the next update is due. It stays due until [`Self::advance`], however late it is.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn next_ns(&self) -> u64 {
        let position = self.sent * self.publishers + self.publisher;
        // Computed from the beginning each time, so that roundings do not add up.
        self.start_ns + (position as f64 * SECOND_NS as f64 / self.per_second) as u64
    }

    /// Gives up on those that were due before `until_ns` and were not sent; returns the time of each.
    pub(crate) fn give_up(&mut self, until_ns: u64) -> impl Iterator<Item = u64> {
        std::iter::from_fn(move || {
            let due = self.next_ns();
            (due < until_ns).then(|| {
                self.advance();
                due
            })
        })
    }

    /// The next one was sent.
    pub(crate) fn advance(&mut self) {
        self.sent += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn publishers_share_the_rate_evenly() {
        let mut all: Vec<u64> = (0..4)
            .flat_map(|publisher| {
                let mut table = Timetable::new(5, 1000.0, publisher, 4);
                std::iter::repeat_with(move || {
                    let due = table.next_ns();
                    table.advance();
                    due
                })
                .take(25)
            })
            .collect();
        all.sort_unstable();
        let wanted: Vec<u64> = (0..100).map(|position| 5 + position * MS).collect();
        assert_eq!(all, wanted);
    }

    #[test]
    fn roundings_do_not_add_up() {
        let mut table = Timetable::new(0, 3.0, 0, 1);
        for _ in 0..3_000_000 {
            table.advance();
        }
        assert_eq!(table.next_ns(), 1_000_000 * SECOND_NS);
    }

    #[test]
    fn what_was_due_and_not_sent_is_known() {
        let mut table = Timetable::new(0, 1000.0, 1, 2);
        table.advance();
        assert_eq!(table.give_up(7 * MS).collect::<Vec<_>>(), [3 * MS, 5 * MS]);
        assert_eq!(table.next_ns(), 7 * MS);
    }

    /// A hub that answers at once but stands still for a second: on a simulated clock, with one update under way at a
    /// time, as a publisher has it.
    #[test]
    fn a_stall_counts_for_every_update_that_it_kept_back() {
        let mut table = Timetable::new(0, 100.0, 0, 1);
        let (mut now, mut from_intended, mut from_sent) = (0, Vec::new(), Vec::new());
        while table.next_ns() < 3 * SECOND_NS {
            now = now.max(table.next_ns());
            let answered = if (SECOND_NS..2 * SECOND_NS).contains(&now) { 2 * SECOND_NS } else { now + MS };
            from_intended.push(answered - table.next_ns());
            from_sent.push(answered - now);
            table.advance();
            now = answered;
        }
        let slow = |latencies: &[u64]| latencies.iter().filter(|latency| **latency > 500 * MS).count();
        assert_eq!(slow(&from_sent), 1, "measured from the send, the stall hides behind one update");
        // One falls due every 10 ms and takes 1 ms, so that each waits 9 ms less than the one before.
        assert_eq!(slow(&from_intended), 500 / 9 + 1);
        assert_eq!(from_intended.iter().max(), Some(&SECOND_NS));
    }
}
