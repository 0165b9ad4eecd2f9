//! A database file with damaged bytes: refused at start, or found by `petasos history verify`, and never served.

use std::{fs, path::Path, time::Duration};

use petasos_testkit::{
    matching,
    process::{HubProcess, scratch},
};

use super::support::{TOPIC, database, history, refused_start, store_in};

const UPDATES: usize = 60;

/// So large that a page holds only a few.
const FILLER: usize = 700;

/// What stands in an update that is to be damaged; nothing else contains it.
const VICTIM: usize = 30;

/// The size of a page of the database.
const PAGE: usize = 4096;

/// How long a stream may take to end that meets damage.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Makes a store with numbered updates that lies complete in the database file.
async fn make_store(directory: &Path) {
    let process = HubProcess::start(&store_in(directory, directory)).await;
    let hub = process.hub();
    for number in 0..UPDATES {
        hub.publish(TOPIC, &data(number)).id(&format!("urn:x:{number}")).await;
    }
    // The last one to close the database moves everything into it.
    assert!(process.terminate().await.success());
    assert!(!super::support::write_ahead_log(directory).exists());
}

fn data(number: usize) -> String {
    format!("update {number:04} {}", "x".repeat(FILLER))
}

/// Changes bytes of the file without SQLite's knowledge.
fn patch(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = database(directory);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn place_of(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

async fn assert_refused(directory: &Path) {
    let content = || fs::read(database(directory)).unwrap().split_off(PAGE);
    let before = content();
    let (said, code) = refused_start(&store_in(directory, directory)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("damaged"), "{said}");
    for way_out in ["petasos history verify", "petasos history export", "move"] {
        assert!(said.contains(way_out), "{way_out:?} is missing in {said}");
    }
    // SQLite itself counts its openings in the first page.
    assert!(content() == before, "what is refused is not touched");
    let verified = history("verify", directory).await;
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_header_is_refused_at_start() {
    let directory = scratch();
    make_store(directory.path()).await;
    patch(directory.path(), |bytes| bytes[..16].copy_from_slice(b"not SQLite, sir!"));
    assert_refused(directory.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_schema_is_refused_at_start() {
    let directory = scratch();
    make_store(directory.path()).await;
    patch(directory.path(), |bytes| {
        let place = place_of(bytes, b"CREATE TABLE log_state");
        bytes[place..place + 12].copy_from_slice(b"CREATE BABBL");
    });
    assert_refused(directory.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_newest_event_is_refused_at_start_and_the_others_can_be_exported() {
    let directory = scratch();
    make_store(directory.path()).await;
    patch(directory.path(), |bytes| {
        let place = place_of(bytes, data(UPDATES - 1).as_bytes());
        bytes[place + 20] ^= 1;
    });
    assert_refused(directory.path()).await;
    assert_eq!(exported_before_the_damage(directory.path()).await, UPDATES - 1);
}

/// One bit of one event: everything before it is served and can be exported, and nothing from it on, however often
/// somebody comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_event_is_never_served_and_never_skipped() {
    let directory = scratch();
    make_store(directory.path()).await;
    patch(directory.path(), |bytes| {
        let place = place_of(bytes, data(VICTIM).as_bytes());
        bytes[place + 20] ^= 1;
    });
    let verified = history("verify", directory.path()).await;
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{} events are sound, 1 damages found", UPDATES - 1)), "{said}");
    assert_eq!(exported_before_the_damage(directory.path()).await, VICTIM);

    let process = HubProcess::start(&store_in(directory.path(), directory.path())).await;
    let hub = process.hub();
    let mut cursor = "earliest".to_owned();
    let mut served = 0;
    for _ in 0..3 {
        let mut stream = hub.subscribe(matching(TOPIC)).after(&cursor).await;
        let (events, _) = stream.end_within(END_LIMIT).await;
        for event in events {
            assert_eq!(event.data, data(served), "something was skipped or is wrong");
            served += 1;
            cursor = event.id;
        }
        assert_eq!(served, VICTIM, "all before the damage, and nothing from it on");
    }
    // Whoever needs only the future is served.
    let mut live = hub.subscribe(matching(TOPIC)).await;
    hub.publish(TOPIC, "new").await;
    assert_eq!(live.next_data().await, "new");
    process.kill().await;
}

/// A whole page of garbage in the table of events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_is_refused_at_start_and_what_precedes_it_can_be_exported() {
    let directory = scratch();
    make_store(directory.path()).await;
    patch(directory.path(), |bytes| {
        let page = place_of(bytes, data(VICTIM).as_bytes()) / PAGE * PAGE;
        for (number, byte) in bytes[page..page + PAGE].iter_mut().enumerate() {
            *byte = (number * 31 % 251) as u8;
        }
    });
    assert_refused(directory.path()).await;
    let saved = exported_before_the_damage(directory.path()).await;
    // A page holds a few updates, of which the victim may be any.
    assert!((VICTIM - PAGE / FILLER..=VICTIM).contains(&saved), "{saved} were exported");
}

/// Exports what can be, checks it, and returns how many events that are. The command says that it is not complete.
async fn exported_before_the_damage(directory: &Path) -> usize {
    let exported = history("export", directory).await;
    let said = String::from_utf8_lossy(&exported.stderr).into_owned();
    assert_eq!(exported.status.code(), Some(1), "an export that is not complete says so: {said}");
    let lines = String::from_utf8(exported.stdout).unwrap();
    for (number, line) in lines.lines().enumerate() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["data"], data(number));
    }
    lines.lines().count()
}
