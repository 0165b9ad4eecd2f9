//! Where a value comes from, and which of two origins wins.

use std::{fmt, path::PathBuf, sync::Arc};

/// Where a value comes from. Shown to the operator with every error and by `check --print`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The default.
    Default,
    /// What `--dev` brings along.
    Dev,
    /// A line of the configuration file, counted from one.
    File { path: Arc<PathBuf>, line: usize },
    /// An environment variable.
    Variable(String),
    /// A line of `MERCURE_EXTRA_DIRECTIVES`, counted from one.
    Directive { name: String, line: usize },
    /// A flag, without its dashes.
    Flag(String),
    /// A parameter in the query of a transport URL.
    Query { parameter: String, of: Box<Origin> },
}

/// Two families of names set the same options: those of the reference hub's image and our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `MERCURE_*`, `SERVER_NAME` and the directives.
    DropIn,
    /// `petasos.toml`, `PETASOS_*` and the flags.
    Own,
}

impl Origin {
    /// The later layer has the higher rank. Within one, a directive beats a variable of its family, and an option's own
    /// name beats the query of a URL.
    pub(super) fn rank(&self) -> (u8, bool) {
        let layer = match self {
            Self::Default => 0,
            Self::Dev => 1,
            Self::File { .. } => 2,
            Self::Variable(name) if is_own_variable(name) => 5,
            Self::Variable(_) => 3,
            Self::Directive { .. } => 4,
            Self::Flag(_) => 6,
            Self::Query { of, .. } => return (of.rank().0, false),
        };
        (layer, true)
    }

    /// `None` for what nobody wrote.
    pub(super) fn family(&self) -> Option<Family> {
        match self {
            Self::Default | Self::Dev => None,
            Self::File { .. } | Self::Flag(_) => Some(Family::Own),
            Self::Variable(name) if is_own_variable(name) => Some(Family::Own),
            Self::Variable(_) | Self::Directive { .. } => Some(Family::DropIn),
            Self::Query { of, .. } => of.family(),
        }
    }

    /// Whether somebody wrote it, as opposed to what Petasos brings along.
    pub(super) fn is_explicit(&self) -> bool {
        self.family().is_some()
    }
}

/// How the variables of our own family begin.
pub(super) const OWN_PREFIX: &str = "PETASOS_";

/// Whether a variable belongs to our own family.
pub(super) fn is_own_variable(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::Dev => out.write_str("--dev"),
            Self::File { path, line } => write!(out, "{}:{line}", path.display()),
            Self::Variable(name) => out.write_str(name),
            Self::Directive { name, line } => write!(out, "MERCURE_EXTRA_DIRECTIVES, line {line}: {name}"),
            Self::Flag(name) => write!(out, "--{name}"),
            Self::Query { parameter, of } => write!(out, "{of}, parameter {parameter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_and_names_beat_queries() {
        let variable = |name: &str| Origin::Variable(name.to_owned());
        let query = |of: Origin| Origin::Query { parameter: "size".to_owned(), of: Box::new(of) };
        let ascending = [
            Origin::Default,
            Origin::Dev,
            query(Origin::File { path: Arc::default(), line: 1 }),
            Origin::File { path: Arc::default(), line: 1 },
            query(variable("MERCURE_TRANSPORT_URL")),
            variable("SERVER_NAME"),
            Origin::Directive { name: "anonymous".to_owned(), line: 1 },
            query(variable("PETASOS_TRANSPORT_URL")),
            variable("PETASOS_LISTEN"),
            Origin::Flag("listen".to_owned()),
        ];
        assert!(ascending.is_sorted_by(|one, next| one.rank() < next.rank()));
    }
}
