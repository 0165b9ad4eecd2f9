//! Subscribers that come and go, among them such that never read, vanish, or close half: nothing of them stays.

use super::{bench, figure};
use crate::common::count_from_environment;

/// What the allocator may keep of a wave, beside a part of what there was before.
const KEPT_BYTES: f64 = 16e6;

#[test]
fn e08_memory_and_descriptors_are_back_after_churn() {
    let seconds = format!("{}s", count_from_environment("CHURN_SECONDS", 6));
    let staying = count_from_environment("CHURN_SUBSCRIBERS", 300).to_string();
    let coming = count_from_environment("CHURN_RATE", 200).to_string();
    let result = bench(&[
        "churn",
        "--spawn",
        "-s",
        &staying,
        "--churn",
        &coming,
        "--rate",
        "50",
        "--duration",
        &seconds,
        "--never-read",
        "0.1",
        "--vanish",
        "0.1",
        "--half-close",
        "0.1",
        "--source-addresses",
        "8",
    ]);
    let (files_before, files_after) =
        (figure(&result, "files_before_count"), figure(&result, "files_after_count"));
    let (rss_before, rss_after) = (figure(&result, "rss_before_bytes"), figure(&result, "rss_after_bytes"));
    println!("files {files_before} -> {files_after}, memory {rss_before} -> {rss_after} bytes");
    assert!((files_after - files_before).abs() <= 5.0, "{files_before} files before, {files_after} after");
    assert!(rss_after <= rss_before * 1.25 + KEPT_BYTES, "{rss_before} bytes before, {rss_after} after");
    assert_eq!(figure(&result, "could_not_come_count"), 0.0);
}
