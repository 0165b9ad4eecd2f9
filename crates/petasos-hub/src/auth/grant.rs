//! What a verified token allows. The only proof of authorization in the library: nobody but this module's
//! [`Authenticator`](super::Authenticator) makes one.

use std::{sync::Arc, time::SystemTime};

use super::{Generation, Role, details::Detail, legacy::OldRights};
use crate::topic::{MatchType, Matcher, ParsedTopic, WILDCARD};

/// The right to publish on some topics (A14). Made by an [`Authenticator`](super::Authenticator) only.
#[derive(Clone, Debug)]
pub struct PublishGrant(Arc<Rights>);

/// The right to read: public updates, and private ones on some topics (A15). Made by an
/// [`Authenticator`](super::Authenticator) only.
#[derive(Clone, Debug)]
pub struct SubscribeGrant(Arc<Rights>);

/// What stands behind a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Token,
    /// No token, public updates only (A01).
    Anonymous,
    /// No token, and everything is allowed: a hub that takes updates without one (P13).
    Open,
}

/// A grant's content for one role. Shared by all requests with the same token.
#[derive(Debug)]
pub(super) struct Rights {
    origin: Origin,
    generation: Generation,
    subject: Option<Box<str>>,
    expires_at: Option<SystemTime>,
    scope: Scope,
    /// In the token's order; empty if no detail has a payload, which is the usual case.
    payloads: Box<[DetailPayload]>,
    /// Of old tokens: the payload of every subscription that none of `payloads` has one for (L07).
    usual_payload: Option<Arc<str>>,
}

/// One detail with its payload, if it has one (E04).
#[derive(Debug)]
struct DetailPayload {
    matchers: Box<[Matcher]>,
    payload: Option<Arc<str>>,
}

/// The topics granted, arranged so that a token with a thousand topics costs no thousand comparisons per update.
#[derive(Debug, Default)]
struct Scope {
    everything: bool,
    /// Those that select one topic, sorted by value.
    exact: Box<[Matcher]>,
    patterns: Box<[Matcher]>,
}

impl Scope {
    fn new(matchers: impl Iterator<Item = Matcher>) -> Self {
        let (mut everything, mut exact, mut patterns) = (false, Vec::new(), Vec::new());
        for matcher in matchers {
            match matcher.exact_topic() {
                _ if matcher.is_wildcard() => everything = true,
                Some(_) => exact.push(matcher),
                None => patterns.push(matcher),
            }
        }
        exact.sort_unstable_by(|one, other| one.value().cmp(other.value()));
        exact.dedup_by(|one, other| one.value() == other.value());
        Self { everything, exact: exact.into(), patterns: patterns.into() }
    }

    fn is_empty(&self) -> bool {
        !self.everything && self.exact.is_empty() && self.patterns.is_empty()
    }

    fn contains(&self, topic: &ParsedTopic<'_>) -> bool {
        self.everything
            || self.exact.binary_search_by(|matcher| matcher.value().cmp(topic.as_str())).is_ok()
            || self.patterns.iter().any(|matcher| matcher.matches(topic))
    }
}

impl Rights {
    /// What `details` say about `role`.
    pub(super) fn from_token(
        role: Role,
        subject: Option<String>,
        expires_at: Option<SystemTime>,
        details: Vec<Detail>,
    ) -> Self {
        let details: Vec<_> = details.into_iter().filter(|detail| detail.is_for(role)).collect();
        let scope = Scope::new(details.iter().flat_map(|detail| detail.matchers.iter().cloned()));
        let payloads = if role == Role::Subscriber && details.iter().any(|detail| detail.payload.is_some()) {
            let of =
                |detail: Detail| DetailPayload { matchers: detail.matchers.into(), payload: detail.payload };
            details.into_iter().map(of).collect()
        } else {
            Box::default()
        };
        let subject = subject.map(String::into_boxed_str);
        Self { origin: Origin::Token, subject, expires_at, scope, payloads, ..Self::anonymous() }
    }

    /// What the claim of an old token says about `role` (L03).
    pub(super) fn from_old_token(
        role: Role,
        subject: Option<String>,
        expires_at: Option<SystemTime>,
        old: OldRights,
    ) -> Self {
        let (matchers, payloads, usual_payload) = match role {
            Role::Publisher => (old.publish, Vec::new(), None),
            Role::Subscriber => {
                let with_payload = old.subscribe.iter().filter(|element| element.payload.is_some());
                let payloads = with_payload.map(|element| DetailPayload {
                    matchers: [element.matcher.clone()].into(),
                    payload: element.payload.clone(),
                });
                let payloads = payloads.collect();
                (old.subscribe.into_iter().map(|element| element.matcher).collect(), payloads, old.payload)
            }
        };
        Self {
            origin: Origin::Token,
            generation: Generation::Old,
            subject: subject.map(String::into_boxed_str),
            expires_at,
            scope: Scope::new(matchers.into_iter()),
            payloads: payloads.into(),
            usual_payload,
        }
    }

    /// Public updates only (A01).
    pub(super) fn anonymous() -> Self {
        Self {
            origin: Origin::Anonymous,
            generation: Generation::New,
            subject: None,
            expires_at: None,
            scope: Scope::default(),
            payloads: Box::default(),
            usual_payload: None,
        }
    }

    /// Everything (P13).
    pub(super) fn open() -> Self {
        Self {
            origin: Origin::Open,
            scope: Scope { everything: true, ..Scope::default() },
            ..Self::anonymous()
        }
    }

    pub(super) fn publish(self: &Arc<Self>) -> PublishGrant {
        PublishGrant(Arc::clone(self))
    }

    pub(super) fn subscribe(self: &Arc<Self>) -> SubscribeGrant {
        SubscribeGrant(Arc::clone(self))
    }

    /// Its share of a cache, in bytes, roughly. Compiled patterns are shared with everybody else and not counted.
    pub(super) fn weight_bytes(&self) -> usize {
        let matchers = self.scope.exact.iter().chain(&self.scope.patterns);
        let payloads = self.payloads.iter().map(|detail| {
            size_of_val(&*detail.matchers) + detail.payload.as_ref().map_or(0, |payload| payload.len())
        });
        size_of::<Self>()
            + self.subject.as_ref().map_or(0, |subject| subject.len())
            + matchers.map(|matcher| size_of::<Matcher>() + matcher.value().len()).sum::<usize>()
            + payloads.sum::<usize>()
            + self.usual_payload.as_ref().map_or(0, |payload| payload.len())
    }
}

impl PublishGrant {
    /// Whether every one of `topics` is granted (A14).
    pub fn allows(&self, topics: &[ParsedTopic<'_>]) -> bool {
        topics.iter().all(|topic| self.0.scope.contains(topic))
    }

    /// The token's `sub`, for limits and logs of the operator.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Of which generation the token is. Without a token, the present one.
    pub fn generation(&self) -> Generation {
        self.0.generation
    }
}

impl SubscribeGrant {
    /// Whether a private update with these topics may be read: one of them is granted (A15).
    pub fn allows_private(&self, topics: &[ParsedTopic<'_>]) -> bool {
        topics.iter().any(|topic| self.allows_topic(topic))
    }

    /// Whether `topic` itself is granted: also the test of the subscription API (E06).
    pub fn allows_topic(&self, topic: &ParsedTopic<'_>) -> bool {
        self.0.scope.contains(topic)
    }

    /// Whether no token stands behind it.
    pub fn is_anonymous(&self) -> bool {
        self.0.origin != Origin::Token
    }

    /// Whether no private update at all can be read, so that matching may skip them.
    pub fn is_public_only(&self) -> bool {
        self.0.scope.is_empty()
    }

    /// The payload that the token attaches to a subscription (E04), as JSON text: that of the first `subscribe` detail
    /// whose topics match the subscription's value taken as a topic. If that detail has none, there is none.
    pub fn payload_for(&self, match_type: MatchType, value: &str) -> Option<Arc<str>> {
        // How the subscription reads its value does not matter: the value itself is what is matched.
        let _ = match_type;
        let topic = ParsedTopic::new(value);
        let covers = |matcher: &Matcher| {
            matcher.value() == value || matcher.value() == WILDCARD || matcher.matches(&topic)
        };
        let detail = self.0.payloads.iter().find(|detail| detail.matchers.iter().any(covers));
        detail.and_then(|detail| detail.payload.clone()).or_else(|| self.0.usual_payload.clone())
    }

    /// Of which generation the token is. Without a token, the present one.
    pub fn generation(&self) -> Generation {
        self.0.generation
    }

    /// When the token ends, and with it the stream (S13).
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// The token's `sub`, for limits and logs of the operator.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }
}
