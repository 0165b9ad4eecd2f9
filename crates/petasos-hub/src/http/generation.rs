//! Clients of the 0.x generation (section L): by what a request shows that it comes from one, so that the operator learns
//! who still needs the compatibility mode, or would.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use http::request::Parts;

use crate::{
    auth::Generation,
    metrics::{GenerationLabels, Metrics},
};

/// What only clients of the 0.x generation do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldHabit {
    /// `topic` as a parameter (L01).
    TopicParameter,
    /// A token with the claim `mercure` (L03).
    Token,
    /// The cookie `mercureAuthorization` (L04).
    Cookie,
    /// A token in the URL (L05).
    AuthorizationParameter,
    /// `lastEventID` or `Last-Event-ID` as a parameter (L06).
    Cursor,
}

impl OldHabit {
    const ALL: [Self; 5] =
        [Self::TopicParameter, Self::Token, Self::Cookie, Self::AuthorizationParameter, Self::Cursor];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// As the label of a metric.
    fn as_str(self) -> &'static str {
        match self {
            Self::TopicParameter => "topic_parameter",
            Self::Token => "old_token",
            Self::Cookie => "old_cookie",
            Self::AuthorizationParameter => "authorization_parameter",
            Self::Cursor => "old_cursor",
        }
    }
}

/// The habits that one request shows. Clones are of the same request.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits(Arc<AtomicU8>);

impl Habits {
    /// Those of a request that the envelope has wrapped.
    pub(super) fn of(request: &Parts) -> Self {
        request.extensions.get().cloned().unwrap_or_default()
    }

    pub(super) fn note(&self, habit: OldHabit) {
        // Nothing else depends on it.
        self.0.fetch_or(habit.bit(), Ordering::Relaxed);
    }

    pub(super) fn has(&self, habit: OldHabit) -> bool {
        self.bits() & habit.bit() != 0
    }

    fn bits(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Habits {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Habits {}

/// Counts requests by generation, and tells the log of each kind of old client once.
#[derive(Debug, Default)]
pub(super) struct Generations {
    told: AtomicU8,
}

impl Generations {
    /// One request to a resource that both generations have. One of several habits counts under each of them.
    /// `compatible`: old clients are served.
    pub(super) fn count(&self, metrics: &Metrics, habits: &Habits, compatible: bool) {
        let count = |generation: Generation, kind| {
            let labels = GenerationLabels { generation: generation.as_str(), kind };
            metrics.requests_by_generation_total.get_or_create(&labels).inc();
        };
        if habits.bits() == 0 {
            count(Generation::New, "none");
            return;
        }
        for habit in OldHabit::ALL.into_iter().filter(|habit| habits.has(*habit)) {
            count(Generation::Old, habit.as_str());
        }
        let news = habits.bits() & !self.told.fetch_or(habits.bits(), Ordering::Relaxed);
        for habit in OldHabit::ALL.into_iter().filter(|habit| news & habit.bit() != 0) {
            tell(habit.as_str(), compatible);
        }
    }
}

fn tell(kind: &'static str, compatible: bool) {
    if compatible {
        tracing::info!(
            kind,
            "a client of version 0.x is served; petasos_requests_by_generation_total counts such requests"
        );
    } else {
        tracing::warn!(
            kind,
            "a client of version 0.x has come, which this hub does not serve; \
             protocol_version_compatibility 8 would, beside those of version 1.0"
        );
    }
}
