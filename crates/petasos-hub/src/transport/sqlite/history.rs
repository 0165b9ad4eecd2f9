//! Looking after a store by hand: what is kept, importing, discarding, verifying. Safe while hubs run on it.

use std::sync::Arc;

use rusqlite::Connection;

use super::{Store, read::ReadError, row, state::LogState, task, writer::Group};
use crate::transport::{LogStats, Position, StoredEvent, TransportError, Verification};

/// Rows verified in one read: short enough that the write-ahead log can be reset between two.
const VERIFY_ROWS: u64 = 5_000;

/// See [`crate::transport::Transport::stats`].
pub(super) async fn stats(store: &Arc<Store>) -> Result<LogStats, TransportError> {
    let path = store.config.path.clone();
    store
        .readers
        .run(move |conn, _| {
            let state = LogState::load(conn)?;
            let size = |suffix: &str| {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                // Only looks at the metadata: opening the file would drop SQLite's locks.
                std::fs::metadata(name).map_or(0, |metadata| metadata.len())
            };
            Ok(LogStats {
                events: state.events,
                bytes: state.bytes,
                oldest: edge(conn, state.floor, "ASC")?,
                newest: edge(conn, state.floor, "DESC")?,
                disk_bytes: Some(size("") + size("-wal")),
            })
        })
        .await
}

fn edge(conn: &Connection, floor: u64, order: &str) -> Result<Option<StoredEvent>, ReadError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM events WHERE position > ?1 ORDER BY position {order} LIMIT 1",
        row::COLUMNS
    ))?;
    let mut rows = statement.query([floor.cast_signed()])?;
    rows.next()?.map(|row| row::decode(row).map_err(ReadError::Event)).transpose()
}

/// See [`crate::transport::Transport::import`].
pub(super) async fn import(store: &Arc<Store>, events: Vec<StoredEvent>) -> Result<(), TransportError> {
    task::write(&store.writer, move |group: &mut Group<'_>| {
        for event in &events {
            group.append(event.at_ms, &event.update)?;
        }
        Ok(())
    })
    .await
}

/// See [`crate::transport::Transport::discard`].
pub(super) async fn discard(store: &Arc<Store>, until: Position) -> Result<u64, TransportError> {
    task::write(&store.writer, move |group: &mut Group<'_>| {
        let until = until.0.min(group.state.head());
        if until <= group.state.floor {
            return Ok(0);
        }
        let (events, bytes): (i64, i64) = group
            .conn
            .prepare_cached(
                "SELECT count(*), ifnull(sum(weight), 0) FROM events WHERE position > ?1 AND position <= ?2",
            )?
            .query_row((group.state.floor.cast_signed(), until.cast_signed()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        group.state.floor = until;
        group.state.events = group.state.events.saturating_sub(events.cast_unsigned());
        group.state.bytes = group.state.bytes.saturating_sub(bytes.cast_unsigned());
        group.state.store(group.conn)?;
        Ok(events.cast_unsigned())
    })
    .await
}

/// See [`crate::transport::Transport::verify`].
pub(super) async fn verify(store: &Arc<Store>) -> Result<Verification, TransportError> {
    let mut found = store.readers.run(|conn, _| Ok(structure(conn)?)).await?;
    let mut after = None;
    loop {
        let (part, last) = store.readers.run(move |conn, _| Ok(rows(conn, after)?)).await?;
        found.sound += part.sound;
        part.damage.into_iter().for_each(|sentence| found.note(sentence));
        match last {
            Some(last) => after = Some(last),
            None => return Ok(found),
        }
    }
}

/// SQLite's own check of its pages and indexes, and that the state agrees with the rows.
fn structure(conn: &Connection) -> rusqlite::Result<Verification> {
    let mut found = Verification::default();
    let mut statement = conn.prepare("PRAGMA integrity_check(100)")?;
    let mut lines = statement.query([])?;
    while let Some(line) = lines.next()? {
        let line: String = line.get(0)?;
        if line != "ok" {
            found.note(format!("the database: {line}"));
        }
    }
    let state = LogState::load(conn)?;
    let (events, bytes, last): (i64, i64, Option<i64>) = conn.query_row(
        "SELECT count(*), ifnull(sum(weight), 0), max(position) FROM events WHERE position > ?1",
        [state.floor.cast_signed()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if (events.cast_unsigned(), bytes.cast_unsigned()) != (state.events, state.bytes) {
        found.note(format!(
            "the log counts {} events and {} bytes, but there are {events} and {bytes}",
            state.events, state.bytes
        ));
    }
    if last.is_some_and(|last| last.cast_unsigned() >= state.next_position) {
        found.note("there are events above the head of the log".to_owned());
    }
    Ok(found)
}

/// Checks the next rows, and returns the position to go on from.
fn rows(conn: &Connection, after: Option<u64>) -> rusqlite::Result<(Verification, Option<u64>)> {
    let floor = LogState::load(conn)?.floor;
    let after = after.unwrap_or(floor).max(floor);
    let mut found = Verification::default();
    let mut last = None;
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM events WHERE position > ?1 ORDER BY position LIMIT ?2",
        row::COLUMNS
    ))?;
    let mut rows = statement.query((after.cast_signed(), VERIFY_ROWS.cast_signed()))?;
    while let Some(row) = rows.next()? {
        last = Some(row.get::<_, i64>(0)?.cast_unsigned());
        match row::decode(row) {
            Ok(_) => found.sound += 1,
            Err(error) => found.note(error.to_string()),
        }
    }
    Ok((found, last))
}
