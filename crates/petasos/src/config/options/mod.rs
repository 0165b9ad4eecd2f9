//! The one table of options. From it come the keys of the configuration file, the variables, the flags, the defaults,
//! `check --print` and the table of `docs/configuration.md`.

mod table;

pub(super) use table::OPTIONS;

use super::origin::OWN_PREFIX;

/// How the value of an option is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Count,
    /// `40s`, `1m30s`.
    Duration,
    /// `1MiB`, `64KiB`, or bytes.
    Size,
    /// Any text.
    Text,
    /// A path of the file system.
    Path,
    /// Several texts.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
    /// The `[[issuers]]` of the file; a JSON array in a variable.
    Issuers,
}

impl Kind {
    /// For documentation and help.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Count => "number",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Text => "text",
            Self::Path => "path",
            Self::List => "list",
            Self::Choice(_) => "choice",
            Self::Issuers => "tables",
        }
    }
}

/// One option.
#[derive(Debug)]
pub(super) struct OptionSpec {
    /// Its path in the configuration file, and its name everywhere in this program.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// The default, in the form in which an operator would write it. Empty: none.
    pub(super) default: &'static str,
    /// One sentence or two.
    pub(super) doc: &'static str,
    /// The variable of the reference hub's image that means the same.
    pub(super) drop_in: Option<&'static str>,
    /// The value is never shown, has no flag (command lines are visible to every user of a machine), and may stand in a
    /// file that `…_FILE` names.
    pub(super) secret: bool,
    /// `…_FILE` works although the value is no secret.
    pub(super) or_file: bool,
    /// There is a flag.
    pub(super) flag: bool,
    /// Shown by `-h` as well as by `--help`.
    pub(super) prominent: bool,
}

/// Sections whose name is no part of variables and flags: `hub.heartbeat` is `PETASOS_HEARTBEAT`.
const TRANSPARENT_SECTIONS: [&str; 3] = ["auth.", "hub.", "server."];

/// What is appended to the name of a variable, or of a key of the file, whose value is to be read from a file.
pub(super) const FILE_SUFFIX: &str = "_FILE";

impl OptionSpec {
    const fn new(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self {
            path,
            kind,
            default,
            doc,
            drop_in: None,
            secret: false,
            or_file: false,
            flag: true,
            prominent: false,
        }
    }

    const fn drop_in(mut self, variable: &'static str) -> Self {
        self.drop_in = Some(variable);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self.or_file = true;
        self.flag = false;
        self
    }

    const fn or_file(mut self) -> Self {
        self.or_file = true;
        self
    }

    const fn no_flag(mut self) -> Self {
        self.flag = false;
        self
    }

    const fn prominent(mut self) -> Self {
        self.prominent = true;
        self
    }

    /// The path without a section that variables and flags do not name.
    fn short_path(&self) -> &'static str {
        TRANSPARENT_SECTIONS.iter().find_map(|section| self.path.strip_prefix(section)).unwrap_or(self.path)
    }

    /// Our own variable.
    pub(super) fn variable(&self) -> String {
        format!("{OWN_PREFIX}{}", self.short_path().to_ascii_uppercase().replace('.', "_"))
    }

    /// The flag, without its dashes.
    pub(super) fn flag_name(&self) -> Option<String> {
        self.flag.then(|| self.short_path().replace(['.', '_'], "-"))
    }
}

/// The option with this path.
///
/// Every path that the program itself asks for is in the table; a test reads all of them.
pub(super) fn find(path: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_in_every_layer() {
        let paths: BTreeSet<_> = OPTIONS.iter().map(|option| option.path).collect();
        let variables: BTreeSet<_> = OPTIONS.iter().map(OptionSpec::variable).collect();
        let flags: Vec<_> = OPTIONS.iter().filter_map(OptionSpec::flag_name).collect();
        assert_eq!(paths.len(), OPTIONS.len());
        assert_eq!(variables.len(), OPTIONS.len());
        assert_eq!(flags.iter().collect::<BTreeSet<_>>().len(), flags.len());
    }

    #[test]
    fn no_option_is_called_like_what_kubernetes_injects() {
        for option in OPTIONS {
            assert!(
                !super::super::environment::is_injected_by_kubernetes(&option.variable()),
                "{}",
                option.path
            );
        }
    }

    #[test]
    fn a_variable_with_file_suffix_is_never_another_option() {
        for option in OPTIONS {
            let with_suffix = format!("{}{FILE_SUFFIX}", option.variable());
            assert!(OPTIONS.iter().all(|other| other.variable() != with_suffix), "{with_suffix}");
        }
    }

    #[test]
    fn every_option_is_told_in_whole_sentences() {
        for option in OPTIONS {
            assert!(
                option.doc.ends_with('.') && !option.doc.contains('|'),
                "{}: {}",
                option.path,
                option.doc
            );
        }
    }
}
