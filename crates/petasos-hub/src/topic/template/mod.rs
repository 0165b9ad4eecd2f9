//! URI Templates (RFC 6570, all four levels) as selectors of topics (L01): compiled once, shared by all matchers with the
//! same value. A topic matches where it is an expansion of the template for some values of its variables.
//!
//! What `parse` makes of a text is a list of pieces, and `run` follows a topic through them: all places that can be
//! reached at once, piece after piece, with a budget of steps (M04). No automaton is built, so that `{id:9999}` takes no
//! more memory than `{id}`.

mod parse;
mod places;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod rfc_tests;
mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests;

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use super::{
    MatcherError,
    intern::Interner,
    pattern::{Piece as Part, Skeleton},
    regex::ByteSet,
};

/// The longest template, in bytes: as for URL patterns.
const MAX_TEMPLATE_BYTES: usize = super::pattern::MAX_PATTERN_BYTES;

/// Variables of one template, as many as the groups of a URL pattern.
const MAX_VARIABLES: usize = 256;

/// A compiled template with at least one expression. Made by [`intern()`].
#[derive(Debug)]
pub(super) struct Template {
    value: Arc<str>,
    /// Of the value, computed once.
    hash: u64,
    pieces: Box<[Piece]>,
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// This text; what of it is beyond ASCII also percent-encoded.
    Literal(Box<str>),
    Expression(Expression),
}

/// `{…}`
#[derive(Debug, PartialEq, Eq)]
struct Expression {
    operator: &'static Operator,
    variables: Box<[Variable]>,
}

/// What stands behind the opening brace, and all that follows from it (RFC 6570, appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    /// Before the first value.
    first: &'static str,
    /// Between values.
    separator: &'static str,
    /// What an empty value has instead of `=` and itself; `None` where values have no names.
    named: Option<Empty>,
    /// Reserved characters stay as they are.
    reserved: bool,
}

/// How a name without a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Empty {
    /// `name`
    Bare,
    /// `name=`
    WithEquals,
}

#[derive(Debug, PartialEq, Eq)]
struct Variable {
    /// Empty where the operator names no values.
    name: Box<str>,
    modifier: Modifier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modifier {
    None,
    /// `:n`, so many characters at most.
    Prefix(u16),
    /// `*`
    Explode,
}

static TEMPLATES: LazyLock<Interner<Arc<str>, Template>> = LazyLock::new(Interner::new);

/// The compiled form of a selector, an existing one or a new one. `None` where it is no template with an expression: then
/// it selects the topic that is equal to it, and no other. So does a malformed template: a hub of version 0.x compares it
/// like any text, and clients of that version may send any.
///
/// # Errors
/// [`MatcherError::TooLong`] and [`MatcherError::TooComplex`] for what exceeds the bounds of M04.
pub(super) fn intern(value: &str) -> Result<Option<Arc<Template>>, MatcherError> {
    if !value.contains('{') {
        return Ok(None);
    }
    let compiled = TEMPLATES.intern(value.into(), |value, hash| {
        if value.len() > MAX_TEMPLATE_BYTES {
            return Err(Some(MatcherError::TooLong { limit: MAX_TEMPLATE_BYTES }));
        }
        let pieces = parse::parse(value).ok_or(None)?;
        if count_variables(&pieces) > MAX_VARIABLES {
            return Err(Some(MatcherError::TooComplex));
        }
        Ok(Template { value: Arc::clone(value), hash, pieces: pieces.into() })
    });
    match compiled {
        Ok(template) => Ok(Some(template)),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

fn count_variables(pieces: &[Piece]) -> usize {
    let variables = |piece: &Piece| match piece {
        Piece::Expression(expression) => expression.variables.len(),
        Piece::Literal(_) => 0,
    };
    pieces.iter().map(variables).sum()
}

/// What of a literal text follows its last character beyond ASCII: every expansion has it as it stands.
fn ascii_tail(text: &str) -> &str {
    match text.char_indices().rfind(|(_, character)| !character.is_ascii()) {
        Some((at, character)) => &text[at + character.len_utf8()..],
        None => text,
    }
}

impl Template {
    /// The text it was made from.
    pub(super) fn value(&self) -> &Arc<str> {
        &self.value
    }

    /// How many variables it has: what a match costs, times the length of the topic.
    pub(super) fn variables(&self) -> usize {
        count_variables(&self.pieces)
    }

    /// Whether `topic` is an expansion. Linear in the length of the topic for each variable, or bounded (M04).
    pub(super) fn matches(&self, topic: &str) -> bool {
        run::matches(&self.pieces, topic)
    }

    /// The literal parts, segment by segment: a superset of what matches.
    pub(super) fn skeleton(&self) -> Skeleton {
        Skeleton::of(self.pieces.iter().flat_map(|piece| match piece {
            Piece::Literal(text) => text.chars().map(literal_part).collect(),
            Piece::Expression(expression) => vec![Part::Wildcard(expression.alphabet())],
        }))
    }

    /// What every expansion ends with.
    pub(super) fn suffix(&self) -> &str {
        match self.pieces.last() {
            Some(Piece::Literal(text)) => ascii_tail(text),
            _ => "",
        }
    }

    /// What it occupies beside its value, in bytes, without what allocation adds.
    pub(super) fn weight_bytes(&self) -> usize {
        let heap = |piece: &Piece| match piece {
            Piece::Literal(text) => text.len(),
            Piece::Expression(Expression { variables, .. }) => {
                size_of_val(&**variables)
                    + variables.iter().map(|variable| variable.name.len()).sum::<usize>()
            }
        };
        size_of::<Self>() + size_of_val(&*self.pieces) + self.pieces.iter().map(heap).sum::<usize>()
    }
}

/// Of a character beyond ASCII it is unknown how it stands in a topic, but not that there is no slash in it.
fn literal_part(character: char) -> Part {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => Part::Byte(byte),
        _ => Part::Wildcard(ByteSet::NONE),
    }
}

impl Expression {
    /// Every ASCII byte that may occur in an expansion.
    fn alphabet(&self) -> ByteSet {
        let fixed = self.operator.first.bytes().chain(self.operator.separator.bytes()).chain(*b"%=,");
        let names = self.variables.iter().flat_map(|variable| variable.name.bytes());
        let set = |set, byte: u8| set | ByteSet::of(byte.into());
        fixed.chain(names).fold(run::class(self.operator.reserved), set)
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        TEMPLATES.forget(Arc::clone(&self.value));
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.hash == other.hash && self.value == other.value
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
