//! All values that were given, by option and origin, and which of them are in force.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    issuers::IssuerDraft,
    origin::{Family, Origin},
    problems::Problems,
};

/// A value as it was given, not yet read as what its option needs.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A text; where the option is a list, one whose entries are separated by commas or white space.
    One(String),
    /// Entries that are separate already.
    Many(Vec<String>),
}

impl Raw {
    /// As one line, for `check --print`.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(entries) => entries.join(", "),
        }
    }
}

/// A value and where it comes from. It may be a secret: there is no `Debug`.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) value: Raw,
    pub(super) origin: Origin,
}

/// What all layers say. Options are keyed by their path in the configuration file.
#[derive(Default)]
pub(super) struct Layers {
    settings: BTreeMap<&'static str, Vec<Setting>>,
    issuers: Vec<IssuerDraft>,
    /// Variables that directives took up by a placeholder.
    pub(super) placed: BTreeSet<String>,
}

impl Layers {
    /// Adds a value. Of two with equal rank the later call wins.
    pub(super) fn set(&mut self, option: &'static str, value: Raw, origin: Origin) {
        self.settings.entry(option).or_default().push(Setting { value, origin });
    }

    /// Adds an issuer that has a block of its own.
    pub(super) fn add_issuer(&mut self, issuer: IssuerDraft) {
        self.issuers.push(issuer);
    }

    /// The value in force, unless nothing but the default is there.
    pub(super) fn get(&self, option: &str) -> Option<&Setting> {
        self.settings.get(option)?.iter().max_by_key(|setting| setting.origin.rank())
    }

    /// The issuers of the last layer that has any: like every other list, a later layer replaces them.
    pub(super) fn issuers(&self) -> Vec<&IssuerDraft> {
        let last = self.issuers.iter().map(|issuer| issuer.origin.rank()).max();
        self.issuers.iter().filter(|issuer| Some(issuer.origin.rank()) == last).collect()
    }

    /// Tells of every value that loses to one of the other family, or to another line of its own: a second source of
    /// one's own family is how layers are used, one of the other is easily overlooked.
    pub(super) fn tell_overridden(&self, problems: &mut Problems) {
        for (option, settings) in &self.settings {
            let Some(winner) = self.get(option) else { continue };
            for loser in settings {
                if loser.value != winner.value && is_surprising(&loser.origin, &winner.origin) {
                    problems.note(overridden(&loser.origin, &winner.origin, option));
                }
            }
        }
        let in_force = self.issuers();
        if let Some(winner) = in_force.first() {
            for loser in &self.issuers {
                if loser.origin.rank() != winner.origin.rank() && is_surprising(&loser.origin, &winner.origin)
                {
                    problems.note(overridden(&loser.origin, &winner.origin, "issuers"));
                }
            }
        }
    }
}

fn is_surprising(loser: &Origin, winner: &Origin) -> bool {
    match (loser.family(), winner.family()) {
        (Some(Family::DropIn), Some(Family::DropIn)) => true,
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

fn overridden(loser: &Origin, winner: &Origin, option: &str) -> String {
    format!("{loser} is overridden by {winner} ({option})")
}
