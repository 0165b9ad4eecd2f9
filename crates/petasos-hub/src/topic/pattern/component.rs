//! One component of a compiled pattern: the protocol, the host, the path and so on.

use urlpattern::{component::Component as UpstreamComponent, matcher::InnerMatcher};

use super::{
    super::{
        MatcherError,
        regex::{Budget, ByteSet, Node, Program, RegexError, parse},
    },
    skeleton::{Piece, Skeleton},
    upstream::RegexText,
};

/// What a component must be.
#[derive(Debug)]
pub(in crate::topic) enum Component {
    /// Anything.
    Any,
    /// This text.
    Literal(Box<str>),
    /// One wildcard between fixed texts.
    Affixes(Box<Affixes>),
    /// Whatever a regular expression matches.
    Expression(Box<Expression>),
}

/// A fixed text, one wildcard, a fixed text.
#[derive(Debug)]
pub(in crate::topic) struct Affixes {
    fixed: Fixed,
    /// The wildcard stops at this character: it is one segment or one label.
    excluded: Option<char>,
    allow_empty: bool,
}

/// A regular expression and the fixed texts around it.
#[derive(Debug)]
pub(in crate::topic) struct Expression {
    fixed: Fixed,
    /// Whether the expression covers the fixed texts too, because an assertion in it may look at them.
    whole: bool,
    program: Program,
    /// Kept for paths: the tree it is made from is not.
    skeleton: Option<Skeleton>,
}

/// The fixed texts before and after something, in one piece of memory.
#[derive(Debug)]
struct Fixed {
    texts: Box<str>,
    prefix_bytes: usize,
}

impl Fixed {
    fn new(prefix: &str, suffix: &str) -> Self {
        Self { texts: [prefix, suffix].concat().into(), prefix_bytes: prefix.len() }
    }

    fn prefix(&self) -> &str {
        &self.texts[..self.prefix_bytes]
    }

    fn suffix(&self) -> &str {
        &self.texts[self.prefix_bytes..]
    }

    /// What of `input` is between them; they may not overlap.
    fn strip<'t>(&self, input: &'t str) -> Option<&'t str> {
        input.strip_prefix(self.prefix())?.strip_suffix(self.suffix())
    }
}

impl Component {
    /// Compiles what the crate made of a component. `wants_skeleton` is for the path.
    pub(super) fn compile(
        parsed: &UpstreamComponent<RegexText>,
        budget: &mut Budget,
        wants_skeleton: bool,
    ) -> Result<Self, MatcherError> {
        let fixed = &parsed.matcher;
        let text = match &fixed.inner {
            InnerMatcher::Literal { literal } => return Ok(Self::Literal(literal.as_str().into())),
            InnerMatcher::SingleCapture { filter: None, allow_empty: true }
                if fixed.prefix.is_empty() && fixed.suffix.is_empty() =>
            {
                return Ok(Self::Any);
            }
            InnerMatcher::SingleCapture { filter, allow_empty } => {
                return Ok(Self::Affixes(Box::new(Affixes {
                    fixed: Fixed::new(&fixed.prefix, &fixed.suffix),
                    excluded: *filter,
                    allow_empty: *allow_empty,
                })));
            }
            // A group that its author wrote may look around itself: `/a(\bb)`.
            InnerMatcher::RegExp { .. } if parsed.has_regexp_group => &parsed.regexp,
            InnerMatcher::RegExp { regexp } => regexp,
        };
        let text = text.as_ref().map_err(|_| MatcherError::Malformed)?;
        let node = parse(urlpattern::regexp::RegExp::pattern_string(text))?;
        let mut expression = Expression {
            fixed: Fixed::new(&fixed.prefix, &fixed.suffix),
            whole: parsed.has_regexp_group,
            program: Program::compile(&node, budget)?,
            skeleton: None,
        };
        expression.skeleton = wants_skeleton.then(|| expression.skeleton_of(&node));
        Ok(Self::Expression(Box::new(expression)))
    }

    /// Whether this component of a URL is what it must be.
    pub(super) fn matches(&self, input: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *input,
            Self::Affixes(affixes) => affixes.fixed.strip(input).is_some_and(|middle| {
                (affixes.allow_empty || !middle.is_empty())
                    && affixes.excluded.is_none_or(|excluded| !middle.contains(excluded))
            }),
            Self::Expression(expression) => match expression.fixed.strip(input) {
                Some(_) if expression.whole => expression.program.is_match(input),
                Some(middle) => expression.program.is_match(middle),
                None => false,
            },
        }
    }

    /// The only text that matches, if there is one.
    pub(in crate::topic) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// What every match begins with.
    pub(in crate::topic) fn prefix(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Literal(literal) => literal,
            Self::Affixes(affixes) => affixes.fixed.prefix(),
            Self::Expression(expression) => expression.fixed.prefix(),
        }
    }

    /// What every match ends with.
    pub(in crate::topic) fn suffix(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Literal(literal) => literal,
            Self::Affixes(affixes) => affixes.fixed.suffix(),
            Self::Expression(expression) => expression.fixed.suffix(),
        }
    }

    /// The literal parts, for a path: a superset of what matches.
    pub(in crate::topic) fn skeleton(&self) -> Skeleton {
        match self {
            Self::Any => Skeleton::of([Piece::Wildcard(ByteSet::ALL)]),
            Self::Literal(literal) => Skeleton::of(literal.bytes().map(Piece::Byte)),
            Self::Affixes(affixes) => {
                let excluded =
                    affixes.excluded.map_or(ByteSet::NONE, |excluded| ByteSet::of(excluded.into()));
                let wildcard = Piece::Wildcard(ByteSet::ALL.without(excluded));
                let prefix = affixes.fixed.prefix().bytes().map(Piece::Byte);
                let suffix = affixes.fixed.suffix().bytes().map(Piece::Byte);
                Skeleton::of(prefix.chain([wildcard]).chain(suffix))
            }
            // Without a stored one nothing is known, which is always true.
            Self::Expression(expression) => {
                expression.skeleton.clone().unwrap_or_else(|| Skeleton::of([Piece::Wildcard(ByteSet::ALL)]))
            }
        }
    }

    /// What it occupies on the heap, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Literal(literal) => literal.len(),
            Self::Affixes(affixes) => size_of::<Affixes>() + affixes.fixed.texts.len(),
            Self::Expression(expression) => {
                size_of::<Expression>()
                    + expression.fixed.texts.len()
                    + expression.program.heap_bytes()
                    + expression.skeleton.as_ref().map_or(0, Skeleton::heap_bytes)
            }
        }
    }
}

impl Expression {
    fn skeleton_of(&self, node: &Node) -> Skeleton {
        let mut pieces = Vec::new();
        if !self.whole {
            pieces.extend(self.fixed.prefix().bytes().map(Piece::Byte));
        }
        flatten(node, &mut pieces);
        if !self.whole {
            pieces.extend(self.fixed.suffix().bytes().map(Piece::Byte));
        }
        Skeleton::of(pieces)
    }
}

fn flatten(node: &Node, pieces: &mut Vec<Piece>) {
    match node {
        Node::Bytes(set) => pieces.push(set.single().map_or(Piece::Wildcard(*set), Piece::Byte)),
        Node::Look(_) => {}
        Node::Concat(nodes) => nodes.iter().for_each(|node| flatten(node, pieces)),
        Node::Alternate(_) | Node::Repeat { .. } => pieces.push(Piece::Wildcard(node.alphabet())),
    }
}

impl From<RegexError> for MatcherError {
    fn from(error: RegexError) -> Self {
        match error {
            RegexError::Malformed => Self::Malformed,
            RegexError::TooComplex => Self::TooComplex,
        }
    }
}
