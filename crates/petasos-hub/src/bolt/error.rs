//! What can be wrong with a history file. No text here quotes what a file holds: it may be private.

use std::io;

/// Why a history file, or a part of it, cannot be read. The texts go on from "PATH: "; the caller knows the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoltError {
    /// Another process holds the exclusive lock. Trying again later helps.
    #[error("another process holds its lock: it can be read when the hub that writes it has stopped")]
    Locked,
    /// The file has no bytes: bbolt makes it so before it writes the first page.
    #[error("is empty: nothing was ever stored in it")]
    Empty,
    /// A directory, a device, a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// The operating system refused, or the disk failed.
    #[error("cannot {action} the file: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// The magic number is missing.
    #[error("is not a Bolt database of a little-endian machine")]
    NotBolt,
    /// A version of the format other than 2.
    #[error("has version {found} of the Bolt format; only version 2 can be read")]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// Neither meta page is whole.
    #[error("both of its meta pages are damaged: restore it from a copy")]
    DamagedMeta,
    /// The file is shorter than its meta page says.
    #[error("was cut off: it has {found_bytes} bytes of {wanted_bytes}: restore it from a copy")]
    Truncated {
        /// How long the file should be at least.
        wanted_bytes: u64,
        /// How long it is.
        found_bytes: u64,
    },
    /// A part of the tree contradicts itself; an unknown number of updates cannot be read.
    #[error("is damaged: page {page} {problem}")]
    Corrupt {
        /// The number of the page.
        page: u64,
        /// What is wrong with it, as the end of a sentence.
        problem: &'static str,
    },
    /// There is no such bucket.
    #[error("has no bucket {bucket:?}; {}", listed(found))]
    NoBucket {
        /// The one that was asked for.
        bucket: String,
        /// Those that there are, at most the first 64.
        found: Vec<String>,
    },
    /// One value is no update. All others can still be read.
    #[error("the update with the sequence {sequence} cannot be read: {problem}")]
    Value {
        /// The number of the update in the file.
        sequence: u64,
        /// What is wrong with it.
        problem: ValueProblem,
    },
}

/// Why a value is no update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueProblem {
    /// It is longer than what is read into memory.
    #[error("it has {bytes} bytes, more than the {} that are read", super::value::MAX_VALUE_BYTES)]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// It is no JSON, or a member has another type than it should.
    #[error("it is not the JSON of an update (line {line}, column {column})")]
    Json {
        /// Where the parser stopped, from 1.
        line: usize,
        /// Where the parser stopped in the line, in bytes.
        column: usize,
    },
    /// There is no topic in it.
    #[error("it has no topic")]
    NoTopic,
    /// Neither the value nor the key has an id.
    #[error("it has no id")]
    NoId,
    /// The id of the value is not that of its key.
    #[error("its id is not the one of its key")]
    OtherId,
    /// The id or the type could not be sent in an event stream, where it would begin a new field.
    #[error("its {member} contains a line break or NUL")]
    Unsendable {
        /// The name of the member.
        member: &'static str,
    },
}

impl BoltError {
    /// The sequence of the update that cannot be read, where it is just this one that is lost.
    pub fn sequence(&self) -> Option<u64> {
        match self {
            Self::Value { sequence, .. } => Some(*sequence),
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

fn listed(buckets: &[String]) -> String {
    if buckets.is_empty() {
        return "it has no buckets".to_owned();
    }
    let names: Vec<_> = buckets.iter().map(|name| format!("{name:?}")).collect();
    format!("it has {}", names.join(", "))
}
