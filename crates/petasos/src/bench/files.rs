//! Open files: each connection is one, and systems limit them.

use rustix::process::{Resource, getrlimit};

use super::error::BenchError;
use crate::serve::process::raise_open_files;

/// Files that the bench needs beside its sockets: standard streams, one `epoll`, waker and timer per thread, signals,
/// reports, `/proc`.
const OWN_FILES: u64 = 32;

/// Allows as many open files as there may be, and makes sure that `sockets` are possible. A baseline has both ends of its
/// connections in this process.
///
/// # Errors
/// They are not; the error says how many are.
pub(crate) fn make_room(sockets: usize) -> Result<(), BenchError> {
    raise_open_files();
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let possible = limit.saturating_sub(OWN_FILES);
    let wanted = sockets as u64;
    if wanted > possible {
        return Err(BenchError::Files { wanted, possible, limit });
    }
    Ok(())
}
