//! What is removed, what the indexes are used for, and what is damaged. That retention is exact stands in the contract.

use super::{super::maintain, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discarded_rows_are_removed_and_a_tail_that_needs_them_is_told() {
    let (server, log, mut config) = shared();
    config.retention = Some(Retention { events: 3, bytes: 0, age: None });
    let transport = open(&config).await;
    let mut tail = open(&config).await.tail(Position(2));
    let entries = numbered("e", 10).iter().map(|id| entry(id)).collect();
    transport.append(AttemptId::new(), entries).await.expect("an append");
    let rows = format!("SELECT count(*) FROM {log}.events");
    assert_eq!(server.query(&rows), "10", "a live tail that is a little behind may still need them");
    assert_eq!(ids(&transport).await, ["e7", "e8", "e9"]);
    // Never above the floor, whatever is asked for.
    maintain::remove(&transport.store, 9).await.expect("removed");
    assert_eq!(server.query(&rows), "3");
    let told = patiently("the tail", tail.next()).await.map_err(|error| error.kind());
    match told {
        Err(kind) => {
            assert_eq!(kind, ErrorKind::Overtaken);
            assert_eq!(follow(&mut tail, 3).await, ["e7", "e8", "e9"]);
        }
        // It was quicker.
        Ok(events) => assert_eq!(events.len(), 8),
    }
    append(&transport, "e10").await;
    assert_eq!(ids(&transport).await, ["e8", "e9", "e10"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_reads_what_retention_discarded_in_the_commit_that_brought_it() {
    let (_, _, mut config) = shared();
    config.retention = Some(Retention { events: 3, bytes: 0, age: None });
    let (one, two) = (open(&config).await, open(&config).await);
    let mut tail = two.tail(Position::START);
    for round in 0..3 {
        let expected = numbered(&format!("{round}-"), 10);
        one.append(AttemptId::new(), expected.iter().map(|id| entry(id)).collect()).await.expect("an append");
        assert_eq!(follow(&mut tail, 10).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn housekeeping_removes_rows_by_itself() {
    let (server, log, mut config) = shared();
    config.retention = Some(Retention { events: 3, bytes: 0, age: None });
    let transport = open(&config).await;
    let entries = numbered("e", 10).iter().map(|id| entry(id)).collect();
    transport.append(AttemptId::new(), entries).await.expect("an append");
    let rows = format!("SELECT count(*) FROM {log}.events");
    petasos_testkit::within(Duration::from_secs(30), "the rows to go", async {
        while server.query(&rows) != "3" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_topics_are_found_through_their_indexes_before_the_table_is_analyzed() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    let entries = numbered("e", 500).iter().map(|id| entry(id)).collect();
    transport.append(AttemptId::new(), entries).await.expect("an append");
    let sql = &transport.store.sql;
    let plan = |statement: &str, parameters: &[&str]| {
        let mut statement = statement.to_owned();
        for (index, value) in parameters.iter().enumerate() {
            statement = statement.replace(&format!("${}", index + 1), value);
        }
        server.query(&format!("SET enable_seqscan = off; SET jit = off; EXPLAIN {statement}"))
    };
    let find = plan(&sql.find, &["1", "'x'", "0"]);
    assert!(find.contains("events_by_id") && !find.contains("Seq Scan"), "{find}");
    let pick = plan(&sql.pick, &["0", "1000", "100", "1000", "0", "'{1,0}'"]);
    assert!(pick.contains("events_by_topic") && pick.contains("events_pkey"), "{pick}");
    let page = plan(&sql.page, &["0", "1000", "100", "1000", "0"]);
    assert!(page.contains("events_pkey"), "{page}");
    let follow = plan(&sql.follow, &["0", "100", "1000", "1"]);
    assert!(follow.contains("events_pkey") && !follow.contains("Seq Scan"), "{follow}");
    assert_eq!(server.query(&format!("SELECT count(*) FROM {log}.log")), "500");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_picked_in_order_across_runs_and_pages() {
    let (_, _, config) = shared();
    let transport = open(&config).await;
    let make = |number: usize| {
        let topics = match number % 1_000 {
            7 => vec!["rare".to_owned()],
            8 => vec!["other".to_owned(), "rare".to_owned()],
            _ => vec![format!("t{}", number % 10)],
        };
        let update = Update::from_stored(format!("e{number}"), topics, "data".into(), false, None, None);
        Append { update: Arc::new(update), presence: None }
    };
    for part in 0..10 {
        let entries = (part * 1_000..(part + 1) * 1_000).map(make).collect();
        transport.append(AttemptId::new(), entries).await.expect("an append");
    }
    let hint = ReadHint { exact_topics: vec!["rare".to_owned()].into() };
    let (mut found, mut after) = (Vec::new(), Position::START);
    loop {
        let limit = ReadLimit { events: 3, bytes: usize::MAX };
        let page = transport.read(after, Position(u64::MAX), limit, &hint).await.expect("a page");
        found.extend(page.events.iter().map(|event| event.update.id().to_owned()));
        if page.events.is_empty() {
            break;
        }
        after = page.next;
    }
    let expected: Vec<_> =
        (0..10).flat_map(|part| [7, 8].map(|rest| format!("e{}", part * 1_000 + rest))).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_event_is_told_of_and_never_served() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    for id in ["a", "b", "c", "d"] {
        append(&transport, id).await;
    }
    server.query(&format!("UPDATE {log}.events SET data = 'changed' WHERE position = 3"));
    let (limit, hint) = (ReadLimit::default(), ReadHint::default());
    let before =
        transport.read(Position::START, Position(u64::MAX), limit, &hint).await.expect("what comes before");
    assert_eq!(before.events.len(), 2);
    let error =
        transport.read(before.next, Position(u64::MAX), limit, &hint).await.expect_err("it is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("position 3"), "{error}");
    let mut tail = transport.tail(before.next);
    assert_eq!(tail.next().await.expect_err("it is damaged").kind(), ErrorKind::Corrupt);
    let found = transport.verify().await.expect("a verification");
    assert_eq!((found.sound, found.damage.len()), (3, 1), "{found:?}");
    server.query(&format!("DELETE FROM {log}.events WHERE position = 2"));
    let found = transport.verify().await.expect("a verification");
    assert_eq!((found.sound, found.damage.len()), (2, 2), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_bound_holds_before_anybody_appends() {
    let (server, log, mut config) = shared();
    let entries = numbered("e", 10).iter().map(|id| entry(id)).collect();
    open(&config).await.append(AttemptId::new(), entries).await.expect("an append");
    config.retention = Some(Retention { events: 3, bytes: 0, age: None });
    let transport = open(&config).await;
    until("the floor to rise", || {
        server.query(&format!("SELECT floor, events FROM {log}.log_state")) == "7|3"
    })
    .await;
    assert_eq!(ids(&transport).await, ["e7", "e8", "e9"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_told_of_events_that_are_too_old_though_they_are_not_discarded_yet() {
    let (server, log, config) = shared();
    let transport = open(&config).await;
    for id in ["a", "b"] {
        append(&transport, id).await;
    }
    server.query(&format!("UPDATE {log}.events SET at_ms = at_ms - 3600000 WHERE position = 1"));
    let mut aged = config.clone();
    aged.retention = Some(Retention { events: 0, bytes: 0, age: Some(Duration::from_secs(600)) });
    let reader = open(&aged).await;
    let (limit, hint) = (ReadLimit::default(), ReadHint::default());
    let page = reader.read(Position::START, Position(u64::MAX), limit, &hint).await.expect("a page");
    assert!(page.truncated && page.events.len() == 1, "{page:?}");
    let page = reader.read(Position(1), Position(u64::MAX), limit, &hint).await.expect("a page");
    assert!(!page.truncated && page.events.len() == 1, "{page:?}");
}
