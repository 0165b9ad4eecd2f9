//! What processes use: processor time, memory, open files, as `/proc` says.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::clock::SECOND_NS;

/// What `/proc` counts processor time in, on all architectures: hundredths of a second.
const TICK_NS: u64 = SECOND_NS / 100;

/// What a process, or several together, use at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Processor time of all threads since the start, in user and kernel mode, in steps of 10 ms.
    pub(crate) cpu_ns: u64,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
    /// Resident memory, pages that are shared counted by the share; 0 where that may not be read.
    pub(crate) pss_bytes: u64,
    /// Resident memory that nobody shares; 0 where that may not be read.
    pub(crate) private_bytes: u64,
    /// Open files.
    pub(crate) files: u64,
}

/// A process cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("process {pid} cannot be looked at: {error}")]
pub(crate) struct UsageError {
    pid: u32,
    error: io::Error,
}

/// What these processes use together.
///
/// # Errors
/// One of them is not there, or belongs to somebody else.
pub(crate) fn of(pids: &[u32]) -> Result<Usage, UsageError> {
    let mut total = Usage::default();
    for pid in pids {
        let one = of_one(*pid).map_err(|error| UsageError { pid: *pid, error })?;
        total.cpu_ns += one.cpu_ns;
        total.rss_bytes += one.rss_bytes;
        total.pss_bytes += one.pss_bytes;
        total.private_bytes += one.private_bytes;
        total.files += one.files;
    }
    Ok(total)
}

/// Processor time alone: it costs much less to ask than memory.
///
/// # Errors
/// As for [`of`].
pub(crate) fn cpu_ns(pids: &[u32]) -> Result<u64, UsageError> {
    pids.iter().map(|pid| cpu_of_one(*pid).map_err(|error| UsageError { pid: *pid, error })).sum()
}

/// Resident memory alone.
///
/// # Errors
/// As for [`of`].
pub(crate) fn rss_bytes(pids: &[u32]) -> Result<u64, UsageError> {
    pids.iter().map(|pid| rss_of_one(*pid).map_err(|error| UsageError { pid: *pid, error })).sum()
}

fn of_one(pid: u32) -> io::Result<Usage> {
    // Only its owner may read these two.
    let rollup = fs::read_to_string(path(pid, "smaps_rollup")).unwrap_or_default();
    let files = fs::read_dir(path(pid, "fd")).map_or(0, Iterator::count);
    Ok(Usage {
        cpu_ns: cpu_of_one(pid)?,
        rss_bytes: rss_of_one(pid)?,
        pss_bytes: kibibytes(&rollup, "Pss:").unwrap_or(0),
        private_bytes: kibibytes(&rollup, "Private_Clean:").unwrap_or(0)
            + kibibytes(&rollup, "Private_Dirty:").unwrap_or(0),
        files: files as u64,
    })
}

fn cpu_of_one(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(path(pid, "stat"))?;
    cpu_in(&stat).ok_or_else(|| io::Error::other("its stat is not understood"))
}

fn cpu_in(stat: &str) -> Option<u64> {
    // The second field is a name in parentheses, which may hold anything; then the fields have no spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * TICK_NS)
}

fn rss_of_one(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(path(pid, "status"))?;
    // A process that has ended and is not waited for has no memory.
    Ok(kibibytes(&status, "VmRSS:").unwrap_or(0))
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_files() {
        let usage = of(&[std::process::id()]).expect("it is there");
        assert!(usage.rss_bytes > 1_000_000 && usage.files >= 3, "{usage:?}");
        assert!(usage.pss_bytes > 0 && usage.pss_bytes <= usage.rss_bytes, "{usage:?}");
    }

    #[test]
    fn a_name_in_parentheses_does_not_confuse() {
        let stat = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(cpu_in(stat), Some(3 * SECOND_NS));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = of(&[u32::MAX]).expect_err("not there").to_string();
        assert!(error.contains(&u32::MAX.to_string()), "{error}");
    }
}
