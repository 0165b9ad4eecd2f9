//! Histograms of latencies, and what is kept of them in a report.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is told apart: an hour. Longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;
/// Three digits: 0.1 % is finer than what any two runs have in common.
const DIGITS: u8 = 3;
/// The percentiles of a report.
const PERCENTILES: [f64; 17] =
    [1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0];

/// Latencies. Takes 180 KB.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("the bounds are constants that fit"))
    }
}

impl Latencies {
    /// Adds one, in nanoseconds.
    #[inline]
    pub(crate) fn record_ns(&mut self, latency_ns: u64) {
        self.0.saturating_record(latency_ns / 1_000);
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Takes what there is, and begins anew.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The latency that so many percent are not above, in microseconds.
    pub(crate) fn percentile_us(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent)
    }

    /// What a report says; `None` where there are none.
    pub(crate) fn summary(&self) -> Option<Summary> {
        (self.len() > 0).then(|| Summary {
            count: self.len(),
            mean_us: (self.0.mean() * 10.0).round() / 10.0,
            min_us: self.0.min(),
            max_us: self.0.max(),
            percentiles_us: PERCENTILES
                .iter()
                .map(|percent| (*percent, self.percentile_us(*percent)))
                .collect(),
        })
    }
}

/// A histogram, as a report has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many latencies.
    pub(crate) count: u64,
    /// Their mean.
    pub(crate) mean_us: f64,
    /// The shortest.
    pub(crate) min_us: u64,
    /// The longest.
    pub(crate) max_us: u64,
    /// So many percent are not above this.
    pub(crate) percentiles_us: Vec<(f64, u64)>,
}

impl Summary {
    /// One of the percentiles that are kept.
    pub(crate) fn percentile_us(&self, percent: f64) -> Option<u64> {
        self.percentiles_us.iter().find(|(kept, _)| (kept - percent).abs() < 1e-9).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_usual_percentiles() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(), None);
        for us in 1..=1000 {
            latencies.record_ns(us * 1_000);
        }
        let summary = latencies.summary().expect("some");
        assert_eq!((summary.count, summary.min_us, summary.max_us), (1000, 1, 1000));
        assert_eq!((summary.percentile_us(50.0), summary.percentile_us(99.0)), (Some(500), Some(990)));
        assert_eq!(summary.percentile_us(42.0), None);
    }
}
