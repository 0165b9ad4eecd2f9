//! A wave of connections that are idle ever after: none is taken for dead, and they cost next to nothing.

use super::{bench, figure};
use crate::common::count_from_environment;

/// Longer than idle connections go without being probed (`peer_timeout`), and than it takes to give one up.
const SECONDS: &str = "16s";

/// What a subscriber may cost in the process, in bytes. Larger than in a release build with many subscribers, where it is
/// below 1,024 (docs/performance.md).
const SUBSCRIBER_BYTES: f64 = 4_096.0;

#[test]
fn e08_streams_of_one_wave_that_are_idle_are_not_taken_for_dead() {
    let subscribers = count_from_environment("WAVE_SUBSCRIBERS", 4_000).to_string();
    // A stream that ends is a fault, which the bench exits with.
    let result =
        bench(&["idle", "--spawn", "-s", &subscribers, "--duration", SECONDS, "--source-addresses", "4"]);
    assert!(figure(&result, "files_per_subscriber_count") > 0.99);
    let bytes = figure(&result, "rss_per_subscriber_bytes");
    assert!(bytes < SUBSCRIBER_BYTES, "{bytes} bytes for each subscriber");
    let percent = figure(&result, "idle_cpu_percent");
    assert!(percent < 5.0, "{percent} % of a processor while nothing happens");
}
