//! Keys and certificates that change while the hub runs.

use std::{fmt, sync::Arc};

use petasos_hub::auth::{AuthConfig, Authenticator};
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;

use super::{drain::tell_manager, tls::Tls};

/// Reads issuers and keys from the configuration again. Errors are in words, one line each.
type ReadKeys = dyn Fn() -> Result<AuthConfig, String> + Send + Sync;

/// Where the issuers of the hub come from, for those whose keys stand in the configuration or in a file it names.
#[derive(Clone, Default)]
pub(super) struct IssuerSource(Option<Arc<ReadKeys>>);

impl fmt::Debug for IssuerSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("IssuerSource").field(&self.0.is_some()).finish()
    }
}

impl IssuerSource {
    pub(super) fn new(read: impl Fn() -> Result<AuthConfig, String> + Send + Sync + 'static) -> Self {
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
    let auth = Arc::clone(auth);
    let replaced =
        tokio::task::spawn_blocking(move || auth.replace_keys(&read()?).map_err(|error| error.to_string()));
    match replaced.await {
        Ok(Ok(())) => tracing::info!("keys reloaded"),
        Ok(Err(error)) => tracing::warn!(error, "keys not reloaded, the last ones stay in force"),
        Err(error) => tracing::error!(%error, "keys not reloaded"),
    }
}
