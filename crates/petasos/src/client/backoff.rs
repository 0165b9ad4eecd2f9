//! How long to wait before the next attempt: doubling, bounded, with jitter so that a thousand clients that lost the
//! same hub do not come back in the same instant.

use std::time::Duration;

use rand::Rng;

/// The first delay where the hub has not asked for another one.
pub const FIRST: Duration = Duration::from_millis(300);

/// No delay is longer than this (jitter included), unless the hub asked for a longer one.
pub const LONGEST: Duration = Duration::from_secs(30);

/// The delays of one series of failures.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(FIRST, LONGEST)
    }
}

impl Backoff {
    /// Begins with about `first` and never exceeds `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Something worked: the next failure begins a new series.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay before the next attempt: between half and the whole of `first · 2ⁿ`.
    pub fn next_delay(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1u32 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// The delay before the next attempt where the other side named `asked` as the least: never shorter than that, and
    /// up to half as long again.
    pub fn next_delay_after(&mut self, asked: Duration) -> Duration {
        self.next_delay().max(asked.mul_f64(rand::rng().random_range(1.0..=1.5)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let bounds_ms = [(50, 100), (100, 200), (200, 400), (400, 800), (500, 1000), (500, 1000)];
        for (low, high) in bounds_ms {
            let delay = backoff.next_delay();
            assert!((low..=high).contains(&delay.as_millis()), "{delay:?} is not within {low}..={high} ms");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn a_delay_that_was_asked_for_is_kept_even_above_the_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        assert!(backoff.next_delay_after(Duration::from_secs(5)) >= Duration::from_secs(5));
    }
}
