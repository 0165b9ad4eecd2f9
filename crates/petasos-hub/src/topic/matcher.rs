//! A matcher: a type and a value, tested against topics.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    Base, ParsedTopic, WILDCARD, forbidden_character,
    pattern::{self, Pattern},
};

/// The longest value of any matcher, in bytes: what fits the largest request target. Callers with smaller limits (S07,
/// A13) check them first.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// How the value of a matcher is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchType {
    /// Byte for byte (M01).
    Exact,
    /// WHATWG URL Pattern (M02).
    UrlPattern,
}

impl MatchType {
    /// The name in parameters, tokens and subscription topics: `exact`, `urlpattern`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UrlPattern => "urlpattern",
        }
    }

    /// The reverse of [`Self::as_str`], case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "exact" => Some(Self::Exact),
            "urlpattern" => Some(Self::UrlPattern),
            _ => None,
        }
    }
}

/// A compiled matcher. Cheap to clone: compiled patterns are interned and shared by all with the same value and base.
///
/// Two matchers are equal if their types and values are, and, for URL patterns, the bases that give them their meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    match_type: MatchType,
    value: Arc<str>,
    /// `None` for exact matchers and the wildcard.
    pattern: Option<Arc<Pattern>>,
}

/// Why a value is no matcher (S06, A13). The text carries no internals of a parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// A character of the set F.
    #[error("contains the forbidden character U+{character:04X}")]
    ForbiddenCharacter {
        /// Its code point.
        character: u32,
    },
    /// Longer than the limit allows.
    #[error("longer than the limit of {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// Not a URL Pattern.
    #[error("not a well-formed URL pattern")]
    Malformed,
    /// A well-formed pattern whose compiled form would exceed the bounds of M04.
    #[error("a URL pattern too complex for this hub")]
    TooComplex,
}

impl Matcher {
    /// Checks and compiles `value`. Relative patterns are resolved against `base`.
    ///
    /// Any exact value is well-formed, the empty one included. A pattern may have 8 KiB, 256 groups, and repetitions
    /// that unroll to 1,000 states; assertions that look around, and back-references, are too complex.
    ///
    /// # Errors
    /// Where the value is no matcher of this type.
    pub fn new(match_type: MatchType, value: &str, base: &Base) -> Result<Self, MatcherError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(MatcherError::TooLong { limit: MAX_VALUE_BYTES });
        }
        if let Some(character) = forbidden_character(value) {
            return Err(MatcherError::ForbiddenCharacter { character: character.into() });
        }
        if match_type == MatchType::Exact || value == WILDCARD {
            return Ok(Self { match_type, value: value.into(), pattern: None });
        }
        let pattern = pattern::intern(value, base)?;
        Ok(Self { match_type, value: pattern.value().clone(), pattern: Some(pattern) })
    }

    /// How the value is read.
    pub fn match_type(&self) -> MatchType {
        self.match_type
    }

    /// The value as it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it matches every topic, whatever its type (M05).
    pub fn is_wildcard(&self) -> bool {
        *self.value == *WILDCARD
    }

    /// The only topic it matches, if it is exact and not the wildcard.
    pub fn exact_topic(&self) -> Option<&str> {
        (self.match_type == MatchType::Exact && !self.is_wildcard()).then_some(&*self.value)
    }

    /// Whether it selects `topic`. Linear in the length of the topic, or bounded (M04).
    pub fn matches(&self, topic: &ParsedTopic<'_>) -> bool {
        match &self.pattern {
            Some(pattern) => topic.with_parts(pattern.base(), |parts| {
                parts.is_some_and(|parts| pattern.components().matches(parts))
            }),
            None => self.is_wildcard() || *self.value == *topic.as_str(),
        }
    }

    /// What it occupies, in bytes, for caches that are bounded in bytes. A compiled pattern counts in full, although
    /// equal matchers share it.
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.value.len()
            + self.pattern.as_ref().map_or(0, |pattern| pattern.weight_bytes())
    }

    /// The value, shared.
    pub(super) fn shared_value(&self) -> &Arc<str> {
        &self.value
    }

    /// The compiled pattern, if it is one.
    pub(super) fn pattern(&self) -> Option<&Arc<Pattern>> {
        self.pattern.as_ref()
    }
}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.match_type.hash(state);
        match &self.pattern {
            Some(pattern) => pattern.hash(state),
            None => self.value.hash(state),
        }
    }
}
