//! Patterns by the segments of their paths.

use std::{collections::HashMap, sync::Arc};

use super::{
    super::pattern::{Pattern, Segment, Skeleton},
    keys::shrink,
    leaf::{Leaf, Probe},
};

/// Places by the segment, or the beginning of one, that leads to them.
type Children = HashMap<Box<str>, Box<Tree>>;

/// A place after some segments of a path. Edges are segments: a literal one, one that begins with a literal text, or any
/// one. A topic follows all edges that fit; skeletons bound the depth.
#[derive(Debug, Default)]
pub(super) struct Tree {
    literal: Children,
    /// By the length of the literal text.
    prefixed: Vec<(usize, Children)>,
    any: Option<Box<Tree>>,
    /// Patterns whose path ends here.
    end: Leaf,
    /// Patterns whose path goes on in some way.
    open: Leaf,
}

impl Tree {
    pub(super) fn insert(&mut self, pattern: &Arc<Pattern>, skeleton: &Skeleton) {
        let mut tree = self;
        for segment in &skeleton.segments {
            tree = tree.child_or_new(segment);
        }
        tree.leaf(skeleton).insert(pattern, skeleton);
    }

    /// Takes the pattern out, and every place that only it needed.
    pub(super) fn remove(&mut self, pattern: &Pattern, skeleton: &Skeleton) {
        self.remove_below(&skeleton.segments, pattern, skeleton);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end.is_empty()
            && self.open.is_empty()
            && self.literal.is_empty()
            && self.prefixed.is_empty()
            && self.any.is_none()
    }

    /// Reports every pattern that may match a path, of which `rest` is left: `None` after its last segment.
    pub(super) fn visit<F: FnMut(&Arc<Pattern>)>(&self, rest: Option<&str>, probe: &mut Probe<'_, F>) {
        let Some(rest) = rest else {
            self.end.visit("", probe);
            return;
        };
        self.open.visit(rest, probe);
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(tree) = self.literal.get(segment) {
            tree.visit(rest, probe);
        }
        for (length, trees) in &self.prefixed {
            if let Some(tree) = segment.get(..*length).and_then(|prefix| trees.get(prefix)) {
                tree.visit(rest, probe);
            }
        }
        if let Some(tree) = &self.any {
            tree.visit(rest, probe);
        }
    }

    fn leaf(&mut self, skeleton: &Skeleton) -> &mut Leaf {
        if skeleton.rest.is_some() { &mut self.open } else { &mut self.end }
    }

    fn child_or_new(&mut self, segment: &Segment) -> &mut Tree {
        match segment {
            Segment::Literal(text) => self.literal.entry(text.clone()).or_default(),
            Segment::Prefixed(text) => {
                let at =
                    self.prefixed.iter().position(|(length, _)| *length == text.len()).unwrap_or_else(|| {
                        self.prefixed.push((text.len(), Children::new()));
                        self.prefixed.len() - 1
                    });
                self.prefixed[at].1.entry(text.clone()).or_default()
            }
            Segment::Any => self.any.get_or_insert_default(),
        }
    }

    fn remove_below(&mut self, segments: &[Segment], pattern: &Pattern, skeleton: &Skeleton) {
        let Some((segment, below)) = segments.split_first() else {
            self.leaf(skeleton).remove(pattern, skeleton);
            return;
        };
        match segment {
            Segment::Literal(text) => remove_in(&mut self.literal, text, below, pattern, skeleton),
            Segment::Prefixed(text) => {
                if let Some(at) = self.prefixed.iter().position(|(length, _)| *length == text.len()) {
                    let trees = &mut self.prefixed[at].1;
                    remove_in(trees, text, below, pattern, skeleton);
                    if trees.is_empty() {
                        self.prefixed.swap_remove(at);
                        self.prefixed.shrink_to_fit();
                    }
                }
            }
            Segment::Any => {
                if let Some(tree) = &mut self.any {
                    tree.remove_below(below, pattern, skeleton);
                    if tree.is_empty() {
                        self.any = None;
                    }
                }
            }
        }
    }
}

fn remove_in(trees: &mut Children, text: &str, below: &[Segment], pattern: &Pattern, skeleton: &Skeleton) {
    if let Some(tree) = trees.get_mut(text) {
        tree.remove_below(below, pattern, skeleton);
        if tree.is_empty() {
            trees.remove(text);
            shrink(trees);
        }
    }
}
