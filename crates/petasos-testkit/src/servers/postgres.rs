//! A PostgreSQL server. It refuses to run as root: the tests, which do in CI, give it to the user `postgres`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use rustix::process::Signal;

use super::{EngineServer, ServerProcess};
use crate::process::{free_address, text};

/// Where Debian has the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Its user and owner, who needs no password, as whoever connects from this host.
pub const OWNER: &str = "petasos";

/// A running server with a database of the name [`OWNER`].
#[derive(Debug)]
pub struct PostgresServer {
    process: ServerProcess,
    address: SocketAddr,
}

impl PostgresServer {
    /// Starts one that syncs its disk, as in production.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one whose configuration differs from the defaults by these `name=value`.
    pub fn start_with(settings: &[&str]) -> Self {
        let address = free_address();
        let user = system_user();
        let process = ServerProcess::start(&program("postgres"), user, |directory| {
            let data = directory.join("data");
            create_owned(&data, user);
            run(as_user(user, "initdb")
                .args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"])
                .args(["--username", OWNER, "--pgdata", text(&data)]));
            arguments(&data, address, settings)
        });
        let server = Self { process, address };
        server.wait_until_ready();
        server.sql("postgres", &format!("CREATE DATABASE {OWNER}"));
        server
    }

    /// Starts one that follows the one at `primary`, as a standby of it.
    pub fn start_standby_of(primary: SocketAddr, settings: &[&str]) -> Self {
        let address = free_address();
        let user = system_user();
        let (host, port) = (primary.ip().to_string(), primary.port().to_string());
        let process = ServerProcess::start(&program("postgres"), user, |directory| {
            let data = directory.join("data");
            create_owned(&data, user);
            run(as_user(user, "pg_basebackup")
                .args(["--host", &host, "--port", &port, "--username", OWNER])
                .args(["--pgdata", text(&data), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]));
            arguments(&data, address, settings)
        });
        let server = Self { process, address };
        server.wait_until_ready();
        server
    }

    /// The one of this test program, for suites with many cases: it does not sync its disk.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(&["fsync=off", "max_connections=500"]))
    }

    /// Makes a standby take writes from now on.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true, 60)");
    }

    /// Runs SQL as the owner in a database, and returns what it said.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// As [`Self::sql`], in the database of the tests.
    pub fn query(&self, sql: &str) -> String {
        self.sql(OWNER, sql)
    }

    /// The directory of its data.
    pub fn data(&self) -> PathBuf {
        self.process.directory().join("data")
    }

    /// Lets others than the owner in by this rule of `pg_hba.conf`, which comes before all that are there.
    pub fn admit(&self, rule: &str) {
        let path = self.data().join("pg_hba.conf");
        let rules =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        std::fs::write(&path, format!("{rule}\n{rules}"))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Gives a file to whoever runs the server, and to nobody else.
    pub fn own(path: &Path) {
        run(Command::new("chmod").args(["600", text(path)]));
        if let Some(user) = system_user() {
            run(Command::new("chown").args([user, text(path)]));
        }
    }

    fn psql(&self, database: &str, sql: &str) -> std::process::Output {
        Command::new("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
            .args(["-p", &self.address.port().to_string(), "-U", OWNER, "-d", database, "-c", sql])
            .output()
            .unwrap_or_else(|error| panic!("psql does not run: {error}"))
    }
}

impl EngineServer for PostgresServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn url_at(&self, address: SocketAddr, log: &str) -> String {
        format!("postgres://{OWNER}@{address}/{OWNER}?schema={log}")
    }

    fn process(&self) -> &ServerProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ServerProcess {
        &mut self.process
    }

    fn wait_until_ready(&self) {
        self.process.wait_until(|| self.psql("postgres", "SELECT 1").status.success());
    }

    /// Fast shutdown: it ends the connections instead of waiting for them.
    fn stop_signal(&self) -> Signal {
        Signal::INT
    }
}

fn arguments(data: &Path, address: SocketAddr, settings: &[&str]) -> Vec<String> {
    let port = address.port().to_string();
    let mut arguments: Vec<String> =
        ["-D", text(data), "-p", &port, "-h", "127.0.0.1", "-c", "unix_socket_directories="]
            .map(str::to_owned)
            .to_vec();
    for setting in settings {
        arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    arguments
}

/// The newest version that is installed.
fn program(name: &str) -> String {
    let versions = std::fs::read_dir(VERSIONS)
        .unwrap_or_else(|_| panic!("PostgreSQL is not installed: scripts/install-test-needs does it"));
    let newest = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .max_by_key(|path| path.iter().rev().nth(2).and_then(|name| name.to_str()?.parse::<u32>().ok()));
    newest.map_or_else(
        || panic!("{name} of PostgreSQL is not installed: scripts/install-test-needs does it"),
        |path| text(&path).to_owned(),
    )
}

/// Who runs the server.
fn system_user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("postgres")
}

fn as_user(user: Option<&str>, name: &str) -> Command {
    match user {
        None => Command::new(program(name)),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]).arg(program(name));
            command
        }
    }
}

/// Makes a directory that belongs to `user`, who may also reach it.
fn create_owned(directory: &Path, user: Option<&str>) {
    let created = std::fs::create_dir(directory);
    created.unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
    let (Some(user), Some(parent)) = (user, directory.parent()) else { return };
    run(Command::new("chmod").args(["711", text(parent)]));
    run(Command::new("chmod").args(["700", text(directory)]));
    run(Command::new("chown").args([&format!("{user}:{user}"), text(directory)]));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
}
