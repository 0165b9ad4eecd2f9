//! Starts hubs for the tests of the serving side, and looks at connections byte by byte.

#![allow(dead_code)] // Each test binary uses some of it.

use std::{net::TcpListener, path::Path, time::Duration};

use petasos::config::{Config, LogConfig, LogFormat, ServerConfig, TransportConfig};
use petasos_hub::{HubConfig, auth::AuthConfig, http::HttpConfig};
use petasos_testkit::{Connection, End, TestHub, hub::default_auth, process::ProcessOptions};
use tokio::sync::oneshot;

/// A configuration in memory with patient limits.
pub(crate) fn config() -> Config {
    Config {
        listeners: Vec::new(),
        admin_address: None,
        tls: None,
        transport: TransportConfig::Local,
        hub: HubConfig::default(),
        http: HttpConfig::default(),
        auth: AuthConfig { anonymous: true, anonymous_publish: true, ..default_auth() },
        server: ServerConfig {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connections: 0,
            peer_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(1),
            shutdown_delay: Duration::ZERO,
            reuse_port: false,
            send_buffer_bytes: 0,
        },
        log: LogConfig { format: LogFormat::Text, filter: "info".to_owned() },
        name: None,
        dev: None,
        notices: Vec::new(),
    }
}

/// Runs a hub in this process.
pub(crate) fn start(config: Config) -> TestHub {
    let (public, admin) = (free_listener(), free_listener());
    let address = public.local_addr().expect("an address");
    let admin_address = admin.local_addr().expect("an address");
    let (shutdown, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        petasos::serve::serve(config, vec![public], Some(admin), stopped)
            .await
            .map_err(|error| error.to_string())
    });
    TestHub::new(address, Some(admin_address), false).run_by(shutdown, task)
}

pub(crate) fn free_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// The real program in this directory, on free ports, taking everything from anybody.
pub(crate) fn program(directory: &Path) -> ProcessOptions {
    let (address, admin) =
        (petasos_testkit::process::free_address(), petasos_testkit::process::free_address());
    ProcessOptions {
        program: env!("CARGO_BIN_EXE_petasos").into(),
        arguments: vec!["serve".to_owned()],
        environment: [
            ("PETASOS_LISTEN", address.to_string()),
            ("PETASOS_ADMIN_ADDRESS", admin.to_string()),
            ("PETASOS_ANONYMOUS", "true".to_owned()),
            ("PETASOS_ANONYMOUS_PUBLISH", "true".to_owned()),
            ("PETASOS_TRANSPORT_URL", "sqlite://petasos.db".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
        directory: directory.to_owned(),
        address,
        admin,
    }
}

/// What a server sent in answer to these bytes before it closed the connection.
pub(crate) struct Exchange {
    pub(crate) text: String,
    pub(crate) end: End,
}

impl Exchange {
    /// Sends `bytes` on a new connection, and reads until the server closes it.
    pub(crate) async fn of(hub: &TestHub, bytes: impl AsRef<[u8]>) -> Self {
        let mut connection = Connection::open(hub.address()).await;
        // A server that refuses the first half need not read the second.
        let _ = connection.try_send(bytes).await;
        let (text, end) = connection.closed().await;
        Self { text: String::from_utf8_lossy(&text).into_owned(), end }
    }

    /// The status codes of the answers.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let codes = self.text.split("HTTP/1.1 ").skip(1).map(|answer| answer.split(' ').next());
        codes.map(|code| code.and_then(|code| code.parse().ok()).unwrap_or(0)).collect()
    }
}
