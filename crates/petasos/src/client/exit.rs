//! The exit codes of the client commands, for scripts.

use std::process::ExitCode;

/// How a client command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// It did not work, or not for everything: an update was refused, the hub could not be reached.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The hub refused the token, or wants one, or the token does not grant this (A04 to A06).
    NotAuthorized,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotAuthorized => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
