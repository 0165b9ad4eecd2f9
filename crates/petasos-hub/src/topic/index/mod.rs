//! Which subscribers an update reaches.
//!
//! Exact matchers are found by hash. URL patterns are kept once each, per base, and found through their literal parts:
//! scheme and host by hash ([`patterns`]), the path by its segments ([`tree`]), and what is left (the beginning of the
//! next segment, the end of the path, search, fragment, the ends of a host) by a hash of those parts together
//! ([`leaf`]). Only then is a pattern itself asked. What is literal is a necessary condition, so that nothing is missed.
//! Selectors of the 0.x generation ([`selectors`]) are found by hash where they are plain, and by the same tree where they
//! are templates.

mod keys;
mod leaf;
mod patterns;
mod route;
mod selectors;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tree;

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use self::{
    keys::{KeySet, add, shrink},
    patterns::Patterns,
    selectors::Selectors,
};
use super::{Base, MatchType, Matcher, ParsedTopic};

/// Which subscribers an update reaches: all matchers of all live subscribers, arranged so that the cost of a look-up
/// follows the hits and not the matchers kept. Exact matchers by hash, URL patterns by the literal parts of scheme, host
/// and path before any regular expression runs, wildcards on their own.
///
/// `K` is the subscriber's key in the fan-out (a small integer).
#[derive(Debug)]
pub struct MatcherIndex<K> {
    /// Exact topics.
    exact: HashMap<Arc<str>, KeySet<K>>,
    /// URL patterns by the base that relative topics are resolved against.
    patterns: HashMap<Base, Patterns<K>>,
    /// Exact and pattern wildcards are two matchers, of which a subscriber may give back one.
    exact_wildcards: BTreeSet<K>,
    pattern_wildcards: BTreeSet<K>,
    /// Of the 0.x generation (L01).
    selectors: Selectors<K>,
}

impl<K: Copy + Eq + Hash + Ord> MatcherIndex<K> {
    /// Empty.
    pub fn new() -> Self {
        Self {
            exact: HashMap::new(),
            patterns: HashMap::new(),
            exact_wildcards: BTreeSet::new(),
            pattern_wildcards: BTreeSet::new(),
            selectors: Selectors::default(),
        }
    }

    /// Adds a matcher of subscriber `key`. Equal pairs count once.
    pub fn insert(&mut self, key: K, matcher: &Matcher) {
        if matcher.match_type() == MatchType::Topic {
            self.selectors.insert(key, matcher);
        } else if let Some(pattern) = matcher.pattern() {
            self.patterns.entry(pattern.base().clone()).or_default().insert(key, pattern);
        } else if matcher.exact_topic().is_some() {
            add(&mut self.exact, matcher.shared_value().clone(), key);
        } else {
            self.wildcards(matcher).insert(key);
        }
    }

    /// Takes back what [`Self::insert`] added.
    pub fn remove(&mut self, key: K, matcher: &Matcher) {
        if matcher.match_type() == MatchType::Topic {
            self.selectors.remove(key, matcher);
        } else if let Some(pattern) = matcher.pattern() {
            if let Some(patterns) = self.patterns.get_mut(pattern.base()) {
                patterns.remove(key, pattern);
                if patterns.is_empty() {
                    self.patterns.remove(pattern.base());
                    shrink(&mut self.patterns);
                }
            }
        } else if let Some(topic) = matcher.exact_topic() {
            if let Some(keys) = self.exact.get_mut(topic)
                && !keys.remove(key)
            {
                self.exact.remove(topic);
                shrink(&mut self.exact);
            }
        } else {
            self.wildcards(matcher).remove(&key);
        }
    }

    /// Appends to `hits` every key with at least one matcher that selects at least one of `topics`; each key once
    /// (`hits` comes back sorted and without duplicates).
    pub fn lookup(&self, topics: &[ParsedTopic<'_>], hits: &mut Vec<K>) {
        self.lookup_counting(topics, hits);
    }

    /// [`Self::lookup`], and how many patterns it had to ask.
    fn lookup_counting(&self, topics: &[ParsedTopic<'_>], hits: &mut Vec<K>) -> usize {
        let mut candidates = 0;
        if !topics.is_empty() {
            hits.extend(&self.exact_wildcards);
            hits.extend(&self.pattern_wildcards);
        }
        for topic in topics {
            if let Some(keys) = self.exact.get(topic.as_str()) {
                keys.append_to(hits);
            }
            candidates += self.selectors.lookup(topic, hits);
            for (base, patterns) in &self.patterns {
                candidates +=
                    topic.with_parts(base, |parts| parts.map_or(0, |parts| patterns.lookup(parts, hits)));
            }
        }
        hits.sort_unstable();
        hits.dedup();
        candidates
    }

    fn wildcards(&mut self, matcher: &Matcher) -> &mut BTreeSet<K> {
        match matcher.match_type() {
            MatchType::Exact | MatchType::Topic => &mut self.exact_wildcards,
            MatchType::UrlPattern => &mut self.pattern_wildcards,
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> Default for MatcherIndex<K> {
    fn default() -> Self {
        Self::new()
    }
}
