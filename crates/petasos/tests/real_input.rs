//! Real input: a log that a real program wrote, through `petasos publish --lines` to three `petasos subscribe`. One
//! asks for the exact topic, one for a URL pattern, one comes late and begins with the earliest update. All three must
//! print every line, in order.
//!
//! `REAL_INPUT_LINES` in the environment makes the run longer. The figures are printed.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use petasos_testkit::{
    Token,
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    keys::SigningKey,
    patiently,
    process::{HubProcess, command, scratch},
    within,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader as AsyncBufReader},
    process::{Child, Command},
};

use crate::common::{PROGRAM, count_from_environment, process_options};

/// How many lines there must be.
const LINES: usize = 50_000;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(300);

const TOPIC: &str = "https://example.com/logs/files";
const PATTERN: &str = "https://example.com/logs/:name";

/// Programs that write long logs on any machine, tried in this order until there are lines enough.
const SOURCES: [(&str, &[&str]); 4] = [
    ("cat", &["/var/log/dpkg.log", "/var/log/apt/history.log"]),
    ("find", &["/usr", "-ls"]),
    ("ls", &["-laR", "/usr", "/etc", "/var"]),
    ("find", &["/proc/self/", "/lib", "/opt", "/root", "-ls"]),
];

/// Writes the log and returns its lines. Lines that are no UTF-8 are left out: publishing refuses them, which is
/// another test's subject.
fn write_log(path: &Path, wanted: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (program, arguments) in SOURCES {
        if lines.len() >= wanted {
            break;
        }
        let child = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        // A machine without the program has another one of the list.
        let Ok(mut child) = child else { continue };
        let reader = BufReader::new(child.stdout.take().unwrap());
        for line in reader.split(b'\n').take(wanted - lines.len()) {
            let Ok(line) = String::from_utf8(line.unwrap()) else { continue };
            lines.push(line);
        }
        // It may still be writing; nobody reads any more.
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(lines.len() >= wanted, "this machine's programs write only {} lines", lines.len());
    let mut file = File::create(path).unwrap();
    for line in &lines {
        file.write_all(line.as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    lines
}

struct Client<'a> {
    process: &'a HubProcess,
    directory: &'a Path,
}

impl Client<'_> {
    fn command(&self, role_secret: &str) -> Command {
        let hub = self.process.hub();
        let token = Token::new(ISSUER, hub.resource(), &SigningKey::secret(role_secret)).may_publish(&["*"]);
        let mut command = command(PROGRAM);
        command.current_dir(self.directory).env("PETASOS_URL", hub.url()).env("PETASOS_TOKEN", token.mint());
        command
    }

    /// Starts a subscriber that ends after `count` events, and returns it with the file that it prints into.
    fn subscribe(&self, name: &str, count: usize, arguments: &[&str]) -> (Child, PathBuf) {
        let path = self.directory.join(name);
        let child = self
            .command(SUBSCRIBER_SECRET)
            .args(["subscribe", "--format", "data", "--count", &count.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&path).unwrap())
            .spawn()
            .unwrap();
        (child, path)
    }

    fn publish_lines(&self, log: &Path) -> Child {
        self.command(PUBLISHER_SECRET)
            .args(["publish", "--lines", "--topic", TOPIC])
            .stdin(File::open(log).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Waits until so many subscribers are connected, as the hub's own metrics count them.
async fn connected(process: &HubProcess, count: usize) {
    let line = format!("mercure_subscribers_connected {count}");
    patiently("the subscribers", async {
        while !process
            .hub()
            .admin_get("/metrics")
            .await
            .expect(200)
            .text()
            .lines()
            .any(|metric| metric == line)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn assert_same_lines(path: &Path, lines: &[String], who: &str) {
    let printed = BufReader::new(File::open(path).unwrap()).split(b'\n').map(Result::unwrap);
    let mut count = 0;
    for (index, (printed, line)) in printed.zip(lines).enumerate() {
        assert_eq!(String::from_utf8_lossy(&printed), *line, "line {} of {who}", index + 1);
        count += 1;
    }
    assert_eq!(count, lines.len(), "{who} printed fewer lines");
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    assert_eq!(std::fs::metadata(path).unwrap().len(), bytes as u64, "{who} printed more than the lines");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_real_log_reaches_three_subscribers_in_order() {
    let directory = scratch();
    let log = directory.path().join("input.log");
    let lines = write_log(&log, count_from_environment("REAL_INPUT_LINES", LINES));
    let process = HubProcess::start(&process_options(directory.path())).await;
    let client = Client { process: &process, directory: directory.path() };

    let exact = client.subscribe("exact", lines.len(), &[TOPIC]);
    let pattern = client.subscribe("pattern", lines.len(), &["--match-urlpattern", PATTERN]);
    connected(&process, 2).await;

    let begun = Instant::now();
    let mut publisher = client.publish_lines(&log);
    let mut ids = AsyncBufReader::new(publisher.stdout.take().unwrap()).lines();
    let mut published = 0;
    let mut late = None;
    while let Some(id) = within(LIMIT, "an acknowledgement", ids.next_line()).await.unwrap() {
        assert!(!id.is_empty());
        published += 1;
        if published == lines.len() / 2 {
            late = Some(client.subscribe("late", lines.len(), &["--from-start", TOPIC]));
        }
    }
    let status = within(LIMIT, "the end of the publisher", publisher.wait()).await.unwrap();
    let publishing = begun.elapsed();
    assert!(status.success(), "{status}, and the hub says:\n{}", process.log_tail());
    assert_eq!(published, lines.len(), "every line is acknowledged");

    for (who, (mut child, path)) in [("exact", exact), ("pattern", pattern), ("late", late.unwrap())] {
        let status = within(LIMIT, "the end of a subscriber", child.wait()).await.unwrap();
        assert!(status.success(), "{who}: {status}");
        assert_same_lines(&path, &lines, who);
    }
    let all = begun.elapsed();
    let bytes: usize = lines.iter().map(String::len).sum();
    println!(
        "{} lines ({} KiB): published in {:.2} s ({:.0} lines/s), all {} deliveries in {:.2} s ({:.0} deliveries/s)",
        lines.len(),
        bytes >> 10,
        publishing.as_secs_f64(),
        lines.len() as f64 / publishing.as_secs_f64(),
        3 * lines.len(),
        all.as_secs_f64(),
        3.0 * lines.len() as f64 / all.as_secs_f64(),
    );
    assert!(process.terminate().await.success());
}
