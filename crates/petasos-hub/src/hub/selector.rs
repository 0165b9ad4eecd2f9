//! The matchers of one subscriber, arranged for replay: exact ones by hash, the others one after the other.

use std::collections::HashSet;

use crate::{
    auth::SubscribeGrant,
    topic::{Matcher, ParsedTopic, WILDCARD},
    transport::ReadHint,
};

use super::event::Event;

#[derive(Debug)]
pub(super) struct Selector {
    exact: HashSet<String>,
    others: Vec<Matcher>,
    grant: SubscribeGrant,
}

impl Selector {
    pub(super) fn new(matchers: &[Matcher], grant: SubscribeGrant) -> Self {
        let mut exact = HashSet::new();
        let mut others = Vec::new();
        for matcher in matchers {
            match matcher.exact_topic() {
                Some(topic) => {
                    exact.insert(topic.to_owned());
                }
                None => others.push(matcher.clone()),
            }
        }
        // One wildcard makes everything else superfluous.
        if others.iter().any(|matcher| matcher.value() == WILDCARD) {
            others.retain(|matcher| matcher.value() == WILDCARD);
            others.truncate(1);
            exact.clear();
        }
        Self { exact, others, grant }
    }

    /// Whether the subscriber gets this event: a matcher hits (S03), and a private one may be read (A15, A16).
    pub(super) fn selects(&self, event: &Event) -> bool {
        let topics = event.topics();
        self.hits(&topics) && may_read(&self.grant, event, &topics)
    }

    fn hits(&self, topics: &[ParsedTopic<'_>]) -> bool {
        topics.iter().any(|topic| {
            self.exact.contains(topic.as_str()) || self.others.iter().any(|matcher| matcher.matches(topic))
        })
    }

    /// How many events it takes until about so many comparisons are made.
    pub(super) fn events_per_turn(&self, comparisons: usize) -> usize {
        comparisons / self.others.len().clamp(1, comparisons)
    }

    /// What a read of the log may leave out.
    pub(super) fn hint(&self) -> ReadHint {
        if self.others.is_empty() {
            ReadHint { exact_topics: self.exact.iter().cloned().collect() }
        } else {
            ReadHint::default()
        }
    }
}

/// Whether the grant lets the subscriber see the event (A15).
pub(super) fn may_read(grant: &SubscribeGrant, event: &Event, topics: &[ParsedTopic<'_>]) -> bool {
    !event.update.is_private() || grant.allows_private(topics)
}
