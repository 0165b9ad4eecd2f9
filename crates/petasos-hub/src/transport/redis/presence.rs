//! Presence: leases by the server's clock, and the list of subscriptions. What begins and ends is part of the appends.

use std::time::Duration;

use redis::{Value, from_redis_value};

use super::{Engine, error::unexpected, read::read_head};
use crate::transport::{
    NodeId, PresenceFilter, PresenceSnapshot, SubscriptionRecord, TransportError, remote::wire,
};

/// How much of a stored record is its node.
const NODE_BYTES: usize = 36;

/// Nodes whose leases are remembered: a process is another node only where it let its lease run out.
const LEASES: usize = 64;

/// See [`crate::transport::Transport::renew`].
pub(super) async fn renew(engine: &Engine, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
    let (name, token) = (uuid::Uuid::from_u128(node.0).to_string(), uuid::Uuid::new_v4().to_string());
    let lease_ms = lease.as_millis().min(1 << 50).to_string();
    let answer = engine.run(&engine.programs.renew, &[&name, &lease_ms, &token]).await?;
    let since = from_redis_value::<String>(answer).map_err(|_| unexpected("a lease"))?;
    let mut leases = engine.leases.lock();
    if leases.len() >= LEASES && !leases.contains_key(&node) {
        leases.clear();
    }
    Ok(match leases.insert(node, since.clone()) {
        // The same renewal as last time has begun it, whatever was not answered since.
        Some(known) => known == since,
        None => since != token,
    })
}

/// See [`crate::transport::Transport::presence`].
pub(super) async fn list(
    engine: &Engine,
    filter: &PresenceFilter,
) -> Result<PresenceSnapshot, TransportError> {
    let answer = engine.run(&engine.programs.list, &[]).await?;
    let (state, records) = from_redis_value::<(Vec<Option<String>>, Vec<Vec<u8>>)>(answer)
        .map_err(|_| unexpected("subscriptions"))?;
    let mut subscriptions = Vec::new();
    for stored in records {
        let record = wire::decode_record(stored.get(NODE_BYTES..).unwrap_or_default())?;
        if filter.accepts(&record) {
            subscriptions.push(record);
        }
    }
    subscriptions.sort_by(SubscriptionRecord::order);
    Ok(PresenceSnapshot { head: read_head(engine, state), subscriptions })
}

/// See [`crate::transport::Transport::expired`].
pub(super) async fn expired(
    engine: &Engine,
    limit: usize,
) -> Result<Vec<SubscriptionRecord>, TransportError> {
    let answer = engine.run(&engine.programs.expired, &[&limit.min(10_000).to_string()]).await?;
    let Value::Array(records) = answer else { return Err(unexpected("dead nodes")) };
    records
        .into_iter()
        .map(|record| match record {
            Value::BulkString(json) => wire::decode_record(&json),
            _ => Err(unexpected("dead nodes")),
        })
        .collect()
}
