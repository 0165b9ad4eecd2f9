//! Presence across two processes on one store (E08).

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use petasos_testkit::{
    EventStream, SUBSCRIPTIONS, TestHub, matching, matching_pattern, patiently, process::scratch, within,
};
use serde_json::Value;

use super::support::start;

/// The lease of a process.
const LEASE: Duration = Duration::from_secs(2);

/// How long the subscriptions of a killed process may still be listed: its lease, the look that finds it expired, and
/// room for a busy machine.
const EXPIRY_LIMIT: Duration = Duration::from_secs(10);

/// Subscribers on each process.
const SUBSCRIBERS: usize = 5;

/// The survivor may be in a commit that waits for a lock of the killed one; nothing may keep it longer.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_both_processes_list_all_and_the_survivor_ends_what_a_killed_one_left() {
    let directory = scratch();
    let variables =
        [("PETASOS_SUBSCRIPTIONS", "true"), ("PETASOS_LEASE", "2s"), ("PETASOS_DRAIN_TIMEOUT", "1s")];
    let survivor = start(directory.path(), &variables).await;
    let mut victim = start(directory.path(), &variables).await;
    let mut events =
        survivor.hub().subscribe(matching_pattern(&format!("{SUBSCRIPTIONS}/exact/room/*"))).await;
    let mut streams = Vec::new();
    for _ in 0..SUBSCRIBERS {
        streams.push(survivor.hub().subscribe(matching("room")).await);
        streams.push(victim.hub().subscribe(matching("room")).await);
    }
    let mut begun = BTreeSet::new();
    for _ in 0..2 * SUBSCRIBERS {
        let (id, active) = announced(&events.next_data().await);
        assert!(active, "{id} ended");
        assert!(begun.insert(id), "announced twice");
    }
    for hub in [survivor.hub(), victim.hub()] {
        assert_eq!(listed(&hub).await, begun, "the list of either process covers both");
    }

    let killed = Instant::now();
    victim.kill().await;
    survivor.hub().publish("room", "the show goes on").await;
    let published = killed.elapsed();
    assert!(published < AT_ONCE, "the survivor needed {published:?} to publish");
    let mut ended = HashMap::new();
    for _ in 0..SUBSCRIBERS {
        let (id, active) = announced(&within(EXPIRY_LIMIT, "an end", events.next_data()).await);
        assert!(!active, "{id} began");
        assert!(begun.contains(&id));
        assert_eq!(ended.insert(id, killed.elapsed()), None, "ended twice");
    }
    let latest = ended.values().max().unwrap();
    println!(
        "the survivor published {published:.1?} after the kill; the last subscription ended after {latest:.1?}"
    );
    assert!(*latest >= LEASE / 2, "the lease had been renewed shortly before");
    // A second end would come from another look at the leases.
    events.stays_silent(LEASE).await;
    let left: BTreeSet<_> = begun.into_iter().filter(|id| !ended.contains_key(id)).collect();
    assert_eq!(listed(&survivor.hub()).await, left);

    // The process that comes back ends nothing of the other one, and lists what is there.
    victim.start_again().await;
    assert_eq!(listed(&victim.hub()).await, left);
    rest_receive(&mut streams, &survivor.hub()).await;
    assert!(survivor.terminate().await.success());
    assert!(victim.terminate().await.success());
}

/// The streams of the survivor are as alive as before.
async fn rest_receive(streams: &mut [EventStream], survivor: &TestHub) {
    survivor.publish("room", "still there").await;
    for stream in streams.iter_mut().step_by(2) {
        assert_eq!(stream.next_data_of(2).await, ["the show goes on", "still there"]);
    }
}

/// The id of a subscription, and whether it is active.
fn announced(data: &str) -> (String, bool) {
    let event: Value = serde_json::from_str(data).unwrap();
    (event["id"].as_str().unwrap().to_owned(), event["active"].as_bool().unwrap())
}

/// The ids of the subscriptions to the room that a process lists.
async fn listed(hub: &TestHub) -> BTreeSet<String> {
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let request = hub.get(&format!("{SUBSCRIPTIONS}/exact/room")).bearer(&token).send();
    let list = patiently("the list", request).await.expect(200).json();
    let subscriptions = list["subscriptions"].as_array().unwrap().iter();
    subscriptions.map(|subscription| subscription["id"].as_str().unwrap().to_owned()).collect()
}
