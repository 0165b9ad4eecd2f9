//! Any other write, as a closure that runs inside a group's transaction.

use tokio::sync::oneshot;

use super::writer::{Group, Job, Writer};
use crate::transport::TransportError;

struct Task<F, T> {
    work: F,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, TransportError>>,
}

/// Runs `work` in the next group and returns its value once that is committed. `work` may run twice if the group has to
/// be tried again.
pub(super) async fn write<T: Send + 'static>(
    writer: &Writer,
    work: impl FnMut(&mut Group<'_>) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, TransportError> {
    let (answer, answered) = oneshot::channel();
    writer.submit(Box::new(Task { work, value: None, answer }));
    answered.await.unwrap_or_else(|_| Err(TransportError::closed()))
}

impl<F, T> Job for Task<F, T>
where
    F: FnMut(&mut Group<'_>) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn weight_bytes(&self) -> usize {
        256
    }

    fn apply(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.work)(group)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), TransportError>) {
        let value = self.value.ok_or_else(TransportError::closed);
        let _ = self.answer.send(outcome.and(value));
    }
}
