//! The write-ahead log as a crash may leave it: with garbage behind its end, torn, or cut off.

use std::{
    fs::OpenOptions,
    io::{Read, Seek, SeekFrom, Write},
};

use petasos_testkit::{
    ledger::Ledger,
    load::{Load, Publishers},
    process::{HubProcess, scratch},
};
use rand::RngCore;

use super::support::{TOPIC, assert_sound, store_in, whole_log, write_ahead_log};

const PUBLISHERS: usize = 4;
const UPDATES: usize = 200;

/// The sizes of the parts of a write-ahead log, from the documentation of SQLite's format.
const WAL_HEADER_BYTES: u64 = 32;
const FRAME_BYTES: u64 = 24 + 4096;

/// Publishes under load, kills the hub, lets `harm` change the write-ahead log, starts again, and returns what was known
/// and what is there.
async fn after_harm(harm: impl FnOnce(&mut std::fs::File, u64)) -> (Ledger, Vec<String>) {
    let directory = scratch();
    let options = store_in(directory.path(), directory.path());
    let process = HubProcess::start(&options).await;
    let publishers = Publishers::start(|| process.hub(), "publisher", PUBLISHERS, &Load::on(TOPIC));
    publishers.acknowledge_more(UPDATES).await;
    process.kill().await;
    let ledger = publishers.stop().await;
    let mut wal = OpenOptions::new().read(true).write(true).open(write_ahead_log(directory.path())).unwrap();
    let length = wal.metadata().unwrap().len();
    assert!(length > WAL_HEADER_BYTES + 10 * FRAME_BYTES, "the write-ahead log is too short to be harmed");
    harm(&mut wal, length);
    wal.sync_all().unwrap();
    drop(wal);
    let process = HubProcess::start(&options).await;
    let log = whole_log(&process.hub(), "marker").await;
    assert!(process.terminate().await.success());
    assert_sound(directory.path()).await;
    (ledger, log)
}

fn garbage(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_behind_the_write_ahead_log_changes_nothing() {
    let (ledger, log) = after_harm(|wal, length| {
        wal.seek(SeekFrom::Start(length)).unwrap();
        wal.write_all(&garbage(3 * FRAME_BYTES as usize + 77)).unwrap();
    })
    .await;
    ledger.check(&log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_frame_behind_the_write_ahead_log_changes_nothing() {
    let (ledger, log) = after_harm(|wal, length| {
        // A frame that looks right and whose page is another one's: what a write that was not synced leaves.
        let mut frame = vec![0; FRAME_BYTES as usize];
        wal.seek(SeekFrom::Start(WAL_HEADER_BYTES + FRAME_BYTES)).unwrap();
        wal.read_exact(&mut frame).unwrap();
        wal.seek(SeekFrom::Start(length)).unwrap();
        wal.write_all(&frame).unwrap();
        wal.write_all(&frame[..1_000]).unwrap();
    })
    .await;
    ledger.check(&log);
}

/// A disk that loses what it had confirmed. The updates are gone; what is left is whole, and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_ahead_log_that_was_cut_off_leaves_the_log_up_to_there() {
    let (ledger, log) = after_harm(|wal, length| {
        let frames = (length - WAL_HEADER_BYTES) / FRAME_BYTES;
        wal.set_len(WAL_HEADER_BYTES + frames / 2 * FRAME_BYTES + 100).unwrap();
    })
    .await;
    assert_beginning(&ledger, &log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_frame_in_the_write_ahead_log_leaves_the_log_up_to_there() {
    let (ledger, log) = after_harm(|wal, length| {
        let frames = (length - WAL_HEADER_BYTES) / FRAME_BYTES;
        wal.seek(SeekFrom::Start(WAL_HEADER_BYTES + frames / 2 * FRAME_BYTES + 2_000)).unwrap();
        wal.write_all(&garbage(500)).unwrap();
    })
    .await;
    assert_beginning(&ledger, &log);
}

/// Asserts that the log is the beginning of what was published: each publisher's updates from its first on, without a
/// gap.
fn assert_beginning(ledger: &Ledger, log: &[String]) {
    assert!(!log.is_empty() && log.len() < ledger.acknowledged(), "{} of the updates are there", log.len());
    let mut next = std::collections::HashMap::new();
    for id in log {
        let (publisher, number) = id.rsplit_once(':').unwrap();
        let expected: &mut u64 = next.entry(publisher).or_default();
        assert_eq!(number.parse(), Ok(*expected), "of {publisher}");
        *expected += 1;
    }
    let known: std::collections::HashSet<_> = ledger.entries().iter().map(|entry| &entry.id).collect();
    assert!(log.iter().all(|id| known.contains(id)));
}
