//! Open files: each connection is one, and systems limit them.

use rustix::process::{Resource, getrlimit};

use super::error::BenchError;
use crate::serve::process::raise_open_files;

/// Files that the bench needs beside its connections: standard streams, one `epoll`, waker and timer per thread, reports,
/// `/proc`.
const OWN_FILES: u64 = 64;

/// Allows as many open files as there may be, and makes sure that `connections` are possible.
///
/// # Errors
/// They are not; the error says how many are.
pub(crate) fn make_room(connections: usize) -> Result<(), BenchError> {
    raise_open_files();
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let possible = limit.saturating_sub(OWN_FILES);
    let wanted = connections as u64;
    if wanted > possible {
        return Err(BenchError::Files { wanted, possible, limit });
    }
    Ok(())
}
