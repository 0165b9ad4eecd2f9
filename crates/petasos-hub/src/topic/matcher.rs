//! A matcher: a type and a value, tested against topics.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    Base, ParsedTopic, WILDCARD, forbidden_character,
    pattern::{self, Pattern},
    template::{self, Template},
};

/// The longest value of any matcher, in bytes: what fits the largest request target. Callers with smaller limits (S07,
/// A13) check them first.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// How the value of a matcher is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchType {
    /// Byte for byte (M01).
    Exact,
    /// A selector of the 0.x generation: equality, or a URI Template (L01).
    Topic,
    /// WHATWG URL Pattern (M02).
    UrlPattern,
}

impl MatchType {
    /// The name in parameters, tokens and subscription topics: `exact`, `urlpattern`. For selectors of the 0.x generation,
    /// which name no type, it is that of their parameter, `topic`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Topic => "topic",
            Self::UrlPattern => "urlpattern",
        }
    }

    /// The type that tokens and paths call so, case-sensitive. `topic` is none of them: nobody can ask for a selector of the
    /// 0.x generation by the words of the 1.0 generation.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "exact" => Some(Self::Exact),
            "urlpattern" => Some(Self::UrlPattern),
            _ => None,
        }
    }

    /// The reverse of [`Self::as_str`], for logs of subscriptions.
    pub fn from_stored(name: &str) -> Option<Self> {
        if name == Self::Topic.as_str() { Some(Self::Topic) } else { Self::parse(name) }
    }
}

/// A compiled matcher. Cheap to clone: compiled patterns are interned and shared by all with the same value and base.
///
/// Two matchers are equal if their types and values are, and, for URL patterns, the bases that give them their meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    match_type: MatchType,
    value: Arc<str>,
    compiled: Compiled,
}

/// What makes a matcher more than a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Compiled {
    /// Nothing does: exact matchers, selectors without an expression, the wildcard.
    Nothing,
    Pattern(Arc<Pattern>),
    Template(Arc<Template>),
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
    /// A well-formed pattern or template whose compiled form would exceed the bounds of M04.
    #[error("a pattern too complex for this hub")]
    TooComplex,
}

impl Matcher {
    /// Checks and compiles `value`. Relative patterns are resolved against `base`; nothing else is.
    ///
    /// Any exact value is well-formed, the empty one included. A pattern may have 8 KiB, 256 groups, and repetitions
    /// that unroll to 1,000 states; assertions that look around, and back-references, are too complex. A selector may be
    /// any text; a template may have 8 KiB and 256 variables, and a malformed one selects what is equal to it.
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
        let plain = || Ok(Self { match_type, value: value.into(), compiled: Compiled::Nothing });
        match match_type {
            _ if value == WILDCARD => plain(),
            MatchType::Exact => plain(),
            MatchType::UrlPattern => {
                let pattern = pattern::intern(value, base)?;
                Ok(Self { match_type, value: pattern.value().clone(), compiled: Compiled::Pattern(pattern) })
            }
            MatchType::Topic => match template::intern(value)? {
                None => plain(),
                Some(template) => {
                    let value = template.value().clone();
                    Ok(Self { match_type, value, compiled: Compiled::Template(template) })
                }
            },
        }
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

    /// The only topic it matches, if there is only one: that of an exact matcher or of a selector without an expression.
    pub fn exact_topic(&self) -> Option<&str> {
        (matches!(self.compiled, Compiled::Nothing) && !self.is_wildcard()).then_some(&*self.value)
    }

    /// Whether it selects `topic`. Linear in the length of the topic, or bounded (M04).
    pub fn matches(&self, topic: &ParsedTopic<'_>) -> bool {
        match &self.compiled {
            Compiled::Nothing => self.is_wildcard() || *self.value == *topic.as_str(),
            Compiled::Pattern(pattern) => topic.with_parts(pattern.base(), |parts| {
                parts.is_some_and(|parts| pattern.components().matches(parts))
            }),
            Compiled::Template(template) => {
                *self.value == *topic.as_str() || template.matches(topic.as_str())
            }
        }
    }

    /// What it occupies, in bytes, for caches that are bounded in bytes. A compiled pattern counts in full, although
    /// equal matchers share it.
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.value.len()
            + match &self.compiled {
                Compiled::Nothing => 0,
                Compiled::Pattern(pattern) => pattern.weight_bytes(),
                Compiled::Template(template) => template.weight_bytes(),
            }
    }

    /// How many variables of URI Templates it has (L01). A topic is looked at once for each of them, so that who takes
    /// many matchers of one subscriber can bound what an update costs (M04).
    pub fn variables(&self) -> usize {
        self.template().map_or(0, |template| template.variables())
    }

    /// The value, shared.
    pub(super) fn shared_value(&self) -> &Arc<str> {
        &self.value
    }

    /// The compiled pattern, if it is one.
    pub(super) fn pattern(&self) -> Option<&Arc<Pattern>> {
        match &self.compiled {
            Compiled::Pattern(pattern) => Some(pattern),
            Compiled::Nothing | Compiled::Template(_) => None,
        }
    }

    /// The compiled template, if it is one.
    pub(super) fn template(&self) -> Option<&Arc<Template>> {
        match &self.compiled {
            Compiled::Template(template) => Some(template),
            Compiled::Nothing | Compiled::Pattern(_) => None,
        }
    }
}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.match_type.hash(state);
        match &self.compiled {
            Compiled::Nothing => self.value.hash(state),
            Compiled::Pattern(pattern) => pattern.hash(state),
            Compiled::Template(template) => template.hash(state),
        }
    }
}
