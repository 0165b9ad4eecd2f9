//! Percentiles of measured times, for the figures that tests print.

use std::time::Duration;

/// Times, sorted.
#[derive(Clone, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Takes measured times.
    pub fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share (0 to 1) of them does not exceed.
    pub fn at(&self, share: f64) -> Duration {
        let last = self.0.len() - 1;
        self.0[((last as f64) * share).round() as usize]
    }

    /// The figures in words.
    pub fn summary(&self) -> String {
        format!(
            "p50 {:.1?}, p99 {:.1?}, worst {:.1?} of {}",
            self.at(0.5),
            self.at(0.99),
            self.at(1.0),
            self.0.len()
        )
    }
}
