//! Every shape that the format has, in files written by the library that made it.

use petasos_hub::bolt::{BoltError, BoltStats, BoltUpdate, ValueProblem};

use crate::support::{all, generated, open};

fn check(name: &str, bucket: &str, expected: Vec<BoltUpdate>) {
    let file = open(name);
    let updates = all(&file, bucket);
    assert_eq!(updates.len(), expected.len());
    for (update, expected) in updates.iter().zip(&expected) {
        assert_eq!(update, expected);
    }
    let stats = file.stats(bucket).expect("sound");
    let expected = BoltStats {
        updates: expected.len() as u64,
        value_bytes: stats.value_bytes,
        first_sequence: expected.first().map(|update| update.sequence),
        last_sequence: expected.last().map(|update| update.sequence),
    };
    assert_eq!(stats, expected);
}

#[test]
fn a_small_bucket_lies_inside_its_entry() {
    check("inline", "updates", (1..=3).map(|n| generated(n, 10)).collect());
}

#[test]
fn a_tree_of_many_levels_is_read_in_order() {
    check("deep", "updates", (1..=5_000).map(|n| generated(n, 20)).collect());
}

#[test]
fn values_may_take_many_pages() {
    let data_bytes = |n| match n {
        20 => 1 << 20,
        n if n % 4 == 0 => n * 3_000,
        n => n % 3,
    };
    check("overflow", "updates", (1..=40).map(|n| generated(n as u64, data_bytes(n))).collect());
}

#[test]
fn pages_may_have_16_or_64_kib() {
    check("pages-16k", "updates", (1..=1_000).map(|n| generated(n, 100)).collect());
    check("pages-64k", "updates", (1..=2_000).map(|n| generated(n, 100)).collect());
}

#[test]
fn pages_that_were_freed_and_used_again_are_read_as_they_are_now() {
    check("churned", "updates", (1_001..=1_500).map(|n| generated(n, 200)).collect());
}

#[test]
fn a_bucket_among_updates_is_passed_over() {
    check("buckets", "history", (1..=300).map(|n| generated(n, 30)).collect());
}

#[test]
fn an_empty_bucket_has_no_updates() {
    check("buckets", "empty", Vec::new());
    check("buckets", "emptied", Vec::new());
}

#[test]
fn a_bucket_that_is_not_there_is_answered_with_those_that_are() {
    let file = open("buckets");
    let names = ["emptied", "empty", "history", "outer", "x\u{fffd}"];
    assert_eq!(file.buckets().expect("sound"), names);
    // There is one of that name, but inside another.
    let error = file.updates("updates").expect_err("it is not there");
    assert!(
        matches!(&error, BoltError::NoBucket { bucket, found } if bucket == "updates" && *found == names)
    );
    assert_eq!(
        error.to_string(),
        r#"has no bucket "updates"; it has "emptied", "empty", "history", "outer", "x�""#
    );
    let error = open("no-bucket").stats("updates").expect_err("there are none");
    assert_eq!(error.to_string(), r#"has no bucket "updates"; it has no buckets"#);
}

#[test]
fn a_value_that_is_no_update_is_named_and_the_others_are_read() {
    let file = open("bad-values");
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for result in file.updates("updates").expect("the bucket is there") {
        match result {
            Ok(update) => good.push(update.sequence),
            Err(error) => bad.push(error),
        }
    }
    assert_eq!(good, [1, 3, 8]);
    let problems: Vec<_> = bad
        .iter()
        .map(|error| match error {
            BoltError::Value { sequence, problem } => Some((*sequence, *problem)),
            _ => None,
        })
        .collect();
    assert_eq!(
        problems,
        [
            Some((2, ValueProblem::Json { line: 1, column: 44 })),
            Some((4, ValueProblem::NoTopic)),
            Some((5, ValueProblem::OtherId)),
            Some((6, ValueProblem::Json { line: 1, column: 0 })),
            Some((7, ValueProblem::Json { line: 1, column: 49 })),
            None,
        ]
    );
    assert_eq!(bad[0].sequence(), Some(2));
    assert!(bad.iter().all(|error| !error.to_string().contains("secret")), "nothing of a value is told");
    assert!(matches!(bad[5], BoltError::Corrupt { problem: "has a key without a sequence", .. }));
}

#[test]
fn updates_without_a_time_take_that_of_their_neighbour() {
    let (fourth, sixth) = (Some(0x01a2_0a7b_4853), Some(0x01a2_0a7b_4862));
    let file = open("times");
    let own: Vec<_> = all(&file, "updates").iter().map(|update| update.at_ms).collect();
    assert_eq!(own, [None, None, None, fourth, None, sixth, None, None]);
    let timed = file.timed_updates("updates").expect("the bucket is there");
    let times: Vec<_> = timed.map(|update| update.expect("sound").at_ms).collect();
    assert_eq!(times, [fourth, fourth, fourth, fourth, fourth, sixth, sixth, sixth]);
}

#[test]
fn without_any_time_the_file_was_written_last_at() {
    use std::time::{Duration, UNIX_EPOCH};

    let scratch = crate::support::Scratch::with(&crate::support::testdata("inline.db"));
    let file = std::fs::File::options().write(true).open(&scratch.path).expect("open");
    file.set_modified(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)).expect("set");
    drop(file);
    let file = scratch.open().expect("sound");
    let timed = file.timed_updates("updates").expect("the bucket is there");
    let times: Vec<_> = timed.map(|update| update.expect("sound").at_ms).collect();
    assert_eq!(times, [Some(1_700_000_000_123); 3]);
}
