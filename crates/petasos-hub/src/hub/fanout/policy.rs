//! Who is too slow (invariant 5, decision 20). A reader whose socket takes nothing while more than its bound waits for it
//! is disconnected and resumes by its cursor. It must not slow anybody down, and a reader must not be blamed for what is
//! the hub's doing or its machine's: a loop waits a little before it takes more events, and publishers wait behind it.

use std::time::Duration;

/// How long a socket may take nothing before a full backlog counts against its reader and not against the hub: a reader
/// that reads comes round within the time that schedulers need.
const SCHEDULING_GRACE: Duration = Duration::from_millis(100);

/// The same where most readers are behind, so that it is the machine which is slow, or the one program behind them all.
const COMMON_GRACE: Duration = Duration::from_secs(1);

/// How long, all in all, fan-out waits for one reader that lags behind all others, before nothing waits for that reader
/// again: one that takes a little every now and then would slow everybody down to its own pace.
const RELUCTANCE: Duration = Duration::from_millis(500);

/// However busy the machine is, fan-out does not wait longer than this for one reader.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of a reader that more than its bound waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lagging {
    /// How long its socket has taken nothing.
    pub(super) idle_ms: u64,
    /// How long it has been over its bound, since nothing waited for it.
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
        let longer = |ms: u64, limit: Duration| u128::from(ms) > limit.as_millis();
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
        assert!(!Lagging { idle_ms: 100, ..FRESH }.is_too_slow());
        assert!(Lagging { idle_ms: 101, ..FRESH }.is_too_slow());
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
    fn nobody_is_waited_for_without_end() {
        assert!(Lagging { waited_ms: 5_001, alone: false, ..FRESH }.is_too_slow());
    }
}
