//! Reads the values in force as what their options need. A value that cannot be read is an error recorded, and its
//! default stands in, so that reading goes on and finds the other errors.

use std::time::Duration;

use super::{
    layers::{Layers, Raw},
    options::{self, Kind},
    origin::Origin,
    problems::Problems,
    value,
};

/// Typed access to [`Layers`].
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// Where the value in force comes from.
    pub(super) fn origin(&self, option: &str) -> Origin {
        self.layers.get(option).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    pub(super) fn duration(&mut self, option: &str) -> Duration {
        self.read(option, Kind::Duration, value::duration).unwrap_or_default()
    }

    /// A duration of at least `least`.
    pub(super) fn duration_of(&mut self, option: &str, least: Duration) -> Duration {
        let duration = self.duration(option);
        if duration < least {
            self.problems.at(&self.origin(option), format!("{option} must be at least {least:?}"));
        }
        duration
    }

    pub(super) fn size(&mut self, option: &str) -> u64 {
        self.read(option, Kind::Size, value::size).unwrap_or_default()
    }

    /// A size of something in memory.
    pub(super) fn bytes(&mut self, option: &str) -> usize {
        usize::try_from(self.size(option)).unwrap_or(usize::MAX)
    }

    pub(super) fn count(&mut self, option: &str) -> u64 {
        self.read(option, Kind::Count, value::count).unwrap_or_default()
    }

    pub(super) fn number(&mut self, option: &str) -> usize {
        usize::try_from(self.count(option)).unwrap_or(usize::MAX)
    }

    /// `value`, which zero would make useless.
    pub(super) fn not_zero(&mut self, option: &str, value: usize) -> usize {
        if value == 0 {
            self.problems.at(&self.origin(option), format!("{option} cannot be 0"));
        }
        value
    }

    pub(super) fn switch(&mut self, option: &str) -> bool {
        self.read(option, Kind::Switch, value::switch).unwrap_or_default()
    }

    /// A text; `None` where there is neither a value nor a default. An empty text is no value.
    pub(super) fn text(&mut self, option: &str) -> Option<String> {
        self.read(option, Kind::Text, |text| Ok(text.to_owned())).filter(|text| !text.is_empty())
    }

    pub(super) fn choice(&mut self, option: &str, allowed: &[&'static str]) -> &'static str {
        let chosen = self.read(option, Kind::Text, |text| value::choice(text, allowed).map(str::to_owned));
        allowed.iter().find(|name| chosen.as_deref() == Some(**name)).copied().unwrap_or_default()
    }

    pub(super) fn list(&self, option: &str) -> Vec<String> {
        match self.layers.get(option).map(|setting| &setting.value) {
            Some(Raw::Many(entries)) => entries.clone(),
            Some(Raw::One(text)) => value::list(text),
            None => value::list(default(option)),
        }
    }

    /// Reads one text with `parse`; on an error the default.
    fn read<T>(&mut self, option: &str, kind: Kind, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        debug_assert!(
            options::find(option).is_some_and(|spec| spec.kind == kind || kind == Kind::Text),
            "{option} is read as {kind:?}"
        );
        let read_default =
            || Some(default(option)).filter(|text| !text.is_empty()).and_then(|text| parse(text).ok());
        let Some(setting) = self.layers.get(option) else { return read_default() };
        let Raw::One(text) = &setting.value else {
            self.problems.at(&setting.origin, "one value is expected, not several");
            return read_default();
        };
        // A secret may begin or end with a space; nothing else does on purpose.
        let is_secret = options::find(option).is_some_and(|spec| spec.secret);
        match parse(if is_secret { text } else { text.trim() }) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.at(&setting.origin, error);
                read_default()
            }
        }
    }
}

fn default(option: &str) -> &'static str {
    options::find(option).map_or("", |spec| spec.default)
}
