//! What is literal in a path pattern, segment by segment: how an index finds the pattern.

use super::super::regex::ByteSet;

/// Segments beyond this are not told apart. Whoever walks a skeleton may recurse.
const MAX_SEGMENTS: usize = 32;

/// A piece of a path pattern, from left to right.
#[derive(Clone, Copy, Debug)]
pub(in crate::topic) enum Piece {
    /// This byte.
    Byte(u8),
    /// Any number of bytes of this set, none included.
    Wildcard(ByteSet),
}

/// One segment: what stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::topic) enum Segment {
    /// This text.
    Literal(Box<str>),
    /// A text that begins like this.
    Prefixed(Box<str>),
    /// Any text.
    Any,
}

/// The literal parts of a path pattern. Every path that matches has these first segments; a path without a slash has
/// one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::topic) struct Skeleton {
    /// The segments about which something is known.
    pub(in crate::topic) segments: Box<[Segment]>,
    /// What comes after them: `None` if nothing does, else at least one segment more, the first beginning like this.
    pub(in crate::topic) rest: Option<Box<str>>,
}

impl Skeleton {
    pub(in crate::topic) fn of(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut wild = false;
        for piece in pieces {
            match piece {
                Piece::Byte(b'/') => {
                    segments.push(segment(std::mem::take(&mut literal), std::mem::take(&mut wild)));
                    if segments.len() == MAX_SEGMENTS {
                        return Self { segments: segments.into(), rest: Some("".into()) };
                    }
                }
                Piece::Byte(byte) if !wild => literal.push(byte.into()),
                Piece::Byte(_) => {}
                // It may run across segments, so that nothing is known about where the next one begins.
                Piece::Wildcard(set) if set.contains(b'/') => {
                    return Self { segments: segments.into(), rest: Some(literal.into()) };
                }
                Piece::Wildcard(_) => wild = true,
            }
        }
        segments.push(segment(literal, wild));
        Self { segments: segments.into(), rest: None }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) | Segment::Prefixed(text) => text.len(),
                Segment::Any => 0,
            })
            .sum();
        size_of_val(&*self.segments) + texts + self.rest.as_ref().map_or(0, |rest| rest.len())
    }
}

fn segment(literal: String, wild: bool) -> Segment {
    match (wild, literal.is_empty()) {
        (false, _) => Segment::Literal(literal.into()),
        (true, false) => Segment::Prefixed(literal.into()),
        (true, true) => Segment::Any,
    }
}
