//! Presence in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use crate::{
    topic::MatchType,
    transport::{NodeId, PresenceFilter, SubscriptionRecord},
};

/// Ordered as a snapshot lists them.
type Key = (MatchType, Arc<str>, Arc<str>);

/// Subscriptions and leases of the nodes on one log.
#[derive(Debug, Default)]
pub(super) struct PresenceTable {
    subscriptions: BTreeMap<Key, SubscriptionRecord>,
    leases: HashMap<NodeId, Instant>,
}

impl PresenceTable {
    pub(super) fn start(&mut self, record: SubscriptionRecord) {
        self.subscriptions.insert(key(&record), record);
    }

    /// Whether it was there, and of this node.
    pub(super) fn end(&mut self, record: &SubscriptionRecord) -> bool {
        let key = key(record);
        let is_there = self.subscriptions.get(&key).is_some_and(|known| known.node == record.node);
        is_there && self.subscriptions.remove(&key).is_some()
    }

    /// Whether the node's lease was still running.
    pub(super) fn renew(&mut self, node: NodeId, now: Instant, until: Instant) -> bool {
        self.leases.insert(node, until).is_some_and(|until| until >= now)
    }

    pub(super) fn list(&self, filter: &PresenceFilter) -> Vec<SubscriptionRecord> {
        self.subscriptions.values().filter(|record| filter.accepts(record)).cloned().collect()
    }

    pub(super) fn expired(&mut self, now: Instant, limit: usize) -> Vec<SubscriptionRecord> {
        let dead =
            |record: &&SubscriptionRecord| self.leases.get(&record.node).is_none_or(|until| *until < now);
        let expired: Vec<_> = self.subscriptions.values().filter(dead).take(limit).cloned().collect();
        if expired.is_empty() {
            self.leases.retain(|_, until| *until >= now);
        }
        expired
    }
}

fn key(record: &SubscriptionRecord) -> Key {
    (record.match_type, Arc::clone(&record.match_value), Arc::clone(&record.subscriber))
}
