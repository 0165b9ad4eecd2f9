//! The words of presence: which subscription began or ended on which node (section E).

use std::{fmt, sync::Arc};

use super::Head;
use crate::topic::MatchType;

/// One running hub process for as long as its lease runs. Random at each start: a restarted process is another node, and
/// so is one that let its lease run out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u128);

impl NodeId {
    /// A new one.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", uuid::Uuid::from_u128(self.0))
    }
}

/// One matcher of one subscriber (E02).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionRecord {
    /// The node that holds the connection.
    pub node: NodeId,
    /// A random `urn:uuid:` per connection (E03).
    pub subscriber: Arc<str>,
    /// How the matcher is read.
    pub match_type: MatchType,
    /// The matcher's value as the client gave it.
    pub match_value: Arc<str>,
    /// JSON text, if the token attaches a payload (E04).
    pub payload: Option<Arc<str>>,
}

impl SubscriptionRecord {
    /// The order of lists: match type, value and subscriber.
    #[cfg(any(feature = "redis", feature = "nats"))]
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        (self.match_type.as_str(), &self.match_value, &self.subscriber).cmp(&(
            other.match_type.as_str(),
            &other.match_value,
            &other.subscriber,
        ))
    }
}

/// What an event of presence announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceChange {
    /// The subscription is active from this event on. Starting one that is there already replaces it.
    Start(SubscriptionRecord),
    /// The subscription of this subscriber with this matcher has ended on this node. One that another node has started
    /// since is another.
    End(SubscriptionRecord),
}

/// Which subscriptions to list (E05). Fields that are `None` select all.
#[derive(Clone, Debug, Default)]
pub struct PresenceFilter {
    /// Only with this matcher.
    pub matcher: Option<(MatchType, String)>,
    /// Only of this subscriber.
    pub subscriber: Option<String>,
    /// Only of this node.
    pub node: Option<NodeId>,
}

impl PresenceFilter {
    /// Whether `record` passes.
    pub fn accepts(&self, record: &SubscriptionRecord) -> bool {
        self.matcher.as_ref().is_none_or(|(match_type, value)| {
            *match_type == record.match_type && **value == *record.match_value
        }) && self.subscriber.as_ref().is_none_or(|subscriber| **subscriber == *record.subscriber)
            && self.node.is_none_or(|node| node == record.node)
    }
}

/// Active subscriptions at one moment of the log.
#[derive(Clone, Debug, Default)]
pub struct PresenceSnapshot {
    /// The newest event when the list was taken: what comes after it is not in the list yet.
    pub head: Head,
    /// In the order of match type, value and subscriber.
    pub subscriptions: Vec<SubscriptionRecord>,
}
