//! Looking after a log by hand: what is kept, importing, discarding, verifying. Safe while hubs run on it.

use std::time::Duration;

use super::{Store, connect::Fault, group, maintain::DISCARD_EVENTS, read, row};
use crate::transport::{Append, LogStats, Position, StoredEvent, TransportError, Verification};

/// How long a count of everything may take.
const LONG: Duration = Duration::from_secs(600);

/// Rows verified at once.
const VERIFY_ROWS: i64 = 5_000;

/// See [`crate::transport::Transport::stats`].
pub(super) async fn stats(store: &Store) -> Result<LogStats, TransportError> {
    let age_ms = store.age_ms();
    let schema = store.config.quoted_schema();
    let schema = &schema;
    store
        .pool
        .ask("cannot look at the log", |session| async move {
            let statement = session.prepared(&store.sql.stats).await?;
            let row = session.client.query_one(&statement, &[schema]).await?;
            let mut edges = Vec::new();
            for sql in [&store.sql.oldest, &store.sql.newest] {
                let statement = session.prepared(sql).await?;
                let row = session.client.query_opt(&statement, &[&age_ms]).await?;
                let event = row.map(|row| row::decode(&row, 0)).transpose().map_err(Fault::Answer)?;
                edges.push(event.flatten());
            }
            let newest = edges.pop().flatten();
            Ok(LogStats {
                events: row.try_get::<_, i64>(0)?.cast_unsigned(),
                bytes: row.try_get::<_, i64>(1)?.cast_unsigned(),
                oldest: edges.pop().flatten(),
                newest,
                disk_bytes: row.try_get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            })
        })
        .await
}

/// See [`crate::transport::Transport::import`].
pub(super) async fn import(store: &Store, events: Vec<StoredEvent>) -> Result<(), TransportError> {
    if events.is_empty() {
        return Ok(());
    }
    let times: Vec<u64> = events.iter().map(|event| event.at_ms).collect();
    let entries: Vec<Append> =
        events.into_iter().map(|event| Append { update: event.update, presence: None }).collect();
    let (times, entries) = (&times, &entries);
    // Not asked twice: it has no sequence by which a first attempt could be known.
    store
        .pool
        .ask_once("cannot import into the log", LONG, |session| async move {
            group::append(&session, &store.sql, None, store.config.retention, entries, times).await
        })
        .await
        .map(|_| ())
}

/// See [`crate::transport::Transport::discard`].
pub(super) async fn discard(store: &Store, until: Position) -> Result<u64, TransportError> {
    let until = read::signed(until.0);
    let mut discarded = 0;
    loop {
        // In steps: appends wait no longer than one takes.
        let gone = store
            .pool
            .ask_for("cannot discard events", LONG, |session| async move {
                let statement = session.prepared(&store.sql.discard).await?;
                let row = session.client.query_one(&statement, &[&until, &DISCARD_EVENTS]).await?;
                row::get::<i64>(&row, 0).map_err(Fault::Answer)
            })
            .await?;
        discarded += gone.cast_unsigned();
        if gone < DISCARD_EVENTS {
            return Ok(discarded);
        }
    }
}

/// See [`crate::transport::Transport::verify`].
pub(super) async fn verify(store: &Store) -> Result<Verification, TransportError> {
    let mut found = Verification::default();
    audit(store, &mut found).await?;
    let mut after = 0_i64;
    loop {
        let rows = store
            .pool
            .ask_for("cannot verify the log", LONG, |session| async move {
                let statement = session.prepared(&store.sql.rows).await?;
                Ok(session.client.query(&statement, &[&after, &VERIFY_ROWS]).await?)
            })
            .await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = row::get(last, 0)?;
        for row in &rows {
            match row::decode(row, 0) {
                Ok(_) => found.sound += 1,
                Err(error) => found.note(error.to_string()),
            }
        }
    }
}

/// Whether the state agrees with the rows.
async fn audit(store: &Store, found: &mut Verification) -> Result<(), TransportError> {
    let row = store
        .pool
        .ask_for("cannot verify the log", LONG, |session| async move {
            let statement = session.prepared(&store.sql.audit).await?;
            Ok(session.client.query_opt(&statement, &[]).await?)
        })
        .await?;
    let Some(row) = row else {
        found.note(read::no_state().to_string());
        return Ok(());
    };
    let number = |index| row::get::<i64>(&row, index);
    let (events, bytes, counted, summed) = (number(0)?, number(1)?, number(2)?, number(3)?);
    if (events, bytes) != (counted, summed) {
        found.note(format!(
            "the log counts {events} events and {bytes} bytes, but there are {counted} and {summed}"
        ));
    }
    if row::get(&row, 4)? {
        found.note("there are events above the head of the log".to_owned());
    }
    Ok(())
}
