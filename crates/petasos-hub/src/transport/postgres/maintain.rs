//! The log's housekeeping: retention by age while nobody appends, removing rows that retention has discarded, and
//! forgetting nodes and writers that are long gone. One task
//! per transport; a lock of the database keeps two from removing at once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_postgres::types::ToSql;

use super::{
    Store,
    connect::{Fault, Session},
    group::Bounds,
    row,
    sql::Sql,
};
use crate::transport::{Retention, TransportError};

/// How often the task looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many intervals a discarded row stays, so that live tails that are a little behind still read it.
const GRACE_INTERVALS: usize = 5;

/// Rows removed in one transaction: a few milliseconds.
const REMOVE_ROWS: i64 = 2_000;

/// Events that retention discards in one transaction, for which appends wait: a tenth of a second.
pub(super) const DISCARD_EVENTS: i64 = 50_000;

/// How often those that are gone are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// Runs until the transport is closed.
pub(super) async fn run(store: Arc<Store>) {
    let mut floors = VecDeque::new();
    let mut forget_at = Instant::now() + FORGET_INTERVAL;
    let mut failing = false;
    loop {
        tokio::select! {
            () = store.closed.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let ended = tokio::select! {
            () = store.closed.cancelled() => return,
            ended = round(&store, &mut floors, &mut forget_at) => ended,
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
    floors: &mut VecDeque<i64>,
    forget_at: &mut Instant,
) -> Result<(), TransportError> {
    if *forget_at <= Instant::now() {
        forget(store).await?;
        *forget_at = Instant::now() + FORGET_INTERVAL;
    }
    let Some(retention) = store.config.retention else { return Ok(()) };
    let age_ms = store.age_ms();
    let (floor, stale, has_rows) = store
        .urgent
        .ask("cannot look after the log", |session| async move {
            let statement = session.prepared(&store.sql.stale).await?;
            let row = session.client.query_one(&statement, &[&age_ms]).await?;
            let read = || Ok((row::get(&row, 0)?, row::get(&row, 1)?, row::get(&row, 2)?));
            read().map_err(Fault::Answer)
        })
        .await?;
    if stale {
        while retain(store, retention).await? {}
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

/// One step of retention. Returns whether there may be more to do.
async fn retain(store: &Store, retention: Retention) -> Result<bool, TransportError> {
    store
        .urgent
        .ask("cannot discard old events", |session| async move {
            retain_on(&session, &store.sql, retention).await
        })
        .await
}

/// As [`retain`], on this connection.
pub(super) async fn retain_on(session: &Session, sql: &Sql, retention: Retention) -> Result<bool, Fault> {
    let bounds = Bounds::of(Some(retention));
    let statement = session.prepared(&sql.retain).await?;
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&bounds.events, &bounds.bytes, &bounds.age_ms, &DISCARD_EVENTS];
    Ok(session.client.query_one(&statement, &parameters).await?.try_get(0)?)
}

/// Forgets nodes and writers that are long gone.
pub(super) async fn forget(store: &Store) -> Result<(), TransportError> {
    store
        .urgent
        .ask("cannot forget dead nodes", |session| async move {
            let statement = session.prepared(&store.sql.forget).await?;
            Ok(session.client.query_one(&statement, &[]).await.map(|_| ())?)
        })
        .await
}

/// Removes rows up to `floor`, unless another node is at it.
pub(super) async fn remove(store: &Store, floor: i64) -> Result<(), TransportError> {
    loop {
        let removed: i64 = store
            .urgent
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
