//! The URL patterns of one base: each one once, found through its scheme, its host and its path.

use std::{collections::HashMap, sync::Arc};

use super::{
    super::pattern::{Components, Parts, Pattern, Skeleton},
    keys::{KeySet, add, shrink},
    leaf::Probe,
    route::{Literals, Route},
    tree::Tree,
};

/// The patterns of one base and their subscribers.
#[derive(Debug)]
pub(super) struct Patterns<K> {
    keys: HashMap<Arc<Pattern>, KeySet<K>>,
    /// Patterns with a literal scheme; the others are under `any_scheme`.
    schemes: HashMap<Box<str>, Hosts>,
    any_scheme: Hosts,
}

/// Patterns with a literal host, and the others.
#[derive(Debug, Default)]
struct Hosts {
    hosts: HashMap<Box<str>, Box<Tree<Pattern>>>,
    any_host: Tree<Pattern>,
}

impl<K> Default for Patterns<K> {
    fn default() -> Self {
        Self { keys: HashMap::new(), schemes: HashMap::new(), any_scheme: Hosts::default() }
    }
}

impl<K: Copy + Ord> Patterns<K> {
    pub(super) fn insert(&mut self, key: K, pattern: &Arc<Pattern>) {
        if !self.keys.contains_key(pattern) {
            let components = pattern.components();
            let hosts = match components.protocol.literal() {
                Some(scheme) => self.schemes.entry(scheme.into()).or_default(),
                None => &mut self.any_scheme,
            };
            hosts.tree_or_new(components).insert(pattern, &pattern.skeleton());
        }
        add(&mut self.keys, pattern.clone(), key);
    }

    pub(super) fn remove(&mut self, key: K, pattern: &Arc<Pattern>) {
        let Some(keys) = self.keys.get_mut(pattern) else {
            return;
        };
        if keys.remove(key) {
            return;
        }
        self.keys.remove(pattern);
        shrink(&mut self.keys);
        let components = pattern.components();
        match components.protocol.literal() {
            Some(scheme) => {
                if let Some(hosts) = self.schemes.get_mut(scheme) {
                    hosts.remove(pattern);
                    if hosts.is_empty() {
                        self.schemes.remove(scheme);
                        shrink(&mut self.schemes);
                    }
                }
            }
            None => self.any_scheme.remove(pattern),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Appends the subscribers of every pattern that matches, and returns how many patterns were looked at.
    pub(super) fn lookup(&self, parts: &Parts<'_>, hits: &mut Vec<K>) -> usize {
        let mut candidates = 0;
        let mut probe = Probe::new(parts, |pattern: &Arc<Pattern>| {
            candidates += 1;
            if pattern.components().matches_beyond_literal_origin(parts)
                && let Some(keys) = self.keys.get(pattern)
            {
                keys.append_to(hits);
            }
        });
        for hosts in self.schemes.get(parts.protocol).into_iter().chain([&self.any_scheme]) {
            for tree in
                hosts.hosts.get(parts.hostname).map(|tree| &**tree).into_iter().chain([&hosts.any_host])
            {
                tree.visit(Some(parts.pathname), &mut probe);
            }
        }
        candidates
    }
}

impl Route for Pattern {
    fn skeleton(&self) -> Skeleton {
        self.components().pathname.skeleton()
    }

    fn literals(&self) -> Literals<'_> {
        let components = self.components();
        // A literal host has led to the tree already.
        let host_is_wild = components.hostname.literal().is_none();
        let of_host = |text| if host_is_wild { text } else { "" };
        Literals {
            end_of_path: components.pathname.suffix(),
            search: components.search.prefix(),
            hash: components.hash.prefix(),
            host: of_host(components.hostname.prefix()),
            end_of_host: of_host(components.hostname.suffix()),
            port: components.port.prefix(),
        }
    }
}

impl Hosts {
    fn tree_or_new(&mut self, components: &Components) -> &mut Tree<Pattern> {
        match components.hostname.literal() {
            Some(host) => self.hosts.entry(host.into()).or_default(),
            None => &mut self.any_host,
        }
    }

    fn remove(&mut self, pattern: &Pattern) {
        let components = pattern.components();
        let skeleton = pattern.skeleton();
        let Some(host) = components.hostname.literal() else {
            self.any_host.remove(pattern, &skeleton);
            return;
        };
        if let Some(tree) = self.hosts.get_mut(host) {
            tree.remove(pattern, &skeleton);
            if tree.is_empty() {
                self.hosts.remove(host);
                shrink(&mut self.hosts);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.any_host.is_empty()
    }
}
