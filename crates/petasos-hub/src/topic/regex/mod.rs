//! JavaScript regular expressions over ASCII, in linear time and bounded space (M04).
//!
//! URL patterns compile to regular expressions in JavaScript's `v` syntax, and may hold groups that their author wrote
//! in it. The components of a parsed URL are ASCII, and of a match only its existence is wanted; so a small machine of
//! our own is enough: a parser for the syntax ([`parse()`]), a compiler to a nondeterministic automaton
//! ([`program`]), and its simulation with a budget of steps ([`run`]). It needs a few hundred bytes where a general
//! engine takes tens of kilobytes for each pattern, and knows JavaScript's syntax errors.
//!
//! What no automaton does (look-around, back-references) is [`RegexError::TooComplex`].

mod class;
mod node;
mod parse;
mod program;
mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub(super) use node::{ByteSet, Node};
pub(super) use parse::parse;
pub(super) use program::{Budget, Program};

/// Why a regular expression cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegexError {
    /// A syntax error in JavaScript too.
    Malformed,
    /// Beyond what the machine can do, or may take.
    TooComplex,
}
