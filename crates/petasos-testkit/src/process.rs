//! The real program as a child process, which can be killed without a warning.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use crate::{Request, TestHub, within};

/// How long the program may take from its start to a ready hub.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks whether it is ready: the one thing here that no event announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Where the programs of tests listen.
const PORTS: std::ops::Range<u32> = 12_000..32_000;
/// Where its log is written, in its directory.
const LOG: &str = "hub.log";
/// How much of its log is shown where it failed.
const LOG_TAIL_BYTES: usize = 4_000;

/// What the program is started with.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment; nothing else is inherited but `PATH`.
    pub environment: Vec<(String, String)>,
    /// Its working directory; its log is written there as well.
    pub directory: PathBuf,
    /// The public address it listens on with these arguments.
    pub address: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct HubProcess {
    child: Child,
    log: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
}

impl HubProcess {
    /// Starts it and waits until it says that it is ready.
    pub async fn start(options: &ProcessOptions) -> Self {
        let mut process = Self::spawn(options);
        process.wait_until_ready().await;
        process
    }

    /// Starts it.
    pub fn spawn(options: &ProcessOptions) -> Self {
        let log = options.directory.join(LOG);
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let (Ok(out), Ok(errors)) = (open(), open()) else { panic!("cannot write {}", log.display()) };
        let child = command(&options.program)
            .args(&options.arguments)
            .envs(options.environment.iter().cloned())
            .current_dir(&options.directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", options.program.display()));
        Self { child, log, address: options.address, admin: options.admin }
    }

    /// The hub that it runs.
    pub fn hub(&self) -> TestHub {
        TestHub::new(self.address, Some(self.admin), true)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("it has ended: {}", self.log_tail()))
    }

    /// Ends it as a power cut would: SIGKILL, without a chance to write anything more.
    pub async fn kill(mut self) {
        self.child.start_kill().unwrap_or_else(|error| panic!("cannot kill: {error}"));
        let status = self.child.wait().await;
        assert!(status.is_ok_and(|status| !status.success()), "it ended by itself before it was killed");
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        within(START_LIMIT, "the end of the program", self.child.wait())
            .await
            .unwrap_or_else(|error| panic!("cannot wait for the program: {error}"))
    }

    /// Stops it where it is (SIGSTOP): it does nothing, and its connections stay.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.unwrap_or_else(|| panic!("it has ended already: {}", self.log_tail()));
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal: {error}"));
    }

    /// The end of what it logged.
    pub fn log_tail(&self) -> String {
        tail_of(&self.log)
    }

    /// Waits until it says that it is ready.
    pub async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the program ended ({status}) instead of starting:\n{}", self.log_tail());
            }
            let both_listen = listens(self.admin).await && listens(self.address).await;
            if both_listen
                && Request::new(self.admin, "GET", "/mercure/health/ready").send().await.status == 200
            {
                return;
            }
            assert!(Instant::now() < deadline, "the program is not ready yet:\n{}", self.log_tail());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// The end of what the programs logged that were started in this directory.
pub fn log_tail(directory: &Path) -> String {
    tail_of(&directory.join(LOG))
}

fn tail_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
}

/// A command with nothing of this process's environment but `PATH`, killed with the test that started it.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A port that was free a moment ago, on all addresses, and that this test program was not given before: two hubs that share
/// ports between their processes would not notice each other. It is none of those that the system gives to outgoing
/// connections, of which tests make thousands. Another process may take it first, which shows as a program that does not
/// start.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Test programs that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    (0..count)
        .map(|_| PORTS.start + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .unwrap_or_else(|| panic!("no free port in {PORTS:?}"))
}

/// A new directory that goes away with what is returned.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"))
}

/// The path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("not UTF-8: {}", path.display()))
}

async fn listens(address: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}
