//! What SQLite's errors mean for the hub and its operator.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::transport::{ErrorKind, TransportError};

/// What the operator of a damaged store can do.
pub(super) const DAMAGE_ADVICE: &str = "`petasos history verify` says what is damaged, `petasos history export` saves what \
     comes before it; then move the file aside (with its -wal, -shm and -bell) or restore it from a copy";

/// Translates an error of the engine. `what` says what was being done, as in "cannot append to the store".
pub(super) fn translate(error: &rusqlite::Error, what: &str, path: &Path) -> TransportError {
    let path = path.display();
    let damaged = format!("the file is damaged or is no SQLite database: {DAMAGE_ADVICE}");
    let (kind, advice) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Unavailable, "the disk is full: free space, no restart is needed")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Unavailable, "another process held the write lock for too long")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (ErrorKind::Corrupt, &*damaged),
        Some(ErrorCode::CannotOpen) => {
            (ErrorKind::Unavailable, "the file cannot be opened: check the directory and its permissions")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            ErrorKind::Unavailable,
            "the file or its directory cannot be written: check owner and permissions",
        ),
        Some(ErrorCode::SystemIoFailure) => (ErrorKind::Unavailable, "the disk reports an I/O error"),
        _ => (ErrorKind::Unavailable, "see the engine's message"),
    };
    TransportError::new(kind, format!("{what} {path}: {advice} ({error})"))
}
