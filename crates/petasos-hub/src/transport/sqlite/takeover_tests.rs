//! Taking over a history: what must hold while it goes on, after it, and when it is interrupted.

use std::path::Path;

use super::{
    schema::FIRST_POSITION,
    segment::segment_of,
    tests::{append, ids, open},
    *,
};
use crate::Update;

const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a history file with one leaf, whose updates have the ids `urn:b:0`, `urn:b:1`, ….
fn write_bolt(path: &Path, updates: u64) {
    let page = |number: u64, kind: u16, count: u64, extra_pages: u32| {
        let mut head = number.to_le_bytes().to_vec();
        head.extend(kind.to_le_bytes());
        head.extend((count as u16).to_le_bytes());
        head.extend(extra_pages.to_le_bytes());
        head
    };
    let leaf = |number: u64, entries: &[(u32, Vec<u8>, Vec<u8>)]| {
        let (mut elements, mut data) = (Vec::<u8>::new(), Vec::<u8>::new());
        for (index, (flags, key, value)) in entries.iter().enumerate() {
            let distance = 16 * (entries.len() - index) + data.len();
            for field in [*flags, distance as u32, key.len() as u32, value.len() as u32] {
                elements.extend(field.to_le_bytes());
            }
            data.extend(key);
            data.extend(value);
        }
        let pages = (16 + elements.len() + data.len()).div_ceil(4_096);
        let mut run = page(number, 2, entries.len() as u64, pages as u32 - 1);
        run.extend(elements);
        run.extend(data);
        run.resize(pages * 4_096, 0);
        run
    };
    let entry = |number: u64| {
        let mut key = (number + 1).to_be_bytes().to_vec();
        key.extend(format!("urn:b:{number}").into_bytes());
        let value = format!(r#"{{"ID":"urn:b:{number}","Topics":["t"],"Data":"d{number}"}}"#);
        (0, key, value.into_bytes())
    };
    let bucket = leaf(4, &(0..updates).map(entry).collect::<Vec<_>>());
    let mut reference = 4_u64.to_le_bytes().to_vec();
    reference.extend(updates.to_le_bytes());
    let root = leaf(3, &[(1, b"updates".to_vec(), reference)]);
    let pages = 4 + bucket.len() as u64 / 4_096;
    let mut file = Vec::new();
    for number in 0..2_u64 {
        let mut meta = Vec::new();
        for field in [0xED0C_DAED_u32, 2, 4_096, 0] {
            meta.extend(field.to_le_bytes());
        }
        for field in [3, 0, 2, pages, number] {
            meta.extend(field.to_le_bytes());
        }
        let fnv = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, fnv);
        let mut run = page(number, 4, 0, 0);
        run.extend(meta);
        run.extend(sum.to_le_bytes());
        run.resize(4_096, 0);
        file.extend(run);
    }
    let mut free = page(2, 0x10, 0, 0);
    free.resize(4_096, 0);
    file.extend(free);
    file.extend(root);
    file.extend(bucket);
    std::fs::write(path, file).expect("write");
}

fn config(directory: &Path, updates: u64) -> SqliteConfig {
    let path = directory.join("mercure.db");
    write_bolt(&path, updates);
    let mut config = SqliteConfig::new(directory.join("petasos.db"));
    config.sync = Sync::Normal;
    config.bolt = Some(BoltSource { path, bucket: "updates".into() });
    config
}

async fn taken_over(transport: &SqliteTransport) {
    let mut progress = transport.store.takeover.clone();
    let done = progress.wait_for(|progress| *progress == Progress::Done);
    tokio::time::timeout(PATIENCE, done).await.expect("in time").expect("the task lives");
}

async fn has_history(transport: &SqliteTransport, updates: u64) {
    assert_eq!(ids(transport, &ReadHint::default()).await.len() as u64, updates + 1);
    for number in [0, 1, 1_000, updates / 2, updates - 1] {
        let found = transport.find(&format!("urn:b:{number}")).await.expect("find");
        assert_eq!(found, Some(Position(FIRST_POSITION - updates + number)), "urn:b:{number}");
    }
}

#[tokio::test]
async fn housekeeping_with_a_floor_from_before_the_take_over_leaves_the_history_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let transport = open(&config(directory.path(), 6_000)).await;
    append(&transport, "urn:x:1", "a").await;
    taken_over(&transport).await;
    has_history(&transport, 6_000).await;
    // What a round of housekeeping does with the floor that it saw some seconds before.
    maintain::discard(&transport.store, FIRST_POSITION - 1).await.expect("discard");
    has_history(&transport, 6_000).await;
}

#[tokio::test]
async fn housekeeping_leaves_the_rows_of_a_take_over_under_way_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let transport = open(&SqliteConfig::new(directory.path().join("petasos.db"))).await;
    let staged = || {
        transport
            .store
            .readers
            .run(|conn, _| Ok(conn.query_row("SELECT count(*) FROM events", [], |row| row.get::<_, u32>(0))?))
    };
    stage_a_row(&transport, FIRST_POSITION - 5).await;
    for (lease_ms, kept) in [(u64::MAX >> 1, 1), (0, 0)] {
        task::write(&transport.store.writer, move |group| {
            group.conn.execute("DELETE FROM takeovers", [])?;
            group.conn.execute("INSERT INTO takeovers VALUES ('p', 9, ?1, FALSE)", [lease_ms.cast_signed()])
        })
        .await
        .expect("write");
        maintain::discard(&transport.store, FIRST_POSITION - 1).await.expect("discard");
        assert_eq!(staged().await.expect("count"), kept, "lease until {lease_ms}");
    }
}

async fn stage_a_row(transport: &SqliteTransport, position: u64) {
    let update = Update::from_stored("urn:b:0".into(), vec!["t".into()], String::new(), false, None, None);
    task::write(&transport.store.writer, move |group| {
        row::insert(group.conn, Position(position), 1, &update)
    })
    .await
    .expect("write");
}

#[tokio::test]
async fn a_process_that_starts_during_a_take_over_makes_no_segments_of_its_part() {
    let directory = tempfile::tempdir().expect("directory");
    let config = SqliteConfig::new(directory.path().join("petasos.db"));
    let one = open(&config).await;
    stage_a_row(&one, FIRST_POSITION - 5).await;
    let two = open(&config).await;
    append(&two, "urn:x:1", "a").await;
    maintain::close_segments(&two.store).await.expect("close");
    let stored = two
        .store
        .readers
        .run(|conn, _| Ok(conn.query_row("SELECT count(*) FROM segments", [], |row| row.get::<_, u32>(0))?));
    assert_eq!(stored.await.expect("count"), 0, "a part of segment {}", segment_of(FIRST_POSITION - 5));
}

#[tokio::test]
async fn r03_a_history_that_cannot_be_read_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("mercure.db");
    // It is there, and opening it fails: as a file of another user does.
    let _socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
    config.bolt = Some(BoltSource { path, bucket: "updates".into() });
    let transport = open(&config).await;
    append(&transport, "urn:x:1", "a").await;
    let everything = ReadHint::default();
    let reading = ids(&transport, &everything);
    let kept = tokio::time::timeout(TAKEOVER_PATIENCE / 2, reading).await.expect("at once");
    assert_eq!(kept, ["urn:x:1"]);
}

#[tokio::test]
async fn the_history_of_a_second_file_is_refused_and_the_store_goes_on() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = config(directory.path(), 1_001);
    let transport = open(&config).await;
    append(&transport, "urn:x:1", "a").await;
    taken_over(&transport).await;
    transport.close().await;
    let path = directory.path().join("other.db");
    write_bolt(&path, 2_000);
    config.bolt = Some(BoltSource { path, bucket: "updates".into() });
    let transport = open(&config).await;
    taken_over(&transport).await;
    assert_eq!(transport.health().ready, Ok(()));
    has_history(&transport, 1_001).await;
}
