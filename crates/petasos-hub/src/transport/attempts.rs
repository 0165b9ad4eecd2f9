//! Remembers the newest attempts to append, so that one whose answer was lost is not stored twice.

use std::collections::{HashMap, VecDeque};

use super::{AttemptId, Position};

/// How many attempts are remembered: a retry follows its attempt within seconds, and every process retries only its
/// own.
const CAPACITY: usize = 8_192;

/// The outcome of the newest attempts of this process, oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct RecentAttempts {
    outcomes: HashMap<AttemptId, Option<Position>>,
    order: VecDeque<AttemptId>,
}

impl RecentAttempts {
    /// What the attempt came to, if it was stored before.
    pub(super) fn outcome(&self, attempt: AttemptId) -> Option<Option<Position>> {
        self.outcomes.get(&attempt).copied()
    }

    /// Notes that the attempt is stored.
    pub(super) fn note(&mut self, attempt: AttemptId, outcome: Option<Position>) {
        if self.outcomes.insert(attempt, outcome).is_none() {
            self.order.push_back(attempt);
        }
        while self.order.len() > CAPACITY {
            if let Some(oldest) = self.order.pop_front() {
                self.outcomes.remove(&oldest);
            }
        }
    }
}
