//! When updates were published: the file does not say, but ids of the hub's making do.

use uuid::{Uuid, Variant};

use super::BoltUpdate;
use super::cursor::{Cursor, Entry};
use super::error::BoltError;
use super::updates::{Updates, key};

/// The length of a UUID with hyphens. Other spellings are not read: 32 digits are often something else.
const HYPHENATED_BYTES: usize = 36;

/// Updates that all have a time; see [`BoltFile::timed_updates`](super::BoltFile::timed_updates).
#[derive(Debug)]
pub struct TimedUpdates<'f> {
    updates: Updates<'f>,
    /// The time for an update that has none.
    neighbour_ms: u64,
}

impl<'f> TimedUpdates<'f> {
    /// `first_ms` is for updates before the first one that has a time.
    pub(super) fn new(updates: Updates<'f>, first_ms: u64) -> Self {
        Self { updates, neighbour_ms: first_ms }
    }
}

impl Iterator for TimedUpdates<'_> {
    type Item = Result<BoltUpdate, BoltError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut update = match self.updates.next()? {
            Ok(update) => update,
            Err(error) => return Some(Err(error)),
        };
        self.neighbour_ms = update.at_ms.unwrap_or(self.neighbour_ms);
        update.at_ms = Some(self.neighbour_ms);
        Some(Ok(update))
    }
}

/// The milliseconds since 1970 in an id that is a UUID of version 7, with or without `urn:uuid:`.
pub(super) fn of_id(id: &str) -> Option<u64> {
    let id = id.strip_prefix("urn:uuid:").unwrap_or(id);
    if id.len() != HYPHENATED_BYTES {
        return None;
    }
    let uuid = Uuid::try_parse(id).ok()?;
    let is_v7 = uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122;
    // The first 48 of the 128 bits.
    is_v7.then(|| uuid.as_u64_pair().0 >> 16)
}

/// The first time in the keys that `cursor` walks over. What cannot be read is left to who reads the updates.
///
/// # Errors
/// [`BoltError::Io`].
pub(super) fn first_known(mut cursor: Cursor<'_>) -> Result<Option<u64>, BoltError> {
    while let Some(entry) = cursor.next() {
        match entry {
            Ok(Entry::Value(_)) => {}
            Err(error @ BoltError::Io { .. }) => return Err(error),
            Ok(Entry::Bucket(_)) | Err(_) => continue,
        }
        let id = key(&cursor).ok().and_then(|(_, id)| std::str::from_utf8(id).ok());
        if let Some(at_ms) = id.and_then(of_id) {
            return Ok(Some(at_ms));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_of_version_7_tells_the_time() {
        let at_ms = Some(0x01a2_0a7b_4853);
        assert_eq!(of_id("urn:uuid:01a20a7b-4853-7bf5-b1cd-5d9593a843c8"), at_ms);
        assert_eq!(of_id("01A20A7B-4853-7BF5-B1CD-5D9593A843C8"), at_ms);
        for id in [
            "",
            "urn:uuid:",
            "urn:x:1",
            // Version 4.
            "urn:uuid:01a20a7b-4853-4bf5-b1cd-5d9593a843c8",
            // Another variant.
            "urn:uuid:01a20a7b-4853-7bf5-c1cd-5d9593a843c8",
            // Other spellings.
            "01a20a7b48537bf5b1cd5d9593a843c8",
            "{01a20a7b-4853-7bf5-b1cd-5d9593a843c8}",
            "01a20a7b-4853-7bf5-b1cd-5d9593a843cé",
        ] {
            assert_eq!(of_id(id), None, "{id}");
        }
    }
}
