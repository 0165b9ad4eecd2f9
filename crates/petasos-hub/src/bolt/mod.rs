//! Reads the history files of the reference hub, so that its history can be taken over. Never writes them, and knows
//! nothing of stores: it gives updates in their order, and leaves to others where they go.
//!
//! # The format
//!
//! Such a file is a bbolt database: a copy-on-write B+ tree in pages of one size, which is the page size of the machine
//! that made the file. All numbers are little-endian here; bbolt writes those of the machine, and a file from a
//! big-endian one is refused.
//!
//! - **A page** begins with 16 bytes: its number (8), its kind (2: `0x01` branch, `0x02` leaf, `0x04` meta, `0x10` list
//!   of free pages), how many elements it has (2), and how many of the pages that follow belong to it (4). With those it
//!   forms a *run*, read as if it were one long page, which is how long values are kept.
//! - **Pages 0 and 1 are meta pages**, written in turns, one per transaction. After the page head: the magic number
//!   `0xED0CDAED` (4), the version 2 (4), the page size (4), flags (4), the root bucket (16), the page of the free list
//!   (8), the number of pages in use (8), the number of the transaction (8), and FNV-1a (64 bits) of all of these (8).
//!   The valid one with the highest transaction is the database; a torn write leaves the other one.
//! - **A leaf** has an element of 16 bytes per entry: flags (4, `0x01`: the entry is a bucket), the distance from the
//!   element to its key (4), the length of the key (4) and of the value (4), which follows the key. **A branch** has
//!   per child: the distance to its key (4), the length of the key (4), and the child's page (8). The key of a child is
//!   a lower bound of the keys in it. Keys ascend, and the bytes of the entries stand in their order.
//! - **A bucket** is an entry whose value is the page of its tree (8) and a counter (8). Where that page is 0 the tree
//!   is a single leaf, which follows *inline* in the value. The root bucket holds the named ones.
//! - **The hub's bucket**, `updates` unless configured otherwise, has keys of an 8-byte big-endian sequence and the
//!   event id, and values in JSON with `ID`, `Topics`, `Data`, `Type`, `Retry`, `Private` and `Debug`.
//!
//! # The lock
//!
//! bbolt holds `flock(LOCK_EX)` as long as the file is open for writing. [`BoltFile`] takes the shared one without
//! waiting and keeps it as long as it lives: until it is dropped, a hub that starts on the file waits.
//!
//! # Damage
//!
//! A file may be damaged or hostile: every number is checked against what holds it. Work is bounded by the pages in
//! use, because the walk ends once as many have been read as there are, and no byte of a page belongs to two entries;
//! memory by the depth of the tree (at most 32) and one value (at most 64 MiB).

mod bucket;
mod cursor;
mod error;
mod meta;
mod page;
mod times;
mod updates;
mod value;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{FlockOperation, OFlags};

pub use self::error::{BoltError, ValueProblem};
pub use self::times::TimedUpdates;
pub use self::updates::Updates;

use self::bucket::Tree;
use self::page::PageFile;
use crate::Update;

/// A history file of the reference hub, open for reading, with its shared lock held until this is dropped.
#[derive(Debug)]
pub struct BoltFile {
    pages: PageFile,
    /// The tree of the root bucket.
    root: Tree,
    /// When the file was last written, in milliseconds since 1970.
    modified_ms: u64,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoltUpdate {
    /// Its number in the file: ascending, not without gaps.
    pub sequence: u64,
    /// The update as it was stored. Topics that are reserved now are kept as they are.
    pub update: Update,
    /// When it was published, in milliseconds since 1970, where its id is a UUID of version 7; the file has no other
    /// times. [`BoltFile::timed_updates`] takes missing ones from the neighbour.
    pub at_ms: Option<u64>,
}

/// What a bucket holds, read from its keys alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoltStats {
    /// How many updates there are, unreadable values included.
    pub updates: u64,
    /// The bytes of their values as stored, which is JSON.
    pub value_bytes: u64,
    /// The sequence of the first update.
    pub first_sequence: Option<u64>,
    /// The sequence of the last update.
    pub last_sequence: Option<u64>,
}

impl BoltFile {
    /// Opens the file at `path` for reading, locks it without waiting, and checks its meta pages and its length.
    ///
    /// Blocks on the disk: call it, and everything here, where that is allowed.
    ///
    /// # Errors
    /// - [`BoltError::Locked`]: the hub that writes it is still running. The same call succeeds when it has left.
    /// - [`BoltError::Empty`]: nothing was ever stored; there is no history to take.
    /// - [`BoltError::Io`], also where there is no file; [`BoltError::NotAFile`], [`BoltError::NotBolt`],
    ///   [`BoltError::Version`], [`BoltError::DamagedMeta`], [`BoltError::Truncated`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BoltError> {
        // Opening a named pipe would otherwise wait for a writer; for a file the flag means nothing.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file =
            OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(BoltError::io("open"))?;
        if !file.metadata().map_err(BoltError::io("look at"))?.is_file() {
            return Err(BoltError::NotAFile);
        }
        lock(&file)?;
        // The length counts only from here on: a hub that held the lock may have been making the file longer.
        let metadata = file.metadata().map_err(BoltError::io("look at"))?;
        let modified = metadata.modified().map_err(BoltError::io("look at"))?;
        let modified_ms = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());

        let meta = meta::read(&file, metadata.len())?;
        Ok(Self {
            pages: PageFile::new(file, meta.page_bytes, meta.pages),
            root: Tree::Page(meta.root),
            modified_ms: u64::try_from(modified_ms).unwrap_or(u64::MAX),
        })
    }

    /// The names of the buckets, in their order; bytes that are not UTF-8 are replaced. At most the first 64.
    ///
    /// # Errors
    /// [`BoltError::Corrupt`] and [`BoltError::Io`].
    pub fn buckets(&self) -> Result<Vec<String>, BoltError> {
        bucket::names(&self.pages, &self.root)
    }

    /// The updates of `bucket` in the order of their keys: by sequence, then by event id.
    ///
    /// Reads as it goes. After an error the iteration goes on behind what could not be read; what is lost is one update
    /// where [`BoltError::sequence`] names it, and an unknown number of them otherwise. It ends after [`BoltError::Io`],
    /// and where a tree turns out to have more pages than the file.
    ///
    /// # Errors
    /// [`BoltError::NoBucket`], [`BoltError::Corrupt`] and [`BoltError::Io`].
    pub fn updates(&self, bucket: &str) -> Result<Updates<'_>, BoltError> {
        Ok(Updates::new(self.cursor(bucket)?))
    }

    /// The same as [`Self::updates`], each with a time: its own, else that of the update before it, else (at the
    /// beginning) that of the first one that has a time, else the time at which the file was last written.
    ///
    /// A publisher's own UUID of version 7 is believed, so that times need not ascend.
    ///
    /// # Errors
    /// The same as those of [`Self::updates`].
    pub fn timed_updates(&self, bucket: &str) -> Result<TimedUpdates<'_>, BoltError> {
        let first_ms = times::first_known(self.cursor(bucket)?)?;
        Ok(TimedUpdates::new(self.updates(bucket)?, first_ms.unwrap_or(self.modified_ms)))
    }

    /// Counts the updates of `bucket`. Reads its keys and no values.
    ///
    /// # Errors
    /// [`BoltError::NoBucket`], and the first [`BoltError::Corrupt`] or [`BoltError::Io`] that is met.
    pub fn stats(&self, bucket: &str) -> Result<BoltStats, BoltError> {
        updates::stats(self.cursor(bucket)?)
    }

    fn cursor(&self, bucket: &str) -> Result<cursor::Cursor<'_>, BoltError> {
        bucket::find(&self.pages, &self.root, bucket)?.cursor(&self.pages)
    }
}

fn lock(file: &File) -> Result<(), BoltError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BoltError::Locked),
        Err(errno) => Err(BoltError::Io { action: "lock", source: errno.into() }),
    }
}
