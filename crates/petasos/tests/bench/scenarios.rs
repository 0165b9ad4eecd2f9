//! Each scenario, small, against a hub that the bench starts, and against its baseline.

use serde_json::Value;

use crate::support::{bench, median};

/// Runs a scenario on a hub of its own, and returns the result.
fn spawned(arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--spawn", "--json", "r.json", "--quiet"]);
    let bench = bench(&all).done();
    assert_eq!(bench.stderr(), "", "quiet is quiet");
    bench.result()
}

const SHORT: [&str; 4] = ["--duration", "400ms", "--warmup", "100ms"];

fn with_short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &SHORT].concat()
}

#[test]
fn fanout_is_measured_beside_its_limit() {
    let arguments =
        with_short(&["fanout", "-s", "20", "-p", "2", "-r", "100", "--with-limit", "--repeat", "2"]);
    let result = spawned(&arguments);
    assert_eq!(result["petasos_bench"], 1);
    let subjects: Vec<&str> =
        result["runs"].as_array().unwrap().iter().map(|run| run["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["limit", "hub", "limit", "hub"], "in turn");
    for subject in ["hub", "limit"] {
        let rate = median(&result, subject, "deliveries_per_second");
        assert!((1_000.0..3_000.0).contains(&rate), "{subject}: {rate} instead of 2,000");
        assert!(median(&result, subject, "delivery_p50_us") > 0.0);
        assert!(median(&result, subject, "cpu_per_delivery_us") > 0.0);
    }
    let ratio = result["ratios"][0]["figures"]["cpu_per_delivery_us"].as_f64().unwrap();
    let quotient =
        median(&result, "hub", "cpu_per_delivery_us") / median(&result, "limit", "cpu_per_delivery_us");
    assert!((ratio - quotient).abs() < 1e-9);
    assert!(!result["runs"][1]["course"].as_array().unwrap().is_empty());
}

#[test]
fn fanout_at_full_speed_loses_nothing() {
    let result = spawned(&with_short(&[
        "fanout",
        "-s",
        "10",
        "-p",
        "8",
        "-r",
        "0",
        "--threads",
        "2",
        "--private",
        "--source-addresses",
        "3",
    ]));
    assert!(median(&result, "hub", "publishes_per_second") > 100.0);
}

#[test]
fn publishing_is_measured_beside_one_sync_per_publish() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().to_str().unwrap();
    let arguments = ["publish", "-p", "4", "--with-limit-disk", disk, "--store", disk];
    let result = spawned(&with_short(&arguments));
    for subject in ["hub", "limit_disk"] {
        assert!(median(&result, subject, "publishes_per_second") > 10.0, "{subject}");
        assert!(median(&result, subject, "publish_p99_us") > 0.0, "{subject}");
    }
    assert_eq!(std::fs::read_dir(disk).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_baseline_of_publishing_needs_no_hub() {
    let arguments = with_short(&["publish", "-p", "4", "--limit", "--json", "r.json"]);
    let result = bench(&arguments).done().result();
    assert!(median(&result, "limit", "publishes_per_second") > 1_000.0);
    assert!(result["ratios"].as_array().unwrap().is_empty());
}

#[test]
fn topics_and_patterns_reach_those_who_asked() {
    for (scenario, distribution) in [("topics", "zipf"), ("patterns", "uniform")] {
        let arguments = [
            scenario,
            "-t",
            "50",
            "-m",
            "8",
            "-p",
            "3",
            "-r",
            "200",
            "--sample",
            "1",
            "--distribution",
            distribution,
        ];
        let result = spawned(&with_short(&arguments));
        // Each update reaches the one subscriber of its topic.
        let (delivered, published) =
            (median(&result, "hub", "deliveries_per_second"), median(&result, "hub", "publishes_per_second"));
        assert!((delivered / published - 1.0).abs() < 0.2, "{scenario}: {delivered} of {published}");
        assert_eq!(result["settings"]["subscribers"], 7, "{scenario}");
    }
}

#[test]
fn a_resume_is_timed_from_near_and_far() {
    let result = spawned(&["resume", "--events", "2000", "--back", "10,1000,2000", "--tries", "3"]);
    for back in ["10", "1000", "1999"] {
        assert!(median(&result, "hub", &format!("first_event_from_{back}_back_us")) > 0.0);
    }
    assert!(median(&result, "hub", "all_events_of_rare_topic_us") > 0.0);
    assert!(median(&result, "hub", "replayed_per_second") > 0.0);
}

#[test]
fn after_a_storm_everybody_has_everything() {
    let result = spawned(&["storm", "-s", "20", "-m", "30"]);
    assert!(median(&result, "hub", "everything_back_seconds") > 0.0);
    assert!(median(&result, "hub", "reconnected_per_second") > 0.0);
}

#[test]
fn those_who_stay_get_everything_while_others_come_and_go() {
    let arguments = with_short(&[
        "churn",
        "-s",
        "10",
        "--churn",
        "50",
        "--stay",
        "100ms",
        "--settle",
        "500ms",
        "--never-read",
        "0.2",
        "--vanish",
        "0.2",
        "--half-close",
        "0.2",
    ]);
    let result = spawned(&arguments);
    assert_eq!(median(&result, "hub", "could_not_come_count"), 0.0);
    assert!(median(&result, "hub", "came_per_second") > 20.0);
    let files = |when: &str| median(&result, "hub", &format!("files_{when}_count"));
    assert!(files("during") > files("before"), "{result}");
    assert_eq!(files("after"), files("before"), "{result}");
}

#[test]
fn idle_subscribers_have_a_size() {
    let result = spawned(&with_short(&["idle", "-s", "50"]));
    assert!(median(&result, "hub", "rss_with_subscribers_bytes") > 1e6);
    assert_eq!(median(&result, "hub", "files_per_subscriber_count"), 1.0);
}
