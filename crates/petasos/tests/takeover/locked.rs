//! The old hub still runs: the new one serves at once, and the history comes when the old one leaves. `go` is needed: the
//! file is written and locked by the library that the reference hub uses.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use petasos_testkit::{
    EventStream, TestHub,
    follower::Follower,
    ledger::Fate,
    load::{Load, Publishers},
    matching,
    process::{HubProcess, scratch},
    within,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::support::{export, in_place_of, store_of};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/takeover/bolt-writer");

/// Updates that the old hub has stored when the new one starts, and that it stores afterwards.
const BEFORE: usize = 50_000;
const MEANWHILE: usize = 500;

/// How long building and running the writer may take; `go` may have to fetch the library.
const GO_LIMIT: Duration = Duration::from_secs(120);

/// How long the take-over may take from the moment at which the lock is let go, on a busy machine.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(30);

/// The topic of the new hub's own updates.
const NEW: &str = "https://example.com/new";

/// A process that holds the lock of a Bolt file. Killed when dropped.
struct OldHub {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl OldHub {
    async fn start(program: &Path, bolt: &Path) -> Self {
        let mut child = Command::new(program)
            .arg(bolt)
            .arg(BEFORE.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut old = Self { child, input, output };
        old.says("ready").await;
        old
    }

    async fn says(&mut self, word: &str) {
        let line = within(GO_LIMIT, word, self.output.next_line()).await;
        assert_eq!(line.unwrap().as_deref(), Some(word));
    }

    async fn stores_more(&mut self) {
        self.input.write_all(format!("{MEANWHILE}\n").as_bytes()).await.unwrap();
        self.says("written").await;
    }

    /// Ends it as SIGTERM ends the old hub: the file is closed, and its lock is gone.
    async fn leaves(mut self) {
        drop(self.input);
        let status = within(GO_LIMIT, "the end of the old hub", self.child.wait()).await;
        assert!(status.unwrap().success());
    }
}

async fn build_writer(directory: &Path) -> PathBuf {
    let program = directory.join("bolt-writer");
    let build = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(SOURCES).output();
    let output = within(GO_LIMIT, "the end of go build", build).await.expect("go is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Waits until the replay of everything begins with the old history.
async fn first_of_all(hub: &TestHub) -> EventStream {
    loop {
        let mut stream = hub.subscribe(matching("*")).after("earliest").await;
        if stream.next().await.id == "urn:old:0" {
            return stream;
        }
        // Nothing announces the end of a take-over, so it is asked for.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_old_hub_runs_the_new_one_serves_and_its_history_comes_before_the_new_events() {
    let directory = scratch();
    let program = build_writer(directory.path()).await;
    let bolt = directory.path().join("mercure.db");
    let mut old = OldHub::start(&program, &bolt).await;

    let started = Instant::now();
    let process = HubProcess::start(&in_place_of(&bolt)).await;
    let start = started.elapsed();
    let hub = process.hub();
    let follower = Follower::start(process.hub(), NEW, "the end").await;
    let load = Load::on(NEW).paced(Duration::from_millis(5));
    let publishers = Publishers::start(|| process.hub(), "new", 2, &load);
    publishers.acknowledge_more(50).await;
    // Readers get what is there: an old id is unknown as yet (R04), and nobody waits.
    let mut early = hub.subscribe(matching("*")).after("urn:old:100").await;
    assert_eq!(early.cursor(), "earliest");
    assert!(early.next().await.id.starts_with("new"));
    old.stores_more().await;

    let content = {
        old.leaves().await;
        std::fs::read(&bolt).unwrap()
    };
    let left = Instant::now();
    let mut replay = within(TAKEOVER_LIMIT, "the old history", first_of_all(&hub)).await;
    let taken = left.elapsed();
    publishers.acknowledge_more(50).await;
    let ledger = publishers.stop().await;
    hub.publish(NEW, "the end").id("the end").await;
    assert_eq!(ledger.failures(), Vec::<String>::new(), "the new hub took every update meanwhile");

    let total = BEFORE + MEANWHILE;
    for number in 1..total {
        let event = replay.next().await;
        assert_eq!(event.id, format!("urn:old:{number}"));
        assert_eq!(event.data, format!("<{number}>\nof the old hub"));
    }
    let mut new = Vec::new();
    loop {
        match replay.next().await.id {
            id if id == "the end" => break,
            id => new.push(id),
        }
    }
    ledger.check(&new);
    let followed = follower.end().await;
    assert_eq!(followed.ids(), new, "a live subscriber is not disturbed");
    assert_eq!(followed.ends.len(), 0);

    // R01: what a client of the old hub had seen last is known now, also what was stored after the new hub started.
    for number in [0, 12_345, BEFORE + 7] {
        let mut client = hub.subscribe(matching("*")).after(&format!("urn:old:{number}")).await;
        assert_eq!(client.cursor(), format!("urn:old:{number}"));
        assert_eq!(client.next().await.id, format!("urn:old:{}", number + 1));
    }
    // So is an exact topic, through the index.
    let mut one = hub.subscribe(matching("https://example.com/43210")).after("earliest").await;
    assert_eq!(one.next().await.id, "urn:old:43210");

    let lines = export(&store_of(&bolt)).await;
    assert_eq!(lines.len(), total + new.len() + 1);
    for (number, line) in lines[..total].iter().enumerate() {
        let topics = [format!("https://example.com/{number}"), "https://example.com/old".to_owned()];
        assert_eq!((&line.topics[..], line.private), (&topics[..], number % 3 == 0));
    }
    assert!(std::fs::read(&bolt).unwrap() == content, "the Bolt file is never written");
    let acknowledged = ledger.entries().iter().filter_map(|entry| match entry.fate {
        Fate::Acknowledged(at) => Some(at - entry.sent),
        _ => None,
    });
    println!(
        "{total} updates under a lock: serving {start:.1?} after the start, {} own updates meanwhile (the slowest took \
         {:.1?}), history complete {taken:.1?} after the lock was let go",
        new.len(),
        acknowledged.max().unwrap()
    );
    assert!(process.terminate().await.success());
}
