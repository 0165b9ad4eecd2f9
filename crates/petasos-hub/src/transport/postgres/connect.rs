//! A connection to the server. Concurrency: one task per connection moves its bytes; it ends with its [`Session`], and
//! the server with it.

use std::{collections::HashMap, sync::Arc, time::Duration};

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
use crate::transport::{ErrorKind, TransportError, remote::Secret};

/// How long logging in may take, beyond the time that connecting to each host may.
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
     SET statement_timeout = '60s'; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '10s'";

/// What is done with notifications.
pub(super) type OnNotification = Box<dyn Fn(Notification) + Send>;

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
    /// Connects to the first of the hosts that takes writes.
    pub(super) async fn open(
        config: &PostgresConfig,
        on_notification: Option<OnNotification>,
    ) -> Result<Self, TransportError> {
        let hosts = u32::try_from(config.address.hosts.len()).unwrap_or(1);
        let patience = config.connect_timeout * hosts + LOGIN_PATIENCE;
        timeout(patience, Self::connect(config, on_notification)).await.unwrap_or_else(|_| {
            Err(TransportError::unavailable(format!(
                "cannot connect to {}: it does not answer within {} s",
                config.address.shown(DEFAULT_PORT),
                patience.as_secs()
            )))
        })
    }

    async fn connect(
        config: &PostgresConfig,
        on_notification: Option<OnNotification>,
    ) -> Result<Self, TransportError> {
        let what = || format!("cannot connect to {}", config.address.shown(DEFAULT_PORT));
        let fail = |error: tokio_postgres::Error| translate(&error, &what());
        let tls = tls::client(config)
            .map_err(|error| TransportError::new(ErrorKind::Invalid, format!("{}: {error}", what())))?;
        let closed = CancellationToken::new();
        let (client, task) = match tls {
            None => {
                let (client, connection) = parameters(config).connect(NoTls).await.map_err(fail)?;
                (client, tokio::spawn(drive(connection, on_notification, closed.clone())))
            }
            Some(tls) => {
                let tls = MakeRustlsConnect::new(tls);
                let (client, connection) = parameters(config).connect(tls).await.map_err(fail)?;
                (client, tokio::spawn(drive(connection, on_notification, closed.clone())))
            }
        };
        let session = Self { client, statements: Mutex::default(), closed, task: task.abort_handle() };
        let mut settings = SETTINGS.to_owned();
        if let Some(value) = config.synchronous_commit {
            settings.push_str(&format!("; SET synchronous_commit = '{value}'"));
        }
        session.client.batch_execute(&settings).await.map_err(fail)?;
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

fn parameters(config: &PostgresConfig) -> Config {
    let mut parameters = Config::new();
    for host in &config.address.hosts {
        parameters.host(&host.name).port(host.port.unwrap_or(DEFAULT_PORT));
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

/// Connections for reads and small writes: a few, opened when they are needed.
#[derive(Debug)]
pub(super) struct Pool {
    config: PostgresConfig,
    idle: Mutex<Vec<Arc<Session>>>,
    permits: tokio::sync::Semaphore,
}

/// Reads that run at once; more wait.
const POOL_CONNECTIONS: usize = 4;

/// How long one question may take before its connection is given up. A page of a log takes milliseconds.
const QUESTION_PATIENCE: Duration = Duration::from_secs(20);

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
    pub(super) fn new(config: PostgresConfig) -> Self {
        let permits = tokio::sync::Semaphore::new(POOL_CONNECTIONS);
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
        loop {
            let idle = if tries > 1 { self.take_idle() } else { None };
            let is_fresh = idle.is_none();
            let session = match idle {
                Some(session) => session,
                None => Arc::new(Session::open(&self.config, None).await?),
            };
            let answer = timeout(patience, ask(Arc::clone(&session))).await.map_err(|_| {
                TransportError::unavailable(format!(
                    "{what}: the server did not answer within {} s",
                    patience.as_secs()
                ))
            })?;
            match answer {
                Ok(answer) => {
                    self.give_back(session);
                    return Ok(answer);
                }
                Err(Fault::Answer(error)) => {
                    self.give_back(session);
                    return Err(error);
                }
                Err(Fault::Engine(error)) => {
                    if !super::error::is_lost(&error) {
                        self.give_back(session);
                    } else if !is_fresh {
                        continue;
                    }
                    return Err(translate(&error, what));
                }
            }
        }
    }

    fn take_idle(&self) -> Option<Arc<Session>> {
        let mut idle = self.idle.lock();
        idle.retain(|session| !session.is_closed());
        idle.pop()
    }

    pub(super) fn give_back(&self, session: Arc<Session>) {
        if !self.permits.is_closed() && !session.is_closed() {
            self.idle.lock().push(session);
        }
    }

    /// Forgets the connections that nobody uses at the moment: they may lead to a server that is no longer the log's.
    pub(super) fn renew(&self) {
        self.idle.lock().clear();
    }

    /// No more questions; connections that are idle are closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}
