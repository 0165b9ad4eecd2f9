//! What is to be told about a configuration: errors, which are collected so that all are reported at once, and notices.

use super::{ConfigErrors, Notice, origin::Origin};

/// Collects errors and notices in the order in which they are found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    errors: Vec<String>,
    notices: Vec<Notice>,
}

impl Problems {
    /// An error in something that was given.
    pub(super) fn at(&mut self, origin: &Origin, text: impl AsRef<str>) {
        self.error(format!("{origin}: {}", text.as_ref()));
    }

    /// An error that has no place, or more than one.
    pub(super) fn error(&mut self, text: impl Into<String>) {
        let text = text.into();
        // One mistake may be met twice, as where a key serves several issuers.
        if !self.errors.contains(&text) {
            self.errors.push(text);
        }
    }

    /// Something that asks for action, but nothing is broken.
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.notices.push(Notice { warning: true, text: text.into() });
    }

    /// Something worth knowing.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notices.push(Notice { warning: false, text: text.into() });
    }

    /// The value of `result`, or its error recorded.
    pub(super) fn check<T>(&mut self, origin: &Origin, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.at(origin, text)).ok()
    }

    /// Whether an error was found so far.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The notices, if there was no error.
    pub(super) fn finish(self) -> Result<Vec<Notice>, ConfigErrors> {
        if self.errors.is_empty() { Ok(self.notices) } else { Err(ConfigErrors(self.errors)) }
    }
}
