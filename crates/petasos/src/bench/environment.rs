//! Where a figure was taken: machine, system, program, date. Without it a figure means little.

use std::{fs, time::SystemTime};

use serde::{Deserialize, Serialize};

/// What a report says about the surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// The version of this program.
    pub(crate) version: String,
    /// When the bench began, in RFC 3339.
    pub(crate) date: String,
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// Their kind.
    pub(crate) processor: String,
    /// The system's name and version.
    pub(crate) kernel: String,
    /// The processor's architecture.
    pub(crate) architecture: String,
    /// Processes that wanted to run, on average over the minute before: others that worked disturb.
    pub(crate) load_before: String,
}

impl Environment {
    /// Of this moment.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: model.map_or_else(String::new, |(_, name)| name.trim().to_owned()),
            kernel: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            architecture: std::env::consts::ARCH.to_owned(),
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}
