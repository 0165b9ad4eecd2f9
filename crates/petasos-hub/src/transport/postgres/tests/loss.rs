//! A server that goes away, is silent, or stops, and comes back; connections that are ended; announcements that are lost.

use petasos_testkit::{proxy::Proxy, within};
use tokio::time::Instant;

use super::*;

/// In which a publisher is told that the server is gone.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

async fn refused(log: &PostgresTransport, id: &str) -> TransportError {
    let begin = Instant::now();
    let error = log.append(AttemptId::new(), vec![entry(id)]).await.expect_err("the server is gone");
    assert!(begin.elapsed() < TOLD_WITHIN, "it took {:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_started_again_loses_nothing() {
    let mut server = PostgresServer::start();
    let config = config(&server.url("log"));
    let (one, two) = (open(&config).await, open(&config).await);
    let mut tails = [one.tail(Position::START), two.tail(Position::START)];
    for number in 0..5 {
        append(&one, &format!("a{number}")).await;
    }
    server.process_mut().kill();
    refused(&one, "refused").await;
    until("the loss to be noticed", || one.health().ready.is_err()).await;
    assert_eq!(one.health().live, Ok(()), "a lost engine does not make a hub restart");
    assert_eq!(one.head().await.expect_err("it is gone").kind(), ErrorKind::Unavailable);
    server.start_again();
    for number in 0..5 {
        append_at_last(if number % 2 == 0 { &one } else { &two }, &format!("b{number}")).await;
    }
    until("the return to be noticed", || one.health().ready.is_ok() && two.health().ready.is_ok()).await;
    let expected: Vec<_> = numbered("a", 5).into_iter().chain(numbered("b", 5)).collect();
    let stored: Vec<_> = ids(&one).await.into_iter().filter(|id| id != "refused").collect();
    assert_eq!(stored, expected);
    let all = ids(&one).await;
    for tail in &mut tails {
        assert_eq!(follow(tail, all.len()).await, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_in_order_and_started_again_loses_nothing() {
    let mut server = PostgresServer::start_with(&["fsync=off"]);
    let log = open(&config(&server.url("log"))).await;
    let mut tail = log.tail(Position::START);
    append(&log, "a").await;
    server.restart();
    append_at_last(&log, "b").await;
    assert_eq!(follow(&mut tail, 2).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_told_of_and_does_not_hold_up_the_close() {
    let server = PostgresServer::start_with(&["fsync=off"]);
    let config = config(&server.url("log"));
    let (log, other) = (open(&config).await, open(&config).await);
    let mut tail = log.tail(Position::START);
    append(&log, "before").await;
    server.process().pause();
    // Nobody publishes: it is noticed all the same.
    within(Duration::from_secs(8), "the silence to be noticed", async {
        while other.health().ready.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    refused(&log, "silent").await;
    assert!(log.health().ready.is_err_and(|reason| reason.contains("does not answer")));
    let begin = Instant::now();
    other.close().await;
    assert!(begin.elapsed() < Duration::from_secs(4), "the close took {:?}", begin.elapsed());
    server.process().go_on();
    append_at_last(&log, "after").await;
    let stored = ids(&log).await;
    assert_eq!(stored.first().map(String::as_str), Some("before"));
    assert_eq!(stored.iter().filter(|id| *id == "after").count(), 1);
    assert!(stored.iter().filter(|id| *id == "silent").count() <= 1);
    assert_eq!(follow(&mut tail, stored.len()).await, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ends_are_made_again() {
    let (server, log, config) = shared();
    let (writer, reader) = (open(&config).await, open(&config).await);
    let mut tail = reader.tail(Position::START);
    let end_all = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%\"{log}\"%' AND pid <> pg_backend_pid()"
    );
    let mut expected = Vec::new();
    for round in 0..5 {
        let id = format!("e{round}");
        append_at_last(&writer, &id).await;
        expected.push(id);
        // Writers, listeners and readers of both.
        assert!(server.query(&end_all).parse::<u32>().expect("a number") >= 2);
    }
    append_at_last(&writer, "last").await;
    expected.push("last".to_owned());
    assert_eq!(follow(&mut tail, 6).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_announced_is_found() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    let mut tail = transport.tail(Position::START);
    append(&transport, "announced").await;
    assert_eq!(follow(&mut tail, 1).await, ["announced"]);
    server.query(&format!(
        "BEGIN; INSERT INTO {log}.events SELECT 2, at_ms, retry_ms, id_hash, topic_hash, weight, checksum, private, id, type, \
         topics, data FROM {log}.events WHERE position = 1; \
         UPDATE {log}.log_state SET next_position = 3, newest_position = 2, events = 2; COMMIT"
    ));
    assert_eq!(follow(&mut tail, 1).await, ["announced"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_appended_while_the_listener_was_away_is_delivered() {
    let (server, log, config) = shared();
    let proxy = Proxy::start(server.address()).await;
    let (reader, writer) = (open(&through(server, proxy.address(), &log)).await, open(&config).await);
    let mut tail = reader.tail(Position::START);
    append(&writer, "a").await;
    assert_eq!(follow(&mut tail, 1).await, ["a"]);
    proxy.refuse();
    append(&writer, "b").await;
    refused(&reader, "refused").await;
    append(&writer, "c").await;
    proxy.go_on();
    assert_eq!(follow(&mut tail, 2).await, ["b", "c"]);
    append_at_last(&reader, "d").await;
    assert_eq!(follow(&mut tail, 1).await, ["d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_passes_nothing_is_as_a_silent_server() {
    let (server, log, config) = shared();
    let proxy = Proxy::start(server.address()).await;
    let cut_off = open(&through(server, proxy.address(), &log)).await;
    let other = open(&config).await;
    let mut tail = cut_off.tail(Position::START);
    append(&cut_off, "a").await;
    proxy.hold();
    refused(&cut_off, "held").await;
    append(&other, "b").await;
    proxy.go_on();
    append_at_last(&cut_off, "c").await;
    let stored = ids(&other).await;
    assert_eq!(stored.iter().filter(|id| *id != "held").collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(stored.iter().filter(|id| *id == "held").count() <= 1, "it may be stored, once");
    assert_eq!(follow(&mut tail, stored.len()).await, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_any_more_is_told_of_and_used_again() {
    let server = PostgresServer::start_with(&["fsync=off"]);
    let log = open(&config(&server.url("log"))).await;
    append(&log, "a").await;
    let set = |value: &str| {
        server.query(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
        server.query("SELECT pg_reload_conf()");
    };
    set("on");
    until("the loss to be noticed", || {
        drop(log.append(AttemptId::new(), vec![entry("refused")]));
        log.health().ready.is_err()
    })
    .await;
    let error = refused(&log, "refused").await;
    assert!(error.to_string().contains("in time"), "{error}");
    let reason = log.health().ready.expect_err("it takes no writes");
    assert!(reason.contains("read-only") || reason.contains("does not allow writes"), "{reason}");
    server.query("ALTER SYSTEM RESET default_transaction_read_only");
    server.query("SELECT pg_reload_conf()");
    append_at_last(&log, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_every_append_is_not_ready_until_it_takes_them() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    append(&transport, "a").await;
    server.query(&format!(
        "CREATE FUNCTION {log}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON {log}.events FOR EACH ROW EXECUTE FUNCTION {log}.refuse()"
    ));
    refused(&transport, "refused").await;
    // Through several attempts to connect.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert!(transport.health().ready.is_err());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.query(&format!("DROP TRIGGER refuse ON {log}.events"));
    until("the return to be noticed", || transport.health().ready.is_ok()).await;
    append(&transport, "b").await;
    assert_eq!(ids(&transport).await, ["a", "b"], "what was tried is rolled back");
}
