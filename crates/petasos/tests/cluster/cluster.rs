//! Three nodes on one log, the engine's server, and between them the network.

use std::time::{Duration, Instant};

use petasos_testkit::{
    node::Node,
    process::{ProcessOptions, command, scratch, text},
    proxy::Proxy,
    servers::EngineServer,
    within,
};
use serde_json::Value;
use tokio::task::block_in_place;

use crate::{
    common::{PROGRAM, process_options_on},
    engine::Engine,
};

/// How many nodes there are.
pub(crate) const NODES: usize = 3;

/// The lease of a node: short, so that faults outlast it.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How often an idle stream has a heartbeat.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);

/// What `petasos history` may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Nodes of their own addresses on one log. What they and the server have logged is shown where a test fails, or always with
/// `CLUSTER_LOGS=FILTER` in the environment, which also says what they log. Each reaches the engine through a proxy of its own.
pub(crate) struct Cluster {
    pub(crate) engine: Engine,
    pub(crate) nodes: Vec<Node>,
    proxies: Vec<Proxy>,
    server: Option<Box<dyn EngineServer>>,
    log: String,
    directory: tempfile::TempDir,
}

impl Cluster {
    /// Starts the nodes, on a server of their own where the engine has one, and waits until all are ready.
    pub(crate) async fn start(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let mut cluster = Self::without_nodes(engine).await;
        for number in 0..NODES {
            let options = cluster.options(number, variables);
            cluster.nodes.push(Node::start(options).await);
        }
        cluster
    }

    /// The server and the network, without any node.
    pub(crate) async fn without_nodes(engine: Engine) -> Self {
        let server = block_in_place(|| engine.start());
        let mut proxies = Vec::new();
        if let Some(server) = &server {
            for _ in 0..NODES {
                proxies.push(Proxy::start(server.address()).await);
            }
        }
        let log = format!("cluster{}", std::process::id());
        Self { engine, nodes: Vec::new(), proxies, server, log, directory: scratch() }
    }

    /// What the node of this number is started with.
    pub(crate) fn options(&self, number: usize, variables: &[(&str, &str)]) -> ProcessOptions {
        let url = match (&self.server, self.proxies.get(number)) {
            (Some(server), Some(proxy)) => server.url_at(proxy.address(), &self.log),
            _ => self.url(),
        };
        let directory = self.directory.path().join(format!("node{number}"));
        std::fs::create_dir_all(&directory).unwrap();
        let mut options = process_options_on(&url, &directory);
        let lease = format!("{}s", LEASE.as_secs());
        let heartbeat = format!("{}ms", HEARTBEAT.as_millis());
        let usual = [
            ("PETASOS_SUBSCRIPTIONS", "true"),
            ("PETASOS_LEASE", &lease),
            ("PETASOS_HEARTBEAT", &heartbeat),
            ("PETASOS_DRAIN_TIMEOUT", "1s"),
        ];
        for (name, value) in usual.iter().chain(variables) {
            // Later ones win.
            options.environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        if let Ok(filter) = std::env::var("CLUSTER_LOGS") {
            options.environment.push(("PETASOS_LOG_FILTER".to_owned(), filter));
        }
        options
    }

    /// The transport URL of the log, straight to where it is.
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.log)
    }

    /// The transport URL of another log in the same place.
    pub(crate) fn url_of(&self, log: &str) -> String {
        match &self.server {
            Some(server) => server.url(log),
            None => format!("sqlite://{}", text(&self.directory.path().join(format!("{log}.db")))),
        }
    }

    /// Does something to the engine's server. It may take its time.
    pub(crate) fn server<T>(&mut self, act: impl FnOnce(&mut dyn EngineServer) -> T) -> T {
        let server = self.server.as_mut().unwrap_or_else(|| panic!("this engine has no server"));
        block_in_place(|| act(&mut **server))
    }

    /// What is between a node and the engine.
    pub(crate) fn proxy(&self, node: usize) -> &Proxy {
        &self.proxies[node]
    }

    /// What is between the nodes and the engine.
    pub(crate) fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// Everything the engine keeps, read by a process of its own, which has seen nothing of what happened.
    pub(crate) async fn history(&self) -> Vec<Value> {
        history_of(&self.url()).await
    }

    /// Ends all nodes in order.
    pub(crate) async fn stop(mut self) {
        for node in &mut self.nodes {
            assert!(node.stop().await.success(), "a node did not end in order");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("CLUSTER_LOGS").is_some() {
            for (number, node) in self.nodes.iter().enumerate() {
                eprintln!("== the log of node {number}\n{}", node.log_tail());
            }
            if let Some(server) = &self.server {
                eprintln!("== the log of the server\n{}", server.process().log());
            }
        }
    }
}

/// Everything the log of this URL keeps: the lines of an export.
pub(crate) async fn history_of(url: &str) -> Vec<Value> {
    let lines = petasos(url, &["history", "export"]).await;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs the program on the log of this URL, and returns what it printed.
pub(crate) async fn petasos(url: &str, arguments: &[&str]) -> String {
    let directory = scratch();
    let environment = process_options_on(url, directory.path()).environment;
    let running = command(PROGRAM).args(arguments).envs(environment).current_dir(directory.path()).output();
    let output = within(COMMAND_LIMIT, "the end of a command", running).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "petasos {arguments:?} failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is so, asking again and again, and returns how long that took.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    is_so: impl Fn() -> F,
) -> Duration {
    let begin = Instant::now();
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(limit, what, asking).await;
    begin.elapsed()
}
