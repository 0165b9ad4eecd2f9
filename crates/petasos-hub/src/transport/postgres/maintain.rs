//! The log's housekeeping: retention by age while nobody appends, and removing rows that retention has discarded. One task
//! per transport; a lock of the database keeps two from removing at once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Store, connect::Fault, read, row};
use crate::transport::{Retention, TransportError};

/// How often the task looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many intervals a discarded row stays, so that live tails that are a little behind still read it.
const GRACE_INTERVALS: usize = 5;

/// Rows removed in one transaction: a few milliseconds.
const REMOVE_ROWS: i64 = 2_000;

/// Runs until the transport is closed.
pub(super) async fn run(store: Arc<Store>, retention: Retention) {
    let mut floors = VecDeque::new();
    let mut failing = false;
    loop {
        tokio::select! {
            () = store.closed.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let ended = tokio::select! {
            () = store.closed.cancelled() => return,
            ended = round(&store, retention, &mut floors) => ended,
        };
        match ended {
            Ok(()) => failing = false,
            // Told once: the writer says that a server is gone, and when it is back.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "housekeeping of the log failed; trying again");
            }
            Err(_) => {}
        }
    }
}

async fn round(
    store: &Arc<Store>,
    retention: Retention,
    floors: &mut VecDeque<i64>,
) -> Result<(), TransportError> {
    let oldest_ms = store.oldest_ms().cast_signed();
    let (floor, stale, has_rows) = store
        .pool
        .ask("cannot look after the log", |session| async move {
            let statement = session.prepared(&store.sql.stale).await?;
            let row = session.client.query_one(&statement, &[&oldest_ms]).await?;
            let read = || Ok((row::get(&row, 0)?, row::get(&row, 1)?, row::get(&row, 2)?));
            read().map_err(Fault::Answer)
        })
        .await?;
    if stale {
        retain(store, retention).await?;
    }
    floors.push_back(floor);
    if floors.len() <= GRACE_INTERVALS {
        return Ok(());
    }
    match floors.pop_front() {
        Some(floor) if has_rows => remove(store, floor).await,
        _ => Ok(()),
    }
}

async fn retain(store: &Store, retention: Retention) -> Result<(), TransportError> {
    let (events, bytes) = (read::signed(retention.events), read::signed(retention.bytes));
    let oldest_ms = store.oldest_ms();
    let oldest_ms = (oldest_ms > 0).then_some(oldest_ms.cast_signed());
    store
        .pool
        .ask("cannot discard old events", |session| async move {
            let statement = session.prepared(&store.sql.retain).await?;
            Ok(session.client.query_one(&statement, &[&events, &bytes, &oldest_ms]).await.map(|_| ())?)
        })
        .await
}

/// Removes rows up to `floor`, unless another node is at it.
pub(super) async fn remove(store: &Store, floor: i64) -> Result<(), TransportError> {
    loop {
        let removed: i64 = store
            .pool
            .ask("cannot remove discarded events", |session| async move {
                let statement = session.prepared(&store.sql.remove).await?;
                let row = session.client.query_one(&statement, &[&floor, &REMOVE_ROWS]).await?;
                row::get(&row, 0).map_err(Fault::Answer)
            })
            .await?;
        if removed < REMOVE_ROWS {
            return Ok(());
        }
    }
}
