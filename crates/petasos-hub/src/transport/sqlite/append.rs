//! Appending: what one call of `append` does inside a group's transaction.

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;

use super::{
    presence,
    writer::{Group, Job, Writer},
};
use crate::transport::{Append, AttemptId, Position, PresenceChange, TransportError};

/// What an event costs in the queue beside its text.
const ENTRY_OVERHEAD_BYTES: usize = 256;

type Answer = oneshot::Sender<Result<Option<Position>, TransportError>>;

struct AppendJob {
    attempt: AttemptId,
    entries: Vec<Append>,
    last: Option<Position>,
    answer: Answer,
}

/// Takes a place in line; the future resolves when the commit is durable.
pub(super) fn append(
    writer: &Writer,
    attempt: AttemptId,
    entries: Vec<Append>,
) -> BoxFuture<'static, Result<Option<Position>, TransportError>> {
    let (answer, answered) = oneshot::channel();
    writer.submit(Box::new(AppendJob { attempt, entries, last: None, answer }));
    async move { answered.await.unwrap_or_else(|_| Err(TransportError::closed())) }.boxed()
}

impl Job for AppendJob {
    fn weight_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.update.weight_bytes() + ENTRY_OVERHEAD_BYTES).sum()
    }

    fn apply(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()> {
        self.last = None;
        if let Some(outcome) = group.outcome(self.attempt) {
            self.last = outcome;
            return Ok(());
        }
        for entry in &self.entries {
            match &entry.presence {
                Some(PresenceChange::Start(record)) => presence::start(group.conn, record)?,
                Some(PresenceChange::End(record)) if !presence::end(group.conn, record)? => continue,
                Some(PresenceChange::End(_)) | None => {}
            }
            self.last = Some(group.append(group.now_ms, &entry.update)?);
        }
        group.attempts.push((self.attempt, self.last));
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), TransportError>) {
        // Nobody may be waiting any more; the update is stored all the same.
        let _ = self.answer.send(outcome.map(|()| self.last));
    }
}
