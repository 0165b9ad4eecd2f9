//! The patterns that a path leads to, told apart by what else is literal in them.

use std::{collections::HashMap, sync::Arc};

use super::{
    super::pattern::{Parts, Segment, Skeleton},
    keys::shrink,
    route::Route,
};

/// Literal parts are told apart by this much of them, in bytes.
const MAX_LENGTH: usize = 256;

/// Up to this length, every length is one of its own; above, multiples of [`LENGTH_STEP`] are.
const EXACT_LENGTHS: usize = 64;

/// A leaf makes one probe for each combination of lengths that occurs in it; this keeps long ones few.
const LENGTH_STEP: usize = 16;

/// A topic on its way through the index, and who wants to hear of candidates.
pub(super) struct Probe<'t, F> {
    pub(super) parts: &'t Parts<'t>,
    candidate: F,
    /// For the keys of leaves.
    key: String,
}

impl<'t, F> Probe<'t, F> {
    pub(super) fn new(parts: &'t Parts<'t>, candidate: F) -> Self {
        Self { parts, candidate, key: String::new() }
    }

    pub(super) fn report<R>(&mut self, pattern: &Arc<R>)
    where
        F: FnMut(&Arc<R>),
    {
        (self.candidate)(pattern);
    }
}

/// How long the literal parts of a pattern are, as far as the way to the leaf has not used them: beginnings and ends of
/// what they are named after. Zero is no literal part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    rest_of_path: u16,
    end_of_path: u16,
    search: u16,
    hash: u16,
    host: u16,
    end_of_host: u16,
    port: u16,
}

impl Shape {
    /// Puts the parts that a topic has in these places into `key`. `None` where it is too short to have them.
    fn key_of(&self, rest: &str, parts: &Parts<'_>, key: &mut String) -> Option<()> {
        key.clear();
        key.push_str(beginning(rest, self.rest_of_path)?);
        key.push_str(end(parts.pathname, self.end_of_path)?);
        key.push_str(beginning(parts.search, self.search)?);
        key.push_str(beginning(parts.hash, self.hash)?);
        key.push_str(beginning(parts.hostname, self.host)?);
        key.push_str(end(parts.hostname, self.end_of_host)?);
        key.push_str(beginning(parts.port, self.port)?);
        Some(())
    }
}

fn beginning(text: &str, length: u16) -> Option<&str> {
    text.get(..length.into())
}

fn end(text: &str, length: u16) -> Option<&str> {
    text.get(text.len().checked_sub(length.into())?..)
}

/// The literal parts of a pattern as a shape and the key that belongs to it. They depend on nothing but the pattern, so
/// that it is found again to be removed.
fn place(pattern: &impl Route, skeleton: &Skeleton) -> (Shape, String) {
    let literals = pattern.literals();
    // A literal last segment has been an edge of the tree already.
    let ends_wild = skeleton.rest.is_some() || !matches!(skeleton.segments.last(), Some(Segment::Literal(_)));
    let mut key = String::new();
    let mut take_beginning = |text: &str| {
        let text = &text[..kept(text)];
        key.push_str(text);
        // At most `MAX_LENGTH`.
        text.len() as u16
    };
    let rest_of_path = take_beginning(skeleton.rest.as_deref().unwrap_or_default());
    let end_of_path = take_beginning(if ends_wild { tail(literals.end_of_path) } else { "" });
    let search = take_beginning(literals.search);
    let hash = take_beginning(literals.hash);
    let host = take_beginning(literals.host);
    let end_of_host = take_beginning(tail(literals.end_of_host));
    let port = take_beginning(literals.port);
    (Shape { rest_of_path, end_of_path, search, hash, host, end_of_host, port }, key)
}

/// How much of a literal part is kept. Components are ASCII, so that any length is between characters.
fn kept(literal: &str) -> usize {
    let length = literal.len().min(MAX_LENGTH);
    if length > EXACT_LENGTHS { length - length % LENGTH_STEP } else { length }
}

/// The end of a literal part, where the end is what is kept.
fn tail(literal: &str) -> &str {
    &literal[literal.len() - kept(literal)..]
}

/// Patterns with the same way through the tree.
#[derive(Debug)]
pub(super) struct Leaf<R> {
    /// Those without any literal part left: all of them are candidates.
    plain: Vec<Arc<R>>,
    /// The others, by their literal parts.
    shapes: Vec<(Shape, Alike<R>)>,
}

/// Patterns of one shape by their literal parts.
type Alike<R> = HashMap<Box<str>, Vec<Arc<R>>>;

impl<R> Default for Leaf<R> {
    fn default() -> Self {
        Self { plain: Vec::new(), shapes: Vec::new() }
    }
}

impl<R: Route> Leaf<R> {
    pub(super) fn insert(&mut self, pattern: &Arc<R>, skeleton: &Skeleton) {
        let (shape, key) = place(&**pattern, skeleton);
        if shape == Shape::default() {
            self.plain.push(pattern.clone());
            return;
        }
        let at = self.shapes.iter().position(|(known, _)| *known == shape).unwrap_or_else(|| {
            self.shapes.push((shape, HashMap::new()));
            self.shapes.len() - 1
        });
        self.shapes[at].1.entry(key.into()).or_default().push(pattern.clone());
    }

    pub(super) fn remove(&mut self, pattern: &R, skeleton: &Skeleton) {
        let (shape, key) = place(pattern, skeleton);
        if shape == Shape::default() {
            take(&mut self.plain, pattern);
            return;
        }
        let Some(at) = self.shapes.iter().position(|(known, _)| *known == shape) else {
            return;
        };
        let patterns = &mut self.shapes[at].1;
        if let Some(alike) = patterns.get_mut(&*key) {
            take(alike, pattern);
            if alike.is_empty() {
                patterns.remove(&*key);
                shrink(patterns);
            }
        }
        if patterns.is_empty() {
            self.shapes.swap_remove(at);
            self.shapes.shrink_to_fit();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.shapes.is_empty()
    }

    /// Reports every pattern whose literal parts are where they must be. `rest` is what of the path is left.
    pub(super) fn visit<F: FnMut(&Arc<R>)>(&self, rest: &str, probe: &mut Probe<'_, F>) {
        self.plain.iter().for_each(&mut probe.candidate);
        for (shape, patterns) in &self.shapes {
            if shape.key_of(rest, probe.parts, &mut probe.key).is_some()
                && let Some(alike) = patterns.get(&*probe.key)
            {
                alike.iter().for_each(&mut probe.candidate);
            }
        }
    }
}

fn take<R: Eq>(patterns: &mut Vec<Arc<R>>, pattern: &R) {
    if let Some(at) = patterns.iter().position(|known| **known == *pattern) {
        patterns.swap_remove(at);
    }
    if patterns.len() < patterns.capacity() / 4 {
        patterns.shrink_to(patterns.len() * 2);
    }
}
