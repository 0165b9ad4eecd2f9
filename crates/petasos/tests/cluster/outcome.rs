//! What came of a run, what must be true of it, and the line that tells it.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use petasos_testkit::{
    follower::Followed,
    health::Sample,
    ledger::{Entry, Fate, Ledger},
};

use crate::{cluster::NODES, engine::Engine, work::STAYING};

/// How soon everybody must know that the engine is gone, and what a busy machine may add.
const LOSS_GOAL: Duration = Duration::from_secs(2);
const BUSY: Duration = Duration::from_secs(1);

/// How long an open stream may be silent: some heartbeats.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

/// How long a node may take to deliver and to be ready when the engine is back.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// What came of a run. That nothing was lost, doubled or moved has been checked.
pub(crate) struct Outcome {
    pub(crate) engine: Engine,
    /// What publishers were told, for each node.
    pub(crate) ledgers: Vec<Ledger>,
    /// What subscribers saw, node by node.
    pub(crate) staying: Vec<Followed>,
    pub(crate) restless: Vec<Followed>,
    /// What each node said of itself.
    pub(crate) health: Vec<Vec<Sample>>,
    /// Updates in the log.
    pub(crate) stored: usize,
}

/// When an engine was gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) since: Instant,
    /// Until then nobody could reach it.
    pub(crate) away_until: Instant,
    /// From then on everybody could.
    pub(crate) until: Instant,
}

impl Loss {
    /// How long it was gone.
    pub(crate) fn length(&self) -> Duration {
        self.until - self.since
    }
}

/// How quickly a loss was noticed, and its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Until the slowest node said that it is not ready, where the loss was long enough to be noticed.
    pub(crate) unready: Option<Duration>,
    /// The longest that a publisher waited for an answer.
    pub(crate) answer: Duration,
    /// From the return until the slowest node delivered again.
    pub(crate) delivery: Duration,
    /// From the return until the slowest node said that it is ready.
    pub(crate) ready: Duration,
}

impl Outcome {
    /// Checks what is true of every loss of the engine: publishers know in time, readiness says so and liveness does not,
    /// streams stay open and have heartbeats, and everything works again. `is_long`: nobody can have missed it.
    pub(crate) fn check_loss(&self, losses: &[Loss], is_long: bool) -> Times {
        let mut times = Times::default();
        for node in 0..NODES {
            self.check_loss_of(node, losses, is_long, &mut times);
        }
        times
    }

    /// The same for one node.
    pub(crate) fn check_loss_of(&self, node: usize, losses: &[Loss], is_long: bool, times: &mut Times) {
        self.streams_stayed(node);
        self.was_live(node);
        for entry in self.ledgers[node].entries() {
            assert!(
                matches!(entry.fate, Fate::Acknowledged(_) | Fate::Refused(503)),
                "node {node}, {}: {:?}",
                entry.id,
                entry.fate
            );
            // What was sent before the loss has waited for another reason until then.
            let begins = losses.iter().map(|loss| loss.since).filter(|at| *at < entry.ended);
            let since = begins.max().map_or(entry.sent, |begin| entry.sent.max(begin));
            times.answer = times.answer.max(entry.ended.saturating_duration_since(since));
        }
        assert!(times.answer < LOSS_GOAL + BUSY, "a publisher waited {:?} for an answer", times.answer);
        for loss in losses {
            self.check_one_loss(node, loss, is_long, times);
        }
    }

    fn check_one_loss(&self, node: usize, loss: &Loss, is_long: bool, times: &mut Times) {
        if is_long {
            let refused = |entry: &Entry| {
                entry.fate == Fate::Refused(503) && (loss.since..loss.until).contains(&entry.ended)
            };
            assert!(
                self.ledgers[node].entries().iter().any(refused),
                "node {node} refused nothing while the engine was gone"
            );
            let unready = self.last_ready(node, loss).map_or(Duration::ZERO, |at| at - loss.since);
            assert!(
                unready < LOSS_GOAL + BUSY,
                "node {node} was ready {unready:?} after the engine had gone"
            );
            times.unready = times.unready.max(Some(unready));
        }
        let ready = self.ready_after(node, loss.until);
        let ready = ready.unwrap_or_else(|| panic!("node {node} was not ready again"));
        times.ready = times.ready.max(ready);
        for followed in self.staying_at(node) {
            let first =
                followed.first_after(loss.until).unwrap_or_else(|| panic!("node {node} delivered no more"));
            times.delivery = times.delivery.max(first - loss.until);
        }
        assert!(times.ready < RETURN_LIMIT && times.delivery < RETURN_LIMIT, "node {node}: {times:?}");
    }

    /// How long after a moment a node first said that it is ready.
    fn ready_after(&self, node: usize, moment: Instant) -> Option<Duration> {
        let mut samples = self.health[node].iter().filter(|sample| sample.at >= moment);
        samples.find(|sample| sample.ready == Some(200)).map(|sample| sample.at - moment)
    }

    /// When a node said for the last time in a loss that it is ready.
    fn last_ready(&self, node: usize, loss: &Loss) -> Option<Instant> {
        let during = self.health[node].iter().rev().filter(|sample| sample.at < loss.away_until);
        let mut ready = during.filter(|sample| sample.ready == Some(200)).map(|sample| sample.at);
        ready.next().filter(|at| *at > loss.since)
    }

    /// No stream of a node ended by itself, and none was silent for long.
    pub(crate) fn streams_stayed(&self, node: usize) {
        for followed in self.staying_at(node) {
            assert!(followed.ends.is_empty(), "a stream of node {node} ended: {:?}", followed.cuts);
            let silence = followed.longest_silence();
            assert!(silence < SILENCE_LIMIT, "a stream of node {node} was silent for {silence:?}");
        }
    }

    /// A node never asked to be restarted.
    pub(crate) fn was_live(&self, node: usize) {
        let other = self.health[node].iter().find(|sample| sample.live != Some(200));
        assert!(other.is_none(), "node {node} was not live: {other:?}");
    }

    /// Nothing went wrong for the publishers and subscribers of a node.
    pub(crate) fn was_undisturbed(&self, node: usize) {
        assert_eq!(self.ledgers[node].failures(), Vec::<String>::new(), "node {node}");
        self.streams_stayed(node);
        self.was_live(node);
        let unready = self.health[node].iter().find(|sample| sample.ready != Some(200));
        assert!(unready.is_none(), "node {node} was not ready: {unready:?}");
    }

    /// What those who stay saw on a node.
    pub(crate) fn staying_at(&self, node: usize) -> &[Followed] {
        &self.staying[node * STAYING..(node + 1) * STAYING]
    }

    /// Says what came of it.
    pub(crate) fn tell(&self, fault: &str, times: impl Display) {
        let count = |is: fn(&Fate) -> bool| {
            let entries = self.ledgers.iter().flat_map(Ledger::entries);
            entries.filter(|entry| is(&entry.fate)).count()
        };
        println!(
            "{}, {fault}: {} acknowledged, {} refused, {} without an answer, {} stored: 0 lost, 0 doubled, 0 out of order; \
             {} resumptions; {times}",
            self.engine.name(),
            count(|fate| matches!(fate, Fate::Acknowledged(_))),
            count(|fate| matches!(fate, Fate::Refused(_))),
            count(|fate| matches!(fate, Fate::Unknown(_))),
            self.stored,
            self.restless.iter().map(|followed| followed.left + followed.ends.len()).sum::<usize>(),
        );
    }
}

impl Display for Times {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { unready, answer, delivery, ready } = self;
        write!(
            out,
            "longest wait for an answer {answer:.1?}, delivers again after {delivery:.1?}, ready again after {ready:.1?}"
        )?;
        match unready {
            Some(unready) => write!(out, ", unready after {unready:.1?}"),
            None => Ok(()),
        }
    }
}
