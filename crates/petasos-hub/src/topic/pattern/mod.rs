//! URL patterns: compiled once, shared by all matchers with the same value and base.

mod component;
mod intern;
mod skeleton;
mod upstream;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod wpt_tests;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use url::Url;
use urlpattern::UrlPattern;

use self::{component::Component, upstream::RegexText};
use super::{Base, MatcherError, regex::Budget};

pub(super) use intern::intern;
pub(super) use skeleton::{Piece, Segment, Skeleton};

/// The longest pattern, in bytes. Topics are no longer by default.
pub(super) const MAX_PATTERN_BYTES: usize = 8 << 10;

/// The states that repetitions may add to the automata of one pattern, besides one for each of its bytes: some
/// kilobytes. A UUID takes 36, `.{1,255}` takes 510.
const REPETITION_STATES: usize = 1_000;

/// The components of a URL, as patterns see them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'u> {
    pub(super) protocol: &'u str,
    pub(super) username: &'u str,
    pub(super) password: &'u str,
    pub(super) hostname: &'u str,
    pub(super) port: &'u str,
    pub(super) pathname: &'u str,
    pub(super) search: &'u str,
    pub(super) hash: &'u str,
}

impl<'u> Parts<'u> {
    /// Of what has a path only.
    pub(super) fn of_path(path: &'u str) -> Self {
        Self {
            protocol: "",
            username: "",
            password: "",
            hostname: "",
            port: "",
            pathname: path,
            search: "",
            hash: "",
        }
    }

    pub(super) fn of(url: &'u Url) -> Self {
        Self {
            protocol: url.scheme(),
            username: url.username(),
            password: url.password().unwrap_or_default(),
            hostname: url.host_str().unwrap_or_default(),
            port: url::quirks::port(url),
            pathname: url.path(),
            search: url.query().unwrap_or_default(),
            hash: url.fragment().unwrap_or_default(),
        }
    }
}

/// A compiled URL pattern.
#[derive(Debug)]
pub(super) struct Components {
    pub(super) protocol: Component,
    username: Component,
    password: Component,
    pub(super) hostname: Component,
    pub(super) port: Component,
    pub(super) pathname: Component,
    pub(super) search: Component,
    pub(super) hash: Component,
}

impl Components {
    fn compile(parsed: &UrlPattern<RegexText>, states: usize) -> Result<Self, MatcherError> {
        let budget = &mut Budget::new(states);
        Ok(Self {
            protocol: Component::compile(&parsed.protocol, budget, false)?,
            username: Component::compile(&parsed.username, budget, false)?,
            password: Component::compile(&parsed.password, budget, false)?,
            hostname: Component::compile(&parsed.hostname, budget, false)?,
            port: Component::compile(&parsed.port, budget, false)?,
            pathname: Component::compile(&parsed.pathname, budget, true)?,
            search: Component::compile(&parsed.search, budget, false)?,
            hash: Component::compile(&parsed.hash, budget, false)?,
        })
    }

    /// Whether a URL with these parts matches.
    pub(super) fn matches(&self, parts: &Parts<'_>) -> bool {
        let is_origin =
            |component: &Component, part| component.literal().is_none_or(|literal| literal == part);
        is_origin(&self.protocol, parts.protocol)
            && is_origin(&self.hostname, parts.hostname)
            && self.matches_beyond_literal_origin(parts)
    }

    /// [`Self::matches`] for a URL that is known to have the scheme and the host of this pattern, where those are
    /// literal.
    pub(super) fn matches_beyond_literal_origin(&self, parts: &Parts<'_>) -> bool {
        let matches = |component: &Component, part| component.literal().is_some() || component.matches(part);
        self.pathname.matches(parts.pathname)
            && matches(&self.protocol, parts.protocol)
            && matches(&self.hostname, parts.hostname)
            && self.port.matches(parts.port)
            && self.search.matches(parts.search)
            && self.hash.matches(parts.hash)
            && self.username.matches(parts.username)
            && self.password.matches(parts.password)
    }
}

/// A pattern that all matchers with its value and base share. Made by [`intern()`].
#[derive(Debug)]
pub(super) struct Pattern {
    value: Arc<str>,
    base: Base,
    /// Of value and base, computed once.
    hash: u64,
    components: Components,
}

impl Pattern {
    fn compile(value: Arc<str>, base: Base, hash: u64) -> Result<Self, MatcherError> {
        if value.len() > MAX_PATTERN_BYTES {
            return Err(MatcherError::TooLong { limit: MAX_PATTERN_BYTES });
        }
        let parsed = upstream::parse_text(&value, &base)?;
        let components = Components::compile(&parsed, REPETITION_STATES + value.len())?;
        Ok(Self { value, base, hash, components })
    }

    /// The text it was made from.
    pub(super) fn value(&self) -> &Arc<str> {
        &self.value
    }

    /// What relative topics are resolved against before they are matched.
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    pub(super) fn components(&self) -> &Components {
        &self.components
    }

    /// What it occupies beside its value, in bytes, without what allocation adds.
    pub(super) fn weight_bytes(&self) -> usize {
        let Components { protocol, username, password, hostname, port, pathname, search, hash } =
            &self.components;
        let components = [protocol, username, password, hostname, port, pathname, search, hash];
        size_of::<Self>() + components.map(Component::heap_bytes).iter().sum::<usize>()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || self.hash == other.hash && self.value == other.value && self.base.is(&other.base)
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
