//! Starts hubs for tests: in this process through `serve`, on an engine of the caller's choice.

#![allow(dead_code, clippy::unwrap_used)] // Each test program uses a part of this.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use petasos::config::{Config, Listener, LogConfig, LogFormat, ServerConfig, TransportConfig};
use petasos_hub::{
    HubConfig,
    http::{HttpConfig, Origins},
    transport::{
        Retention,
        remote::{Address, RemoteConfig},
        sqlite::SqliteConfig,
    },
};
use petasos_testkit::{
    Request, TestHub,
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET, default_auth},
    patiently,
    process::{self, ProcessOptions},
    servers::{
        EngineServer,
        nats::{NatsServer, NatsVersion},
        postgres::PostgresServer,
        redis::RedisServer,
    },
};
use tokio::sync::oneshot;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_petasos");

/// How long the streams of a test hub may take to end: short, because nobody waits for them.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A log that the suite runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// In memory, without history.
    Local,
    /// The embedded store.
    Sqlite,
    /// In memory, with the 0.x generation served as well (section L).
    LocalCompatible,
    /// The embedded store, likewise.
    SqliteCompatible,
    /// A log on the Redis server of this test program.
    Redis,
    /// A log on the PostgreSQL server of this test program.
    Postgres,
    /// A log on the NATS server of this test program.
    Nats,
}

impl Engine {
    /// Whether its log keeps events (R07).
    pub(crate) fn has_history(self) -> bool {
        matches!(self, Self::Sqlite | Self::SqliteCompatible | Self::Redis | Self::Nats | Self::Postgres)
    }

    /// Whether the hubs on it serve the 0.x generation.
    pub(crate) fn is_compatible(self) -> bool {
        matches!(self, Self::LocalCompatible | Self::SqliteCompatible)
    }

    /// A hub with the defaults and the keys of the testkit.
    pub(crate) async fn hub(self) -> TestHub {
        self.hub_with(|_| {}).await
    }

    /// A hub whose configuration differs in what `adjust` changes.
    pub(crate) async fn hub_with(self, adjust: impl FnOnce(&mut Config)) -> TestHub {
        let directory = process::scratch();
        let hub = self.hub_in(directory.path(), adjust).await;
        hub.keeping(directory)
    }

    /// A hub on the store of this directory, which may have been another hub's before.
    pub(crate) async fn hub_in(self, directory: &Path, adjust: impl FnOnce(&mut Config)) -> TestHub {
        let mut config = self.config(directory);
        adjust(&mut config);
        if self.is_compatible() {
            config.auth.compatibility.get_or_insert_default();
        }
        start(config, self.has_history()).await
    }

    /// The number of event loops differs, because nothing that a client sees may depend on it.
    fn event_loops(self) -> usize {
        match self {
            Self::SqliteCompatible => 1,
            Self::Sqlite | Self::LocalCompatible | Self::Redis | Self::Nats | Self::Postgres => 2,
            Self::Local => 4,
        }
    }

    fn config(self, directory: &Path) -> Config {
        let transport = match self {
            Self::Local | Self::LocalCompatible => TransportConfig::Local,
            Self::Sqlite | Self::SqliteCompatible => TransportConfig::Sqlite(SqliteConfig {
                path: directory.join("petasos.db"),
                sync: petasos_hub::transport::sqlite::Sync::Full,
                retention: Retention::default(),
                bolt: None,
            }),
            Self::Redis => remote(RedisServer::shared(), directory),
            Self::Postgres => remote(PostgresServer::shared(), directory),
            Self::Nats => remote(NatsServer::shared(NatsVersion::Current), directory),
        };
        Config {
            listeners: vec![Listener { address: "127.0.0.1:0".into() }],
            admin_address: Some("127.0.0.1:0".into()),
            tls: None,
            transport,
            hub: HubConfig { event_loops: self.event_loops(), ..HubConfig::default() },
            http: HttpConfig::default(),
            auth: default_auth(),
            server: ServerConfig {
                head_timeout: Duration::from_secs(10),
                idle_timeout: Duration::from_secs(60),
                connections: 0,
                peer_timeout: Duration::from_secs(30),
                drain_timeout: DRAIN_TIMEOUT,
                shutdown_delay: Duration::ZERO,
                reuse_port: false,
                send_buffer_bytes: 0,
            },
            log: LogConfig { format: LogFormat::Text, filter: "off".into() },
            name: None,
            dev: None,
            notices: Vec::new(),
        }
    }
}

/// The log of this directory's name on a server.
fn remote(server: &dyn EngineServer, directory: &Path) -> TransportConfig {
    let name = directory.file_name().unwrap().to_str().unwrap().trim_start_matches('.');
    let address = Address::parse(&server.url(name)).unwrap();
    TransportConfig::Remote(RemoteConfig { address, retention: Some(Retention::default()) })
}

/// What the real program is started with to serve the store of this directory with the keys of the testkit. More
/// variables may be added.
pub(crate) fn process_options(directory: &Path) -> ProcessOptions {
    let store = directory.join("petasos.db");
    process_options_on(&format!("sqlite://{}", process::text(&store)), directory)
}

/// The same for any log, by its transport URL. The directory is only where it writes what it says.
pub(crate) fn process_options_on(url: &str, directory: &Path) -> ProcessOptions {
    let (address, admin) = (process::free_address(), process::free_address());
    let environment = [
        ("PETASOS_LISTEN", address.to_string()),
        ("PETASOS_ADMIN_ADDRESS", admin.to_string()),
        ("PETASOS_TRANSPORT_URL", url.to_owned()),
        ("PETASOS_ISSUER", ISSUER.to_owned()),
        ("PETASOS_PUBLISHER_JWT_KEY", PUBLISHER_SECRET.to_owned()),
        ("PETASOS_SUBSCRIBER_JWT_KEY", SUBSCRIBER_SECRET.to_owned()),
    ];
    ProcessOptions {
        program: PROGRAM.into(),
        arguments: vec!["serve".to_owned()],
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        directory: directory.to_owned(),
        address,
        admin,
    }
}

/// A number that a longer run than the usual one sets, such as the soak scripts.
pub(crate) fn count_from_environment(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text:?}")),
        Err(_) => default,
    }
}

/// Origins, as the configuration takes them.
pub(crate) fn origins(list: &[&str]) -> Origins {
    Origins::parse(list.iter().copied()).unwrap()
}

async fn start(config: Config, history: bool) -> TestHub {
    let (public, admin) = (listen(), listen());
    let (address, admin_address) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
    let pinned = config.http.resource_identifier.as_ref().map(ToString::to_string);
    let (shutdown, stop) = oneshot::channel();
    let mut task = tokio::spawn(async move {
        // A dropped sender is a dropped hub: it stops as well.
        let stop = async { stop.await.unwrap_or(()) };
        let served = petasos::serve::serve(config, vec![public], Some(admin), stop).await;
        served.map_err(|error| error.to_string())
    });
    patiently("a ready hub", async {
        tokio::select! {
            biased;
            ended = &mut task => panic!("the hub did not start: {ended:?}"),
            () = ready(admin_address) => {}
        }
    })
    .await;
    let hub = TestHub::new(address, Some(admin_address), history).run_by(shutdown, task);
    match pinned {
        Some(resource) => hub.known_as(&resource),
        None => hub,
    }
}

/// Returns when the hub says that it works. Nothing announces that, so it is asked.
async fn ready(admin: SocketAddr) {
    while Request::new(admin, "GET", "/mercure/health/ready").send().await.status != 200 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}
