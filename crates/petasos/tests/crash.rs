//! The real program, killed without a warning while updates are published at full speed, and started again on the same
//! store: every acknowledged update is there once and in order, and whoever comes back gets exactly what it missed.
//!
//! `KILLS` and `ACKNOWLEDGED_PER_KILL` in the environment make the run longer.

#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::HashMap, time::Duration};

use petasos_testkit::{
    Connection, End, EventStream, Request, SUBSCRIPTIONS, TestHub, form, matching, matching_pattern,
    process::{HubProcess, scratch},
    sse::Event,
    within,
};
use rand::Rng;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::common::{count_from_environment, process_options};

/// How often the program is killed.
const KILLS: usize = 3;
/// How many updates are acknowledged before it is, at least; half as many again at most.
const ACKNOWLEDGED_PER_KILL: usize = 300;
/// How many publishers write at once.
const PUBLISHERS: usize = 16;
/// How long reading the whole history back may take.
const REPLAY_LIMIT: Duration = Duration::from_secs(60);

/// The topic of everything here; private, so that grants are part of the replay.
const TOPIC: &str = "https://example.com/ledger";
/// The topic of the marker at the end.
const END: &str = "the end";

/// Publishes numbered updates on a connection of its own until the hub dies; each acknowledged id is told.
async fn publisher(hub: TestHub, round: usize, number: usize, acknowledged: mpsc::UnboundedSender<String>) {
    let token = hub.publisher().may_publish(&["*"]).mint();
    let mut connection = Connection::open(hub.address()).await;
    for update in 0.. {
        let id = format!("{round}-{number}-{update}");
        let fields = [("topic", TOPIC), ("private", "on"), ("id", &id), ("data", &id)];
        let request =
            hub.request("POST", petasos_testkit::HUB_PATH).bearer(&token).form(form::encode(fields));
        if connection.try_send(request.bytes()).await.is_err() {
            return;
        }
        let Ok(head) = connection.try_head().await else { return };
        let (body, end) = connection.body(&head).await;
        if end != End::Clean {
            return;
        }
        assert_eq!((head.status, &body[..]), (200, id.as_bytes()));
        let _ = acknowledged.send(id);
    }
}

/// Reads until the stream is cut, and returns everything that came.
fn follow(mut stream: EventStream) -> JoinHandle<Vec<Event>> {
    tokio::spawn(async move {
        let mut events = Vec::new();
        while let Ok(event) = stream.next_or_end().await {
            events.push(event);
        }
        events
    })
}

/// The ids of all that follows this cursor, up to the newest marker.
async fn history_after(hub: &TestHub, cursor: &str, marker: &str) -> Vec<String> {
    hub.publish(END, marker).await;
    let mut stream = hub.subscribe(matching(TOPIC).or(matching(END))).after(cursor).await;
    assert_eq!(stream.cursor(), cursor);
    let reading = async {
        let mut ids = Vec::new();
        loop {
            let event = stream.next().await;
            if event.data == marker {
                return ids;
            }
            if !event.data.starts_with(END) {
                assert_eq!(event.id, event.data);
                ids.push(event.id);
            }
        }
    };
    within(REPLAY_LIMIT, "the end of the replay", reading).await
}

/// Asserts that every acknowledged update is there, and that what is there is there once and in each publisher's order.
fn assert_complete(history: &[String], acknowledged: &[String]) {
    let mut places = HashMap::new();
    let mut newest: HashMap<&str, usize> = HashMap::new();
    for (place, id) in history.iter().enumerate() {
        assert!(places.insert(id.as_str(), place).is_none(), "{id} is there twice");
        let (publisher, update) = id.rsplit_once('-').unwrap();
        let update: usize = update.parse().unwrap();
        let expected = newest.get(publisher).map_or(0, |last| last + 1);
        assert_eq!(update, expected, "the updates of publisher {publisher} have a gap or are out of order");
        newest.insert(publisher, update);
    }
    for id in acknowledged {
        assert!(places.contains_key(id.as_str()), "{id} was acknowledged and is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_every_acknowledged_update_survives_kill_9() {
    let kills = count_from_environment("KILLS", KILLS);
    let per_kill = count_from_environment("ACKNOWLEDGED_PER_KILL", ACKNOWLEDGED_PER_KILL);
    let directory = scratch();
    let options = process_options(directory.path());
    let mut acknowledged = Vec::new();
    let mut history: Vec<String> = Vec::new();
    let mut process = HubProcess::start(&options).await;
    for round in 0..kills {
        let hub = process.hub();
        let live = follow(hub.subscribe(matching(TOPIC)).await);
        let (told, mut acknowledgements) = mpsc::unbounded_channel();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| tokio::spawn(publisher(process.hub(), round, number, told.clone())))
            .collect();
        drop(told);
        let until = rand::rng().random_range(per_kill..=per_kill + per_kill / 2);
        for _ in 0..until {
            let id = within(REPLAY_LIMIT, "an acknowledgement", acknowledgements.recv()).await;
            acknowledged.push(id.expect("no publisher ends before the kill"));
        }
        process.kill().await;
        while let Some(id) = acknowledgements.recv().await {
            acknowledged.push(id);
        }
        for publisher in publishers {
            publisher.await.unwrap();
        }
        let seen: Vec<String> = live.await.unwrap().into_iter().map(|event| event.id).collect();

        process = HubProcess::start(&options).await;
        let hub = process.hub();
        let before =
            std::mem::replace(&mut history, history_after(&hub, "earliest", &format!("{END} {round}")).await);
        assert_complete(&history, &acknowledged);
        assert_eq!(history[..before.len()], before, "what was there before has changed");
        // R01: the live reader saw a part of that history without a gap, and with its last id it gets the rest.
        let fresh = &history[before.len()..];
        assert!(!seen.is_empty(), "the reader was to see some of {} updates", fresh.len());
        assert_eq!(fresh[..seen.len()], seen, "what was delivered is what is stored");
        let missed =
            history_after(&hub, seen.last().unwrap(), &format!("{END} {round} for the reader")).await;
        assert_eq!(missed, fresh[seen.len()..], "exactly what was missed");
        println!(
            "kill {}: {} acknowledged in all, {} stored, the reader had seen {} and missed {}",
            round + 1,
            acknowledged.len(),
            history.len(),
            seen.len(),
            missed.len()
        );
    }
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_the_subscriptions_of_a_killed_hub_end() {
    let directory = scratch();
    let mut options = process_options(directory.path());
    for (name, value) in [("PETASOS_SUBSCRIPTIONS", "true"), ("PETASOS_LEASE", "2s")] {
        options.environment.push((name.to_owned(), value.to_owned()));
    }
    let process = HubProcess::start(&options).await;
    let hub = process.hub();
    let left_behind = follow(hub.subscribe(matching("left behind")).await);
    process.kill().await;
    left_behind.await.unwrap();
    let process = HubProcess::start(&options).await;
    let hub = process.hub();
    let mut events =
        hub.subscribe(matching_pattern(&format!("{SUBSCRIPTIONS}/exact/*"))).after("earliest").await;
    for active in [true, false] {
        let event: Value = serde_json::from_str(&events.next_data().await).unwrap();
        assert_eq!((&event["match"], &event["active"]), (&"left behind".into(), &active.into()));
    }
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let list =
        hub.get(&format!("{SUBSCRIPTIONS}/exact/left%20behind")).bearer(&token).send().await.expect(200);
    assert_eq!(list.json()["subscriptions"], serde_json::json!([]));
    process.kill().await;
}

/// Two programs on one store: a rolling restart on one volume.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_hub_that_is_killed_leaves_its_neighbour_working() {
    let directory = scratch();
    let first_options = process_options(directory.path());
    let second_options = process_options(directory.path());
    let first = HubProcess::start(&first_options).await;
    let second = HubProcess::start(&second_options).await;
    let (one, other) = (first.hub(), second.hub());
    let mut stream = other.subscribe(matching("a")).await;
    one.publish("a", "from the first").await;
    assert_eq!(stream.next_data().await, "from the first");
    first.kill().await;
    other.publish("a", "from the second").await;
    assert_eq!(stream.next_data().await, "from the second");
    let mut replay = other.subscribe(matching("a")).after("earliest").await;
    assert_eq!(replay.next_data_of(2).await, ["from the first", "from the second"]);
    let answer = Request::new(other.admin(), "GET", "/mercure/health/ready").send().await;
    assert_eq!(answer.status, 200);
    second.kill().await;
}
