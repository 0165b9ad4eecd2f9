//! Files that the reference hub wrote, beside the lists of what it replayed itself.

use petasos_hub::Update;
use petasos_hub::bolt::BoltStats;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{all, open, testdata};

#[test]
fn the_history_of_the_reference_hub_0_24_2_is_read_exactly() {
    check("reference-0.24.2", 2_990);
}

#[test]
fn the_history_of_the_reference_hub_1_0_0_alpha_3_is_read_exactly() {
    check("reference-1.0.0-alpha.3", 2_990);
}

/// The hub stored its list, then `3000 - overlap` subscription events while it stopped, and dropped as many at the
/// beginning.
fn check(name: &str, overlap: usize) {
    let file = open(name);
    let updates = all(&file, "updates");
    assert_eq!(updates.len(), 3_000, "the hub was told to keep as many");
    assert!(updates.is_sorted_by(|a, b| a.sequence < b.sequence), "in the order of the sequence");
    for update in &updates {
        // The hub's own ids tell the time, a publisher's (one in nineteen) do not.
        let is_own = update.update.id().starts_with("urn:uuid:");
        assert_eq!(update.at_ms.is_some(), is_own, "sequence {}", update.sequence);
    }

    let list = String::from_utf8(testdata(&format!("{name}.jsonl"))).expect("UTF-8");
    let list: Vec<Value> =
        list.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let dropped = list
        .iter()
        .position(|entry| entry["id"] == updates[0].update.id())
        .expect("the list has the first update of the file");
    assert_eq!(list.len() - dropped, overlap);
    for (update, entry) in updates.iter().zip(&list[dropped..]) {
        assert_eq!(&listed(&update.update), entry, "sequence {}", update.sequence);
    }
    for event in &updates[overlap..] {
        let update = &event.update;
        assert!(update.is_private(), "{}", event.sequence);
        assert!(update.topics()[0].starts_with("/.well-known/mercure/subscriptions/"), "kept as it is");
        serde_json::from_str::<Value>(update.data()).expect("a subscription in JSON");
    }

    let timed = file.timed_updates("updates").expect("the bucket is there");
    let timed: Vec<_> = timed.map(|update| update.expect("sound")).collect();
    assert!(timed.is_sorted_by_key(|update| update.at_ms), "it was written by one hub in one go");
    for (timed, own) in timed.iter().zip(&updates) {
        assert_eq!(timed.update, own.update);
        assert!(timed.at_ms.is_some() && (own.at_ms.is_none() || own.at_ms == timed.at_ms));
    }

    let stats = file.stats("updates").expect("sound");
    let (first, last) = (updates[0].sequence, updates[2_999].sequence);
    assert_eq!((first, last), (2_011, 5_010));
    let expected = BoltStats {
        updates: 3_000,
        value_bytes: stats.value_bytes,
        first_sequence: Some(first),
        last_sequence: Some(last),
    };
    assert_eq!(stats, expected);
    let weight_bytes: usize = updates.iter().map(|update| update.update.weight_bytes()).sum();
    assert!(stats.value_bytes > weight_bytes as u64, "JSON is longer than what is in it");
}

/// An update in the form of the list.
fn listed(update: &Update) -> Value {
    let sum = Sha256::digest(update.data());
    json!({
        "id": update.id(),
        "topics": update.topics(),
        "private": update.is_private(),
        "type": update.event_type(),
        "retry": update.retry_ms(),
        "data_sha256": sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}
