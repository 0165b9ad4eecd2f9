//! The image of a 0.24 hub is swapped, and everything goes on: the file that it wrote, the environment that it had, and the
//! clients that were connected to it.

use std::{path::Path, process::Command};

use petasos_testkit::{form, process::scratch};
use serde::Deserialize;
use serde_json::json;

use crate::{
    driver::event,
    generation::{Generation, old_publisher_token},
    hub::Hubs,
    node::subscriber,
    publishers::{symfony, symfony_cookie},
};

/// The file that a hub of version 0.24.2 wrote, and the list of what it replayed, newest last.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../petasos-hub/testdata/bolt");

/// How far back the client resumes: within the `size=1000` of the environment.
const BACK: usize = 900;

/// What the client reads.
const TOPIC: &str = "https://example.com/books/49";

/// The digest of no data at all; an EventSource does not dispatch such an event.
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A line of the list.
#[derive(Deserialize)]
struct Listed {
    id: String,
    topics: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    data_sha256: String,
}

fn unpacked(name: &str) -> Vec<u8> {
    let output =
        Command::new("gzip").args(["--decompress", "--stdout"]).arg(Path::new(FILES).join(name)).output();
    let output = output.expect("gzip is needed");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_l06_r01_a_client_of_a_0_24_hub_goes_on_after_the_swap() {
    let directory = scratch();
    std::fs::write(directory.path().join("mercure.db"), unpacked("reference-0.24.2.db.gz")).unwrap();
    let list = String::from_utf8(unpacked("reference-0.24.2.jsonl.gz")).unwrap();
    let list: Vec<Listed> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (before, missed) = list.split_at(list.len() - BACK);
    let missed = missed.iter().filter(|listed| {
        let is_seen = listed.kind.is_none() && listed.data_sha256 != DIGEST_OF_NOTHING;
        is_seen && listed.topics.iter().any(|topic| topic == TOPIC)
    });

    let hubs = Hubs::start_in(Generation::Old, directory, &[]).await;
    let cookie = symfony_cookie(&hubs, TOPIC).await;
    let after = form::encode([("lastEventID", before.last().unwrap().id.as_str())]);
    let url = format!("{}&{after}", hubs.url(TOPIC));
    let mut client = subscriber("eventsource-2", &url, &json!({ "Cookie": cookie }), "");
    client.expect("open").await;
    let mut count = 0;
    for listed in missed {
        assert_eq!(client.expect("event").await["id"], listed.id);
        count += 1;
    }
    assert!(count > 10, "{count} events are too few to say anything");

    let mut application = symfony(&hubs, &old_publisher_token(&["*"]));
    let update = json!({ "publish": { "topics": [TOPIC], "data": "new", "private": true } });
    let published = application.ask(&update, "published").await;
    let id = published["id"].as_str().unwrap();
    assert_eq!(client.expect("event").await, event(id, "message", "new"));
    application.end().await;
    client.end().await;
}
