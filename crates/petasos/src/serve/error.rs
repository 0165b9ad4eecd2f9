//! Why a hub could not start, or stopped with an error.

use std::process::ExitCode;

use petasos_hub::transport::{ErrorKind, TransportError};

use crate::{client::exit::Exit, config::ConfigErrors};

/// For the operator. The kind decides the exit code (decision 15).
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Something that was configured cannot be: 2.
    #[error("{0}")]
    Configuration(String),
    /// Something that was asked for did not work: 1.
    #[error("{0}")]
    Failed(String),
}

impl ServeError {
    /// Something that was configured cannot be.
    pub(super) fn configuration(error: impl std::fmt::Display) -> Self {
        Self::Configuration(error.to_string())
    }

    /// What the process exits with.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => Exit::Usage,
            Self::Failed(_) => Exit::Failed,
        }
        .into()
    }
}

impl From<ConfigErrors> for ServeError {
    fn from(errors: ConfigErrors) -> Self {
        Self::configuration(errors)
    }
}

impl From<std::io::Error> for ServeError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<TransportError> for ServeError {
    fn from(error: TransportError) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::Configuration(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
