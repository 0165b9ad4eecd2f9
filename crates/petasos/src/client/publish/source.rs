//! What is to be published: one update, or one for each line of an input. Makes the bodies.

use bytes::Bytes;
use tokio::io::AsyncRead;
use uuid::Uuid;

use super::{
    form::Form,
    lines::{BadLine, LineReader},
};

/// Where updates come from.
#[derive(Debug)]
pub enum Source<R> {
    /// A single one, until it has been taken.
    One(Option<Bytes>),
    /// Each line is one.
    Lines {
        /// The lines.
        reader: LineReader<R>,
        /// What the updates have in common.
        form: Form,
    },
}

/// An update to be published.
#[derive(Debug)]
pub(super) struct Item {
    /// The number of the line; 1 for a single update.
    pub(super) number: u64,
    /// The body of the request.
    pub(super) body: Result<Bytes, BadLine>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    /// The next update; `None` at the end. Nothing is lost when the future is dropped.
    ///
    /// Every line gets an id of its own here and keeps it, so that a line that had to be sent twice can be told from two
    /// equal lines.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Item>> {
        match self {
            Self::One(body) => Ok(body.take().map(|body| Item { number: 1, body: Ok(body) })),
            Self::Lines { reader, form } => {
                let Some(line) = reader.next_line().await? else { return Ok(None) };
                let body = line.content.map(|data| form.body(&random_id(), Some(&data)));
                Ok(Some(Item { number: line.number, body }))
            }
        }
    }
}

/// An id that nobody else has.
pub(crate) fn random_id() -> String {
    Uuid::new_v4().urn().to_string()
}
