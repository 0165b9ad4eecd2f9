//! Redis: a server with an append-only file, its replicas and sentinels.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use super::{EngineServer, ServerProcess, find, listens};
use crate::process::{free_address, text};

/// A Redis server on a port of its own.
#[derive(Debug)]
pub struct RedisServer {
    process: ServerProcess,
    address: SocketAddr,
    /// What `redis-cli` needs to be let in.
    login: Vec<String>,
}

impl RedisServer {
    /// A server that writes its append-only file before it answers, as one on which nothing may be lost is set.
    pub fn start() -> Self {
        Self::start_with(|_| strings(&["--appendonly", "yes", "--appendfsync", "always"]))
    }

    /// A server with these arguments beside its address; they may name files in its directory.
    pub fn start_with(more: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::start_at(free_address(), &[], more)
    }

    /// A server that takes connections only with these arguments of `redis-cli`, such as `--pass`.
    pub fn start_at(address: SocketAddr, login: &[&str], more: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let process = ServerProcess::start("redis-server", None, |directory| {
            let port = address.port().to_string();
            let mut arguments = strings(&["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
            arguments.extend(strings(&["--dir", text(directory)]));
            arguments.extend(more(directory));
            arguments
        });
        let server = Self { process, address, login: strings(login) };
        server.wait_until_ready();
        server
    }

    /// A replica of `primary`, with an append-only file as well.
    pub fn replica_of(primary: &Self) -> Self {
        Self::replica_at(primary.address)
    }

    /// A replica of the server at this address, which may be something that passes bytes on to it.
    pub fn replica_at(primary: SocketAddr) -> Self {
        let port = primary.port().to_string();
        Self::start_with(|_| {
            let mut arguments = strings(&["--replicaof", "127.0.0.1", &port]);
            arguments.extend(strings(&["--appendonly", "yes", "--repl-diskless-sync-delay", "0"]));
            arguments
        })
    }

    /// One server for all tests of a program; logs of different names on it have nothing in common.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// What `redis-cli` with these arguments prints.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        let port = self.address.port().to_string();
        let output = Command::new(find("redis-cli"))
            .args(["-h", "127.0.0.1", "-p", &port, "--no-auth-warning"])
            .args(&self.login)
            .args(arguments)
            .output();
        output.unwrap_or_else(|error| panic!("cannot run redis-cli: {error}"))
    }
}

impl EngineServer for RedisServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn url_at(&self, address: SocketAddr, log: &str) -> String {
        format!("redis://{address}?prefix={log}")
    }

    fn process(&self) -> &ServerProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ServerProcess {
        &mut self.process
    }

    fn wait_until_ready(&self) {
        // While it loads its data it answers with an error.
        self.process.wait_until(|| listens(self.address) && self.command(&["PING"]) == "PONG");
    }
}

/// A sentinel that watches one primary under the name `hub`.
#[derive(Debug)]
pub struct Sentinel {
    process: ServerProcess,
    address: SocketAddr,
}

impl Sentinel {
    /// The name of the service that it watches.
    pub const SERVICE: &str = "hub";

    /// A sentinel that fails over to a replica as soon as it finds the primary gone, which takes it `down_after_ms`.
    pub fn start(primary: &RedisServer, down_after_ms: u32) -> Self {
        let address = free_address();
        let process = ServerProcess::start("redis-sentinel", None, |directory| {
            let file = directory.join("sentinel.conf");
            let (service, port) = (Self::SERVICE, primary.address.port());
            let lines = format!(
                "port {}\nbind 127.0.0.1\nsentinel monitor {service} 127.0.0.1 {port} 1\n\
                 sentinel down-after-milliseconds {service} {down_after_ms}\n\
                 sentinel failover-timeout {service} 10000\n",
                address.port()
            );
            std::fs::write(&file, lines)
                .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
            strings(&[text(&file)])
        });
        process.wait_until(|| listens(address));
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The end of what it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The same, owned.
fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
