//! What a log takes in the server's memory, and gives back.

use std::time::Duration;

use petasos_hub::transport::{AttemptId, Position, ReadLimit, Retention, Transport};
use petasos_testkit::{
    patiently,
    servers::{EngineServer, redis::RedisServer},
    within,
};

use crate::{LOOK_AGAIN, append, entry, entry_of, kept, kept_ids, open, open_keeping};

/// More than one call of a script discards.
const MANY: usize = 12_000;

/// Two spans for tails that are behind, and what it takes to look.
const FREED_WITHIN: Duration = Duration::from_secs(20);

fn keeping(events: u64) -> Retention {
    Retention { events, bytes: 0, age: None }
}

fn count(server: &RedisServer, arguments: &[&str]) -> usize {
    server.command(arguments).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_published_many_times_is_found_at_the_earliest_kept_and_leaves_nothing() {
    let server = RedisServer::shared();
    let log = open_keeping(&server.url("again"), keeping(4)).await;
    let mut positions = Vec::new();
    for id in ["x", "y", "x", "x", "y", "x"] {
        positions.push(append(&log, id).await);
    }
    // Kept: x x y x.
    assert_eq!(log.find("x").await.unwrap(), Some(positions[2]));
    assert_eq!(log.find("y").await.unwrap(), Some(positions[4]));
    assert_eq!(log.discard(positions[2]).await.unwrap(), 1);
    assert_eq!(log.find("x").await.unwrap(), Some(positions[3]));
    assert_eq!(log.discard(positions[4]).await.unwrap(), 2);
    assert_eq!(log.find("x").await.unwrap(), Some(positions[5]));
    assert_eq!(log.find("y").await.unwrap(), None);
    assert_eq!(count(server, &["HLEN", "{again}:ids"]), 1);
    assert_eq!(log.discard(positions[5]).await.unwrap(), 1);
    assert_eq!(log.find("x").await.unwrap(), None);
    assert_eq!(server.command(&["EXISTS", "{again}:ids", "{again}:again"]), "0");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_discarded_leaves_the_memory_of_the_server() {
    let server = RedisServer::shared();
    // Where age counts, housekeeping comes every second.
    let day = Duration::from_secs(86_400);
    let log = open_keeping(&server.url("freed"), Retention { events: 0, bytes: 0, age: Some(day) }).await;
    let entries: Vec<_> = (0..1_000).map(|index| entry(&format!("e{index}"))).collect();
    let last = log.append(AttemptId::new(), entries).await.unwrap().unwrap();
    assert_eq!(log.discard(Position(last.0 - 10)).await.unwrap(), 990);
    assert_eq!(kept(&log).await.len(), 10);
    assert_eq!(count(server, &["HLEN", "{freed}:ids"]), 10);
    assert!(count(server, &["XLEN", "{freed}:log"]) > 10, "tails that are a little behind still read them");
    within(FREED_WITHIN, "the memory to be freed", async {
        while count(server, &["XLEN", "{freed}:log"]) > 10 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert_eq!(kept(&log).await.len(), 10);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_that_was_lowered_holds_soon_after_the_start() {
    let server = RedisServer::shared();
    let log = open(&server.url("lowered")).await;
    for piece in 0..MANY / 1_000 {
        let entries = (0..1_000).map(|index| entry(&format!("e{}", piece * 1_000 + index))).collect();
        log.append(AttemptId::new(), entries).await.unwrap();
    }
    log.close().await;
    let log = open_keeping(&server.url("lowered"), keeping(10)).await;
    patiently("the bound to hold", async {
        while kept(&log).await.len() > 10 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    append(&log, "newest").await;
    let expected: Vec<_> =
        (MANY - 9..MANY).map(|index| format!("e{index}")).chain(["newest".into()]).collect();
    assert_eq!(kept_ids(&log).await, expected);
    assert_eq!(count(server, &["HLEN", "{lowered}:ids"]), 10);
    let stats = log.stats().await.unwrap();
    assert_eq!((stats.events, stats.newest.unwrap().update.id()), (10, "newest"));
    assert_eq!(stats.oldest.unwrap().update.id(), expected[0]);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_counted_exactly() {
    let server = RedisServer::shared();
    // A topic of one byte and the data.
    let log = open_keeping(&server.url("bytes"), Retention { events: 0, bytes: 100, age: None }).await;
    for (id, bytes) in [("a", 49), ("b", 49)] {
        log.append(AttemptId::new(), vec![entry_of(id, &"x".repeat(bytes))]).await.unwrap();
    }
    assert_eq!(kept_ids(&log).await, ["a", "b"], "100 bytes are allowed");
    log.append(AttemptId::new(), vec![entry_of("c", "")]).await.unwrap();
    assert_eq!(kept_ids(&log).await, ["b", "c"], "101 are not");
    log.append(AttemptId::new(), vec![entry_of("d", &"x".repeat(100))]).await.unwrap();
    assert_eq!(kept_ids(&log).await, Vec::<String>::new(), "one that does not fit is not kept");
    assert_eq!(log.stats().await.unwrap().bytes, 0);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_two_prefixes_have_nothing_in_common() {
    let server = RedisServer::shared();
    let (one, other) = (open(&server.url("p")).await, open(&server.url("p2")).await);
    append(&one, "a").await;
    append(&other, "b").await;
    assert_eq!(kept_ids(&one).await, ["a"]);
    assert_eq!(kept_ids(&other).await, ["b"]);
    assert_eq!(other.find("a").await.unwrap(), None);
    // A database of its own is another place for the same prefix.
    let numbered = open(&format!("redis://{}/5?prefix=p", server.address())).await;
    assert_eq!(kept_ids(&numbered).await, Vec::<String>::new());
    for log in [one, other, numbered] {
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_large_events_brings_no_more_than_it_may() {
    const LARGE: usize = 500 << 10;
    let server = RedisServer::shared();
    let log = open(&server.url("large")).await;
    for index in 0..100 {
        append(&log, &format!("small{index}")).await;
    }
    for index in 0..20 {
        log.append(AttemptId::new(), vec![entry_of(&format!("e{index}"), &"x".repeat(LARGE))]).await.unwrap();
    }
    let limit = ReadLimit { events: 1_000, bytes: 1 << 20 };
    let (mut after, mut seen) = (Position::START, 0);
    while seen < 120 {
        let page = log.read(after, Position(u64::MAX), limit, &Default::default()).await.unwrap();
        let bytes: usize = page.events.iter().map(|event| event.update.weight_bytes()).sum();
        assert!(bytes < limit.bytes + LARGE + 10, "{bytes} bytes in a page");
        assert!(!page.truncated && !page.events.is_empty());
        seen += page.events.len();
        after = page.next;
    }
    log.close().await;
}
