//! Presence in the database: subscriptions and the leases of their nodes, by the server's clock.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    Store,
    connect::{Fault, PROMPT},
    continuity, maintain, read, row,
};
use crate::{
    topic::MatchType,
    transport::{ErrorKind, NodeId, PresenceFilter, PresenceSnapshot, SubscriptionRecord, TransportError},
};

/// The nodes of this process that have a lease, and how often the log had broken off when they took it.
pub(super) type Leases = Mutex<HashMap<NodeId, u64>>;

/// See [`crate::transport::Transport::renew`].
pub(super) async fn renew(store: &Store, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
    let breaks = store.continuity.breaks().borrow().count;
    let id = Uuid::from_u128(node.0);
    let known = store.leases.lock().get(&node).copied();
    if known.is_some_and(|known| known != breaks) {
        // The log that there is now may lack what this node has announced: it does so again, as another node.
        let ask = |session: std::sync::Arc<super::connect::Session>| async move {
            let statement = session.prepared(&store.sql.let_expire).await?;
            Ok(session.client.execute(&statement, &[&id]).await?)
        };
        store.urgent.ask_for("cannot end a lease", PROMPT, ask).await?;
        store.leases.lock().remove(&node);
        return Ok(false);
    }
    let seconds = lease.as_secs_f64();
    let ran = store
        .urgent
        .ask_for("cannot renew the lease of this node", PROMPT, |session| async move {
            let statement = session.prepared(&store.sql.renew).await?;
            let row = session.client.query_one(&statement, &[&id, &seconds]).await?;
            row::get::<bool>(&row, 0).map_err(Fault::Answer)
        })
        .await?;
    store.leases.lock().insert(node, breaks);
    Ok(ran)
}

/// See [`crate::transport::Transport::presence`].
pub(super) async fn list(store: &Store, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
    // Each condition is given only where it narrows, so that an index serves it.
    let mut sql = store.sql.presence.clone();
    let (kind, value) = match &filter.matcher {
        Some((kind, value)) => (kind.as_str(), value.as_bytes()),
        None => ("", &b""[..]),
    };
    let subscriber = filter.subscriber.as_deref().unwrap_or_default().as_bytes();
    let node = filter.node.map(|node| Uuid::from_u128(node.0)).unwrap_or_default();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let mut add = |condition: &str, value| {
        parameters.push(value);
        sql.push_str(&format!(" AND {condition} = ${}", parameters.len()));
    };
    if filter.matcher.is_some() {
        add("p.match_type", &kind);
        add("p.match_value", &value);
    }
    if filter.subscriber.is_some() {
        add("p.subscriber", &subscriber);
    }
    if filter.node.is_some() {
        add("p.node", &node);
    }
    sql.push_str(" ORDER BY p.match_type, p.match_value, p.subscriber");
    let (sql, parameters) = (&sql, &parameters[..]);
    let rows = store
        .pool
        .ask("cannot list subscriptions", |session| async move {
            let statement = session.prepared(sql).await?;
            Ok(session.client.query(&statement, parameters).await?)
        })
        .await?;
    let Some(first) = rows.first() else { return Err(read::no_state()) };
    let (head, mark) = continuity::read_head(first)?;
    store.continuity.note(mark);
    let mut subscriptions = Vec::new();
    for row in &rows {
        // An outer join: one row without a subscription where there is none.
        if row::get::<Option<String>>(row, 3)?.is_some() {
            subscriptions.push(record(row, 3)?);
        }
    }
    Ok(PresenceSnapshot { head, subscriptions })
}

/// See [`crate::transport::Transport::expired`].
pub(super) async fn expired(store: &Store, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
    let limit = read::signed(limit as u64);
    let (rows, has_dead_nodes) = store
        .urgent
        .ask("cannot list subscriptions of dead nodes", |session| async move {
            let statement = session.prepared(&store.sql.expired).await?;
            let rows = session.client.query(&statement, &[&limit]).await?;
            let statement = session.prepared(&store.sql.has_dead_nodes).await?;
            let has_dead_nodes: bool = session.client.query_one(&statement, &[]).await?.try_get(0)?;
            Ok((rows, has_dead_nodes))
        })
        .await?;
    if rows.is_empty() && has_dead_nodes {
        maintain::forget(store).await?;
    }
    rows.iter().map(|row| record(row, 0)).collect()
}

fn record(row: &Row, first: usize) -> Result<SubscriptionRecord, TransportError> {
    let damaged = || TransportError::new(ErrorKind::Corrupt, "a stored subscription cannot be read");
    let text = |index| {
        let bytes = row::get::<Option<Vec<u8>>>(row, first + index)?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| damaged())).transpose()
    };
    let match_type: String = row::get(row, first)?;
    Ok(SubscriptionRecord {
        node: NodeId(row::get::<Uuid>(row, first + 3)?.as_u128()),
        match_type: MatchType::from_stored(&match_type).ok_or_else(damaged)?,
        match_value: text(1)?.ok_or_else(damaged)?.into(),
        subscriber: text(2)?.ok_or_else(damaged)?.into(),
        payload: text(4)?.map(Into::into),
    })
}
