//! Files that the reference hub has written, each beside the list of what it replayed itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use petasos_testkit::{
    SUBSCRIPTIONS, TestHub, matching,
    process::{HubProcess, scratch, text},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::support::{Line, export, history, in_place_of, store_of};

/// Beside the tests of the reader of the format.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../petasos-hub/testdata/bolt");

/// After the list was made, the old hub stored about ten subscription events of its own and dropped as many updates.
const AFTERWARDS: usize = 20;

/// A line of the list.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    topics: Vec<String>,
    private: bool,
    #[serde(rename = "type")]
    kind: Option<String>,
    retry: Option<u64>,
    data_sha256: String,
}

fn unpacked(name: &str) -> Vec<u8> {
    let output =
        Command::new("gzip").args(["--decompress", "--stdout"]).arg(Path::new(FILES).join(name)).output();
    let output = output.expect("gzip is needed");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn list(version: &str) -> Vec<Listed> {
    let text = String::from_utf8(unpacked(&format!("reference-{version}.jsonl.gz"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts the file of a version into a directory.
fn bolt_file(version: &str, directory: &Path) -> (PathBuf, Vec<u8>) {
    let path = directory.join("mercure.db");
    let content = unpacked(&format!("reference-{version}.db.gz"));
    fs::write(&path, &content).unwrap();
    (path, content)
}

/// Asserts that a history is the one of the list where they overlap, and returns where in the list it begins and how much
/// of it is in the list.
fn assert_listed(lines: &[Line], list: &[Listed]) -> (usize, usize) {
    let begin = list.iter().position(|listed| listed.id == lines[0].id).expect("the oldest is in the list");
    assert!(begin <= AFTERWARDS, "{begin} updates are missing at the beginning");
    let overlap = list.len() - begin;
    for (line, listed) in lines.iter().zip(&list[begin..]) {
        assert_eq!((&line.id, &line.topics), (&listed.id, &listed.topics));
        let flags = (line.private, &line.kind, line.retry.unwrap_or(0));
        assert_eq!(flags, (listed.private, &listed.kind, listed.retry.unwrap_or(0)), "{}", line.id);
        let digest: String = Sha256::digest(&line.data).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, listed.data_sha256, "the data of {}", line.id);
    }
    assert!(lines.len() >= overlap && lines.len() - overlap <= AFTERWARDS, "{} lines", lines.len());
    for line in &lines[overlap..] {
        assert!(line.private && line.topics[0].starts_with(SUBSCRIPTIONS), "{line:?}");
    }
    (begin, overlap)
}

/// Reads everything as a client does, and compares it with the export.
async fn assert_replayed(hub: &TestHub, lines: &[Line]) {
    let mut stream = hub.subscribe(matching("*")).after("earliest").await;
    assert_eq!(stream.cursor(), "earliest");
    for line in lines {
        let event = stream.next().await;
        assert_eq!(event.id, line.id);
        assert_eq!(event.kind, line.kind.clone().unwrap_or_default());
        assert_eq!(event.retry_ms, line.retry.filter(|retry| *retry > 0));
        // S11: every kind of line break arrives as LF.
        assert_eq!(event.data, line.data.replace("\r\n", "\n").replace('\r', "\n"), "{}", line.id);
    }
}

async fn taken_over(version: &str) {
    let list = list(version);
    let directory = scratch();
    let (bolt, content) = bolt_file(version, directory.path());
    let store = store_of(&bolt);
    let options = in_place_of(&bolt);
    let process = HubProcess::start(&options).await;
    let hub = process.hub();

    // R01: a client of the old hub goes on from the last event it saw there. It may come at once.
    let old = list.len() / 2;
    let mut client = hub.subscribe(matching("*")).after(&list[old].id).await;
    assert_eq!(client.cursor(), list[old].id);
    for listed in &list[old + 1..] {
        assert_eq!(client.next().await.id, listed.id);
    }

    let lines = export(&store).await;
    let (begin, overlap) = assert_listed(&lines, &list);
    assert_replayed(&hub, &lines).await;
    let mut again = hub.subscribe(matching("*")).after(&lines.last().unwrap().id).await;
    let new = hub.publish("https://example.com/new", "new").await;
    assert_eq!(again.next().await.id, new, "what comes now stands behind what was taken over");
    assert!(process.terminate().await.success());

    // Once is enough.
    let process = HubProcess::start(&options).await;
    assert!(process.terminate().await.success());
    let kept = export(&store).await;
    assert_eq!((&kept[..lines.len()], kept.len()), (&lines[..], lines.len() + 1));
    assert_eq!(kept[lines.len()].id, new);

    // By hand, it gives the same.
    let by_hand = directory.path().join("by-hand.db");
    history(&["import", &format!("bolt:{}", text(&bolt))], &by_hand).await;
    assert_eq!(export(&by_hand).await, lines);
    assert!(fs::read(&bolt).unwrap() == content, "the Bolt file is never written");
    println!(
        "reference hub {version}: {} events taken over, {overlap} of them compared with its own replay (which had {begin} \
         more at the beginning), the same by `history import`, the Bolt file unchanged",
        lines.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_reference_0_24_2_is_taken_over() {
    taken_over("0.24.2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_reference_1_0_0_alpha_3_is_taken_over() {
    taken_over("1.0.0-alpha.3").await;
}
