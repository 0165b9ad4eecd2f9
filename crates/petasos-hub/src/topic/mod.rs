//! Topics and the matchers that select them. Pure: no I/O, no HTTP, no tokens.
//!
//! In the order in which a topic meets them: [`forbidden_character`] and [`is_reserved`] say what may be published,
//! [`ParsedTopic`] carries a topic through matchers, a [`Matcher`] selects topics, a [`MatcherIndex`] finds the
//! subscribers whose matchers do.

mod base;
mod characters;
mod index;
mod intern;
mod matcher;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod measure;
mod parsed;
mod pattern;
mod regex;
mod reserved;
mod template;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use base::{Base, BaseError};
pub use characters::{encode_segment, forbidden_character};
pub use index::MatcherIndex;
pub use matcher::{MatchType, Matcher, MatcherError};
pub use parsed::ParsedTopic;
pub use reserved::is_reserved;

/// The matcher value that matches every topic (M05); no topic may be called so (P06).
pub const WILDCARD: &str = "*";
