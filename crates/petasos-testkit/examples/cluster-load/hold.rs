//! Poses as the reference hub in the one respect that matters to its successor: it holds the lock of its history file until
//! it is told to go.

use std::{fs, path::Path};

use rustix::fs::{FlockOperation, flock};
use tokio::signal::unix::{SignalKind, signal};

/// Puts the file there, unless there is one, and locks it until SIGTERM.
pub(crate) async fn hold(from: &Path, to: &Path) {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    if !to.exists() {
        fs::copy(from, to).unwrap_or_else(|error| panic!("cannot write {}: {error}", to.display()));
    }
    let file = fs::OpenOptions::new().read(true).write(true).open(to).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    println!("{} is locked", to.display());
    terminate.recv().await;
}
