//! Which of its streams a publisher takes next: in turn, at random, or a few of them most of the time.

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// How updates are spread over topics.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// All alike, at random
    #[default]
    Uniform,
    /// The n-th topic as 1/n: a few are busy, most are not
    Zipf,
}

/// Chooses among the streams of one publisher, always in the same way for the same publisher.
#[derive(Debug)]
pub(crate) struct Choice {
    streams: Vec<u32>,
    /// For Zipf: the sum of the weights up to each stream.
    cumulated: Vec<f64>,
    random: SmallRng,
}

impl Choice {
    /// Among the streams that publisher `publisher` of `publishers` owns: each stream has one owner, because only the
    /// updates of one publisher come in a certain order. There must be no more publishers than streams.
    pub(crate) fn new(distribution: Distribution, streams: u32, publisher: usize, publishers: usize) -> Self {
        let streams: Vec<u32> = (0..streams).skip(publisher).step_by(publishers).collect();
        let cumulated = match distribution {
            Distribution::Uniform => Vec::new(),
            Distribution::Zipf => {
                let mut sum = 0.0;
                let add = |stream: &u32| {
                    sum += 1.0 / f64::from(stream + 1);
                    sum
                };
                streams.iter().map(add).collect()
            }
        };
        Self { streams, cumulated, random: SmallRng::seed_from_u64(publisher as u64) }
    }

    /// All streams of the publisher.
    pub(crate) fn streams(&self) -> &[u32] {
        &self.streams
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> u32 {
        match (self.streams.as_slice(), self.cumulated.last()) {
            ([only], _) => *only,
            (streams, None) => streams[self.random.random_range(0..streams.len())],
            (streams, Some(sum)) => {
                let point = self.random.random_range(0.0..*sum);
                let index = self.cumulated.partition_point(|cumulated| *cumulated <= point);
                streams[index.min(streams.len() - 1)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(distribution: Distribution, streams: u32, draws: usize) -> Vec<usize> {
        let mut choice = Choice::new(distribution, streams, 0, 1);
        let mut counts = vec![0; streams as usize];
        for _ in 0..draws {
            counts[choice.next() as usize] += 1;
        }
        counts
    }

    #[test]
    fn zipf_falls_as_one_over_n() {
        let counts = counted(Distribution::Zipf, 1000, 200_000);
        // The harmonic number of 1,000 is 7.485.
        for (rank, count) in [(1, counts[0]), (2, counts[1]), (10, counts[9])] {
            let wanted = 200_000.0 / 7.485 / f64::from(rank);
            let share = f64::from(u32::try_from(count).expect("small")) / wanted;
            assert!((0.9..1.1).contains(&share), "rank {rank}: {count} instead of {wanted}");
        }
    }

    #[test]
    fn uniform_is_flat() {
        let counts = counted(Distribution::Uniform, 10, 100_000);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn each_stream_has_exactly_one_owner() {
        let mut all: Vec<u32> = (0..7)
            .flat_map(|publisher| Choice::new(Distribution::Zipf, 100, publisher, 7).streams().to_vec())
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<u32>>());
    }
}
