//! Which log a command works on.

use std::{path::PathBuf, sync::Arc};

use petasos_hub::transport::{
    Retention, Transport,
    sqlite::{SqliteConfig, SqliteTransport},
};

use super::Failure;
use crate::{
    config::{self, ConfigArgs, TransportConfig},
    serve,
};

/// The flags that say which log.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StoreArgs {
    /// The file of an embedded store. Default: the one of the configuration.
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

impl StoreArgs {
    /// Opens the log, damaged or not. It must exist: looking at a history never makes one.
    pub(super) async fn open(&self) -> Result<Arc<dyn Transport>, Failure> {
        match self.locate()? {
            TransportConfig::Sqlite(config) if !config.path.exists() => Err(Failure::Usage(format!(
                "there is no store at {}: name it with --store, or give the configuration of its hub",
                config.path.display()
            ))),
            TransportConfig::Sqlite(config) => {
                Ok(Arc::new(SqliteTransport::open_even_damaged(config).await?))
            }
            other => Ok(serve::transport::open(&other).await?),
        }
    }

    /// Opens the log, and makes it where there is none yet.
    pub(super) async fn open_or_create(&self) -> Result<Arc<dyn Transport>, Failure> {
        Ok(serve::transport::open(&self.locate()?).await?)
    }

    fn locate(&self) -> Result<TransportConfig, Failure> {
        let mut config = match &self.store {
            Some(path) => TransportConfig::Sqlite(SqliteConfig::new(path)),
            None => {
                let config =
                    config::load(&self.config).map_err(|errors| Failure::Usage(errors.to_string()))?;
                config.transport
            }
        };
        // The hubs discard; a command that looks after their history does not do it by the way, nor take over another.
        match &mut config {
            TransportConfig::Local => return Err(Failure::Usage("local:// keeps no history".into())),
            TransportConfig::Sqlite(config) => {
                config.retention = Retention { events: 0, bytes: 0, age: None };
                config.bolt = None;
            }
            TransportConfig::Remote(config) => config.retention = None,
        }
        Ok(config)
    }
}
