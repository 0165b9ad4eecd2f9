//! The line in which appends wait for an engine.
//!
//! Callers put jobs into a queue bounded in bytes; the engine's one writer task takes them in groups, in their order, and
//! answers each. A caller waits no longer than [`PATIENCE`], whatever the writer does: publishers are told within two
//! seconds that an engine is gone. An append whose caller was told so may be stored all the same, once; one that has not
//! been sent by then never is, because the writer drops it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::transport::{Append, AttemptId, Position, TransportError};

/// What may wait for the engine. Publishers wait in the hub long before; this bounds other callers.
const QUEUE_BYTES: usize = 64 << 20;

/// How long a caller waits for the engine's acknowledgement.
pub(in crate::transport) const PATIENCE: Duration = Duration::from_millis(1_500);

/// What an event costs in the queue beside its text.
const ENTRY_OVERHEAD_BYTES: usize = 256;

type Outcome = Result<Option<Position>, TransportError>;

/// The end of the line that callers hold.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Line {
    jobs: mpsc::UnboundedSender<Job>,
    queued_bytes: Arc<AtomicUsize>,
}

/// The end that the writer holds. It ends when the line is dropped and empty.
#[derive(Debug)]
pub(in crate::transport) struct Queue {
    jobs: mpsc::UnboundedReceiver<Job>,
    queued_bytes: Arc<AtomicUsize>,
}

/// One call of `append`.
#[derive(Debug)]
pub(in crate::transport) struct Job {
    /// Equal attempts are stored once.
    pub(in crate::transport) attempt: AttemptId,
    /// In this order, as a whole or not at all.
    pub(in crate::transport) entries: Vec<Append>,
    /// For the bounds of a group.
    pub(in crate::transport) weight_bytes: usize,
    deadline: Instant,
    answer: oneshot::Sender<Outcome>,
}

impl Line {
    /// A line and its queue.
    pub(in crate::transport) fn new() -> (Self, Queue) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        (
            Self { jobs: sender, queued_bytes: Arc::clone(&queued_bytes) },
            Queue { jobs: receiver, queued_bytes },
        )
    }

    /// Takes the next place in line; the future resolves when the engine has acknowledged, and at the latest after
    /// [`PATIENCE`].
    pub(in crate::transport) fn append(
        &self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> BoxFuture<'static, Outcome> {
        let weight_bytes =
            entries.iter().map(|entry| entry.update.weight_bytes() + ENTRY_OVERHEAD_BYTES).sum::<usize>();
        let waiting = self.queued_bytes.fetch_add(weight_bytes, Ordering::AcqRel);
        if waiting > QUEUE_BYTES {
            self.queued_bytes.fetch_sub(weight_bytes, Ordering::AcqRel);
            let error = "more appends wait for the engine than its queue may hold";
            return std::future::ready(Err(TransportError::unavailable(error))).boxed();
        }
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + PATIENCE;
        if self.jobs.send(Job { attempt, entries, weight_bytes, deadline, answer }).is_err() {
            self.queued_bytes.fetch_sub(weight_bytes, Ordering::AcqRel);
            return std::future::ready(Err(TransportError::closed())).boxed();
        }
        async move {
            match timeout_at(deadline, answered).await {
                Ok(answer) => answer.unwrap_or_else(|_| Err(TransportError::closed())),
                Err(_) => {
                    Err(TransportError::unavailable("the engine did not acknowledge the update in time"))
                }
            }
        }
        .boxed()
    }
}

impl Queue {
    /// Waits for a job and takes those behind it that are there, within these bounds. Jobs whose callers have been told
    /// that they waited in vain are dropped. `None`: the line is gone, and empty.
    ///
    /// Cancellation: safe; nothing is taken then.
    pub(in crate::transport) async fn group(&mut self, jobs: usize, bytes: usize) -> Option<Vec<Job>> {
        loop {
            let mut group = Vec::new();
            let mut group_bytes = 0;
            let mut next = Some(self.jobs.recv().await?);
            while let Some(job) = next {
                self.queued_bytes.fetch_sub(job.weight_bytes, Ordering::AcqRel);
                if !job.is_overdue() {
                    group_bytes += job.weight_bytes;
                    group.push(job);
                }
                if group.len() >= jobs || group_bytes >= bytes {
                    break;
                }
                next = self.jobs.try_recv().ok();
            }
            if !group.is_empty() {
                return Some(group);
            }
        }
    }

    /// Lets no more jobs in. Those that wait are still given out.
    pub(in crate::transport) fn close(&mut self) {
        self.jobs.close();
    }
}

impl Job {
    /// Whether the caller has been told that it waited in vain.
    pub(in crate::transport) fn is_overdue(&self) -> bool {
        self.deadline <= Instant::now()
    }

    /// Answers the caller, who may be gone.
    pub(in crate::transport) fn finish(self, outcome: Outcome) {
        let _ = self.answer.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Update, transport::ErrorKind};

    fn entry() -> Append {
        let update = Update::from_stored("1".into(), vec!["t".into()], "data".into(), false, None, None);
        Append { update: Arc::new(update), presence: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_answered_in_time_and_what_was_not_sent_by_then_never_is() {
        let (line, mut queue) = Line::new();
        let refused = line.append(AttemptId::new(), vec![entry()]).await.expect_err("nobody writes");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        let later = AttemptId::new();
        let answer = line.append(later, vec![entry()]);
        let group = queue.group(10, 1 << 20).await.expect("a group");
        assert_eq!(group.iter().map(|job| job.attempt).collect::<Vec<_>>(), [later]);
        group.into_iter().for_each(|job| job.finish(Ok(Some(Position(7)))));
        assert_eq!(answer.await.expect("an answer"), Some(Position(7)));
        assert_eq!(line.queued_bytes.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_closed_line_gives_out_what_waits_and_takes_no_more() {
        let (line, mut queue) = Line::new();
        let waiting = line.append(AttemptId::new(), vec![entry()]);
        queue.close();
        let refused = line.append(AttemptId::new(), vec![entry()]).await.expect_err("it is closed");
        assert_eq!(refused.kind(), ErrorKind::Closed);
        let group = queue.group(10, 1 << 20).await.expect("what waits");
        group.into_iter().for_each(|job| job.finish(Ok(None)));
        assert_eq!(waiting.await.expect("an answer"), None);
        assert!(queue.group(10, 1 << 20).await.is_none());
    }
}
