//! The syntax tree of a regular expression.

/// A set of ASCII bytes, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::topic) struct ByteSet(u128);

impl ByteSet {
    pub(in crate::topic) const NONE: Self = Self(0);
    pub(in crate::topic) const ALL: Self = Self(u128::MAX);

    /// The set of one code point; empty beyond ASCII, where no input is.
    pub(in crate::topic) fn of(code_point: u32) -> Self {
        Self::range(code_point, code_point)
    }

    /// The ASCII part of a range of code points, both ends included.
    pub(super) fn range(first: u32, last: u32) -> Self {
        (first..=last.min(0x7F)).fold(Self::NONE, |set, code_point| Self(set.0 | 1 << code_point))
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        bytes.iter().fold(Self::NONE, |set, &byte| set | Self::of(byte.into()))
    }

    pub(in crate::topic) fn contains(self, byte: u8) -> bool {
        byte < 0x80 && self.0 >> byte & 1 == 1
    }

    /// The byte of a set that has only one.
    pub(in crate::topic) fn single(self) -> Option<u8> {
        // At most 127, as the set has 128 bits.
        self.0.is_power_of_two().then(|| self.0.trailing_zeros() as u8)
    }

    pub(in crate::topic) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn complement(self) -> Self {
        Self(!self.0)
    }

    /// Adds the other case of every letter.
    pub(super) fn fold_case(self) -> Self {
        const LOWER: u128 = 0x03FF_FFFF << b'a';
        const UPPER: u128 = 0x03FF_FFFF << b'A';
        Self(self.0 | (self.0 & LOWER) >> 32 | (self.0 & UPPER) << 32)
    }
}

impl std::ops::BitOr for ByteSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitAnd for ByteSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A condition on a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::topic) enum Look {
    /// `^`
    Start,
    /// `$`
    End,
    /// `\b`
    WordBoundary,
    /// `\B`
    NotWordBoundary,
}

/// A node of the tree. Greed and captures are gone: they do not change whether a text matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::topic) enum Node {
    /// One byte of the set.
    Bytes(ByteSet),
    /// No byte, if the condition holds.
    Look(Look),
    /// One after the other; none is the empty text.
    Concat(Vec<Node>),
    /// One of them; there is at least one.
    Alternate(Vec<Node>),
    /// `min` times at least, `max` times at most.
    Repeat {
        /// What is repeated.
        node: Box<Node>,
        /// At least so often.
        min: u32,
        /// At most so often, `None` for any number.
        max: Option<u32>,
    },
}

impl Node {
    /// Every byte that may occur anywhere in a match.
    pub(in crate::topic) fn alphabet(&self) -> ByteSet {
        match self {
            Self::Bytes(set) => *set,
            Self::Look(_) => ByteSet::NONE,
            Self::Concat(nodes) | Self::Alternate(nodes) => {
                nodes.iter().fold(ByteSet::NONE, |set, node| set | node.alphabet())
            }
            Self::Repeat { node, .. } => node.alphabet(),
        }
    }
}
