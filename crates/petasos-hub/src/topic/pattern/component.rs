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

/// `prefix`, one wildcard, `suffix`.
#[derive(Debug)]
pub(in crate::topic) struct Affixes {
    prefix: Box<str>,
    suffix: Box<str>,
    /// The wildcard stops at this character: it is one segment or one label.
    excluded: Option<char>,
    allow_empty: bool,
}

/// A regular expression and the fixed texts around it.
#[derive(Debug)]
pub(in crate::topic) struct Expression {
    prefix: Box<str>,
    suffix: Box<str>,
    /// Whether the expression covers the fixed texts too, because an assertion in it may look at them.
    whole: bool,
    program: Program,
    /// Kept for paths: the tree it is made from is not.
    skeleton: Option<Skeleton>,
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
                    prefix: fixed.prefix.as_str().into(),
                    suffix: fixed.suffix.as_str().into(),
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
            prefix: fixed.prefix.as_str().into(),
            suffix: fixed.suffix.as_str().into(),
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
            Self::Affixes(affixes) => strip(input, &affixes.prefix, &affixes.suffix).is_some_and(|middle| {
                (affixes.allow_empty || !middle.is_empty())
                    && affixes.excluded.is_none_or(|excluded| !middle.contains(excluded))
            }),
            Self::Expression(expression) => match strip(input, &expression.prefix, &expression.suffix) {
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
            Self::Affixes(affixes) => &affixes.prefix,
            Self::Expression(expression) => &expression.prefix,
        }
    }

    /// What every match ends with.
    pub(in crate::topic) fn suffix(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Literal(literal) => literal,
            Self::Affixes(affixes) => &affixes.suffix,
            Self::Expression(expression) => &expression.suffix,
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
                let prefix = affixes.prefix.bytes().map(Piece::Byte);
                let suffix = affixes.suffix.bytes().map(Piece::Byte);
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
            Self::Affixes(affixes) => size_of::<Affixes>() + affixes.prefix.len() + affixes.suffix.len(),
            Self::Expression(expression) => {
                size_of::<Expression>()
                    + expression.prefix.len()
                    + expression.suffix.len()
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
            pieces.extend(self.prefix.bytes().map(Piece::Byte));
        }
        flatten(node, &mut pieces);
        if !self.whole {
            pieces.extend(self.suffix.bytes().map(Piece::Byte));
        }
        Skeleton::of(pieces)
    }
}

/// The text between `prefix` and `suffix`, which may not overlap.
fn strip<'t>(input: &'t str, prefix: &str, suffix: &str) -> Option<&'t str> {
    input.strip_prefix(prefix)?.strip_suffix(suffix)
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
