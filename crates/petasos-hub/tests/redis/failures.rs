//! Servers that die, stand still, run out of memory or come back with less than they had.

use std::time::Duration;

use petasos_hub::transport::{
    Append, AttemptId, Durability, ErrorKind, NodeId, Position, PresenceChange, Retention, Transport, redis,
};
use petasos_testkit::{
    contract::record,
    patiently,
    servers::{EngineServer, redis::RedisServer},
};
use tokio::time::Instant;

use crate::{
    LOOK_AGAIN, append, append_at_last, config, entry, entry_of, follow_until, ids, kept_ids, open,
    open_keeping, try_append, try_open, until_ready,
};

/// Within this a publisher is told that the log is lost.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_told_and_comes_back_with_everything() {
    let mut server = RedisServer::start();
    let log = open(&server.url("killed")).await;
    assert_eq!(log.info().durability, Durability::Disk, "appendfsync always");
    let mut tail = log.tail(Position::START);
    append(&log, "before").await;
    follow_until(&mut *tail, "before").await;
    server.process_mut().kill();
    let begin = Instant::now();
    let refused = try_append(&log, "lost").await.expect_err("there is no server");
    assert!(begin.elapsed() < TOLD_WITHIN, "{:?}", begin.elapsed());
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    until_ready(&log, false).await;
    assert!(log.find("before").await.is_err_and(|error| error.is_retryable()));
    server.start_again();
    let after = append_at_last(&log, "after").await;
    until_ready(&log, true).await;
    let (seen, overtaken) = follow_until(&mut *tail, "after").await;
    assert_eq!((ids(&seen), overtaken), (vec!["after".to_owned()], 0), "no gap, no duplicate");
    assert_eq!(kept_ids(&log).await, ["before", "after"], "what was not acknowledged was not sent late");
    assert_eq!(log.find("after").await.unwrap(), Some(after));
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_noticed_while_nobody_publishes() {
    let server = RedisServer::start();
    let log = open(&server.url("paused")).await;
    append(&log, "before").await;
    server.process().pause();
    let begin = Instant::now();
    until_ready(&log, false).await;
    assert!(begin.elapsed() < TOLD_WITHIN + Duration::from_secs(1), "{:?}", begin.elapsed());
    let begin = Instant::now();
    assert!(try_append(&log, "lost").await.is_err());
    assert!(begin.elapsed() < TOLD_WITHIN, "{:?}", begin.elapsed());
    server.process().go_on();
    until_ready(&log, true).await;
    append(&log, "after").await;
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_what_helps_and_works_again_by_itself() {
    let server = RedisServer::start();
    let log = open(&server.url("full")).await;
    append(&log, "before").await;
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    let refused = try_append(&log, "refused").await.expect_err("it is full");
    assert!(refused.is_retryable() && refused.to_string().contains("maxmemory"), "{refused}");
    until_ready(&log, false).await;
    assert_eq!(kept_ids(&log).await, ["before"], "a full server is still read");
    // Also by a hub that starts now, and one that keeps less discards.
    let lean = open_keeping(&server.url("full"), Retention { events: 0, bytes: 1, age: None }).await;
    assert!(lean.health().ready.is_err());
    patiently("the server to be relieved", async {
        while !kept_ids(&lean).await.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    lean.close().await;
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    until_ready(&log, true).await;
    append(&log, "after").await;
    assert_eq!(kept_ids(&log).await, ["after"]);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_removed_and_begun_by_another_hub_is_told_as_another() {
    let server = RedisServer::start();
    let log = open(&server.url("begun-anew")).await;
    let mut tail = log.tail(Position::START);
    for id in ["a", "b"] {
        append(&log, id).await;
    }
    let (seen, _) = follow_until(&mut *tail, "b").await;
    assert_eq!(server.command(&["FLUSHALL"]), "OK");
    let fresh = open(&server.url("begun-anew")).await;
    assert!(append(&fresh, "c").await > seen.last().unwrap().position);
    let (seen, overtaken) = follow_until(&mut *tail, "c").await;
    assert_eq!((ids(&seen), overtaken), (vec!["c".to_owned()], 1));
    for log in [log, fresh] {
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stores_nothing_moves_no_position() {
    let mut server = RedisServer::start();
    let log = open(&server.url("unmoved")).await;
    let last = append(&log, "a").await;
    // Another process of the server: the next event jumps.
    server.restart();
    until_ready(&log, true).await;
    let end =
        Append { presence: Some(PresenceChange::End(record(NodeId::random(), "s", "t"))), ..entry("end") };
    let attempt = AttemptId::new();
    patiently("the no-op", async {
        loop {
            match log.append(attempt, vec![end.clone()]).await {
                Ok(position) => break assert_eq!(position, None),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    })
    .await;
    assert_eq!(log.head().await.unwrap().position, last);
    let page = log.read(last, Position(u64::MAX), Default::default(), &Default::default()).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, last));
    let next = append(&log, "b").await;
    assert!(next.0 > last.0 + 1, "{next} comes directly after {last}");
    let page = log.read(last, Position(next.0 - 1), Default::default(), &Default::default()).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, Position(next.0 - 1)), "all of it was looked at");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_refuses_writes_gives_way_to_the_next() {
    let refusing = RedisServer::start_with(|_| ["--min-replicas-to-write", "1"].map(str::to_owned).to_vec());
    let taking = RedisServer::start();
    let log = open(&format!("redis://{},{}", refusing.address(), taking.address())).await;
    append(&log, "a").await;
    assert_eq!(kept_ids(&log).await, ["a"]);
    assert_eq!(
        (refusing.command(&["DBSIZE"]), taking.command(&["XLEN", "{petasos}:log"])),
        ("0".into(), "1".into())
    );
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_data_tells_readers_and_gives_no_position_again() {
    let mut server = RedisServer::start_with(|_| Vec::new());
    let log = open(&server.url("emptied")).await;
    assert_eq!(log.info().durability, Durability::Memory);
    let mut tail = log.tail(Position::START);
    for id in ["a", "b"] {
        append(&log, id).await;
    }
    let (seen, _) = follow_until(&mut *tail, "b").await;
    let last = seen.last().unwrap().position;
    // Nothing is on its disk.
    server.process_mut().kill();
    server.start_again();
    let after = append_at_last(&log, "c").await;
    assert!(after > last, "{after} was given before");
    let (seen, overtaken) = follow_until(&mut *tail, "c").await;
    assert_eq!((ids(&seen), overtaken), (vec!["c".to_owned()], 1), "its readers are told once");
    assert_eq!(kept_ids(&log).await, ["c"]);
    assert_eq!(log.find("a").await.unwrap(), None);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_some_of_its_keys_is_refused() {
    let server = RedisServer::shared();
    let log = open(&server.url("evicted")).await;
    append(&log, "a").await;
    // Either without the other.
    assert_eq!(server.command(&["RENAME", "{evicted}:log", "{evicted}:elsewhere"]), "OK");
    let refused = try_append(&log, "b").await.expect_err("a key is missing");
    assert!(refused.to_string().contains("noeviction"), "{refused}");
    assert_eq!(server.command(&["RENAME", "{evicted}:elsewhere", "{evicted}:log"]), "OK");
    append_at_last(&log, "c").await;
    assert_eq!(server.command(&["DEL", "{evicted}:state"]), "1");
    let refused = try_append(&log, "b").await.expect_err("a key is missing");
    assert!(refused.to_string().contains("noeviction"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    log.close().await;
    let refused = try_open(&server.url("evicted")).await.expect_err("a key is missing");
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_program_are_not_touched() {
    let server = RedisServer::shared();
    assert_eq!(server.command(&["SET", "{foreign}:ids", "mine"]), "OK");
    let refused = try_open(&server.url("foreign")).await.expect_err("it is no log");
    assert!(refused.to_string().contains("another prefix"), "{refused}");
    assert_eq!(server.command(&["GET", "{foreign}:ids"]), "mine");
    assert_eq!(server.command(&["EXISTS", "{foreign}:state"]), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_event_is_never_served_and_never_skipped_silently() {
    let server = RedisServer::shared();
    let log = open(&server.url("damaged")).await;
    append(&log, "a").await;
    let mut tail = log.tail(Position::START);
    follow_until(&mut *tail, "a").await;
    // Somebody else writes into the stream.
    let head = log.head().await.unwrap().position.0 + 1;
    server.command(&["XADD", "{damaged}:log", &format!("{head}-0"), "e", "nothing of ours", "w", "1"]);
    server.command(&["HSET", "{damaged}:state", "position", &head.to_string()]);
    append(&log, "b").await;
    let (seen, overtaken) = follow_until(&mut *tail, "b").await;
    assert_eq!((ids(&seen), overtaken), (vec!["b".to_owned()], 1));
    let read = |after| {
        let log = &log;
        async move { log.read(after, Position(u64::MAX), Default::default(), &Default::default()).await }
    };
    let page = read(Position::START).await.unwrap();
    assert_eq!(ids(&page.events), ["a"]);
    assert_eq!(read(page.next).await.expect_err("it is damaged").kind(), ErrorKind::Corrupt);
    let found = log.verify().await.unwrap();
    assert_eq!((found.sound, found.damage.len()), (2, 1));
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_closed_soon_though_its_server_is_gone() {
    let mut server = RedisServer::start();
    let log = open(&server.url("closed")).await;
    server.process_mut().kill();
    let waiting = log.append(AttemptId::new(), vec![entry("a")]);
    let begin = Instant::now();
    log.close().await;
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(patiently("an answer", waiting).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_looked_at_without_leaving_a_trace() {
    let server = RedisServer::start_with(|_| vec!["--maxmemory-policy".into(), "allkeys-lru".into()]);
    let url = server.url("looked-at");
    let look = || async { redis::examine(&config(&url, Default::default()).unwrap()).await };
    let text = look().await.unwrap();
    for part in ["no log yet", " at 127.0.0.1:", "noeviction", "appendonly yes", "memory only"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(server.command(&["DBSIZE"]), "0");
    let log = open(&url).await;
    log.append(AttemptId::new(), vec![entry_of("a", "x"), entry("b")]).await.unwrap();
    log.close().await;
    assert!(look().await.unwrap().contains("2 events"));
}
