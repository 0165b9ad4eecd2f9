//! Why a bench ends without a result.

use std::{io, path::PathBuf};

use super::{endpoint::EndpointError, usage::UsageError};
use crate::{
    client::{credentials::TokenError, exit::Exit, target::TargetError},
    token::MintError,
};

/// Why a bench ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The flags do not go together.
    #[error("{0}")]
    Usage(String),
    /// The hub, its certificate.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A token that is given.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A token that is to be made.
    #[error("no token can be made: {0}")]
    Mint(#[from] MintError),
    /// Nobody is there.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Too few open files are allowed.
    #[error(
        "{wanted} sockets need more open files than this process may have: {possible} are possible with the limit of \
         {limit}. Raise it with `ulimit -n {}` (as root: `ulimit -Hn` first; for a service LimitNOFILE=; in a container \
         --ulimit nofile=), or ask for fewer",
        .wanted + (.limit - .possible)
    )]
    Files {
        /// Sockets.
        wanted: u64,
        /// Sockets.
        possible: u64,
        /// Files.
        limit: u64,
    },
    /// A process that was to be watched.
    #[error(transparent)]
    Watch(#[from] UsageError),
    /// The hub that was to be started.
    #[error("the hub cannot be started: {0}")]
    Spawn(String),
    /// The hub refuses, or connections fail.
    #[error("{0}")]
    Failed(String),
    /// Something did not happen in time.
    #[error("{what} did not come within {seconds} s")]
    Late {
        /// In words.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// A file of ours.
    #[error("{} cannot be {verb}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was to be done with it.
        verb: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The system does not give what is needed.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// The exit code for scripts.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Target(_) | Self::Token(_) | Self::Mint(_) | Self::Files { .. } => {
                Exit::Usage
            }
            Self::Failed(text) if text.contains(": 401 ") || text.contains(": 403 ") => Exit::NotAuthorized,
            _ => Exit::Failed,
        }
    }

    /// For `map_err` on calls to the system.
    pub(crate) fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
