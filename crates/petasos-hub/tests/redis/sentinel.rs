//! Fail-over by sentinels, and waiting for replicas.

use std::time::Duration;

use petasos_hub::transport::{Durability, ErrorKind, Position, Transport};
use petasos_testkit::{
    patiently,
    proxy::Proxy,
    servers::{
        EngineServer,
        redis::{RedisServer, Sentinel},
    },
};

use crate::{
    LOOK_AGAIN, append, append_at_last, follow_until, ids, kept, open, try_append, try_open, until_ready,
};

/// Waits until the primary knows of so many replicas in step with it.
async fn until_replicated(primary: &RedisServer, replicas: usize) {
    patiently("the replicas to be in step", async {
        while primary.command(&["INFO", "replication"]).matches("state=online").count() < replicas {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

/// Waits until the sentinel knows of so many replicas: it asks the primary every ten seconds, and at once when it starts.
async fn until_watched(sentinel: &Sentinel, replicas: usize) {
    patiently("the sentinel to know the replicas", async {
        while sentinel.log().matches("+slave slave").count() < replicas {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_replicas_have_is_lost_by_a_fail_over() {
    let mut primary = RedisServer::start();
    let replicas = [RedisServer::replica_of(&primary), RedisServer::replica_of(&primary)];
    until_replicated(&primary, replicas.len()).await;
    let sentinel = Sentinel::start(&primary, 500);
    until_watched(&sentinel, replicas.len()).await;
    let service = Sentinel::SERVICE;
    let log =
        open(&format!("redis://{}?sentinel={service}&replicas=1&prefix=over", sentinel.address())).await;
    let mut tail = log.tail(Position::START);
    let mut acknowledged = Vec::new();
    for index in 0..100 {
        let id = format!("e{index}");
        append(&log, &id).await;
        acknowledged.push(id);
    }
    primary.process_mut().kill();
    let mut index = 100;
    // Ten that the new primary took.
    while acknowledged.len() < 110 {
        let id = format!("e{index}");
        index += 1;
        match try_append(&log, &id).await {
            Ok(_) => acknowledged.push(id),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        assert!(index < 200, "the fail-over does not come to an end: {}", sentinel.log());
    }
    let stored = kept(&log).await;
    assert!(stored.is_sorted_by(|one, next| one.position < next.position));
    let stored = ids(&stored);
    for id in &acknowledged {
        assert_eq!(stored.iter().filter(|stored| *stored == id).count(), 1, "{id} is not stored once");
    }
    let (seen, overtaken) = follow_until(&mut *tail, acknowledged.last().unwrap()).await;
    let seen = ids(&seen);
    // Only what was not acknowledged may have been delivered and lost; then readers were told.
    assert!(overtaken <= 1);
    let seen: Vec<_> = seen.into_iter().filter(|id| stored.contains(id)).collect();
    let until_last = stored.iter().position(|id| Some(id) == acknowledged.last()).unwrap();
    assert_eq!(seen, stored[..=until_last], "no gap and no duplicate");
    until_ready(&log, true).await;
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_is_not_acknowledged_before_its_replica_has_it() {
    let primary = RedisServer::start();
    let replica = RedisServer::replica_of(&primary);
    until_replicated(&primary, 1).await;
    let log = open(&format!("{}&replicas=1", primary.url("waits"))).await;
    append(&log, "a").await;
    replica.process().pause();
    let refused = try_append(&log, "b").await.expect_err("the replica has not got it");
    assert!(refused.is_retryable() && refused.to_string().contains("replicas"), "{refused}");
    until_ready(&log, false).await;
    replica.process().go_on();
    until_ready(&log, true).await;
    append_at_last(&log, "c").await;
    log.close().await;
    let refused = try_open(&format!("{}&replicas=2", primary.url("waits"))).await.expect_err("there is one");
    assert!(refused.is_retryable() && refused.to_string().contains("1 of the 2 replicas"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_the_wrong_kind_is_told() {
    let primary = RedisServer::start();
    let replica = RedisServer::replica_of(&primary);
    until_replicated(&primary, 1).await;
    let sentinel = Sentinel::start(&primary, 60_000);
    let refused = try_open(&format!("redis://{}", sentinel.address())).await.expect_err("a sentinel");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("sentinel=NAME"), "{refused}");
    let refused = try_open(&format!("redis://{}?sentinel=other", sentinel.address())).await;
    let refused = refused.expect_err("another service");
    assert!(refused.to_string().contains("knows no service"), "{refused}");
    let refused = try_open(&replica.url("x")).await.expect_err("a replica");
    assert!(refused.is_retryable() && refused.to_string().contains("is a replica"), "{refused}");
    // Of several hosts the primary is found.
    let both = format!("redis://{},{}?prefix=both", replica.address(), primary.address());
    let log = open(&both).await;
    append(&log, "a").await;
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_asynchronous_fail_over_loses_is_told_and_its_positions_are_not_given_again() {
    let mut primary = RedisServer::start();
    let between = Proxy::start(primary.address()).await;
    let replica = RedisServer::replica_at(between.address());
    until_replicated(&primary, 1).await;
    let url = format!("redis://{},{}?prefix=lossy", primary.address(), replica.address());
    let (log, other) = (open(&url).await, open(&url).await);
    let mut tail = other.tail(Position::START);
    append(&log, "kept").await;
    // One that gets no further before the fail-over.
    let mut late = other.tail(Position::START);
    follow_until(&mut *late, "kept").await;
    patiently("the replica", async {
        while replica.command(&["XLEN", "{lossy}:log"]) != "1" {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    // From here on the replica gets nothing.
    between.refuse();
    for id in ["lost one", "lost two"] {
        append(&log, id).await;
    }
    let (seen, _) = follow_until(&mut *tail, "lost two").await;
    let newest = seen.last().unwrap().position;
    log.close().await;
    primary.process_mut().kill();
    assert_eq!(replica.command(&["REPLICAOF", "NO", "ONE"]), "OK");
    // A hub that has seen nothing of what was lost is the first to publish.
    let fresh = open(&url).await;
    let after = append_at_last(&fresh, "after").await;
    assert!(after > newest, "{after} was given to an event that is lost");
    let (seen, overtaken) = follow_until(&mut *tail, "after").await;
    assert_eq!((ids(&seen), overtaken), (vec!["after".to_owned()], 1));
    let (seen, overtaken) = follow_until(&mut *late, "after").await;
    assert_eq!((ids(&seen), overtaken), (vec!["after".to_owned()], 1), "what it never got is missed as well");
    assert_eq!(other.find("lost two").await.unwrap(), None);
    assert_eq!(ids(&kept(&fresh).await), ["kept", "after"]);
    tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(other.close(), fresh.close()) })
        .await
        .expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_its_disk_if_it_can() {
    let server = RedisServer::start_with(|_| ["--appendonly", "yes"].map(str::to_owned).to_vec());
    let url = format!("{}&fsync=true", server.url("disk"));
    if server.command(&["WAITAOF", "0", "0", "1"]).contains("unknown command") {
        let refused = try_open(&url).await.expect_err("a server that cannot");
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("Redis 7.2"), "{refused}");
        return;
    }
    let log = open(&url).await;
    assert_eq!(log.info().durability, Durability::Disk);
    append(&log, "a").await;
    log.close().await;
    // Without the file there is nothing to wait for.
    let server = RedisServer::start_with(|_| Vec::new());
    let refused = try_open(&format!("{}&fsync=true", server.url("disk"))).await.expect_err("no file");
    assert!(refused.to_string().contains("appendonly"), "{refused}");
}
