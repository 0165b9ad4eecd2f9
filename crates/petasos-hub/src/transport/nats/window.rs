//! What the writer has under way: messages in their order, which JetStream acknowledges one by one, and the jobs that
//! they belong to. Knows nothing of connections; the writer sends, and says what came back.
//!
//! Messages are resolved in their order. One that was not acknowledged while a later one was has lost its place: sent
//! again it would stand behind what came after it, so that it is given up, and its caller told so. All others are sent
//! again under the same attempt until their callers have been told that they waited in vain.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::api::{CallError, PubAck};
use crate::transport::{AttemptId, Position, TransportError, remote::Job};

/// Messages under way at most.
const MESSAGES: usize = 2_048;

/// Bytes under way at most, unless a single message is larger.
const BYTES: usize = 8 << 20;

/// How long a message whose successor was acknowledged is still waited for: acknowledgements come in order from one
/// server, and may pass each other from several.
const GRACE: std::time::Duration = std::time::Duration::from_millis(200);

/// A message to be stored.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    /// Stored once however often it is sent.
    pub(super) attempt: String,
    pub(super) payload: Bytes,
    /// The record of presence to delete when this is stored.
    pub(super) record: Option<u64>,
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Window {
    flights: VecDeque<Flight>,
    /// The number of the first flight; they are consecutive.
    first: u64,
    bytes: usize,
    unsent: VecDeque<(u64, Outgoing)>,
    jobs: VecDeque<OpenJob>,
    first_job: u64,
    /// The number after that of the last message that is known to be stored.
    stored_until: u64,
    /// Since when a later message is acknowledged than the first.
    passed: Option<Instant>,
}

#[derive(Debug)]
struct Flight {
    job: u64,
    outgoing: Outgoing,
    state: State,
    sent_again: bool,
}

#[derive(Debug)]
enum State {
    Waiting,
    Stored(PubAck),
    Refused(TransportError),
}

#[derive(Debug)]
struct OpenJob {
    /// Taken when it is answered.
    job: Option<Job>,
    left: usize,
    position: Option<Position>,
    error: Option<TransportError>,
}

/// What became of a job.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) job: Job,
    pub(super) outcome: Result<Option<Position>, TransportError>,
}

/// What a look at the window came to.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Jobs to answer.
    pub(super) finished: Vec<Finished>,
    /// Records whose ends are stored.
    pub(super) records: Vec<u64>,
}

impl Window {
    /// Takes a job whose messages are sent next. One without messages is finished with the next [`Self::settle`].
    pub(super) fn push(&mut self, job: Job, position: Option<Position>, messages: Vec<Outgoing>) {
        let number = self.first_job + self.jobs.len() as u64;
        self.jobs.push_back(OpenJob { job: Some(job), left: messages.len(), position, error: None });
        self.unsent.extend(messages.into_iter().map(|outgoing| (number, outgoing)));
    }

    /// Whether all that was pushed is sent: time for more.
    pub(super) fn wants_more(&self) -> bool {
        self.unsent.is_empty() && self.flights.len() < MESSAGES && self.bytes < BYTES
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.unsent.is_empty() && self.jobs.is_empty()
    }

    /// Whether something waits for an acknowledgement.
    pub(super) fn is_waiting(&self) -> bool {
        !self.flights.is_empty()
    }

    /// The next message to send, with its number, if there is room for it.
    pub(super) fn next_to_send(&mut self) -> Option<(u64, Outgoing)> {
        if self.flights.len() >= MESSAGES || self.bytes >= BYTES {
            return None;
        }
        let (job, outgoing) = self.unsent.pop_front()?;
        let number = self.first + self.flights.len() as u64;
        self.bytes += outgoing.payload.len();
        self.flights.push_back(Flight {
            job,
            outgoing: outgoing.clone(),
            state: State::Waiting,
            sent_again: false,
        });
        Some((number, outgoing))
    }

    /// Takes the answer to a message.
    pub(super) fn answer(&mut self, number: u64, answer: Result<PubAck, CallError>, now: Instant) {
        let Some(index) = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        let Some(flight) = self.flights.get_mut(index) else { return };
        if !matches!(flight.state, State::Waiting) {
            return;
        }
        flight.state = match answer {
            Ok(ack) => {
                self.stored_until = self.stored_until.max(number + 1);
                State::Stored(ack)
            }
            // It is sent again.
            Err(error) if error.is_passing() => return,
            Err(error) => State::Refused(error.into()),
        };
        if index > 0 && self.passed.is_none() {
            self.passed = Some(now);
        }
    }

    /// Resolves what can be resolved.
    pub(super) fn settle(&mut self, now: Instant) -> Settled {
        let mut settled = Settled::default();
        loop {
            let later = self.passed_over() > 0;
            let has_passed = self.passed.is_some_and(|passed| now >= passed + GRACE);
            let Some(flight) = self.flights.front() else { break };
            match flight.state {
                State::Waiting if !(later && has_passed) => break,
                State::Waiting => self.pop(Err(lost_place()), &mut settled),
                State::Refused(_) => self.pop(Ok(()), &mut settled),
                State::Stored(ref ack) => {
                    let (sequence, may_stray) = (ack.seq, flight.sent_again && !ack.duplicate);
                    let strayed = may_stray
                        && self.flights.iter().any(|later| {
                            matches!(&later.state, State::Stored(ack) if !ack.duplicate && ack.seq < sequence)
                        });
                    self.pop(if strayed { Err(lost_place()) } else { Ok(()) }, &mut settled);
                }
            }
        }
        if self.passed_over() == 0 {
            self.passed = None;
        }
        self.finish_jobs(&mut settled);
        settled
    }

    /// Gives up what callers do not wait for any more.
    pub(super) fn drop_overdue(&mut self) {
        let is_overdue = |jobs: &VecDeque<OpenJob>, first: u64, number: u64| {
            usize::try_from(number - first)
                .ok()
                .and_then(|index| jobs.get(index))
                .and_then(|open| open.job.as_ref())
                .is_none_or(Job::is_overdue)
        };
        let (jobs, first_job) = (&self.jobs, self.first_job);
        let mut dropped = Vec::new();
        self.unsent.retain(|(number, _)| {
            let is_kept = !is_overdue(jobs, first_job, *number);
            if !is_kept {
                dropped.push(*number);
            }
            is_kept
        });
        for flight in &mut self.flights {
            if matches!(flight.state, State::Waiting) && is_overdue(jobs, first_job, flight.job) {
                flight.state = State::Refused(TransportError::unavailable("no acknowledgement came in time"));
            }
        }
        for number in dropped {
            self.resolve(number, Err(TransportError::unavailable("it was not sent in time")));
        }
    }

    /// The messages to send again, in their order, with their numbers. Those that a later one has passed are given up.
    pub(super) fn resend(&mut self) -> Vec<(u64, Outgoing)> {
        let passed = self.passed_over();
        let mut again = Vec::new();
        for (index, flight) in self.flights.iter_mut().enumerate() {
            if !matches!(flight.state, State::Waiting) {
                continue;
            }
            if index < passed {
                flight.state = State::Refused(lost_place());
                continue;
            }
            flight.sent_again = true;
            again.push((self.first + index as u64, flight.outgoing.clone()));
        }
        again
    }

    /// How many of the first messages stand before the last that is known to be stored.
    fn passed_over(&self) -> usize {
        usize::try_from(self.stored_until.saturating_sub(self.first + 1)).unwrap_or(usize::MAX)
    }

    fn pop(&mut self, verdict: Result<(), TransportError>, settled: &mut Settled) {
        let Some(flight) = self.flights.pop_front() else { return };
        self.first += 1;
        self.bytes -= flight.outgoing.payload.len();
        let outcome = match flight.state {
            State::Stored(ack) => {
                settled.records.extend(flight.outgoing.record);
                verdict.map(|()| Position(ack.seq))
            }
            State::Refused(error) => Err(error),
            State::Waiting => verdict.and(Err(lost_place())),
        };
        self.resolve(flight.job, outcome);
    }

    fn resolve(&mut self, number: u64, outcome: Result<Position, TransportError>) {
        let index = usize::try_from(number - self.first_job).unwrap_or(usize::MAX);
        let Some(open) = self.jobs.get_mut(index) else { return };
        open.left -= 1;
        match outcome {
            Ok(position) => open.position = open.position.max(Some(position)),
            Err(error) => open.error = open.error.take().or(Some(error)),
        }
    }

    fn finish_jobs(&mut self, settled: &mut Settled) {
        while self.jobs.front().is_some_and(|open| open.left == 0) {
            self.first_job += 1;
            if let Some(OpenJob { job: Some(job), position, error, .. }) = self.jobs.pop_front() {
                let outcome = error.map_or(Ok(position), Err);
                settled.finished.push(Finished { job, outcome });
            }
        }
    }
}

impl Finished {
    /// Under which attempt.
    pub(super) fn attempt(&self) -> AttemptId {
        self.job.attempt
    }
}

fn lost_place() -> TransportError {
    TransportError::unavailable("the update was not acknowledged before a later one, and lost its place")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        Update,
        transport::{Append, remote::Line},
    };

    /// A window with messages of one job each, all sent, and the answers that their callers get.
    async fn sent(
        count: usize,
    ) -> (Window, Vec<tokio::task::JoinHandle<Result<Option<Position>, TransportError>>>) {
        let (line, mut queue) = Line::new();
        let update = Update::from_stored("1".into(), vec!["t".into()], "data".into(), false, None, None);
        let update = Arc::new(update);
        let mut window = Window::default();
        let mut answers = Vec::new();
        for index in 0..count {
            let entry = Append { update: Arc::clone(&update), presence: None };
            answers.push(tokio::spawn(line.append(AttemptId::new(), vec![entry])));
            tokio::task::yield_now().await;
            for job in queue.group(1, usize::MAX).await.expect("a job") {
                let outgoing = Outgoing {
                    subject: "s".into(),
                    attempt: index.to_string(),
                    payload: Bytes::from_static(b"data"),
                    record: None,
                };
                window.push(job, None, vec![outgoing]);
            }
            assert_eq!(window.next_to_send().map(|(number, _)| number), Some(index as u64));
        }
        (window, answers)
    }

    fn settle(window: &mut Window) -> Vec<Result<Option<Position>, ()>> {
        let settled = window.settle(Instant::now());
        settled.finished.into_iter().map(|finished| finished.outcome.map_err(|_| ())).collect()
    }

    fn stored(seq: u64) -> Result<PubAck, CallError> {
        Ok(PubAck { seq, duplicate: false })
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgements_are_given_in_order() {
        let (mut window, _answers) = sent(2).await;
        window.answer(1, stored(2), Instant::now());
        assert_eq!(settle(&mut window), []);
        window.answer(0, stored(1), Instant::now());
        assert_eq!(settle(&mut window), [Ok(Some(Position(1))), Ok(Some(Position(2)))]);
        assert!(window.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_later_one_passed_is_given_up_and_not_sent_again() {
        let (mut window, _answers) = sent(3).await;
        window.answer(1, stored(1), Instant::now());
        let again: Vec<_> = window.resend().into_iter().map(|(number, _)| number).collect();
        assert_eq!(again, [2]);
        assert_eq!(settle(&mut window), [Err(()), Ok(Some(Position(1)))]);
        window.answer(2, stored(2), Instant::now());
        assert_eq!(settle(&mut window), [Ok(Some(Position(2)))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_passed_one_is_given_up_after_a_moment_also_without_a_resend() {
        let (mut window, _answers) = sent(2).await;
        window.answer(1, stored(1), Instant::now());
        assert_eq!(settle(&mut window), []);
        tokio::time::advance(GRACE + Duration::from_millis(1)).await;
        assert_eq!(settle(&mut window), [Err(()), Ok(Some(Position(1)))]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_sent_again_and_stored_behind_its_successor_is_not_acknowledged() {
        let (mut window, _answers) = sent(2).await;
        assert_eq!(window.resend().len(), 2);
        window.answer(1, stored(5), Instant::now());
        window.answer(0, stored(6), Instant::now());
        assert_eq!(settle(&mut window), [Err(()), Ok(Some(Position(5)))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_passes_is_no_answer() {
        let (mut window, _answers) = sent(1).await;
        window.answer(0, Err(CallError::NoResponders), Instant::now());
        assert_eq!(settle(&mut window), []);
        window.answer(0, Err(CallError::Refused { code: 10_077, text: "full".into() }), Instant::now());
        assert_eq!(settle(&mut window), [Err(())]);
    }

    #[tokio::test(start_paused = true)]
    async fn overdue_ones_are_given_up() {
        let (mut window, _answers) = sent(2).await;
        window.drop_overdue();
        assert_eq!(settle(&mut window), []);
        tokio::time::advance(Duration::from_millis(1_600)).await;
        window.drop_overdue();
        assert_eq!(settle(&mut window), [Err(()), Err(())]);
        assert!(window.is_empty() && window.bytes == 0);
        // It comes late, and nobody waits for it.
        window.answer(0, stored(1), Instant::now());
    }
}
