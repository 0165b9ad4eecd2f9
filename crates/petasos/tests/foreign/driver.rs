//! A foreign client as a child process: commands go in, reports come out, a JSON object a line.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::Duration,
};

use petasos_testkit::{
    process::{command, scratch},
    within,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

/// How long a client may take for anything. Some start a browser, on a machine that may be busy, and some wait a second
/// before they reconnect.
const CLIENT_LIMIT: Duration = Duration::from_secs(40);

/// The programs.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/clients");

/// Where the packages were installed that they use.
static INSTALLED: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("foreign-clients"));

/// A running client. Killed when dropped.
pub(crate) struct Driver {
    name: String,
    child: Child,
    commands: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    /// What it complains of, shown where the test fails.
    complaints: PathBuf,
    /// Its working directory and home.
    _directory: TempDir,
}

impl Driver {
    /// A program for Node.js.
    pub(crate) fn node(program: &str, settings: &Value) -> Self {
        assert_installed("node", "package-lock.json");
        let modules = INSTALLED.join("node/node_modules");
        Self::start("node", &[("NODE_PATH", &modules)], program, settings)
    }

    /// A program for Python.
    pub(crate) fn python(program: &str, settings: &Value) -> Self {
        assert_installed("python", "requirements.txt");
        let interpreter = INSTALLED.join("python/bin/python");
        // Nothing is written beside the sources.
        let unwritten = Path::new("1");
        Self::start(
            interpreter.to_str().unwrap(),
            &[("PYTHONDONTWRITEBYTECODE", unwritten)],
            program,
            settings,
        )
    }

    /// A program for PHP with Debian's packages.
    pub(crate) fn php(program: &str, settings: &Value) -> Self {
        Self::start("php", &[], program, settings)
    }

    /// A browser, driven by a program for Node.js.
    pub(crate) fn browser(executable: &str) -> Self {
        assert!(Path::new(executable).exists(), "{executable} is missing: run scripts/install-test-needs");
        Self::node("browser/browser.cjs", &json!({ "executable": executable }))
    }

    fn start(interpreter: &str, environment: &[(&str, &Path)], program: &str, settings: &Value) -> Self {
        let directory = scratch();
        let complaints = directory.path().join("complaints");
        let mut child = command(interpreter)
            .arg(Path::new(CLIENTS).join(program))
            .arg(settings.to_string())
            .envs(environment.iter().copied())
            .env("HOME", directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&complaints).unwrap())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {interpreter} ({error}): run scripts/install-test-needs")
            });
        let commands = child.stdin.take().unwrap();
        let reports = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            name: format!("{program} {settings}"),
            child,
            commands,
            reports,
            complaints,
            _directory: directory,
        }
    }

    /// Tells it something.
    pub(crate) async fn tell(&mut self, command: &Value) {
        let line = format!("{command}\n");
        if let Err(error) = self.commands.write_all(line.as_bytes()).await {
            panic!("{} does not listen ({error}): {}", self.name, self.complained());
        }
    }

    /// Tells it something and returns the member of its report that answers it.
    pub(crate) async fn ask(&mut self, command: &Value, answer: &str) -> Value {
        self.tell(command).await;
        self.expect(answer).await
    }

    /// The member of the next report that has one of this name. Reports of answers, failures and openings may come before.
    pub(crate) async fn expect(&mut self, name: &str) -> Value {
        loop {
            let mut report = self.next().await;
            if let Some(member) = report.get_mut(name) {
                return member.take();
            }
            let passing = ["answer", "failure", "open"].iter().any(|passing| report.get(passing).is_some());
            assert!(passing, "{name} was expected of {} and not {report}", self.name);
        }
    }

    /// The next report. A failure after which it does not try again fails the test (C01).
    pub(crate) async fn next(&mut self) -> Value {
        let report = self.next_or_final().await;
        assert!(!is_final(&report), "C01: {} gave up: {report}", self.name);
        report
    }

    /// The next report, whatever it says.
    pub(crate) async fn next_or_final(&mut self) -> Value {
        let line = within(CLIENT_LIMIT, &self.name, self.reports.next_line()).await.unwrap();
        let Some(line) = line else {
            panic!("{} ended: {}", self.name, self.complained());
        };
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{} said {line:?} ({error})", self.name))
    }

    /// Ends it by ending the commands, and waits.
    pub(crate) async fn end(mut self) {
        drop(self.commands);
        let status = within(CLIENT_LIMIT, "the end of a client", self.child.wait()).await.unwrap();
        let complaints = std::fs::read_to_string(&self.complaints).unwrap_or_default();
        assert!(status.success(), "{} ended with {status}: {complaints}", self.name);
    }

    fn complained(&self) -> String {
        std::fs::read_to_string(&self.complaints).unwrap_or_default()
    }
}

/// An event as clients report it.
pub(crate) fn event(id: &str, kind: &str, data: &str) -> Value {
    json!({ "id": id, "type": kind, "data": data })
}

/// Whether it says that the client does not try again.
fn is_final(report: &Value) -> bool {
    report["failure"]["final"] == true
}

/// Fails the test where the packages are missing or are not those of the list.
fn assert_installed(language: &str, list: &str) {
    let stamp = std::fs::read_to_string(INSTALLED.join(language).join("stamp")).unwrap_or_default();
    let list = std::fs::read(Path::new(CLIENTS).join(language).join(list)).unwrap();
    let digest: String = Sha256::digest(list).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        stamp.trim(),
        digest,
        "the {language} clients are not installed: run scripts/install-test-needs"
    );
}
