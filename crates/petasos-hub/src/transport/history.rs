//! Looking at a whole log: what every engine can do by reading it.

use super::{ErrorKind, Position, ReadHint, ReadLimit, StoredEvent, Transport, TransportError};

/// What one read of a long one takes.
const PAGE: ReadLimit = ReadLimit { events: 1_000, bytes: 4 << 20 };

/// What a log keeps.
#[derive(Clone, Debug, Default)]
pub struct LogStats {
    /// Events kept.
    pub events: u64,
    /// Bytes of their topics and data.
    pub bytes: u64,
    /// The oldest event kept.
    pub oldest: Option<StoredEvent>,
    /// The newest event kept.
    pub newest: Option<StoredEvent>,
    /// Bytes on the disk, where that is known.
    pub disk_bytes: Option<u64>,
}

/// What a check of a whole log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Events that are as they were stored.
    pub sound: u64,
    /// What is not, a sentence each; at most the first hundred.
    pub damage: Vec<String>,
}

impl Verification {
    /// The most sentences that are kept.
    pub(super) const SENTENCES: usize = 100;

    /// Notes a damage.
    pub(super) fn note(&mut self, sentence: String) {
        if self.damage.len() < Self::SENTENCES {
            self.damage.push(sentence);
        }
    }
}

/// Reads the log from end to end and counts.
pub(super) async fn count<T: Transport + ?Sized>(transport: &T) -> Result<LogStats, TransportError> {
    let mut stats = LogStats::default();
    let mut after = Position::START;
    loop {
        let page = transport.read(after, Position(u64::MAX), PAGE, &ReadHint::default()).await?;
        for event in &page.events {
            stats.events += 1;
            stats.bytes += event.update.weight_bytes() as u64;
        }
        stats.oldest = stats.oldest.or_else(|| page.events.first().cloned());
        if page.events.is_empty() {
            return Ok(stats);
        }
        stats.newest = page.events.last().cloned();
        after = page.next;
    }
}

/// Reads the log from end to end; a page that cannot be read ends it, and is noted.
pub(super) async fn verify<T: Transport + ?Sized>(transport: &T) -> Result<Verification, TransportError> {
    let mut found = Verification::default();
    let mut after = Position::START;
    loop {
        match transport.read(after, Position(u64::MAX), PAGE, &ReadHint::default()).await {
            Ok(page) if page.events.is_empty() => return Ok(found),
            Ok(page) => {
                found.sound += page.events.len() as u64;
                after = page.next;
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                found.note(error.to_string());
                return Ok(found);
            }
            Err(error) => return Err(error),
        }
    }
}
