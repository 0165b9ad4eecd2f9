//! From sockets and a configuration to a hub that serves, and back.
//!
//! Concurrency: this task opens the log and then waits for the shutdown. Beside it run the accept loops (public and
//! admin), the watcher of the certificate files and the one of SIGHUP; the last two end with this task.

use std::{
    io::{self, Write},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use petasos_hub::{
    Hub,
    auth::Authenticator,
    http::{AppState, router},
    metrics::Metrics,
    transport::TransportError,
};
use prometheus_client::registry::Registry;
use sd_notify::NotifyState;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use super::{
    ServeError,
    admin::{self, Admin},
    bind::{self, Bound},
    connection::{Connections, TimeLimits},
    drain::{self, Phase, tell_manager},
    listener::{self, Acceptor},
    process,
    readiness::Readiness,
    reload::{self, IssuerSource},
    signals,
    socket::SocketOptions,
    start_text,
    tls::Tls,
    transport,
};
use crate::config::Config;

/// The pauses between attempts to open a log that is not there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How often the log tells that the same thing still keeps the hub from starting.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How often the admin address is tried again, where another process may leave it.
const ADMIN_PAUSE: Duration = Duration::from_secs(1);

/// Connections that the admin listener has at most: probes and scrapers.
const ADMIN_CONNECTIONS: usize = 100;

/// What was made of the configuration before a socket was bound.
pub(super) struct Parts {
    pub(super) auth: Arc<Authenticator>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) issuers: IssuerSource,
}

/// A public address.
#[derive(Debug)]
pub(super) enum Public {
    /// Taken by this process; nobody is listened to yet.
    Bound(Bound),
    /// Somebody else listens already, and hands it over.
    Listening(std::net::TcpListener),
}

/// The admin address.
#[derive(Debug)]
pub(super) enum AdminSocket {
    Listening(std::net::TcpListener),
    /// Another process has it and may leave, because both were told to share ports.
    Awaited(String),
}

/// Takes the admin address, if there is one.
///
/// # Errors
/// Where it is taken, unless this process replaces another one on the same host (decision 26): then it is waited for.
pub(super) fn bind_admin(config: &Config) -> Result<Option<AdminSocket>, ServeError> {
    let Some(address) = &config.admin_address else { return Ok(None) };
    match listen_on(address) {
        Ok(listener) => Ok(Some(AdminSocket::Listening(listener))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && config.server.reuse_port => {
            tracing::warn!(address, "the admin address is taken; waiting for the other process to leave it");
            Ok(Some(AdminSocket::Awaited(address.clone())))
        }
        Err(error) => Err(ServeError::Failed(format!(
            "admin listener: {error}; set PETASOS_ADMIN_ADDRESS to another address, or to off"
        ))),
    }
}

/// Probes and scrapers need one address: the first that the name stands for.
fn listen_on(address: &str) -> io::Result<std::net::TcpListener> {
    let bound = bind::bind(address, false)?.into_iter().next();
    bound.ok_or_else(|| io::Error::other(format!("{address} stands for no address")))?.listen()
}

/// Runs a hub until `shutdown` resolves, then drains it.
///
/// # Errors
/// What kept it from starting.
pub(super) async fn run(
    config: Config,
    parts: Parts,
    public: Vec<Public>,
    admin: Option<AdminSocket>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let hangups = signals::hangups()?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Arc::new(Readiness::default());
    let admin = admin.map(|socket| AdminServer::start(socket, &config, &metrics, &readiness));
    let mut shutdown = pin!(shutdown);
    let ended = tokio::select! {
        biased;
        () = &mut shutdown => Ok(()),
        hub = open_hub(&config, &metrics, &readiness) => match hub {
            Ok(hub) => {
                let started = Started { hub, config: &config, parts, metrics, readiness };
                started.serve(public, hangups, shutdown).await
            }
            Err(error) => Err(error),
        },
    };
    if let Some(admin) = admin {
        admin.stop().await;
    }
    ended
}

/// Opens the log and starts the hub on it, as often as it takes.
///
/// # Errors
/// What no further attempt can change.
async fn open_hub(config: &Config, metrics: &Arc<Metrics>, readiness: &Readiness) -> Result<Hub, ServeError> {
    let mut pause = FIRST_PAUSE;
    let mut told: Option<(String, Instant)> = None;
    loop {
        let error = match try_open(config, metrics).await {
            Ok(hub) => return Ok(hub),
            Err(error) if error.is_retryable() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        readiness.waits(format!("the log cannot be opened: {error}"));
        if told.as_ref().is_none_or(|(text, at)| *text != error || at.elapsed() >= TELL_EVERY) {
            tracing::error!(error, "the log cannot be opened; nobody is listened to; trying again");
            told = Some((error.clone(), Instant::now()));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn try_open(config: &Config, metrics: &Arc<Metrics>) -> Result<Hub, TransportError> {
    let transport = transport::open(&config.transport).await?;
    let builder =
        Hub::builder(Arc::clone(&transport)).config(config.hub.clone()).metrics(Arc::clone(metrics));
    let started = builder.start().await;
    if started.is_err() {
        transport.close().await;
    }
    started
}

/// A hub that works, and what it needs to serve.
struct Started<'a> {
    hub: Hub,
    config: &'a Config,
    parts: Parts,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl Started<'_> {
    async fn serve(
        self,
        public: Vec<Public>,
        hangups: tokio::signal::unix::Signal,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Self { hub, config, parts: Parts { auth, tls, issuers }, metrics, readiness } = self;
        let (phase, follow) = drain::phases();
        let app = router(AppState {
            hub: hub.clone(),
            auth: Arc::clone(&auth),
            config: Arc::new(config.http.clone()),
        });
        let connections = Connections::new(app, tls.clone(), time_limits(config), follow);
        let acceptor =
            Arc::new(Acceptor::new(connections, connection_limit(config), socket_options(config), metrics));
        let mut loops = JoinSet::new();
        let addresses = match listen(public, &acceptor, config, &mut loops) {
            Ok(addresses) => addresses,
            Err(error) => {
                hub.close().await;
                return Err(error.into());
            }
        };
        readiness.started(hub.clone());
        tell_manager(&[NotifyState::Ready]);
        tell_started(&hub, config, &addresses);

        let mut background = JoinSet::new();
        background.spawn({
            let auth = Arc::clone(&auth);
            async move { reload::load_keys(&auth).await }
        });
        if let Some(tls) = &tls {
            background.spawn(Arc::clone(tls).watch());
        }
        background.spawn(reload::at_hangups(hangups, auth, issuers, tls));

        shutdown.await;
        drain::drain(&hub, &config.server, &phase, &acceptor, loops).await;
        Ok(())
    }
}

/// Lets clients come, and returns the addresses they can come to.
fn listen(
    public: Vec<Public>,
    acceptor: &Arc<Acceptor>,
    config: &Config,
    loops: &mut JoinSet<()>,
) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for socket in public {
        let listener = match socket {
            Public::Bound(bound) => bound.listen()?,
            Public::Listening(listener) => listener,
        };
        addresses.push(listener.local_addr()?);
        loops.spawn(Arc::clone(acceptor).run(listener::prepare(listener, socket_options(config))?));
    }
    Ok(addresses)
}

fn tell_started(hub: &Hub, config: &Config, addresses: &[SocketAddr]) {
    let info = hub.transport_info();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        addresses = ?addresses,
        tls = config.tls.is_some(),
        engine = info.engine,
        log = info.location,
        "serving"
    );
    if config.dev.is_some() {
        match start_text::text(config, addresses) {
            // Nobody may be reading.
            Ok(text) => drop(io::stdout().write_all(text.as_bytes())),
            Err(error) => tracing::warn!(%error, "no demo token"),
        }
    }
}

/// What the configuration allows, and no more than leaves the hub its own files.
fn connection_limit(config: &Config) -> Option<usize> {
    let configured = Some(config.server.connections).filter(|limit| *limit > 0);
    configured.into_iter().chain(process::room_for_connections()).min()
}

fn socket_options(config: &Config) -> SocketOptions {
    SocketOptions {
        peer_timeout: config.server.peer_timeout,
        dispatch_timeout: config.hub.dispatch_timeout,
        send_buffer_bytes: config.server.send_buffer_bytes,
    }
}

fn time_limits(config: &Config) -> TimeLimits {
    TimeLimits {
        head: config.server.head_timeout,
        idle: config.server.idle_timeout,
        // A vanished peer is asked once and then given up: twice this is less than the whole.
        ping: config.server.peer_timeout * 2 / 5,
        write: socket_options(config).write_timeout(),
    }
}

/// The admin listener, which answers from the start to the very end.
struct AdminServer {
    phase: watch::Sender<Phase>,
    acceptor: Arc<Acceptor>,
    accepting: AbortHandle,
}

impl AdminServer {
    fn start(
        socket: AdminSocket,
        config: &Config,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Self {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        process::register(&mut registry);
        let admin = Admin { readiness: Arc::clone(readiness), registry, name: config.name.clone() };
        let (phase, follow) = drain::phases();
        let connections = Connections::new(admin::router(admin), None, time_limits(config), follow);
        // Its connections are not those that the metrics count.
        let options = SocketOptions { send_buffer_bytes: 0, ..socket_options(config) };
        let acceptor = Arc::new(Acceptor::new(connections, Some(ADMIN_CONNECTIONS), options, Arc::default()));
        let accepting = tokio::spawn({
            let acceptor = Arc::clone(&acceptor);
            async move {
                match listener::prepare(socket.listening().await, options) {
                    Ok(listener) => acceptor.run(listener).await,
                    Err(error) => tracing::error!(%error, "the admin listener cannot be used"),
                }
            }
        });
        Self { phase, acceptor, accepting: accepting.abort_handle() }
    }

    async fn stop(self) {
        self.accepting.abort();
        drain::close(&self.phase, &self.acceptor).await;
    }
}

impl AdminSocket {
    async fn listening(self) -> std::net::TcpListener {
        let address = match self {
            Self::Listening(listener) => return listener,
            Self::Awaited(address) => address,
        };
        loop {
            sleep(ADMIN_PAUSE).await;
            if let Ok(listener) = listen_on(&address) {
                tracing::info!(address, "the admin listener answers");
                return listener;
            }
        }
    }
}
