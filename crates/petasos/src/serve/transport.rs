//! Opens the log that the configuration names. The only place of the binary that knows all engines.

use std::sync::Arc;

use petasos_hub::transport::ErrorKind;
#[cfg(feature = "nats")]
use petasos_hub::transport::nats::{self, NatsConfig, NatsTransport};
#[cfg(feature = "postgres")]
use petasos_hub::transport::postgres::{PostgresConfig, PostgresTransport};
#[cfg(feature = "redis")]
use petasos_hub::transport::redis::{self, RedisConfig, RedisTransport};
#[cfg(feature = "sqlite")]
use petasos_hub::transport::sqlite::SqliteTransport;
use petasos_hub::transport::{LocalTransport, Transport, TransportError, remote::RemoteConfig};

use crate::config::TransportConfig;

/// Opens the log.
///
/// # Errors
/// [`petasos_hub::transport::ErrorKind::Unavailable`] where another attempt may succeed.
pub(crate) async fn open(config: &TransportConfig) -> Result<Arc<dyn Transport>, TransportError> {
    match config {
        TransportConfig::Local => Ok(Arc::new(LocalTransport::new())),
        #[cfg(feature = "sqlite")]
        TransportConfig::Sqlite(config) => Ok(Arc::new(SqliteTransport::open(config.clone()).await?)),
        #[cfg(not(feature = "sqlite"))]
        TransportConfig::Sqlite(_) => Err(TransportError::new(
            ErrorKind::Invalid,
            "sqlite:// is compiled out of this binary: build it with the feature sqlite, or use local://",
        )),
        TransportConfig::Remote(remote) => open_remote(remote).await,
    }
}

/// Opens a log on a server, and makes it where there is none yet.
pub(crate) async fn open_remote(config: &RemoteConfig) -> Result<Arc<dyn Transport>, TransportError> {
    match config.address.scheme.as_str() {
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "valkey" | "valkeys" => {
            Ok(Arc::new(RedisTransport::open(redis_config(config)?).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Arc::new(PostgresTransport::open(postgres(config)?).await?)),
        #[cfg(feature = "nats")]
        "nats" | "tls" => Ok(Arc::new(NatsTransport::open(nats_config(config)?).await?)),
        scheme => Err(compiled_out(scheme)),
    }
}

/// Says whether a log on a server could be opened, without making or changing anything there.
///
/// # Errors
/// What keeps it from being opened, and the next step.
pub(crate) async fn examine_remote(config: &RemoteConfig) -> Result<String, TransportError> {
    match config.address.scheme.as_str() {
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "valkey" | "valkeys" => redis::examine(&redis_config(config)?).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => petasos_hub::transport::postgres::examine(&postgres(config)?).await,
        #[cfg(feature = "nats")]
        "nats" | "tls" => nats::examine(&nats_config(config)?).await,
        scheme => Err(compiled_out(scheme)),
    }
}

#[cfg(feature = "redis")]
fn redis_config(config: &RemoteConfig) -> Result<RedisConfig, TransportError> {
    RedisConfig::new(config).map_err(|error| TransportError::new(ErrorKind::Invalid, error))
}

/// What a log on a server needs before a hub can open it, made by somebody who may.
#[derive(Debug)]
pub(crate) enum Preparation {
    /// It was made; what was done.
    Done(Vec<String>),
    /// What would make it.
    Sql(String),
}

/// Makes what a hub needs on a server, or says how, and lets `role` use it where one is named.
///
/// # Errors
/// [`ErrorKind::Invalid`] where there is nothing to make, or the user of the URL may not.
pub(crate) async fn prepare_remote(
    config: &RemoteConfig,
    role: Option<&str>,
    only_print: bool,
) -> Result<Preparation, TransportError> {
    match config.address.scheme.as_str() {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            use petasos_hub::transport::postgres::{apply, sql_to_apply};
            let config = postgres(config)?;
            if only_print {
                return sql_to_apply(&config, role).await.map(Preparation::Sql);
            }
            apply(&config, role).await.map(Preparation::Done)
        }
        scheme => {
            let _ = (role, only_print);
            let message = format!("there is nothing to apply: a log on {scheme}:// needs no tables");
            Err(TransportError::new(ErrorKind::Invalid, message))
        }
    }
}

#[cfg(feature = "postgres")]
fn postgres(config: &RemoteConfig) -> Result<PostgresConfig, TransportError> {
    PostgresConfig::new(config).map_err(|error| TransportError::new(ErrorKind::Invalid, error))
}

#[cfg(feature = "nats")]
fn nats_config(config: &RemoteConfig) -> Result<NatsConfig, TransportError> {
    NatsConfig::new(config).map_err(|error| TransportError::new(ErrorKind::Invalid, error))
}

fn compiled_out(scheme: &str) -> TransportError {
    let message =
        format!("{scheme}:// is compiled out of this binary: build it with the feature of its engine");
    TransportError::new(ErrorKind::Invalid, message)
}
