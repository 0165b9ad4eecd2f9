//! A connection to the server. Concurrency: one task per connection moves its bytes; it ends with its [`Session`], and
//! the server with it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls, Notification, Statement,
    config::{SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::{
    config::{DEFAULT_PORT, PostgresConfig, TlsMode},
    error::translate,
    tls,
};
use crate::transport::{
    ErrorKind, TransportError,
    remote::{Host, Secret},
};

/// How long logging in to a host may take, beyond the time that connecting to it may.
const LOGIN_PATIENCE: Duration = Duration::from_secs(2);

/// After so long without a sign of life of the server's host the connection is given up.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// What a session is set to, whatever the server's and the role's settings are: the functions of the schema count on
/// these, and plans must not depend on when a table was last analyzed.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; \
     SET search_path = pg_catalog, pg_temp; SET enable_seqscan = off; SET jit = off; SET bytea_output = 'hex'; \
     SET idle_in_transaction_session_timeout = '10s'";

/// How long a statement may take, and one that may take long.
const LIMITS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '4s'";
const LONG_LIMITS: &str = "SET statement_timeout = '600s'; SET lock_timeout = '60s'";

/// What is done with notifications.
pub(super) type OnNotification = Arc<dyn Fn(Notification) + Send + Sync>;

/// A connection that is logged in and set up.
pub(super) struct Session {
    pub(super) client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    closed: CancellationToken,
    task: AbortHandle,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects to the first of the hosts that takes writes, beginning with the one that did last. Each of their addresses
    /// has a time of its own: one that accepts connections and never answers keeps nobody from the others.
    pub(super) async fn open(
        config: &PostgresConfig,
        on_notification: Option<OnNotification>,
    ) -> Result<Self, TransportError> {
        let what = || format!("cannot connect to {}", config.address.shown(DEFAULT_PORT));
        let tls = tls::client(config)
            .map_err(|error| TransportError::new(ErrorKind::Invalid, format!("{}: {error}", what())))?;
        let patience = config.connect_timeout + LOGIN_PATIENCE;
        let too_late = || {
            let seconds = patience.as_secs();
            TransportError::unavailable(format!("{}: it does not answer within {seconds} s", what()))
        };
        let hosts = &config.address.hosts;
        let first = config.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for index in (0..hosts.len()).map(|offset| (first + offset) % hosts.len()) {
            let addresses = match timeout(patience, addresses(&hosts[index])).await {
                Ok(Ok(addresses)) => addresses,
                Ok(Err(error)) => {
                    failure = Some(TransportError::unavailable(format!("{}: {error}", what())));
                    continue;
                }
                Err(_) => {
                    failure = Some(too_late());
                    continue;
                }
            };
            for address in addresses {
                let parameters = parameters(config, &hosts[index], address);
                let connected = Self::connect(config, &parameters, tls.clone(), on_notification.clone());
                match timeout(patience, connected).await {
                    Ok(Ok(session)) => {
                        config.preferred.store(index, Ordering::Relaxed);
                        return Ok(session);
                    }
                    Ok(Err(error)) => failure = Some(translate(&error, &what())),
                    Err(_) => failure = Some(too_late()),
                }
            }
        }
        Err(failure.unwrap_or_else(|| TransportError::unavailable(format!("{}: it has no address", what()))))
    }

    async fn connect(
        config: &PostgresConfig,
        parameters: &Config,
        tls: Option<rustls::ClientConfig>,
        on_notification: Option<OnNotification>,
    ) -> Result<Self, tokio_postgres::Error> {
        let closed = CancellationToken::new();
        let (client, task) = match tls {
            None => {
                let (client, connection) = parameters.connect(NoTls).await?;
                (client, tokio::spawn(drive(connection, on_notification, closed.clone())))
            }
            Some(tls) => {
                let (client, connection) = parameters.connect(MakeRustlsConnect::new(tls)).await?;
                (client, tokio::spawn(drive(connection, on_notification, closed.clone())))
            }
        };
        let session = Self { client, statements: Mutex::default(), closed, task: task.abort_handle() };
        let mut settings = format!("{SETTINGS}; {LIMITS}");
        if let Some(value) = config.synchronous_commit {
            settings.push_str(&format!("; SET synchronous_commit = '{value}'"));
        }
        session.client.batch_execute(&settings).await?;
        Ok(session)
    }

    /// A statement of this connection, prepared at its first use.
    pub(super) async fn prepared(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.statements.lock().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Whether the connection is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Waits for the end of the connection.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without this a connection with unanswered questions would wait for a server that is gone.
        self.task.abort();
    }
}

/// The addresses that a host has now; `None` is a Unix socket.
async fn addresses(host: &Host) -> std::io::Result<Vec<Option<IpAddr>>> {
    if host.name.starts_with('/') {
        return Ok(vec![None]);
    }
    let port = host.port.unwrap_or(DEFAULT_PORT);
    Ok(tokio::net::lookup_host((&*host.name, port)).await?.map(|address| Some(address.ip())).collect())
}

fn parameters(config: &PostgresConfig, host: &Host, address: Option<IpAddr>) -> Config {
    let mut parameters = Config::new();
    parameters.host(&host.name).port(host.port.unwrap_or(DEFAULT_PORT));
    if let Some(address) = address {
        parameters.hostaddr(address);
    }
    if let Some(user) = &config.address.username {
        parameters.user(user);
    }
    if let Some(password) = config.address.password.as_ref().map(Secret::expose) {
        parameters.password(password);
    }
    if !config.address.path.is_empty() {
        parameters.dbname(&config.address.path);
    }
    parameters
        .application_name("petasos")
        .ssl_mode(match config.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        })
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(config.connect_timeout)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
    parameters
}

/// Moves the bytes of a connection until it ends.
async fn drive<S, T>(
    mut connection: Connection<S, T>,
    on_notification: Option<OnNotification>,
    closed: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    // Also where the task is aborted.
    let _closed = closed.drop_guard();
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                if let Some(on_notification) = &on_notification {
                    on_notification(notification);
                }
            }
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::debug!(severity = notice.severity(), "{}", notice.message());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %translate(&error, "a connection ended"));
                return;
            }
            None => return,
        }
    }
}

/// Connections for questions: a few, opened when they are needed; more questions wait.
#[derive(Debug)]
pub(super) struct Pool {
    config: PostgresConfig,
    idle: Mutex<Idle>,
    permits: tokio::sync::Semaphore,
}

#[derive(Debug, Default)]
struct Idle {
    sessions: Vec<Arc<Session>>,
    /// Cancelled when all connections of before are given up.
    era: CancellationToken,
}

/// How long one question may take before its connection is given up. A page of a log takes milliseconds.
const QUESTION_PATIENCE: Duration = Duration::from_secs(10);

/// The same for what live streams and leases wait for.
pub(super) const PROMPT: Duration = Duration::from_secs(3);

/// How often one question is asked again because its connection was given up.
const INTERRUPTIONS: u32 = 3;

/// What ends a question.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server or the way to it.
    Engine(tokio_postgres::Error),
    /// What it said cannot be used.
    Answer(TransportError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Engine(error)
    }
}

impl Pool {
    pub(super) fn new(config: PostgresConfig, connections: usize) -> Self {
        let permits = tokio::sync::Semaphore::new(connections);
        Self { config, idle: Mutex::default(), permits }
    }

    /// Asks the server something on a connection of the pool. A connection that turns out to be gone is replaced once:
    /// `ask` must bear being asked twice.
    pub(super) async fn ask<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        what: &str,
        ask: impl Fn(Arc<Session>) -> F + Send + Sync,
    ) -> Result<T, TransportError> {
        self.ask_for(what, QUESTION_PATIENCE, ask).await
    }

    /// As [`Self::ask`], for what may take longer.
    pub(super) async fn ask_for<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        what: &str,
        patience: Duration,
        ask: impl Fn(Arc<Session>) -> F + Send + Sync,
    ) -> Result<T, TransportError> {
        self.ask_up_to(2, what, patience, ask).await
    }

    /// As [`Self::ask_for`], for what must not be done twice: on a new connection.
    pub(super) async fn ask_once<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        what: &str,
        patience: Duration,
        ask: impl Fn(Arc<Session>) -> F + Send + Sync,
    ) -> Result<T, TransportError> {
        self.ask_up_to(1, what, patience, ask).await
    }

    async fn ask_up_to<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        tries: u32,
        what: &str,
        patience: Duration,
        ask: impl Fn(Arc<Session>) -> F + Send + Sync,
    ) -> Result<T, TransportError> {
        let _permit = self.permits.acquire().await.map_err(|_| TransportError::closed())?;
        let is_long = patience > QUESTION_PATIENCE;
        let mut interruptions = 0;
        loop {
            let idle = if tries > 1 { self.take_idle() } else { None };
            let is_fresh = idle.is_none();
            let (session, era) = match idle {
                Some(found) => found,
                None => {
                    let session = Arc::new(Session::open(&self.config, None).await?);
                    (session, self.idle.lock().era.clone())
                }
            };
            let question = async {
                if is_long {
                    session.client.batch_execute(LONG_LIMITS).await?;
                }
                let answer = ask(Arc::clone(&session)).await?;
                if is_long {
                    session.client.batch_execute(LIMITS).await?;
                }
                Ok(answer)
            };
            let answer = tokio::select! {
                answer = timeout(patience, question) => answer.map_err(|_| {
                    TransportError::unavailable(format!(
                        "{what}: the server did not answer within {} s",
                        patience.as_secs()
                    ))
                })?,
                () = era.cancelled(), if !is_long && tries > 1 => {
                    interruptions += 1;
                    if interruptions > INTERRUPTIONS {
                        return Err(TransportError::unavailable(format!("{what}: the connection was given up")));
                    }
                    continue;
                }
            };
            // One with the limits of what takes long is not used for anything else.
            let give_back = || {
                if !era.is_cancelled() {
                    self.give_back(Arc::clone(&session));
                }
            };
            match answer {
                Ok(answer) => {
                    give_back();
                    return Ok(answer);
                }
                Err(Fault::Answer(error)) => {
                    if !is_long {
                        give_back();
                    }
                    return Err(error);
                }
                Err(Fault::Engine(error)) => {
                    if !super::error::is_lost(&error) {
                        if !is_long {
                            give_back();
                        }
                    } else if !is_fresh {
                        continue;
                    }
                    return Err(translate(&error, what));
                }
            }
        }
    }

    fn take_idle(&self) -> Option<(Arc<Session>, CancellationToken)> {
        let mut idle = self.idle.lock();
        idle.sessions.retain(|session| !session.is_closed());
        Some((idle.sessions.pop()?, idle.era.clone()))
    }

    pub(super) fn give_back(&self, session: Arc<Session>) {
        if !self.permits.is_closed() && !session.is_closed() {
            self.idle.lock().sessions.push(session);
        }
    }

    /// Forgets the connections that nobody uses at the moment: they may lead to a server that is no longer the log's.
    pub(super) fn forget_idle(&self) {
        self.idle.lock().sessions.clear();
    }

    /// Gives up all connections, those too that wait for an answer: where one connection was lost the others may be
    /// without a sign. What was asked on them is asked again on new ones.
    pub(super) fn renew(&self) {
        let mut idle = self.idle.lock();
        idle.sessions.clear();
        std::mem::take(&mut idle.era).cancel();
    }

    /// No more questions; connections that are idle are closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.forget_idle();
    }
}
