//! `petasos serve`: the order in which a hub starts and stops.
//!
//! Start: everything that can be wrong with the configuration is found before a socket is bound. Then the addresses are
//! taken, the admin listener answers, the log is opened (and tried again until it can be, decision 3), and only when the
//! hub works is anybody listened to (C01). Stop: see [`drain`].

mod activity;
pub(crate) mod admin;
mod bind;
mod connection;
mod drain;
mod error;
mod exit;
mod exposition;
mod framing;
mod head_timer;
mod listener;
pub(crate) mod process;
mod readiness;
mod reload;
mod service;
mod signals;
mod sniff;
mod socket;
mod start;
mod start_text;
mod stream;
mod tls;
pub(crate) mod transport;
mod wire;

use std::{net::TcpListener, process::ExitCode, sync::Arc, time::Duration};

use listenfd::ListenFd;
use petasos_hub::auth::Authenticator;

pub use self::error::ServeError;
use self::{
    reload::IssuerSource,
    start::{Parts, Public},
    tls::Tls,
};
use crate::{
    config::{self, Config, ConfigArgs, LogFormat},
    telemetry,
};

/// Flags of `petasos serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// How long threads that wait for the disk may hold up the end of the process.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let format = config.log.format;
    match run_threads(config, args.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if format == LogFormat::Json => {
            tracing::error!(%error, "cannot serve");
            error.exit_code()
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &ServeError) -> ExitCode {
    for line in error.to_string().lines() {
        eprintln!("petasos: {line}");
    }
    error.exit_code()
}

/// Reads the configuration, and begins to log as it says.
fn load(args: &ConfigArgs) -> Result<Config, ServeError> {
    let config = config::load(args)?;
    telemetry::init(&config.log).map_err(ServeError::Configuration)?;
    Ok(config)
}

fn run_threads(config: Config, args: ConfigArgs) -> Result<(), ServeError> {
    process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(Box::pin(run_process(config, args)));
    runtime.shutdown_timeout(LAST_THREADS);
    ended
}

/// The hub of a whole process: with signals, and on sockets of its own or of its service manager.
async fn run_process(config: Config, args: ConfigArgs) -> Result<(), ServeError> {
    let shutdown = signals::shutdown()?;
    tell_notices(&config);
    let parts = prepare(&config)?;
    let mut public = inherited()?;
    if public.is_empty() {
        for listener in &config.listeners {
            let bound = bind::bind(&listener.address, config.server.reuse_port)?;
            public.extend(bound.into_iter().map(Public::Bound));
        }
    }
    let admin = start::bind_admin(&config)?;
    let issuers = IssuerSource::new(move || config::load(&args).map_err(|errors| errors.to_string()));
    start::run(config, Parts { issuers, ..parts }, public, admin, shutdown).await
}

/// Runs a hub on these configuration values until `shutdown` resolves, then drains it. What `main` and the tests both
/// call: the tests hand in listeners on free ports.
///
/// # Errors
/// What kept it from starting, for the operator.
pub async fn serve(
    config: Config,
    public: Vec<TcpListener>,
    admin: Option<TcpListener>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let parts = prepare(&config)?;
    let public = public.into_iter().map(Public::Listening).collect();
    start::run(config, parts, public, admin.map(start::AdminSocket::Listening), shutdown).await
}

/// Everything that can be wrong before a socket is bound.
fn prepare(config: &Config) -> Result<Parts, ServeError> {
    let auth = Authenticator::new(config.auth.clone()).map_err(ServeError::configuration)?;
    let tls = config.tls.as_ref().map(Tls::load).transpose().map_err(ServeError::configuration)?;
    Ok(Parts { auth: Arc::new(auth), tls: tls.map(Arc::new), issuers: IssuerSource::default() })
}

/// Sockets that the service manager listens on already.
fn inherited() -> Result<Vec<Public>, ServeError> {
    let mut inherited = ListenFd::from_env();
    let mut public = Vec::new();
    for index in 0..inherited.len() {
        let listener = inherited.take_tcp_listener(index)?;
        public.extend(listener.map(Public::Listening));
    }
    Ok(public)
}

fn tell_notices(config: &Config) {
    for notice in &config.notices {
        if notice.warning {
            tracing::warn!("{}", notice.text);
        } else {
            tracing::info!("{}", notice.text);
        }
    }
}
