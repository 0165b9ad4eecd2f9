//! What a check found wrong, said so that an operator can act. One finding serves the refusal of a request and the
//! report of `petasos token check`.

use super::{Reason, Refusal};

/// How much of a token's own text is shown, in characters. Enough for a URL, too little to flood a log.
const SHOWN_CHARACTERS: usize = 120;

/// A rule that a token breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) reason: Reason,
    /// What is there.
    pub(super) found: String,
    /// What must be there.
    pub(super) expected: String,
    /// What to do about it; may be empty.
    pub(super) next_step: String,
}

impl Finding {
    pub(super) fn new(reason: Reason, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { reason, found: found.into(), expected: expected.into(), next_step: String::new() }
    }

    #[must_use]
    pub(super) fn next_step(mut self, step: impl Into<String>) -> Self {
        self.next_step = step.into();
        self
    }
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        let Finding { reason, found, expected, next_step } = finding;
        let mut detail = format!("{found}; expected {expected}");
        if !next_step.is_empty() {
            detail.push_str("; ");
            detail.push_str(&next_step);
        }
        Refusal::invalid_token(reason).because(detail)
    }
}

/// A text from a token as an operator may see it: quoted, escaped, and not too long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_tokens_are_escaped_and_cut() {
        assert_eq!(shown("a\n\u{1b}[31m\u{202e}"), r#""a\n\u{1b}[31m\u{202e}""#);
        assert_eq!(shown(&"ä".repeat(500)).chars().count(), SHOWN_CHARACTERS + 3);
    }

    #[test]
    fn a06_a_refusal_names_found_expected_and_the_next_step() {
        let refusal = Refusal::from(
            Finding::new(Reason::WrongType, "typ is \"JWT\"", "at+jwt").next_step("mint it anew"),
        );
        assert_eq!(refusal.detail(), "typ is \"JWT\"; expected at+jwt; mint it anew");
        assert_eq!(refusal.reason(), Reason::WrongType);
    }
}
