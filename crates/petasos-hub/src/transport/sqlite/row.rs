//! One event as a row: its columns, and the checksum that is verified whenever a row is read.

use rusqlite::{Connection, Row, params};

use crate::{
    Update,
    transport::{ErrorKind, Position, StoredEvent, TransportError},
};

/// The columns in the order in which [`decode`] reads them.
pub(super) const COLUMNS: &str = "position, at_ms, checksum, private, id, type, retry_ms, topics, data";

/// Stores an event at its position.
pub(super) fn insert(
    conn: &Connection,
    position: Position,
    at_ms: u64,
    update: &Update,
) -> rusqlite::Result<()> {
    let topics = encode_topics(update.topics());
    let checksum = checksum(position, update, &topics);
    conn.prepare_cached(
        "INSERT INTO events (position, at_ms, weight, checksum, private, id, type, retry_ms, topics, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        position.0.cast_signed(),
        at_ms.cast_signed(),
        update.weight_bytes() as u64 as i64,
        checksum,
        update.is_private(),
        update.id(),
        update.event_type(),
        update.retry_ms().map(u64::cast_signed),
        topics,
        update.data(),
    ])?;
    Ok(())
}

/// Reads a row of [`COLUMNS`].
///
/// # Errors
/// [`ErrorKind::Corrupt`] where the row is not what was stored: it is never served, and never skipped silently.
pub(super) fn decode(row: &Row<'_>) -> Result<StoredEvent, TransportError> {
    let position = Position(column::<i64>(row, 0)?.cast_unsigned());
    let topics: String = column(row, 7)?;
    let update = Update::from_stored(
        column(row, 4)?,
        decode_topics(&topics).ok_or_else(|| damaged(position))?,
        column(row, 8)?,
        column(row, 3)?,
        column(row, 5)?,
        column::<Option<i64>>(row, 6)?.map(i64::cast_unsigned),
    );
    if column::<u32>(row, 2)? != checksum(position, &update, &topics) {
        return Err(damaged(position));
    }
    Ok(StoredEvent {
        position,
        at_ms: column::<i64>(row, 1)?.cast_unsigned(),
        update: std::sync::Arc::new(update),
    })
}

/// Topics are stored as a JSON array, readable in any SQLite shell.
pub(super) fn encode_topics(topics: &[String]) -> String {
    serde_json::Value::from(topics).to_string()
}

/// The reverse of [`encode_topics`]; `None` for anything else.
pub(super) fn decode_topics(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T, TransportError> {
    row.get(index).map_err(|error| {
        TransportError::new(ErrorKind::Corrupt, format!("a row of the history cannot be read ({error})"))
    })
}

fn damaged(position: Position) -> TransportError {
    TransportError::new(
        ErrorKind::Corrupt,
        format!("the event at position {position} fails its checksum: the store is damaged"),
    )
}

fn checksum(position: Position, update: &Update, topics: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.0.to_le_bytes());
    // Lengths keep the fields apart.
    for field in [update.id(), update.event_type().unwrap_or_default(), topics, update.data()] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.update(&[u8::from(update.is_private()), u8::from(update.event_type().is_some())]);
    hasher.update(&update.retry_ms().map_or(0, |retry| retry.wrapping_add(1)).to_le_bytes());
    hasher.finalize()
}
