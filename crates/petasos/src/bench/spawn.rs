//! `--spawn`: a hub of this same program in a child process, with keys that were just made up, on a free port of the
//! loopback address. It is stopped, by its number, when this is dropped.

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use petasos_hub::{auth::Secret, http::HUB_PATH};
use rustix::process::{Pid, Signal, kill_process};

use super::error::BenchError;

/// How long the hub may take until it is ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at it: nothing announces that it is ready, or gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How much of its log is shown where it did not start.
const LOG_TAIL_BYTES: usize = 2_000;
/// The issuer of the tokens.
pub(crate) const ISSUER: &str = "https://bench.example";

/// Where the hub keeps its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Nowhere: `local://`.
    Local,
    /// In an embedded store in the system's directory for temporary files.
    Sqlite,
    /// In an embedded store in this directory.
    Directory(PathBuf),
}

impl Store {
    /// As the flag has it.
    ///
    /// # Errors
    /// None; the form is that of a parser of flags.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "local" => Self::Local,
            "sqlite" => Self::Sqlite,
            directory => Self::Directory(directory.into()),
        })
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Local => "local".into(),
            Self::Sqlite => "sqlite".into(),
            Self::Directory(directory) => format!("sqlite in {}", directory.display()),
        }
    }
}

/// The number of the child process while there is one, for [`kill_now`]; else 0.
static CHILD: AtomicU32 = AtomicU32::new(0);

/// Kills the child process, if there is one: for when this process ends without dropping what it has.
pub(crate) fn kill_now() {
    if let Some(pid) = Pid::from_raw(CHILD.swap(0, Ordering::SeqCst).cast_signed()) {
        // It is waited for only after the number was taken back, so that it is nobody else's.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The child process.
#[derive(Debug)]
pub(crate) struct SpawnedHub {
    child: Child,
    address: SocketAddr,
    secret: Secret,
    /// Removed in the end.
    _directory: Scratch,
}

impl SpawnedHub {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It does not start; the end of its log is in the error.
    pub(crate) fn start(store: &Store, arguments: &[String]) -> Result<Self, BenchError> {
        let program =
            env::current_exe().map_err(BenchError::system("this program's file cannot be found"))?;
        let directory = Scratch::create(match store {
            Store::Directory(directory) => directory.clone(),
            _ => env::temp_dir(),
        })?;
        let log_path = directory.0.join("hub.log");
        let in_file = |error| BenchError::File { path: log_path.clone(), verb: "written", error };
        let log = File::create(&log_path).map_err(in_file)?;
        let [address, admin] = free_addresses()?;
        let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let transport = match store {
            Store::Local => "local://".to_owned(),
            _ => format!("sqlite://{}", directory.0.join("petasos.db").display()),
        };
        let mut command = Command::new(program);
        command.arg("serve").args(arguments).env_clear();
        for name in ["PATH", "HOME"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("PETASOS_LISTEN", address.to_string())
            .env("PETASOS_ADMIN_ADDRESS", admin.to_string())
            .env("PETASOS_TRANSPORT_URL", transport)
            .env("PETASOS_ISSUER", ISSUER)
            .env("PETASOS_PUBLISHER_JWT_KEY", &secret)
            .env("PETASOS_SUBSCRIBER_JWT_KEY", &secret)
            .env("PETASOS_ANONYMOUS", "true")
            .current_dir(&directory.0)
            .stdin(Stdio::null())
            .stderr(log.try_clone().map_err(in_file)?)
            .stdout(log);
        let child = command.spawn().map_err(|error| BenchError::Spawn(error.to_string()))?;
        CHILD.store(child.id(), Ordering::SeqCst);
        let mut hub = Self { child, address, secret: Secret::new(secret), _directory: directory };
        hub.wait_until_ready(admin, &log_path)?;
        Ok(hub)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{HUB_PATH}", self.address)
    }

    /// What its tokens are signed with.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    fn wait_until_ready(&mut self, admin: SocketAddr, log: &Path) -> Result<(), BenchError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let ended = self.child.try_wait().map_err(BenchError::system("the hub cannot be watched"))?;
            if let Some(status) = ended {
                return Err(BenchError::Spawn(format!("it ended ({status}) and said:\n{}", tail(log))));
            }
            if is_ready(admin) && TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = START_LIMIT.as_secs();
                return Err(BenchError::Spawn(format!(
                    "it is not ready after {seconds} s and says:\n{}",
                    tail(log)
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn stop(&mut self) {
        CHILD.store(0, Ordering::SeqCst);
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // It is a child that is not waited for yet, so that its number cannot be anybody else's.
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for SpawnedHub {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(
            b"GET /mercure/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Two ports that were free a moment ago.
fn free_addresses() -> Result<[SocketAddr; 2], BenchError> {
    let find = || {
        // Both are held until both are known, so that they differ.
        let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        Ok([listeners[0].local_addr()?, listeners[1].local_addr()?])
    };
    find().map_err(BenchError::system("no free port"))
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
}

/// A directory that is removed with all that is in it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn create(parent: PathBuf) -> Result<Self, BenchError> {
        let path = parent.join(format!("petasos-bench-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).map_err(|error| BenchError::File {
            path: path.clone(),
            verb: "created",
            error,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
