//! Presence in the store: subscriptions and the leases of their nodes, by the clock of the host they share.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use crate::{
    topic::MatchType,
    transport::{NodeId, PresenceFilter, SubscriptionRecord},
};

const COLUMNS: &str = "match_type, match_value, subscriber, node, payload";

pub(super) fn start(conn: &Connection, record: &SubscriptionRecord) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO subscriptions (match_type, match_value, subscriber, node, payload)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        record.match_type.as_str(),
        &*record.match_value,
        &*record.subscriber,
        record.node.0.to_be_bytes(),
        record.payload.as_deref()
    ])?;
    Ok(())
}

/// Whether it was there, and of this node.
pub(super) fn end(conn: &Connection, record: &SubscriptionRecord) -> rusqlite::Result<bool> {
    let removed = conn
        .prepare_cached(
            "DELETE FROM subscriptions
             WHERE match_type = ?1 AND match_value = ?2 AND subscriber = ?3 AND node = ?4",
        )?
        .execute(params![
            record.match_type.as_str(),
            &*record.match_value,
            &*record.subscriber,
            record.node.0.to_be_bytes()
        ])?;
    Ok(removed > 0)
}

/// Whether the node's lease was still running.
pub(super) fn renew(conn: &Connection, node: NodeId, now_ms: u64, expires_ms: u64) -> rusqlite::Result<bool> {
    // A row whose time is up is no lease: it stays until others have ended all that the node left.
    let known = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM nodes WHERE node = ?1 AND expires_ms >= ?2)")?
        .query_row(params![node.0.to_be_bytes(), now_ms.cast_signed()], |row| row.get(0))?;
    conn.prepare_cached("INSERT OR REPLACE INTO nodes (node, expires_ms) VALUES (?1, ?2)")?
        .execute(params![node.0.to_be_bytes(), expires_ms.cast_signed()])?;
    Ok(known)
}

/// The active subscriptions that pass, in the order of match type, value and subscriber.
pub(super) fn list(conn: &Connection, filter: &PresenceFilter) -> rusqlite::Result<Vec<SubscriptionRecord>> {
    // Each condition is given only where it narrows, so that an index serves it.
    let mut sql = format!("SELECT {COLUMNS} FROM subscriptions WHERE TRUE");
    let mut values: Vec<rusqlite::types::Value> = Vec::new();
    if let Some((match_type, value)) = &filter.matcher {
        sql.push_str(" AND match_type = ? AND match_value = ?");
        values.push(match_type.as_str().to_owned().into());
        values.push(value.clone().into());
    }
    if let Some(subscriber) = &filter.subscriber {
        sql.push_str(" AND subscriber = ?");
        values.push(subscriber.clone().into());
    }
    if let Some(node) = filter.node {
        sql.push_str(" AND node = ?");
        values.push(node.0.to_be_bytes().to_vec().into());
    }
    sql.push_str(" ORDER BY match_type, match_value, subscriber");
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_map(rusqlite::params_from_iter(values), record)?.collect()
}

/// Subscriptions of nodes whose lease has run out or that never had one.
pub(super) fn expired(
    conn: &Connection,
    now_ms: u64,
    limit: usize,
) -> rusqlite::Result<Vec<SubscriptionRecord>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM subscriptions
         WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.node = subscriptions.node AND expires_ms >= ?1)
         LIMIT ?2"
    ))?;
    statement.query_map(params![now_ms.cast_signed(), limit as u64 as i64], record)?.collect()
}

/// Whether a node's lease has run out.
pub(super) fn has_dead_nodes(conn: &Connection, now_ms: u64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM nodes WHERE expires_ms < ?1)")?
        .query_row([now_ms.cast_signed()], |row| row.get(0))
}

/// Forgets nodes whose lease has run out and that have no subscriptions left.
pub(super) fn forget_dead_nodes(conn: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "DELETE FROM nodes WHERE expires_ms < ?1
         AND NOT EXISTS (SELECT 1 FROM subscriptions WHERE subscriptions.node = nodes.node)",
    )?
    .execute([now_ms.cast_signed()])?;
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<SubscriptionRecord> {
    let match_type: String = row.get(0)?;
    let node: [u8; 16] = row.get(3)?;
    Ok(SubscriptionRecord {
        node: NodeId(u128::from_be_bytes(node)),
        subscriber: row.get(2)?,
        match_type: MatchType::from_stored(&match_type).ok_or(rusqlite::Error::InvalidColumnType(
            0,
            "match_type".into(),
            rusqlite::types::Type::Text,
        ))?,
        match_value: row.get(1)?,
        payload: row.get::<_, Option<Arc<str>>>(4)?,
    })
}
