//! Keys and certificates that change while the hub runs.

use std::{fmt, sync::Arc};

use petasos_hub::auth::Authenticator;
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;

use super::{drain::tell_manager, tell_notices, tls::Tls};
use crate::config::Config;

/// Reads the configuration again, for its issuers and keys. Errors are in words, one line each.
type ReadConfig = dyn Fn() -> Result<Config, String> + Send + Sync;

/// Where the issuers of the hub come from, for those whose keys stand in the configuration or in a file it names.
#[derive(Clone, Default)]
pub(super) struct IssuerSource(Option<Arc<ReadConfig>>);

impl fmt::Debug for IssuerSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("IssuerSource").field(&self.0.is_some()).finish()
    }
}

impl IssuerSource {
    pub(super) fn new(read: impl Fn() -> Result<Config, String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }
}

/// Reloads everything at each SIGHUP, for ever.
pub(super) async fn at_hangups(
    mut hangups: Signal,
    auth: Arc<Authenticator>,
    issuers: IssuerSource,
    tls: Option<Arc<Tls>>,
) {
    while hangups.recv().await.is_some() {
        tracing::info!("reloading keys and certificates");
        let now = NotifyState::monotonic_usec_now();
        tell_manager(&[Some(NotifyState::Reloading), now.ok()].into_iter().flatten().collect::<Vec<_>>());
        if let Some(tls) = &tls {
            tls.reload_and_tell().await;
        }
        replace_keys(&auth, &issuers).await;
        load_keys(&auth).await;
        tell_manager(&[NotifyState::Ready]);
    }
}

/// Loads key sets, and tells the log of those that cannot be loaded: their last keys stay in force.
pub(super) async fn load_keys(auth: &Authenticator) {
    if let Err(error) = auth.reload().await {
        tracing::warn!(%error, "not all key sets could be loaded");
    }
}

async fn replace_keys(auth: &Arc<Authenticator>, source: &IssuerSource) {
    let Some(read) = source.0.clone() else { return };
    let before = auth.serves_old_generation();
    let replaced = {
        let auth = Arc::clone(auth);
        tokio::task::spawn_blocking(move || {
            let config = read()?;
            auth.replace_keys(&config.auth).map_err(|error| error.to_string())?;
            Ok::<_, String>(config)
        })
    };
    match replaced.await {
        Ok(Ok(config)) => {
            tell_notices(&config);
            let asked_for = config.auth.compatibility.is_some();
            match (before, asked_for) {
                (true, false) => tracing::info!("version 0.x of the protocol is served no more"),
                (false, true) => tracing::warn!(
                    "the configuration asks for version 0.x of the protocol, which a running hub does not begin to serve: a \
                     restart is needed"
                ),
                _ => {}
            }
            tracing::info!("keys reloaded");
        }
        Ok(Err(error)) => tracing::warn!(error, "keys not reloaded, the last ones stay in force"),
        Err(error) => tracing::error!(%error, "keys not reloaded"),
    }
}
