//! Patterns by the segments of their paths.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    super::pattern::{Segment, Skeleton},
    keys::shrink,
    leaf::{Leaf, Probe},
    route::Route,
};

/// A place after some segments of a path. Edges are segments: a literal one, one that begins with a literal text, or any
/// one. A topic follows all edges that fit; skeletons bound the depth.
#[derive(Debug)]
pub(super) struct Tree<R> {
    literal: Children<R>,
    /// By the length of the literal text.
    prefixed: Vec<(usize, Children<R>)>,
    any: Option<Child<R>>,
    /// Patterns whose path ends here.
    end: Leaf<R>,
    /// Patterns whose path goes on in some way.
    open: Leaf<R>,
}

impl<R> Default for Tree<R> {
    fn default() -> Self {
        Self {
            literal: Children::new(),
            prefixed: Vec::new(),
            any: None,
            end: Leaf::default(),
            open: Leaf::default(),
        }
    }
}

/// What follows, by the segment, or the beginning of one, that leads there.
type Children<R> = HashMap<Box<str>, Child<R>>;

/// What an edge leads to.
#[derive(Debug)]
enum Child<R> {
    /// One pattern, as long as there is only one: the rest of its path is not looked at on the way. Most patterns differ
    /// early, and each place less is a part of memory less to fetch.
    Only(Arc<R>),
    Tree(Box<Tree<R>>),
}

impl<R: Route> Tree<R> {
    pub(super) fn insert(&mut self, pattern: &Arc<R>, skeleton: &Skeleton) {
        self.insert_below(0, pattern, skeleton);
    }

    /// Takes the pattern out, and every place that only it needed.
    pub(super) fn remove(&mut self, pattern: &R, skeleton: &Skeleton) {
        self.remove_below(0, pattern, skeleton);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end.is_empty()
            && self.open.is_empty()
            && self.literal.is_empty()
            && self.prefixed.is_empty()
            && self.any.is_none()
    }

    /// Reports every pattern that may match a path, of which `rest` is left: `None` after its last segment.
    pub(super) fn visit<F: FnMut(&Arc<R>)>(&self, rest: Option<&str>, probe: &mut Probe<'_, F>) {
        let Some(rest) = rest else {
            self.end.visit("", probe);
            return;
        };
        self.open.visit(rest, probe);
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(child) = self.literal.get(segment) {
            child.visit(rest, probe);
        }
        for (length, children) in &self.prefixed {
            if let Some(child) = segment.get(..*length).and_then(|prefix| children.get(prefix)) {
                child.visit(rest, probe);
            }
        }
        if let Some(child) = &self.any {
            child.visit(rest, probe);
        }
    }

    /// Inserts a pattern whose first `depth` segments have led here.
    fn insert_below(&mut self, depth: usize, pattern: &Arc<R>, skeleton: &Skeleton) {
        match skeleton.segments.get(depth) {
            None => self.leaf(skeleton).insert(pattern, skeleton),
            Some(Segment::Literal(text)) => insert_in(&mut self.literal, text, depth, pattern, skeleton),
            Some(Segment::Prefixed(text)) => {
                let at =
                    self.prefixed.iter().position(|(length, _)| *length == text.len()).unwrap_or_else(|| {
                        self.prefixed.push((text.len(), Children::new()));
                        self.prefixed.len() - 1
                    });
                insert_in(&mut self.prefixed[at].1, text, depth, pattern, skeleton);
            }
            Some(Segment::Any) => match &mut self.any {
                Some(child) => child.insert(depth + 1, pattern, skeleton),
                None => self.any = Some(Child::Only(pattern.clone())),
            },
        }
    }

    fn remove_below(&mut self, depth: usize, pattern: &R, skeleton: &Skeleton) {
        match skeleton.segments.get(depth) {
            None => self.leaf(skeleton).remove(pattern, skeleton),
            Some(Segment::Literal(text)) => remove_in(&mut self.literal, text, depth, pattern, skeleton),
            Some(Segment::Prefixed(text)) => {
                if let Some(at) = self.prefixed.iter().position(|(length, _)| *length == text.len()) {
                    let children = &mut self.prefixed[at].1;
                    remove_in(children, text, depth, pattern, skeleton);
                    if children.is_empty() {
                        self.prefixed.swap_remove(at);
                        self.prefixed.shrink_to_fit();
                    }
                }
            }
            Some(Segment::Any) => {
                if self.any.as_mut().is_some_and(|child| !child.remove(depth + 1, pattern, skeleton)) {
                    self.any = None;
                }
            }
        }
    }

    fn leaf(&mut self, skeleton: &Skeleton) -> &mut Leaf<R> {
        if skeleton.rest.is_some() { &mut self.open } else { &mut self.end }
    }
}

impl<R: Route> Child<R> {
    fn visit<F: FnMut(&Arc<R>)>(&self, rest: Option<&str>, probe: &mut Probe<'_, F>) {
        match self {
            Self::Only(pattern) => probe.report(pattern),
            Self::Tree(tree) => tree.visit(rest, probe),
        }
    }

    fn insert(&mut self, depth: usize, pattern: &Arc<R>, skeleton: &Skeleton) {
        match self {
            Self::Only(other) => {
                let mut tree = Box::<Tree<R>>::default();
                tree.insert_below(depth, other, &other.skeleton());
                tree.insert_below(depth, pattern, skeleton);
                *self = Self::Tree(tree);
            }
            Self::Tree(tree) => tree.insert_below(depth, pattern, skeleton),
        }
    }

    /// Takes the pattern out; `false` where nothing would be left, and the child has to go.
    #[must_use]
    fn remove(&mut self, depth: usize, pattern: &R, skeleton: &Skeleton) -> bool {
        match self {
            Self::Only(only) => **only != *pattern,
            Self::Tree(tree) => {
                tree.remove_below(depth, pattern, skeleton);
                !tree.is_empty()
            }
        }
    }
}

fn insert_in<R: Route>(
    children: &mut Children<R>,
    text: &str,
    depth: usize,
    pattern: &Arc<R>,
    skeleton: &Skeleton,
) {
    match children.entry(text.into()) {
        Entry::Occupied(mut entry) => entry.get_mut().insert(depth + 1, pattern, skeleton),
        Entry::Vacant(entry) => {
            entry.insert(Child::Only(pattern.clone()));
        }
    }
}

fn remove_in<R: Route>(
    children: &mut Children<R>,
    text: &str,
    depth: usize,
    pattern: &R,
    skeleton: &Skeleton,
) {
    if children.get_mut(text).is_some_and(|child| !child.remove(depth + 1, pattern, skeleton)) {
        children.remove(text);
        shrink(children);
    }
}
