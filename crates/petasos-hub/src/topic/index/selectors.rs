//! Selectors of the 0.x generation (L01): by equality, and templates through their literal parts.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    super::{
        Matcher, ParsedTopic,
        pattern::{Parts, Skeleton},
        template::Template,
    },
    keys::{KeySet, add, shrink},
    leaf::Probe,
    route::{Literals, Route},
    tree::Tree,
};

/// All selectors and their subscribers.
#[derive(Debug)]
pub(super) struct Selectors<K> {
    /// Every selector but the wildcard: a template selects the topic that is equal to it, too.
    equal: HashMap<Arc<str>, KeySet<K>>,
    templates: HashMap<Arc<Template>, KeySet<K>>,
    tree: Tree<Template>,
    wildcards: BTreeSet<K>,
}

impl<K> Default for Selectors<K> {
    fn default() -> Self {
        Self {
            equal: HashMap::new(),
            templates: HashMap::new(),
            tree: Tree::default(),
            wildcards: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord> Selectors<K> {
    pub(super) fn insert(&mut self, key: K, selector: &Matcher) {
        if selector.is_wildcard() {
            self.wildcards.insert(key);
            return;
        }
        add(&mut self.equal, selector.shared_value().clone(), key);
        if let Some(template) = selector.template() {
            if !self.templates.contains_key(template) {
                self.tree.insert(template, &template.skeleton());
            }
            add(&mut self.templates, template.clone(), key);
        }
    }

    pub(super) fn remove(&mut self, key: K, selector: &Matcher) {
        if selector.is_wildcard() {
            self.wildcards.remove(&key);
            return;
        }
        take(&mut self.equal, selector.value(), key);
        if let Some(template) = selector.template()
            && take(&mut self.templates, template, key)
        {
            self.tree.remove(template, &template.skeleton());
        }
    }

    /// Appends the subscribers of every selector that selects `topic`, and returns how many templates were looked at.
    pub(super) fn lookup(&self, topic: &ParsedTopic<'_>, hits: &mut Vec<K>) -> usize {
        let text = topic.as_str();
        if let Some(keys) = self.equal.get(text) {
            keys.append_to(hits);
        }
        hits.extend(&self.wildcards);
        if self.templates.is_empty() {
            return 0;
        }
        // A template is matched with the topic as it stands: the whole of it is what the tree calls a path.
        let parts = Parts::of_path(text);
        let mut candidates = 0;
        let mut probe = Probe::new(&parts, |template: &Arc<Template>| {
            candidates += 1;
            if template.matches(text)
                && let Some(keys) = self.templates.get(template)
            {
                keys.append_to(hits);
            }
        });
        self.tree.visit(Some(text), &mut probe);
        candidates
    }

    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.equal.capacity() == 0
            && self.templates.capacity() == 0
            && self.tree.is_empty()
            && self.wildcards.is_empty()
    }
}

/// Takes `key` out of the set under `of`; whether the set is gone with it.
fn take<M, Q, K>(sets: &mut HashMap<M, KeySet<K>>, of: &Q, key: K) -> bool
where
    M: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
    K: Copy + Ord,
{
    let is_last = sets.get_mut(of).is_some_and(|keys| !keys.remove(key));
    if is_last {
        sets.remove(of);
        shrink(sets);
    }
    is_last
}

impl Route for Template {
    fn skeleton(&self) -> Skeleton {
        self.skeleton()
    }

    fn literals(&self) -> Literals<'_> {
        Literals { end_of_path: self.suffix(), ..Literals::default() }
    }
}
