//! The process itself, for metrics and at start: memory, file descriptors, processor time.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What `/proc` counts processor time in, on all architectures.
const TICKS_PER_SECOND: f64 = 100.0;

/// Files that are kept from connections, at most.
const MAX_OWN_FILES: usize = 256;

/// Registers the metrics of the process and what it was built from.
pub(super) fn register(registry: &mut Registry) {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    registry.register_collector(Box::new(Process { started }));
    let build = Family::<Vec<(&str, String)>, Gauge>::default();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("engines", crate::cli::ENGINES.join(",")),
        ("arch", std::env::consts::ARCH.to_owned()),
    ];
    build.get_or_create(&labels.to_vec()).set(1);
    registry.register("petasos_build_info", "What this hub was built from", build);
}

/// Allows as many open files as the system lets a process have: each stream is one.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || (limit.current.is_some() && limit.maximum.is_none()) {
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::debug!(%error, "the limit on open files stays as it is");
        }
    }
}

/// How many connections leave the hub enough files of its own: for its store, its key sets, and the admin listener,
/// which must answer probes however many clients there are. `None` where the system has no limit.
pub(super) fn room_for_connections() -> Option<usize> {
    let files = usize::try_from(getrlimit(Resource::Nofile).current?).ok()?;
    Some(files - own_files(files))
}

/// An eighth of a small limit, and never more than what a hub with many key sets and readers of its store needs.
fn own_files(limit: usize) -> usize {
    (limit / 8).min(MAX_OWN_FILES)
}

/// Read at every scrape.
#[derive(Debug)]
struct Process {
    /// Seconds since 1970.
    started: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_start_time_seconds", "When the process started", Some(self.started))?;
        gauge("process_resident_memory_bytes", "Memory in use", resident_bytes())?;
        gauge("process_open_fds", "Open file descriptors", open_files())?;
        gauge("process_max_fds", "File descriptors that may be open", max_open_files())?;
        if let Some(seconds) = processor_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time used";
            let descriptor =
                encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(descriptor)?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss)] // Less than 2^53 bytes.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some((kibibytes << 10) as f64)
}

#[allow(clippy::cast_precision_loss)] // No machine has 2^53 of them.
fn open_files() -> Option<f64> {
    // The directory that is read is open while it is read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[allow(clippy::cast_precision_loss)] // As above.
fn max_open_files() -> Option<f64> {
    Some(getrlimit(Resource::Nofile).current? as f64)
}

fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may hold anything; then the fields have no spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_all_files() {
        for (limit, own) in [(0, 0), (64, 8), (1024, 128), (1 << 20, 256)] {
            assert_eq!(own_files(limit), own);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_has_memory_files_and_time() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("written");
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(text.contains("petasos_build_info{version=\""), "{text}");
    }
}
