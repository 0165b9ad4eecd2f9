//! NATS servers with JetStream, of two versions: Debian's, which is old, and the newest, which
//! `scripts/install-test-needs` builds.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::OnceLock,
    time::Duration,
};

use super::{EngineServer, ServerProcess};
use crate::process::{free_address, text};

/// How long a server may take to answer when it is asked whether JetStream is ready.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsVersion {
    /// 2.9 of Debian 12.
    Debian,
    /// The newest.
    Current,
}

impl NatsVersion {
    fn program(self) -> String {
        match self {
            Self::Debian => "/usr/sbin/nats-server".to_owned(),
            Self::Current => {
                let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
                let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
                text(&root.join(target).join("test-servers/nats-server")).to_owned()
            }
        }
    }
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Which program.
    pub version: NatsVersion,
    /// What stands in its block `jetstream`, beside where it keeps its data; `None`: there is no such block.
    pub jetstream: Option<String>,
    /// More lines of its configuration, such as users.
    pub configuration: String,
    /// What [`NatsServer::wait_until_ready`](EngineServer::wait_until_ready) says when it connects, as JSON; `None` where it
    /// cannot log in, and a server that listens is taken for ready.
    pub connect: Option<String>,
    /// What stands before the `@` of URLs.
    pub credentials: String,
    /// Where it listens; a free address if there is none.
    pub address: Option<SocketAddr>,
}

impl NatsOptions {
    /// One that asks nobody who he is.
    pub fn of(version: NatsVersion) -> Self {
        Self {
            version,
            // The disk is not measured: every log reserves what it may hold at most.
            jetstream: Some("max_file_store: 100TB, max_memory_store: 1TB".to_owned()),
            // Enough for every body of a test.
            configuration: "max_payload: 8MB\n".to_owned(),
            connect: Some("{\"verbose\":false}".to_owned()),
            credentials: String::new(),
            address: None,
        }
    }
}

/// A NATS server.
#[derive(Debug)]
pub struct NatsServer {
    address: SocketAddr,
    connect: Option<String>,
    credentials: String,
    process: ServerProcess,
}

impl NatsServer {
    /// Starts the newest.
    pub fn start() -> Self {
        Self::start_with(NatsOptions::of(NatsVersion::Current))
    }

    /// Starts one, and waits until it takes writes.
    pub fn start_with(options: NatsOptions) -> Self {
        let server = Self::begin(options);
        server.wait_until_ready();
        server
    }

    /// Starts a cluster of three of the newest, and waits until they take writes.
    pub fn cluster() -> Vec<Self> {
        let routes: Vec<SocketAddr> = (0..3).map(|_| free_address()).collect();
        let list = routes.iter().map(|route| format!("nats://{route}")).collect::<Vec<_>>().join(", ");
        let servers: Vec<_> = routes
            .iter()
            .enumerate()
            .map(|(index, route)| {
                let mut options = NatsOptions::of(NatsVersion::Current);
                options.configuration += &format!(
                    "server_name: s{index}\ncluster {{ name: test, listen: \"{route}\", routes: [{list}] }}\n"
                );
                Self::begin(options)
            })
            .collect();
        servers.iter().for_each(EngineServer::wait_until_ready);
        servers
    }

    /// One of each version for the whole test program. Its logs are kept apart by their names.
    pub fn shared(version: NatsVersion) -> &'static Self {
        static SERVERS: [OnceLock<NatsServer>; 2] = [OnceLock::new(), OnceLock::new()];
        SERVERS[version as usize].get_or_init(|| Self::start_with(NatsOptions::of(version)))
    }

    fn begin(options: NatsOptions) -> Self {
        let address = options.address.unwrap_or_else(free_address);
        let NatsOptions { jetstream, configuration, .. } = &options;
        let process = ServerProcess::start(&options.version.program(), None, |directory| {
            let file = directory.join("nats.conf");
            let data = directory.join("data");
            let jetstream = jetstream
                .as_ref()
                .map(|more| format!("jetstream {{ store_dir: \"{}\", {more} }}\n", text(&data)))
                .unwrap_or_default();
            let lines = format!("listen: \"{address}\"\n{jetstream}{configuration}");
            let written = std::fs::write(&file, lines);
            written.unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
            vec!["-c".to_owned(), text(&file).to_owned()]
        });
        Self { address, connect: options.connect, credentials: options.credentials, process }
    }

    /// Whether JetStream answers.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&self.address, ASK_TIMEOUT) else { return false };
        let Some(connect) = &self.connect else { return true };
        let ask = || -> std::io::Result<bool> {
            stream.set_read_timeout(Some(ASK_TIMEOUT))?;
            let mut lines = BufReader::new(stream.try_clone()?);
            let mut line = String::new();
            lines.read_line(&mut line)?;
            let question = format!("CONNECT {connect}\r\nSUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\n");
            stream.write_all(question.as_bytes())?;
            loop {
                line.clear();
                if lines.read_line(&mut line)? == 0 || line.starts_with("-ERR") {
                    return Ok(false);
                }
                if let Some(message) = line.strip_prefix("MSG ") {
                    let length = message.trim().rsplit(' ').next().and_then(|length| length.parse().ok());
                    let mut answer = vec![0; length.unwrap_or(0)];
                    lines.read_exact(&mut answer)?;
                    return Ok(!String::from_utf8_lossy(&answer).contains("\"error\""));
                }
            }
        };
        let mut ask = ask;
        ask().unwrap_or(false)
    }
}

impl EngineServer for NatsServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn url_at(&self, address: SocketAddr, log: &str) -> String {
        let stream: String = log
            .chars()
            .map(|character| if character.is_ascii_alphanumeric() { character } else { '_' })
            .collect();
        format!("nats://{}{address}?stream={stream}", self.credentials)
    }

    fn process(&self) -> &ServerProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ServerProcess {
        &mut self.process
    }

    fn wait_until_ready(&self) {
        self.process.wait_until(|| self.answers());
    }
}
