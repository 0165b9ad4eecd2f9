//! Opens the log that the configuration names. The only place of the binary that knows all engines.

use std::sync::Arc;

#[cfg(not(feature = "sqlite"))]
use petasos_hub::transport::ErrorKind;
#[cfg(feature = "sqlite")]
use petasos_hub::transport::sqlite::SqliteTransport;
use petasos_hub::transport::{LocalTransport, Transport, TransportError};

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
    }
}
