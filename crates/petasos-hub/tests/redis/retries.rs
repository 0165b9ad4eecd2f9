//! Groups whose answers are lost, that come late, or that a server has to be told anew.

use std::time::Duration;

use petasos_hub::transport::{AttemptId, Position, Transport};
use petasos_testkit::{
    patiently,
    proxy::Proxy,
    servers::{EngineServer, redis::RedisServer},
};
use redis::Value;

use crate::{append, entry, follow_until, ids, kept_ids, open};

/// How often the network fails in a test.
const FAILURES: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_is_lost_is_stored_once() {
    let server = RedisServer::shared();
    let proxy = Proxy::start(server.address()).await;
    let log = open(&server.url_at(proxy.address(), "lost-answers")).await;
    let mut expected = Vec::new();
    for index in 0..FAILURES {
        let id = format!("e{index}");
        let appended = log.append(AttemptId::new(), vec![entry(&id)]);
        let losing = proxy.lose_replies();
        let (stored, ()) = patiently("the append", async { tokio::join!(appended, losing) }).await;
        stored.unwrap_or_else(|error| panic!("{id}: {error}"));
        expected.push(id);
    }
    assert_eq!(kept_ids(&log).await, expected);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_repeated_after_its_caller_gave_up_is_stored_once() {
    let server = RedisServer::start();
    let log = open(&server.url("given-up")).await;
    let attempt = AttemptId::new();
    server.process().pause();
    let refused = patiently("an answer", log.append(attempt, vec![entry("a")])).await;
    assert!(refused.is_err_and(|error| error.is_retryable()));
    server.process().go_on();
    // It may have been stored in the meantime, or may still be about to be.
    patiently("the append", async {
        while log.append(attempt, vec![entry("a")]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    append(&log, "b").await;
    assert_eq!(kept_ids(&log).await, ["a", "b"]);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_keep_their_order_through_failures_of_the_network() {
    let server = RedisServer::shared();
    let proxy = Proxy::start(server.address()).await;
    let log = open(&server.url_at(proxy.address(), "cut")).await;
    let mut tail = log.tail(Position::START);
    let mut expected = Vec::new();
    for round in 0..FAILURES {
        let appends: Vec<_> = (0..50)
            .map(|index| {
                expected.push(format!("{round}-{index}"));
                log.append(AttemptId::new(), vec![entry(expected.last().unwrap())])
            })
            .collect();
        proxy.cut();
        for stored in patiently("the appends", futures_util::future::join_all(appends)).await {
            stored.unwrap_or_else(|error| panic!("an append failed: {error}"));
        }
    }
    let (seen, overtaken) = follow_until(&mut *tail, expected.last().unwrap()).await;
    assert_eq!((ids(&seen), overtaken), (expected.clone(), 0));
    assert_eq!(kept_ids(&log).await, expected);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let server = RedisServer::start();
    let log = open(&server.url("forgotten")).await;
    append(&log, "a").await;
    assert_eq!(server.command(&["SCRIPT", "FLUSH"]), "OK");
    append(&log, "b").await;
    assert_eq!(server.command(&["SCRIPT", "FLUSH"]), "OK");
    assert_eq!(log.expired(10).await.unwrap(), []);
    assert_eq!(kept_ids(&log).await, ["a", "b"]);
    log.close().await;
}

/// The scripts themselves, with groups in an order that no network can be made to produce at will.
#[tokio::test]
async fn a_group_that_comes_late_is_refused() {
    const COMMON: &str = include_str!("../../src/transport/redis/script/common.lua");
    const APPEND: &str = include_str!("../../src/transport/redis/script/append.lua");
    const SETTLE: &str = include_str!("../../src/transport/redis/script/settle.lua");
    let server = RedisServer::shared();
    let log = open(&server.url("late")).await;
    append(&log, "before").await;
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut run = async |script: &str, arguments: &[&str]| -> Vec<Value> {
        let mut command = redis::cmd("EVAL");
        command.arg(format!("{COMMON}{script}")).arg(9);
        for name in ["log", "state", "ids", "again", "subscriptions", "held", "nodes", "since", "writers"] {
            command.arg(format!("{{late}}:{name}"));
        }
        command.arg(arguments).query_async(&mut connection).await.unwrap()
    };
    let server_id = "of the test";
    let group = |number: &'static str| ["w", number, "0", server_id, "0", "0", "0", "0"];
    assert_eq!(run(SETTLE, &["w", "0", "0"]).await, [Value::Int(0), Value::BulkString(Vec::new())]);
    let first = run(APPEND, &group("1")).await;
    assert_eq!(first[0], Value::Int(0), "the first is taken");
    assert_eq!(run(APPEND, &group("1")).await, [Value::Int(1)], "but not twice");
    assert_eq!(run(APPEND, &group("3")).await, [Value::Int(1)], "nor one whose predecessor is missing");
    // Now 2 and 3 are given up.
    let settled = run(SETTLE, &["w", "3", "0"]).await;
    assert!(matches!(&settled[1], Value::BulkString(outcomes) if outcomes.starts_with(b"1:")), "{settled:?}");
    for late in ["2", "3"] {
        assert_eq!(run(APPEND, &group(late)).await, [Value::Int(1)], "what comes late is refused");
    }
    assert_eq!(run(APPEND, &group("4")).await[0], Value::Int(0), "what comes now is taken");
    log.close().await;
}
