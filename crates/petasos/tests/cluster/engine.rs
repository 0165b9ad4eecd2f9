//! The engines that nodes can share.

use petasos_testkit::servers::EngineServer;

/// An engine whose log several processes can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The embedded store, shared by processes of one host. It has no server that could be lost.
    Sqlite,
}

impl Engine {
    /// All of them.
    pub(crate) const ALL: [Self; 1] = [Self::Sqlite];

    /// A server of its own, which a test may break.
    pub(crate) fn start(self) -> Option<Box<dyn EngineServer>> {
        match self {
            Self::Sqlite => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
        }
    }
}
