//! The store's housekeeping: closing segments of the index, discarding rows below the floor, giving disk space back,
//! checkpoints of the write-ahead log. One task per process; what must happen in one place at a time is guarded by a
//! lease in the log's state.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rusqlite::params;

use super::{Store, error::translate, schema, segment::segment_of, state::LogState, takeover, task};
use crate::transport::TransportError;

/// How often the task looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many intervals a discarded row stays, so that live tails that are a little behind still read it.
const GRACE_INTERVALS: usize = 5;

/// Rows removed in one transaction: a few milliseconds.
const DELETE_ROWS: u64 = 2_000;

/// Free pages that are kept for the next events, and how many are given back in one transaction.
const FREE_PAGES_KEPT: u64 = 1_024;
const VACUUM_PAGES: u64 = 1_024;

/// A write-ahead log of this size is checkpointed.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// How long the lease of the process that discards lasts.
const LEASE_MS: u64 = 5_000;

/// Runs until the store is closed.
pub(super) async fn run(store: Arc<Store>) {
    let mut floors = VecDeque::new();
    loop {
        tokio::select! {
            () = store.closed.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match round(&store, &mut floors).await {
            Ok(()) => {}
            Err(error) if store.closed.is_cancelled() => {
                tracing::debug!(%error, "housekeeping stopped");
                return;
            }
            Err(error) => tracing::warn!(%error, "housekeeping of the store failed; it is tried again"),
        }
    }
}

async fn round(store: &Arc<Store>, floors: &mut VecDeque<u64>) -> Result<(), TransportError> {
    close_segments(store).await?;
    let state = store.readers.run(|conn, _| Ok(LogState::load(conn)?)).await?;
    if store.config.retention.age.is_some() {
        expire(store).await?;
    }
    floors.push_back(state.floor);
    if floors.len() > GRACE_INTERVALS
        && let Some(floor) = floors.pop_front()
    {
        discard(store, floor).await?;
    }
    checkpoint(store).await
}

/// Brings the index up to date and stores its complete segments.
pub(super) async fn close_segments(store: &Arc<Store>) -> Result<(), TransportError> {
    let complete = store
        .readers
        .run(|conn, readers| {
            let mut index = readers.index.lock();
            index.catch_up(conn)?;
            Ok(index.complete())
        })
        .await?;
    for segment in complete {
        let segment = Arc::new(segment);
        let stored = Arc::clone(&segment);
        task::write(&store.writer, move |group| segment.store(group.conn)).await?;
        store.readers.index.lock().stored(&stored);
    }
    Ok(())
}

/// Raises the floor over events that are too old.
async fn expire(store: &Arc<Store>) -> Result<(), TransportError> {
    let oldest_ms = store.readers.oldest_ms();
    let stale = store
        .readers
        .run(move |conn, _| {
            Ok(conn
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM (SELECT at_ms FROM events
                     WHERE position > (SELECT floor FROM log_state) ORDER BY position LIMIT 1) WHERE at_ms < ?1)",
                )?
                .query_row([oldest_ms.cast_signed()], |row| row.get::<_, bool>(0))?)
        })
        .await?;
    if stale {
        task::write(&store.writer, move |group| {
            group.state.retain(group.conn, group.retention, Some(oldest_ms))?;
            group.state.store(group.conn)
        })
        .await?;
    }
    Ok(())
}

/// Removes rows up to `floor`, if this process holds the lease, and gives free pages back.
///
/// `floor` is one of a few seconds ago, and a take-over may have lowered the log's since, or be filling the rows below it:
/// each step looks at the log again.
pub(super) async fn discard(store: &Arc<Store>, floor: u64) -> Result<(), TransportError> {
    let (rows, free) = store
        .readers
        .run(move |conn, readers| {
            let floor = floor.min(LogState::load(conn)?.floor);
            readers.index.lock().forget_below(conn, floor)?;
            Ok((has_rows(conn, floor)?, free_pages(conn)?))
        })
        .await?;
    if !rows && free <= FREE_PAGES_KEPT || !lease(store).await? {
        return Ok(());
    }
    loop {
        let removed = task::write(&store.writer, move |group| {
            if takeover::is_under_way(group)? {
                return Ok(0);
            }
            let floor = floor.min(group.state.floor);
            let removed = group
                .conn
                .prepare_cached(
                    "DELETE FROM events WHERE position IN
                     (SELECT position FROM events WHERE position <= ?1 ORDER BY position LIMIT ?2)",
                )?
                .execute(params![floor.cast_signed(), DELETE_ROWS.cast_signed()])?;
            group
                .conn
                .prepare_cached("DELETE FROM segments WHERE segment < ?1")?
                .execute([segment_of(floor + 1).cast_signed()])?;
            Ok(removed as u64)
        })
        .await?;
        if removed < DELETE_ROWS {
            break;
        }
    }
    let mut free = u64::MAX;
    loop {
        let now = store.readers.run(|conn, _| Ok(free_pages(conn)?)).await?;
        // A file that does not shrink (somebody has rebuilt it without the setting) must not keep the writer busy.
        if now <= FREE_PAGES_KEPT || now >= free {
            break;
        }
        free = now;
        task::write(&store.writer, |group| {
            // The pragma frees a page for every row that it is stepped through.
            let mut statement = group.conn.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn has_rows(conn: &rusqlite::Connection, floor: u64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE position <= ?1)")?
        .query_row([floor.cast_signed()], |row| row.get(0))
}

fn free_pages(conn: &rusqlite::Connection) -> rusqlite::Result<u64> {
    conn.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Takes or renews the lease of the process that discards; `false` while another one holds it.
async fn lease(store: &Arc<Store>) -> Result<bool, TransportError> {
    // Zero is nobody's number.
    let own = store.instance;
    task::write(&store.writer, move |group| {
        if takeover::is_under_way(group)? {
            return Ok(false);
        }
        let taken = group
            .conn
            .prepare_cached(
                "UPDATE log_state SET maintainer = ?1, maintained_ms = ?2
                 WHERE maintainer = ?1 OR maintained_ms < ?3",
            )?
            .execute(params![
                own.cast_signed(),
                (group.now_ms + LEASE_MS).cast_signed(),
                group.now_ms.cast_signed()
            ])?;
        Ok(taken > 0)
    })
    .await
}

/// Copies the write-ahead log into the database when it has grown, on a connection of its own, so that no publisher
/// waits for it.
async fn checkpoint(store: &Arc<Store>) -> Result<(), TransportError> {
    let path = store.config.path.clone();
    let mut wal = path.clone().into_os_string();
    wal.push("-wal");
    if std::fs::metadata(wal).map_or(0, |metadata| metadata.len()) < CHECKPOINT_BYTES {
        return Ok(());
    }
    tokio::task::spawn_blocking(move || {
        let conn = schema::open_reader(&path)?;
        conn.pragma_update(None, "query_only", false)
            .and_then(|()| conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())))
            .map_err(|error| translate(&error, "cannot checkpoint the store", &path))
    })
    .await
    .map_err(|error| TransportError::unavailable(format!("a checkpoint was aborted: {error}")))?
}
