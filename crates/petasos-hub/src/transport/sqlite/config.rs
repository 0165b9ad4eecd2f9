//! Where a store is and how it behaves.

use std::path::PathBuf;

use crate::transport::Retention;

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Every commit is synced to the disk: survives power loss.
    #[default]
    Full,
    /// Survives the death of the process; power loss may take the newest commits.
    Normal,
}

/// Where the store is and what it keeps.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The database file; others are created beside it (`-wal`, `-shm`, `-bell`).
    pub path: PathBuf,
    /// When a commit counts as durable.
    pub sync: Sync,
    /// What is kept.
    pub retention: Retention,
    /// A history file of the reference hub whose events are taken over, and the bucket in it.
    pub bolt: Option<BoltSource>,
}

/// A Bolt file to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoltSource {
    /// The file; never written.
    pub path: PathBuf,
    /// The bucket of its updates.
    pub bucket: String,
}

impl SqliteConfig {
    /// A store at `path` with the defaults: durable, bounded.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), sync: Sync::default(), retention: Retention::default(), bolt: None }
    }
}
