//! Real servers of the engines, as child processes with data of their own: what tests of logs on servers run against. A
//! server that is not installed fails the test; `scripts/install-test-needs` installs them.

pub mod nats;
pub mod postgres;
pub mod redis;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::scratch;

/// How long a server may take to start.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// Where Debian has programs that are not on every user's path.
const MORE_PATHS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A server of an engine, with any number of logs on it.
pub trait EngineServer: Send + Sync + std::fmt::Debug {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// The transport URL of the log of this name on a server at `address`, which may be something that passes bytes on to
    /// this one. Logs of different names have nothing in common.
    fn url_at(&self, address: SocketAddr, log: &str) -> String;

    /// Its process.
    fn process(&self) -> &ServerProcess;

    /// Its process.
    fn process_mut(&mut self) -> &mut ServerProcess;

    /// Waits until it takes writes.
    fn wait_until_ready(&self);

    /// The signal by which it stops in order.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    /// The transport URL of the log of this name.
    fn url(&self, log: &str) -> String {
        self.url_at(self.address(), log)
    }

    /// Stops it in order and starts it again.
    fn restart(&mut self) {
        let signal = self.stop_signal();
        self.process_mut().stop(signal);
        self.start_again();
    }

    /// Starts it after it was stopped or killed, and waits until it takes writes.
    fn start_again(&mut self) {
        self.process_mut().start_again();
        self.wait_until_ready();
    }
}

/// A running server. It is killed when dropped, and when the test program ends, however it does.
#[derive(Debug)]
pub struct ServerProcess {
    directory: tempfile::TempDir,
    program: PathBuf,
    arguments: Vec<String>,
    user: Option<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    /// Dropped by the thread that waits for it, when it has ended.
    ended: Mutex<mpsc::Receiver<std::convert::Infallible>>,
}

impl ServerProcess {
    /// Starts `program` with these arguments in a directory of its own, as `user` where one is named. It is not ready yet.
    pub fn start(program: &str, user: Option<&str>, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let directory = scratch();
        let arguments = arguments(directory.path());
        let mut server = Self {
            directory,
            program: find(program),
            arguments,
            user: user.map(str::to_owned),
            running: None,
        };
        server.start_again();
        server
    }

    /// Its data and its log.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.running().pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// The end of what it logged.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        let ended = self.running.as_ref().map(|running| running.ended.lock().try_recv());
        matches!(ended, Some(Err(mpsc::TryRecvError::Empty)))
    }

    /// SIGSTOP, to it and to the processes it has started: it does nothing, and its connections stay.
    pub fn pause(&self) {
        // First the one that could start others.
        self.signal(Signal::STOP);
        descendants(self.running().pid).into_iter().for_each(|pid| signal_if_there(pid, Signal::STOP));
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        descendants(self.running().pid).into_iter().for_each(|pid| signal_if_there(pid, Signal::CONT));
        self.signal(Signal::CONT);
    }

    /// Ends it and the processes it has started, without a chance to write anything more, and waits until it has ended.
    pub fn kill(&mut self) {
        self.pause();
        let others = descendants(self.running().pid);
        self.signal(Signal::KILL);
        others.iter().for_each(|pid| signal_if_there(*pid, Signal::KILL));
        self.wait();
        let begin = std::time::Instant::now();
        while others.iter().any(|pid| runs(*pid)) {
            assert!(
                begin.elapsed() < START_LIMIT,
                "what {} has started does not end",
                self.program.display()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asks it to stop with this signal, and waits until it has.
    pub fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        self.wait();
    }

    /// Starts it with the same arguments, on the data it left. It is not ready yet.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "{} runs", self.program.display());
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let (Ok(out), Ok(errors)) = (open(), open()) else {
            panic!("cannot write to {}", self.directory.path().display())
        };
        // The kernel kills it with the thread that started it: one that lives as long as the server, or the program.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command
            .arg(&self.program)
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors);
        let (started, start) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let waiter = std::thread::Builder::new().name("server".into()).spawn(move || {
            let child = command.spawn();
            let pid = child.as_ref().map(std::process::Child::id).map_err(ToString::to_string);
            let _ = started.send(pid);
            if let Ok(mut child) = child {
                let _ = child.wait();
            }
            drop(alive);
        });
        waiter.unwrap_or_else(|error| panic!("cannot start a thread: {error}"));
        let pid = start.recv().unwrap_or_else(|error| Err(error.to_string()));
        let pid = pid.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let pid = Pid::from_raw(pid.cast_signed()).unwrap_or_else(|| panic!("no process number"));
        self.running = Some(Running { pid, ended: Mutex::new(ended) });
    }

    /// Waits until `is_ready` says so.
    pub fn wait_until(&self, mut is_ready: impl FnMut() -> bool) {
        let begin = std::time::Instant::now();
        while !is_ready() {
            let program = self.program.display();
            assert!(self.is_running(), "{program} ended instead of starting:\n{}", self.log());
            assert!(begin.elapsed() < START_LIMIT, "{program} is not ready yet:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap_or_else(|| panic!("{} does not run", self.program.display()))
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.running().pid, signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.program.display()));
    }

    fn wait(&mut self) {
        if let Some(running) = self.running.take() {
            // Ends when the thread drops its end.
            let ended = running.ended.lock().recv_timeout(START_LIMIT);
            assert!(
                ended == Err(mpsc::RecvTimeoutError::Disconnected),
                "{} does not end:\n{}",
                self.program.display(),
                self.log()
            );
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // It may have ended by itself, which is its matter now.
            let _ = kill_process(running.pid, Signal::KILL);
            let _ = running.ended.lock().recv_timeout(START_LIMIT);
        }
    }
}

fn signal_if_there(pid: Pid, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

/// Whether there is still something of a process beside its entry, which stays until somebody has waited for it.
fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// The processes that a process has started, and those that they have. Some servers are several.
fn descendants(root: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap_or_else(|error| panic!("cannot read /proc: {error}"));
    let parents: Vec<(i32, i32)> = entries
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            let (pid, rest) = stat.split_once(' ')?;
            // The name, which may hold anything, ends with the last parenthesis.
            let parent = rest.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((pid.parse().ok()?, parent.parse().ok()?))
        })
        .collect();
    let mut found = vec![root.as_raw_nonzero().get()];
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        looked_at += 1;
        found.extend(parents.iter().filter(|(_, other)| *other == parent).map(|(pid, _)| pid));
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// Whether somebody listens there.
pub fn listens(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// The path of a program.
pub fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(MORE_PATHS.map(PathBuf::from));
    directories
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: scripts/install-test-needs does it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_has_started_goes_with_it() {
        let mut server =
            ServerProcess::start("sh", None, |_| ["-c", "sleep 1000 & wait"].map(str::to_owned).to_vec());
        server.wait_until(|| !descendants(server.running().pid).is_empty());
        let others = descendants(server.running().pid);
        server.pause();
        server.go_on();
        server.kill();
        assert!(!others.into_iter().any(runs));
    }

    #[test]
    fn a_server_is_paused_killed_and_started_again() {
        let mut server = ServerProcess::start("sleep", None, |_| vec!["1000".to_owned()]);
        assert!(server.is_running());
        server.pause();
        server.go_on();
        let before = server.pid();
        server.kill();
        assert!(!server.is_running());
        server.start_again();
        assert_ne!(server.pid(), before);
    }
}
