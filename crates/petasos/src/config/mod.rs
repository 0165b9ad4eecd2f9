//! The effective configuration: what the layers (file, environment of the reference hub's image, `PETASOS_*`, flags)
//! come to. The types here are what the rest of the program reads.
//!
//! On its way a value meets: `file`, `environment`, `directive` and `flags`, which collect what was given into `layers`;
//! `dev`, which puts the demo's settings beneath; `reader`, which reads the value in force as what its option needs;
//! `build`, `listen`, `transport` and `auth`, which make the types below. All of them go by the one table in `options`,
//! and all record what is wrong in `problems`, so that everything is told at once.

mod auth;
mod build;
mod dev;
mod directive;
pub mod docs;
mod document;
mod environment;
mod file;
mod flags;
mod issuers;
mod keys;
mod layers;
mod listen;
mod options;
mod origin;
mod problems;
mod reader;
pub mod report;
mod suggest;
mod surroundings;
#[cfg(test)]
mod tests;
mod transport;
mod value;

use std::{path::PathBuf, time::Duration};

use petasos_hub::{
    HubConfig,
    auth::AuthConfig,
    http::HttpConfig,
    transport::{remote::RemoteConfig, sqlite::SqliteConfig},
};

pub use self::{
    flags::OptionFlags,
    surroundings::{Environment, Files, MemoryFiles, RealFiles, Surroundings},
};
use self::{layers::Layers, problems::Problems, reader::Reader};

/// Everything `serve` needs. Made by [`load`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The public listeners.
    pub listeners: Vec<Listener>,
    /// The admin listener (`/metrics`, health); `None` turns it off.
    pub admin_address: Option<String>,
    /// PEM files; `None` means plaintext.
    pub tls: Option<TlsFiles>,
    /// The log.
    pub transport: TransportConfig,
    /// The hub.
    pub hub: HubConfig,
    /// The resources of the protocol.
    pub http: HttpConfig,
    /// Issuers and keys.
    pub auth: AuthConfig,
    /// The listeners' behaviour.
    pub server: ServerConfig,
    /// What is logged and how.
    pub log: LogConfig,
    /// The name of the hub in `/mercure/health/{name}/…`; `None` where none was given.
    pub name: Option<String>,
    /// Demo mode: `--dev`.
    pub dev: Option<DevMode>,
    /// What the operator should be told at start, one line each: warnings and notes, already worded.
    pub notices: Vec<Notice>,
}

/// One public address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`; a missing host is all interfaces (dual stack).
    pub address: String,
}

/// Certificate and key, reloaded when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Which log.
#[derive(Clone, Debug)]
pub enum TransportConfig {
    /// In memory, without history.
    Local,
    /// The embedded store.
    Sqlite(SqliteConfig),
    /// A log on a server.
    Remote(RemoteConfig),
}

/// How listeners behave.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How long a request head may take, and a connection may stay idle before one begins.
    pub head_timeout: Duration,
    /// How long a kept-alive connection may stay idle.
    pub idle_timeout: Duration,
    /// Connections in total; zero: no limit.
    pub connections: usize,
    /// After how long a peer that acknowledges nothing is given up (`TCP_USER_TIMEOUT`, and the keep-alive probes).
    pub peer_timeout: Duration,
    /// How long streams may take to end on shutdown, spread evenly.
    pub drain_timeout: Duration,
    /// How long the listener goes on serving after readiness turned false.
    pub shutdown_delay: Duration,
    /// `SO_REUSEPORT`: two processes on one port of one host.
    pub reuse_port: bool,
    /// `SO_SNDBUF` of accepted connections in bytes; zero leaves the system's choice.
    pub send_buffer_bytes: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connections: 0,
            peer_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            shutdown_delay: Duration::ZERO,
            reuse_port: false,
            send_buffer_bytes: 64 << 10,
        }
    }
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What `--dev` made up.
#[derive(Clone, Debug)]
pub struct DevMode {
    /// The demo secret for both roles, HS256.
    pub secret: petasos_hub::auth::Secret,
    /// The issuer of demo tokens.
    pub issuer: String,
}

/// A line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A warning asks for action, a note does not.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

/// The flags every command that needs the configuration has.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// The configuration file. Default: $PETASOS_CONFIG, petasos.toml, /etc/petasos/petasos.toml
    #[arg(long, short, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Options, `--dev` among them.
    #[command(flatten)]
    pub options: OptionFlags,
}

/// All that is wrong with the configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

/// A configuration, and where its values come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Every value, for `check --print`.
    pub entries: Vec<report::Entry>,
}

/// Reads all layers.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(args: &ConfigArgs) -> Result<Config, ConfigErrors> {
    load_from(args, &Surroundings::of_process()).map(|loaded| loaded.config)
}

/// Reads all layers from these surroundings.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load_from<F: Files>(
    args: &ConfigArgs,
    surroundings: &Surroundings<F>,
) -> Result<Loaded, ConfigErrors> {
    let (environment, files) = (&surroundings.environment, &surroundings.files);
    let mut layers = Layers::default();
    let mut problems = Problems::default();
    file::read(args, environment, files, &mut layers, &mut problems);
    environment::read(environment, files, &mut layers, &mut problems);
    args.options.read(&mut layers);
    let dev = dev::apply(&mut layers, &mut problems);
    let location = transport::read_url(&mut layers, &mut problems);
    layers.tell_overridden(&mut problems);
    let mut config =
        build::build(&mut Reader { layers: &layers, problems: &mut problems }, dev, location, files);
    config.notices = problems.finish()?;
    Ok(Loaded { entries: report::entries(&layers, &config), config })
}
