//! One publisher: what it sends next, and when.

use std::sync::atomic::Ordering;

use super::{Job, Plan, reply::Reply};
use crate::bench::{
    choice::Choice, clock::now_ns, marker::Marker, pacing::Timetable, request::Publish, wire::Wire,
};

/// A publisher and the connection it has.
pub(super) struct Publisher {
    /// Among all of the run.
    pub(super) number: usize,
    pub(super) wire: Option<Wire>,
    pub(super) state: State,
    pub(super) request: Publish,
    pub(super) reply: Reply,
    pub(super) choice: Choice,
    pub(super) timetable: Option<Timetable>,
    /// The update that is under way, or is to be sent again.
    pub(super) current: Option<Marker>,
    /// Updates of the job that it may still begin.
    pub(super) left: u64,
    /// The next of its streams, for [`Job::Each`].
    pub(super) each: usize,
    pub(super) not_before_ns: u64,
    pub(super) breaks: u32,
}

/// What its connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Connecting,
    Ready,
    /// So much of the request is sent.
    Sending(usize),
    Waiting,
}

impl Publisher {
    /// Publisher `number` of a plan, without a connection yet.
    pub(super) fn new(plan: &Plan, number: usize) -> Self {
        Self {
            number,
            wire: None,
            state: State::Closed,
            request: plan.request.clone(),
            reply: Reply::default(),
            choice: Choice::new(plan.distribution, plan.streams, number, plan.count),
            timetable: None,
            current: None,
            left: 0,
            each: 0,
            not_before_ns: 0,
            breaks: 0,
        }
    }

    pub(super) fn begin(&mut self, job: &Job, publishers: usize) {
        self.each = 0;
        self.timetable = None;
        self.left = match job {
            Job::Each => self.choice.streams().len() as u64,
            Job::Count(count) => *count,
            Job::Load { per_second, start_ns } => {
                self.timetable =
                    per_second.map(|rate| Timetable::new(*start_ns, rate, self.number, publishers));
                u64::MAX
            }
            Job::Fill(_) => u64::MAX,
        };
    }

    /// Whether there is anything to send, now or later.
    pub(super) fn wants_more(&self, job: Option<&Job>, over_ns: Option<u64>) -> bool {
        match job {
            None => false,
            Some(Job::Fill(fill)) => self.current.is_some() || fill.next.load(Ordering::Relaxed) < fill.end,
            Some(_) => self.current.is_some() || (self.left > 0 && self.is_due_before(over_ns)),
        }
    }

    /// The update that it sends now, if there is one.
    pub(super) fn next(
        &mut self,
        job: Option<&Job>,
        numbers: &[u64],
        over_ns: Option<u64>,
    ) -> Option<Marker> {
        let now = now_ns();
        if now < self.not_before_ns {
            return None;
        }
        // An update that was refused goes again, with its time: what it waited counts.
        if let (Some(marker), Some(_)) = (self.current, job) {
            return Some(marker);
        }
        let job = job.filter(|_| self.left > 0)?;
        let sent_ns = match &self.timetable {
            Some(table) if table.next_ns() > now || !self.is_due_before(over_ns) => return None,
            Some(table) => table.next_ns(),
            None => now,
        };
        let stream = match job {
            Job::Each => self.choice.streams().get(self.each).copied().unwrap_or_default(),
            Job::Fill(fill) => {
                let number = fill.next.fetch_add(1, Ordering::Relaxed);
                if number >= fill.end {
                    self.left = 0;
                    return None;
                }
                return Some(Marker { stream: fill.stream_of(number), number, sent_ns });
            }
            Job::Count(_) | Job::Load { .. } => self.choice.next(),
        };
        let number = numbers.get(stream as usize).copied().unwrap_or_default();
        Some(Marker { stream, number, sent_ns })
    }

    /// The update that was under way is done with.
    pub(super) fn sent(&mut self, job: Option<&Job>) {
        if let Some(table) = &mut self.timetable {
            table.advance();
        }
        if matches!(job, Some(Job::Each)) {
            self.each += 1;
        }
        self.left = self.left.saturating_sub(1);
    }

    /// Whether its next update is due before the time is over.
    fn is_due_before(&self, over_ns: Option<u64>) -> bool {
        match (&self.timetable, over_ns) {
            (Some(table), Some(over_ns)) => table.next_ns() < over_ns,
            _ => true,
        }
    }

    /// When it has to be looked after, if no socket tells.
    pub(super) fn wakes_at(&self, over_ns: Option<u64>) -> Option<u64> {
        if self.not_before_ns > 0 && self.current.is_some() {
            return Some(self.not_before_ns);
        }
        self.timetable.as_ref().filter(|_| self.is_due_before(over_ns)).map(Timetable::next_ns)
    }
}
