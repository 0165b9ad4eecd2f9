//! One event as a row: its columns, its hashes, and the checksum that is verified whenever a row is read.

use std::sync::Arc;

use tokio_postgres::Row;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::{
    Update,
    transport::{ErrorKind, Position, StoredEvent, SubscriptionRecord, TransportError},
};

/// The columns in the order in which [`decode`] reads them.
pub(super) const COLUMNS: &str =
    "e.position, e.at_ms, e.retry_ms, e.checksum, e.private, e.id, e.type, e.topics, e.data";

/// The topic hash of an event with several topics.
const SEVERAL: i64 = 0;

/// Reads the columns from the index `first` on; `None` where they are null, as in an outer join.
///
/// # Errors
/// [`ErrorKind::Corrupt`] where the row is not what was stored: it is never served, and never skipped silently.
pub(super) fn decode(row: &Row, first: usize) -> Result<Option<StoredEvent>, TransportError> {
    let Some(position) = get::<Option<i64>>(row, first)? else { return Ok(None) };
    let position = Position(position.cast_unsigned());
    let read = || {
        let topics: &[u8] = row.try_get(first + 7).ok()?;
        let update = Update::from_stored(
            text(row, first + 5)??,
            serde_json::from_slice(topics).ok()?,
            text(row, first + 8)??,
            row.try_get(first + 4).ok()?,
            text(row, first + 6)?,
            row.try_get::<_, Option<i64>>(first + 2).ok()?.map(i64::cast_unsigned),
        );
        let at_ms = row.try_get::<_, i64>(first + 1).ok()?.cast_unsigned();
        let sound = row.try_get::<_, i32>(first + 3).ok()? == checksum(at_ms, &update, topics);
        sound.then(|| StoredEvent { position, at_ms, update: Arc::new(update) })
    };
    read().map(Some).ok_or_else(|| {
        TransportError::new(
            ErrorKind::Corrupt,
            format!("the event at position {position} fails its checksum: the database is damaged, or was changed by hand"),
        )
    })
}

/// The outer `None` is what cannot be read.
fn text(row: &Row, index: usize) -> Option<Option<String>> {
    match row.try_get::<_, Option<Vec<u8>>>(index).ok()? {
        None => Some(None),
        Some(bytes) => String::from_utf8(bytes).ok().map(Some),
    }
}

/// Reads a column of a row.
///
/// # Errors
/// [`ErrorKind::Corrupt`] where it is not what the schema says.
pub(super) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    index: usize,
) -> Result<T, TransportError> {
    row.try_get(index).map_err(|error| {
        TransportError::new(ErrorKind::Corrupt, format!("a row of the log cannot be read: {error}"))
    })
}

/// Topics are stored as a JSON array.
pub(super) fn encode_topics(topics: &[String]) -> Vec<u8> {
    serde_json::Value::from(topics).to_string().into_bytes()
}

/// What an event that was appended at this time is checked by.
pub(super) fn checksum(at_ms: u64, update: &Update, topics: &[u8]) -> i32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at_ms.to_le_bytes());
    // Lengths keep the fields apart.
    for field in [
        update.id().as_bytes(),
        update.event_type().unwrap_or_default().as_bytes(),
        topics,
        update.data().as_bytes(),
    ] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.update(&[u8::from(update.is_private()), u8::from(update.event_type().is_some())]);
    hasher.update(&update.retry_ms().map_or(0, |retry| retry.wrapping_add(1)).to_le_bytes());
    hasher.finalize().cast_signed()
}

/// By what an id is found.
pub(super) fn id_hash(id: &str) -> i64 {
    xxh3_64(id.as_bytes()).cast_signed()
}

/// By what an event is found for a topic.
pub(super) fn topics_hash(topics: &[String]) -> i64 {
    match topics {
        [topic] => topic_hash(topic),
        _ => SEVERAL,
    }
}

/// What may belong to an event with one of these topics.
pub(super) fn wanted_hashes(topics: &[String]) -> Vec<i64> {
    topics.iter().map(|topic| topic_hash(topic)).chain([SEVERAL]).collect()
}

fn topic_hash(topic: &str) -> i64 {
    match xxh3_64(topic.as_bytes()).cast_signed() {
        SEVERAL => 1,
        hash => hash,
    }
}

/// By what a subscription is found.
pub(super) fn subscription_key(record: &SubscriptionRecord) -> uuid::Uuid {
    let mut bytes = Vec::new();
    for field in [record.match_type.as_str(), &record.match_value, &record.subscriber] {
        bytes.extend((field.len() as u64).to_le_bytes());
        bytes.extend(field.as_bytes());
    }
    uuid::Uuid::from_u128(xxh3_128(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_are_stored() {
        // A change here would lose every event that is there.
        assert_eq!(id_hash("urn:x:1"), xxh3_64(b"urn:x:1").cast_signed());
        let one = topics_hash(&["a".to_owned()]);
        assert!(wanted_hashes(&["b".to_owned(), "a".to_owned()]).contains(&one));
        assert_eq!(topics_hash(&["a".to_owned(), "b".to_owned()]), SEVERAL);
        assert!(wanted_hashes(&["a".to_owned()]).contains(&SEVERAL));
    }

    #[test]
    fn the_checksum_covers_every_field() {
        let update = |id: &str, topic: &str, data: &str, private, kind: Option<&str>, retry| {
            let topics = vec![topic.to_owned()];
            let update = Update::from_stored(
                id.into(),
                topics.clone(),
                data.into(),
                private,
                kind.map(Into::into),
                retry,
            );
            checksum(1, &update, &encode_topics(&topics))
        };
        let sums = [
            update("i", "t", "d", false, None, None),
            update("j", "t", "d", false, None, None),
            update("i", "u", "d", false, None, None),
            update("i", "t", "e", false, None, None),
            update("i", "t", "d", true, None, None),
            update("i", "t", "d", false, Some(""), None),
            update("i", "t", "d", false, None, Some(0)),
        ];
        assert_eq!(sums.iter().collect::<std::collections::HashSet<_>>().len(), sums.len());
    }
}
