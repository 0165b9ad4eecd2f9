//! The entries of the hub's bucket, as updates and as numbers.

use super::cursor::{Cursor, Entry};
use super::error::BoltError;
use super::page::{Span, field};
use super::{BoltStats, BoltUpdate, times, value};

/// The bytes of the sequence in front of a key.
const SEQUENCE_BYTES: usize = 8;

/// The updates of a bucket in their order; see [`BoltFile::updates`](super::BoltFile::updates).
#[derive(Debug)]
pub struct Updates<'f> {
    cursor: Cursor<'f>,
}

impl<'f> Updates<'f> {
    pub(super) fn new(cursor: Cursor<'f>) -> Self {
        Self { cursor }
    }

    fn read(&self, span: Span) -> Result<BoltUpdate, BoltError> {
        let (sequence, id) = key(&self.cursor)?;
        let problem = |problem| BoltError::Value { sequence, problem };
        value::check_length(span.bytes).map_err(problem)?;
        let update = value::parse(id, &self.cursor.read(span)?).map_err(problem)?;
        let at_ms = times::of_id(update.id());
        Ok(BoltUpdate { sequence, update, at_ms })
    }
}

impl Iterator for Updates<'_> {
    type Item = Result<BoltUpdate, BoltError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.cursor.next()? {
                Ok(Entry::Value(span)) => return Some(self.read(span)),
                // Nothing that the hub makes, and no update.
                Ok(Entry::Bucket(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The sequence and the event id that the key of the entry consists of.
pub(super) fn key<'c>(cursor: &'c Cursor<'_>) -> Result<(u64, &'c [u8]), BoltError> {
    let key = cursor.key();
    match (field(key, 0), key.get(SEQUENCE_BYTES..)) {
        (Some(sequence), Some(id)) => Ok((u64::from_be_bytes(sequence), id)),
        _ => Err(BoltError::Corrupt { page: cursor.page(), problem: "has a key without a sequence" }),
    }
}

/// Counts what `cursor` walks over.
pub(super) fn stats(mut cursor: Cursor<'_>) -> Result<BoltStats, BoltError> {
    let mut stats = BoltStats::default();
    while let Some(entry) = cursor.next() {
        let Entry::Value(value) = entry? else { continue };
        let (sequence, _) = key(&cursor)?;
        stats.updates += 1;
        stats.value_bytes = stats.value_bytes.saturating_add(value.bytes);
        stats.first_sequence.get_or_insert(sequence);
        stats.last_sequence = Some(sequence);
    }
    Ok(stats)
}
