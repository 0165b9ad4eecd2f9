//! What can go wrong in a transport, and whether trying again can help.

/// The kind decides what the hub does; the text is for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Not now: full disk, I/O error, lost engine, queue over its bound. Publishers get 503 and may retry.
    Unavailable,
    /// What is stored is damaged.
    Corrupt,
    /// The request or the location cannot be served at all: a configuration to change.
    Invalid,
    /// Retention went past a tail; see [`super::Tail::next`].
    Overtaken,
    /// The transport was closed.
    Closed,
}

/// An error of a transport. Its text names the cause and the next step for the operator, never credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    kind: ErrorKind,
    message: String,
}

impl TransportError {
    /// An error with a text for the operator.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// For [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// For [`ErrorKind::Closed`].
    pub fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the transport is closed")
    }

    /// What the hub does about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }
}
