//! A standby that takes over, with all and with less than its primary had.

use petasos_testkit::{proxy::Proxy, servers::postgres::OWNER};

use super::*;
use crate::transport::{NodeId, PresenceChange};

fn both(one: SocketAddr, other: SocketAddr) -> PostgresConfig {
    config(&format!("postgres://{OWNER}@{one},{other}/{OWNER}?schema=log&connect_timeout=1"))
}

fn replayed(standby: &PostgresServer, id: &str) -> bool {
    let sql = format!("SELECT count(*) FROM log.events WHERE id = '{id}'");
    standby.query("SELECT to_regclass('log.events') IS NOT NULL") == "t" && standby.query(&sql) == "1"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_has_everything_is_gone_on_with() {
    let mut primary = PostgresServer::start_with(&["fsync=off"]);
    let standby = PostgresServer::start_standby_of(primary.address(), &["fsync=off"]);
    // A standby is no place to write: the first host is passed over.
    let log = open(&both(standby.address(), primary.address())).await;
    let mut tail = log.tail(Position::START);
    append(&log, "a").await;
    until("the standby to have it", || replayed(&standby, "a")).await;
    primary.process_mut().kill();
    standby.promote();
    append_at_last(&log, "b").await;
    assert_eq!(follow(&mut tail, 2).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_fail_over_lost_is_told_of_and_its_positions_are_not_given_again() {
    let mut primary = PostgresServer::start_with(&["fsync=off"]);
    let replication = Proxy::start(primary.address()).await;
    let standby = PostgresServer::start_standby_of(replication.address(), &["fsync=off"]);
    let config = both(primary.address(), standby.address());
    let (log, other) = (open(&config).await, open(&config).await);
    let node = NodeId::random();
    assert!(!log.renew(node, Duration::from_secs(600)).await.expect("a lease"));
    append(&log, "kept").await;
    until("the standby to have it", || replayed(&standby, "kept")).await;
    let mut tails = [log.tail(Position::START), other.tail(Position::START)];
    for tail in &mut tails {
        assert_eq!(follow(tail, 1).await, ["kept"]);
    }
    replication.hold();
    let mut last = Position::START;
    for id in ["lost 1", "lost 2", "lost 3"] {
        last = append(&log, id).await;
    }
    let record = SubscriptionRecord {
        node,
        subscriber: "s".into(),
        match_type: crate::topic::MatchType::Exact,
        match_value: "a".into(),
        payload: None,
    };
    let begin = Append { presence: Some(PresenceChange::Start(record)), ..entry("lost 4") };
    let newest = log.append(AttemptId::new(), vec![begin]).await.expect("an append").expect("a position");
    for tail in &mut tails {
        assert_eq!(follow(tail, 4).await, ["lost 1", "lost 2", "lost 3", "lost 4"]);
    }
    primary.process_mut().kill();
    replication.refuse();
    standby.promote();
    for tail in &mut tails {
        let error = patiently("the break", async {
            loop {
                match tail.next().await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    outcome => return outcome.expect_err("it must be told"),
                }
            }
        })
        .await;
        assert_eq!(error.kind(), ErrorKind::Overtaken, "{error}");
    }
    let after = append_at_last(&log, "new").await;
    assert!(after > newest, "{after:?} was given to another event");
    for tail in &mut tails {
        assert_eq!(follow(tail, 1).await, ["new"], "told once");
    }
    assert_eq!(ids(&other).await, ["kept", "new"]);
    assert_eq!(log.find("lost 3").await.expect("a search"), None, "R04: its cursor is unknown");
    assert_eq!(log.find("kept").await.expect("a search"), Some(Position(1)));
    assert!(last < newest);
    // What the node had announced is lost with the rest: it does so again.
    assert!(!log.renew(node, Duration::from_secs(600)).await.expect("a lease"));
    let again = NodeId::random();
    assert!(!log.renew(again, Duration::from_secs(600)).await.expect("a lease"));
    assert!(log.renew(again, Duration::from_secs(600)).await.expect("a lease"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_in_the_place_of_what_was_seen_are_noticed() {
    let (server, schema, config) = shared();
    let log = open(&config).await;
    let mut tail = log.tail(Position::START);
    for id in ["a", "b", "c"] {
        append(&log, id).await;
    }
    assert_eq!(follow(&mut tail, 3).await, ["a", "b", "c"]);
    // As a restored copy, on which others have gone on.
    server.query(&format!(
        "BEGIN; UPDATE {schema}.events SET id = 'x' || id, checksum = checksum + 1 WHERE position > 1; \
         UPDATE {schema}.log_state SET newest_checksum = newest_checksum + 1; COMMIT"
    ));
    server.query(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%\"{schema}\"%' AND pid <> pg_backend_pid()"
    ));
    let error = patiently("the break", async {
        loop {
            match tail.next().await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                outcome => return outcome.expect_err("it must be told"),
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Overtaken);
    append_at_last(&log, "d").await;
    assert_eq!(follow(&mut tail, 1).await, ["d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_never_answers_is_passed_over() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let server = PostgresServer::start_with(&["fsync=off"]);
    let log = open(&both(silent.local_addr().expect("an address"), server.address())).await;
    append(&log, "a").await;
    assert_eq!(ids(&log).await, ["a"]);
}
