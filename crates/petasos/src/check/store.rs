//! Whether the store could be opened where the configuration puts it. Nothing is created, and the database file is
//! never opened: outside SQLite, closing it would drop the locks of whoever uses it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use petasos_hub::transport::sqlite::SqliteConfig;
use rustix::fs::{Access, access};

use super::Findings;

/// What SQLite puts beside a database file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

pub(super) fn examine(store: &SqliteConfig, findings: &mut Findings) {
    let failures_before = findings.failures.len();
    let directory = match store.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        findings
            .failures
            .push(format!("the directory of the store, {}, does not exist", directory.display()));
    } else if access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        findings
            .failures
            .push(format!("the directory of the store, {}, cannot be written", directory.display()));
    }
    let companions = COMPANIONS.iter().map(|suffix| with_suffix(&store.path, suffix));
    for path in std::iter::once(store.path.clone()).chain(companions).filter(|path| path.exists()) {
        if !path.is_file() {
            findings.failures.push(format!("{} is no regular file", path.display()));
        } else if access(&path, Access::READ_OK | Access::WRITE_OK).is_err() {
            findings.failures.push(format!("{} cannot be read and written", path.display()));
        }
    }
    if let Some(bolt) = &store.bolt {
        let path = bolt.path.display();
        if !bolt.path.exists() {
            findings.fine.push(format!("no history to take over: {path} does not exist"));
        } else if access(&bolt.path, Access::READ_OK).is_err() {
            findings.failures.push(format!("the history to take over, {path}, cannot be read"));
        } else {
            findings.fine.push(format!("the history to take over: {path}"));
        }
    }
    if findings.failures.len() == failures_before {
        let state = if store.path.exists() { "" } else { ", to be created" };
        findings.fine.push(format!("the store: {}{state}", store.path.display()));
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
