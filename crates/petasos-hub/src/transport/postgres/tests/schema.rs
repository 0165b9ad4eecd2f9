//! Tables: made once, by whoever may, and never misunderstood.

use futures_util::future::join_all;

use super::{super::survey, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_that_start_at_the_same_time_make_the_tables_once() {
    let (server, log, config) = shared();
    let opened =
        patiently("the hubs", join_all((0..8).map(|_| PostgresTransport::open(config.clone())))).await;
    for transport in opened {
        transport.expect("an open log");
    }
    assert_eq!(server.query(&format!("SELECT version, oldest FROM {log}.schema_version")), "1|1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_make_tables_is_told_what_to_do_and_served_when_it_is_done() {
    let (server, log, owner) = shared();
    let role = format!("role_{log}");
    server.query(&format!("CREATE ROLE {role} LOGIN"));
    let limited = config(&server.url(&log).replace("petasos@", &format!("{role}@")));
    let error = PostgresTransport::open(limited.clone()).await.expect_err("it may not");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(&format!("petasos check --apply --grant {role}")), "{error}");
    assert!(examine(&limited).await.expect("a look").contains("no tables"));
    let done = apply(&owner, Some(&role)).await.expect("it may");
    assert_eq!(done.len(), 3, "{done:?}");
    let transport = open(&limited).await;
    append(&transport, "a").await;
    assert_eq!(ids(&transport).await, ["a"]);
    assert!(!transport.renew(NodeId::random(), Duration::ZERO).await.expect("a lease"));
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(transport.expired(1).await.expect("nothing is left"), []);
    assert_eq!(transport.discard(Position(1)).await.expect("it may discard"), 1);
    super::super::maintain::remove(&transport.store, 1).await.expect("it may remove");
    assert_eq!(apply(&owner, None).await.expect("it may"), ["nothing: its tables are there"]);
    let looked = examine(&limited).await.expect("a look");
    assert!(looked.contains("version 1, 0 events") && looked.contains("PostgreSQL"), "{looked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_sql_makes_the_same_tables() {
    let (server, log, config) = shared();
    let role = format!("role_{log}");
    server.query(&format!("CREATE ROLE {role} LOGIN"));
    let sql = sql_to_apply(&config, Some(&role)).await.expect("the SQL");
    assert!(examine(&config).await.expect("a look").contains("no tables"), "printing changes nothing");
    server.query(&sql);
    let transport = open(&super::config(&server.url(&log).replace("petasos@", &format!("{role}@")))).await;
    append(&transport, "a").await;
    assert_eq!(sql_to_apply(&config, None).await.expect("the SQL"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_later_version_are_refused_unless_they_say_that_they_can_be_served() {
    let (server, log, config) = shared();
    open(&config).await;
    server.query(&format!("UPDATE {log}.schema_version SET version = 9"));
    open(&config).await;
    server.query(&format!("UPDATE {log}.schema_version SET oldest = 9"));
    let error = PostgresTransport::open(config).await.expect_err("it is too new");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("newer version of Petasos"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_gone_are_told_of_and_the_hub_waits_for_them() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    append(&transport, "a").await;
    server.query(&format!("DROP SCHEMA {log} CASCADE"));
    let error = transport.head().await.expect_err("they are gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("petasos check --apply"), "{error}");
    apply(&config, None).await.expect("they are made again");
    assert!(append_at_last(&transport, "b").await > Position(1), "a position is never given twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_is_what_the_server_does() {
    let (server, log, config) = shared();
    // The server of the tests does not sync its disk.
    assert_eq!(open(&config).await.info().durability, Durability::Process);
    let told = survey::examine(&config).await.expect("a look");
    assert!(told.contains("fsync is off"), "{told}");
    let synced = PostgresServer::start();
    for (parameter, durability, told) in [
        ("", Durability::Disk, "survives power loss; a fail-over"),
        ("&synchronous_commit=off", Durability::Process, "synchronous_commit is off"),
    ] {
        let config = super::config(&format!("{}{parameter}", synced.url("log")));
        assert_eq!(open(&config).await.info().durability, durability);
        let line = examine(&config).await.expect("a look");
        assert!(line.contains(told), "{line}");
    }
    drop((server, log));
}
