//! Publishers, live readers and readers that lose their connection, all at once: what the history says afterwards is
//! what everybody must have seen.

#![allow(clippy::unwrap_used)]

mod common;

use petasos_hub::Draft;
use petasos_testkit::{model::Selector, sse::Event};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::common::{LibraryHub, Sink, WAYS, draft};

const PUBLISHERS: usize = 4;
const UPDATES: usize = 150;
const READERS: usize = 8;

const TOPICS: [&str; 3] = ["a", "b", "c"];

/// Publishes on random topics; the data says publisher, number, whether it is private, and the topics.
async fn publisher(hub: LibraryHub, number: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed + number as u64);
    for update in 0..UPDATES {
        let topics: Vec<&str> = TOPICS.into_iter().filter(|_| random.random()).collect();
        let topics = if topics.is_empty() { vec!["a"] } else { topics };
        let private: bool = random.random();
        let data = format!("{number}-{update} {private} {}", topics.join(""));
        hub.publish(Draft { private, ..draft(&topics, &data) }).await.unwrap();
    }
}

/// Whether a reader of `a` that may read private updates on `b` gets this.
fn is_due(data: &str) -> bool {
    let [_, private, topics] = data.split(' ').collect::<Vec<_>>()[..] else { return data == "the end" };
    topics.contains('a') && (private == "false" || topics.contains('b'))
}

/// Reads from the earliest on and loses its connection now and then.
async fn reader(hub: LibraryHub, seed: u64) -> Vec<Event> {
    let mut random = StdRng::seed_from_u64(seed);
    let matchers = [Selector::Exact("a".into()), Selector::Exact("the end".into())];
    let grants = [Selector::Exact("b".into())];
    let mut cursor = "earliest".to_owned();
    let mut seen: Vec<Event> = Vec::new();
    loop {
        let mut connection = hub.subscribe(&matchers, &grants, Some(&cursor)).await;
        assert_eq!(connection.cursor(), Some(cursor.as_str()));
        for _ in 0..random.random_range(1..60) {
            let event = connection.next().await;
            let ended = event.data == "the end";
            cursor.clone_from(&event.id);
            seen.push(event);
            if ended {
                return seen;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_no_seam_between_replay_and_live_loses_or_doubles_an_update() {
    for way in WAYS {
        no_seam(way, rand::random()).await;
    }
}

async fn no_seam(way: (usize, Sink), seed: u64) {
    println!("{way:?}, seed {seed}");
    let (log, _directory) = common::sqlite().await;
    let hub = LibraryHub::start_in(log, way).await;
    let readers: Vec<_> =
        (0..READERS).map(|number| tokio::spawn(reader(hub.clone(), seed ^ number as u64))).collect();
    let publishers: Vec<_> =
        (0..PUBLISHERS).map(|number| tokio::spawn(publisher(hub.clone(), number, seed))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    hub.publish(draft(&["the end"], "the end")).await.unwrap();
    let mut everything = hub.subscribe(&[Selector::All], &[Selector::All], Some("earliest")).await;
    let history = everything.next_data_of(PUBLISHERS * UPDATES + 1).await;
    let expected: Vec<&String> = history.iter().filter(|data| is_due(data)).collect();
    for reader in readers {
        let seen = reader.await.unwrap();
        assert_eq!(seen.iter().map(|event| &event.data).collect::<Vec<_>>(), expected);
    }
    for number in 0..PUBLISHERS {
        let prefix = format!("{number}-");
        let own = history.iter().filter(|data| data.starts_with(&prefix));
        let numbers: Vec<usize> =
            own.map(|data| data[prefix.len()..].split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..UPDATES).collect::<Vec<_>>(), "one publisher's updates keep their order");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_live_readers_of_a_log_without_history_see_one_order() {
    for way in WAYS {
        one_order(way, rand::random()).await;
    }
}

async fn one_order(way: (usize, Sink), seed: u64) {
    println!("{way:?}, seed {seed}");
    let (log, ()) = common::local().await;
    let hub = LibraryHub::start_in(log, way).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(hub.subscribe(&[Selector::All], &[Selector::All], None).await);
    }
    let publishers: Vec<_> =
        (0..PUBLISHERS).map(|number| tokio::spawn(publisher(hub.clone(), number, seed))).collect();
    let mut orders = Vec::new();
    for reader in &mut readers {
        orders.push(reader.next_data_of(PUBLISHERS * UPDATES).await);
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    let mut distinct = orders[0].clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), PUBLISHERS * UPDATES);
    drop(readers);
    hub.stop().await;
}
