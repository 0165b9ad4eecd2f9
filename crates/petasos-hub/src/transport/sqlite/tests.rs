use super::*;
use crate::{Update, transport::ErrorKind};

pub(super) fn entry(id: &str, topic: &str) -> Append {
    let update =
        Update::from_stored(id.into(), vec![topic.into()], format!("data of {id}"), false, None, Some(7));
    Append { update: Arc::new(update), presence: None }
}

pub(super) async fn open(config: &SqliteConfig) -> SqliteTransport {
    SqliteTransport::open(config.clone()).await.expect("the store opens")
}

pub(super) async fn append(transport: &SqliteTransport, id: &str, topic: &str) -> Position {
    let outcome = transport.append(AttemptId::new(), vec![entry(id, topic)]).await.expect("append");
    outcome.expect("an event was stored")
}

pub(super) async fn ids(transport: &SqliteTransport, hint: &ReadHint) -> Vec<String> {
    let page = transport
        .read(Position::START, Position(u64::MAX), ReadLimit { events: 100_000, bytes: 1 << 30 }, hint)
        .await
        .expect("read");
    page.events.iter().map(|event| event.update.id().to_owned()).collect()
}

#[tokio::test]
async fn what_was_appended_is_read_after_opening_again() {
    let directory = tempfile::tempdir().expect("directory");
    let config = SqliteConfig::new(directory.path().join("petasos.db"));
    let transport = open(&config).await;
    let first = append(&transport, "urn:x:1", "a").await;
    let second = append(&transport, "urn:x:2", "b").await;
    assert!(first < second);
    transport.close().await;
    let transport = open(&config).await;
    assert_eq!(ids(&transport, &ReadHint::default()).await, ["urn:x:1", "urn:x:2"]);
    assert_eq!(transport.find("urn:x:2").await.expect("find"), Some(second));
    assert_eq!(transport.head().await.expect("head"), Head { position: second, id: Some("urn:x:2".into()) });
    assert!(append(&transport, "urn:x:3", "a").await > second, "positions go on");
}

#[tokio::test]
async fn an_attempt_is_stored_once() {
    let directory = tempfile::tempdir().expect("directory");
    let transport = open(&SqliteConfig::new(directory.path().join("petasos.db"))).await;
    let attempt = AttemptId::new();
    let first = transport.append(attempt, vec![entry("urn:x:1", "a")]).await.expect("append");
    let second = transport.append(attempt, vec![entry("urn:x:1", "a")]).await.expect("append");
    assert_eq!(first, second);
    assert_eq!(ids(&transport, &ReadHint::default()).await.len(), 1);
}

#[tokio::test]
async fn r05_find_gives_the_earliest_of_equal_ids_also_across_segments() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
    config.sync = Sync::Normal;
    let transport = open(&config).await;
    let entries: Vec<_> = (0..10_000)
        .map(|number| entry(&format!("urn:x:{}", number % 5_000), &format!("topic-{}", number % 1_000)))
        .collect();
    transport.append(AttemptId::new(), entries).await.expect("append");
    maintain_until_closed(&transport).await;
    for reopened in [false, true] {
        let transport = if reopened {
            open(&config).await
        } else {
            SqliteTransport { store: Arc::clone(&transport.store) }
        };
        for number in [0_u64, 4_095, 4_096, 4_999] {
            let found = transport.find(&format!("urn:x:{number}")).await.expect("find");
            assert_eq!(found, Some(Position(schema::FIRST_POSITION + number)), "reopened: {reopened}");
        }
        assert_eq!(transport.find("urn:x:5000").await.expect("find"), None);
        let hint = ReadHint { exact_topics: vec!["topic-7".to_owned(), "topic-9".to_owned()].into() };
        let picked = ids(&transport, &hint).await;
        assert_eq!(picked.len(), 20);
        assert_eq!(&picked[..4], ["urn:x:7", "urn:x:9", "urn:x:1007", "urn:x:1009"]);
    }
}

async fn maintain_until_closed(transport: &SqliteTransport) {
    let segments = || {
        transport.store.readers.run(|conn, _| {
            Ok(conn.query_row("SELECT count(*) FROM segments", [], |row| row.get::<_, u32>(0))?)
        })
    };
    while segments().await.expect("count") < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn retention_by_events_and_bytes_is_exact_after_every_commit() {
    for (events, bytes, kept) in [(3, 0, 3), (0, 40, 2), (5, 20, 1)] {
        let directory = tempfile::tempdir().expect("directory");
        let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
        config.retention = crate::transport::Retention { events, bytes, age: None };
        let transport = open(&config).await;
        for number in 0..10 {
            // 16 bytes of data and one of topic.
            append(&transport, &format!("urn:x:{number:04}"), "a").await;
            let now = ids(&transport, &ReadHint::default()).await.len();
            assert_eq!(now, kept.min(number + 1), "events {events}, bytes {bytes}");
        }
        assert_eq!(transport.find("urn:x:0000").await.expect("find"), None, "R04: it is discarded");
        assert_eq!(transport.head().await.expect("head").id.as_deref(), Some("urn:x:0009"));
    }
}

#[tokio::test]
async fn retention_by_age_hides_at_once_what_is_too_old() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
    config.retention.age = Some(Duration::from_millis(300));
    let transport = open(&config).await;
    append(&transport, "urn:x:1", "a").await;
    assert_eq!(ids(&transport, &ReadHint::default()).await.len(), 1);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(transport.find("urn:x:1").await.expect("find"), None);
    assert_eq!(ids(&transport, &ReadHint::default()).await.len(), 0);
}

#[tokio::test]
async fn two_transports_on_one_store_see_one_order() {
    let directory = tempfile::tempdir().expect("directory");
    let config = SqliteConfig::new(directory.path().join("petasos.db"));
    let (one, two) = (open(&config).await, open(&config).await);
    let start = one.head().await.expect("head").position;
    let mut tails = [one.tail(start), two.tail(start)];
    for number in 0..200 {
        let transport = if number % 3 == 0 { &one } else { &two };
        append(transport, &format!("urn:x:{number}"), "a").await;
    }
    let expected = ids(&one, &ReadHint::default()).await;
    assert_eq!(expected.len(), 200);
    for tail in &mut tails {
        let mut seen = Vec::new();
        while seen.len() < 200 {
            let events = tokio::time::timeout(Duration::from_secs(10), tail.next()).await;
            seen.extend(
                events.expect("in time").expect("tail").iter().map(|event| event.update.id().to_owned()),
            );
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_damaged_event_is_reported_and_not_served() {
    let directory = tempfile::tempdir().expect("directory");
    let config = SqliteConfig::new(directory.path().join("petasos.db"));
    let transport = open(&config).await;
    append(&transport, "urn:x:1", "a").await;
    task::write(&transport.store.writer, |group| {
        group.conn.execute("UPDATE events SET data = 'forged'", []).map(|_| ())
    })
    .await
    .expect("write");
    let error = transport
        .read(Position::START, Position(u64::MAX), ReadLimit::default(), &ReadHint::default())
        .await
        .expect_err("it must be noticed");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_foreign_database_and_a_newer_schema_are_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).expect("open").execute_batch("CREATE TABLE t (a)").expect("create");
    let error = SqliteTransport::open(SqliteConfig::new(&foreign)).await.expect_err("foreign");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let newer = directory.path().join("newer.db");
    open(&SqliteConfig::new(&newer)).await.close().await;
    rusqlite::Connection::open(&newer)
        .expect("open")
        .pragma_update(None, "user_version", 99)
        .expect("pragma");
    let error = SqliteTransport::open(SqliteConfig::new(&newer)).await.expect_err("newer");
    assert!(error.to_string().contains("newer version"), "{error}");
    let garbage = directory.path().join("garbage.db");
    std::fs::write(&garbage, vec![b'x'; 8_192]).expect("write");
    let error = SqliteTransport::open(SqliteConfig::new(&garbage)).await.expect_err("garbage");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}
