//! A hub in a few lines, to compare the real one with: a list, and for each subscriber an index into it. It knows
//! matchers of a few shapes only, which are decided here without a URL parser.

/// The cursor before everything.
const EARLIEST: &str = "earliest";

/// A matcher, or the selector of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `*`.
    All,
    /// This topic, byte for byte.
    Exact(String),
    /// The URL pattern `{0}:name`: one non-empty segment under this prefix.
    Segment(String),
    /// The URL pattern `{0}*`: anything under this prefix.
    Under(String),
}

impl Selector {
    /// The matcher type it has in parameters and tokens.
    pub fn match_type(&self) -> &'static str {
        match self {
            Self::All | Self::Exact(_) => "exact",
            Self::Segment(_) | Self::Under(_) => "urlpattern",
        }
    }

    /// Its value in parameters and tokens.
    pub fn value(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Exact(topic) => topic.clone(),
            Self::Segment(prefix) => format!("{prefix}:name"),
            Self::Under(prefix) => format!("{prefix}*"),
        }
    }

    /// Whether it selects this topic.
    pub fn selects(&self, topic: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(wanted) => wanted == topic,
            Self::Segment(prefix) => topic
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
            Self::Under(prefix) => topic.starts_with(prefix.as_str()),
        }
    }
}

/// An update as the model keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUpdate {
    /// Its id; several may share one (R05).
    pub id: String,
    /// Its topics.
    pub topics: Vec<String>,
    /// Its data.
    pub data: String,
    /// Whether it is private.
    pub private: bool,
}

/// The log.
#[derive(Clone, Debug)]
pub struct ModelHub {
    log: Vec<ModelUpdate>,
    history: bool,
}

/// A subscriber.
#[derive(Clone, Debug)]
pub struct ModelSubscriber {
    matchers: Vec<Selector>,
    grants: Vec<Selector>,
    next: usize,
}

impl ModelHub {
    /// An empty log that keeps events, or does not (R07).
    pub fn new(history: bool) -> Self {
        Self { log: Vec::new(), history }
    }

    /// All that was published.
    pub fn log(&self) -> &[ModelUpdate] {
        &self.log
    }

    /// Appends.
    pub fn publish(&mut self, update: ModelUpdate) {
        self.log.push(update);
    }

    /// Opens a subscription and says which cursor is answered (R02, R04, R07).
    pub fn subscribe(
        &self,
        matchers: &[Selector],
        grants: &[Selector],
        cursor: Option<&str>,
    ) -> (ModelSubscriber, Option<String>) {
        let (next, answered) = match cursor {
            None => (self.log.len(), None),
            Some("") => (self.log.len(), Some(self.log.last().map_or(EARLIEST, |update| &update.id))),
            Some(_) if !self.history => (self.log.len(), Some(EARLIEST)),
            Some(EARLIEST) => (0, Some(EARLIEST)),
            Some(id) => match self.log.iter().position(|update| update.id == id) {
                Some(at) => (at + 1, Some(id)),
                None => (0, Some(EARLIEST)),
            },
        };
        let subscriber = ModelSubscriber { matchers: matchers.to_vec(), grants: grants.to_vec(), next };
        (subscriber, answered.map(str::to_owned))
    }

    /// What this subscriber must have received since it was last asked, in order.
    pub fn due(&self, subscriber: &mut ModelSubscriber) -> Vec<ModelUpdate> {
        let updates = self.log[subscriber.next..].iter().filter(|update| subscriber.may_have(update));
        let updates = updates.cloned().collect();
        subscriber.next = self.log.len();
        updates
    }
}

impl ModelSubscriber {
    /// A15: at least one matcher hits a topic, and of a private update at least one topic is granted.
    fn may_have(&self, update: &ModelUpdate) -> bool {
        let any = |selectors: &[Selector]| {
            selectors.iter().any(|selector| update.topics.iter().any(|topic| selector.selects(topic)))
        };
        any(&self.matchers) && (!update.private || any(&self.grants))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: &str, topic: &str, private: bool) -> ModelUpdate {
        ModelUpdate { id: id.into(), topics: vec![topic.into()], data: id.into(), private }
    }

    #[test]
    fn a_reused_id_means_its_earliest_update() {
        let mut hub = ModelHub::new(true);
        for id in ["1", "2", "1", "3"] {
            hub.publish(update(id, "a", false));
        }
        let (mut subscriber, answered) = hub.subscribe(&[Selector::All], &[], Some("1"));
        assert_eq!(answered.as_deref(), Some("1"));
        let ids: Vec<String> = hub.due(&mut subscriber).into_iter().map(|update| update.id).collect();
        assert_eq!(ids, ["2", "1", "3"]);
        assert_eq!(hub.due(&mut subscriber), []);
    }

    #[test]
    fn a_matcher_never_widens_what_may_be_read() {
        let mut hub = ModelHub::new(true);
        hub.publish(update("1", "a", true));
        let (mut stranger, _) =
            hub.subscribe(&[Selector::All], &[Selector::Exact("b".into())], Some(EARLIEST));
        assert_eq!(hub.due(&mut stranger), []);
        let (mut reader, _) = hub.subscribe(&[Selector::All], &[Selector::Exact("a".into())], Some(EARLIEST));
        assert_eq!(hub.due(&mut reader).len(), 1);
    }

    #[test]
    fn a_segment_is_not_empty_and_ends_at_a_slash() {
        let segment = Selector::Segment("https://example.com/a/".into());
        assert!(segment.selects("https://example.com/a/b"));
        assert!(!segment.selects("https://example.com/a/"));
        assert!(!segment.selects("https://example.com/a/b/c"));
    }
}
