//! How a hub stops (invariant 9, decision 26): readiness turns false, clients of the listener are served for a while, the
//! listener closes, streams end spread over a window, and the log is closed when nobody needs it any more.

use std::{sync::Arc, time::Duration};

use petasos_hub::Hub;
use sd_notify::NotifyState;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::listener::Acceptor;
use crate::config::ServerConfig;

/// How far the stop of a hub has come. Only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Clients are welcome.
    #[default]
    Serving,
    /// Load balancers are told to send nobody any more, and publishers to take another connection. Everybody who comes
    /// nevertheless is served.
    Leaving,
    /// The listeners close, and connections end after what is under way on them.
    Closing,
    /// Connections that are left are cut.
    Over,
}

/// How long connections may take to end after the last stream has: for publishes that wait for their commit, and for
/// clients that read slowly.
const FINISH_TIME: Duration = Duration::from_secs(5);

/// Stops a hub. Returns when its connections are gone.
pub(super) async fn drain(
    hub: &Hub,
    config: &ServerConfig,
    phase: &watch::Sender<Phase>,
    acceptor: &Acceptor,
    mut loops: JoinSet<()>,
) {
    hub.announce_stop();
    tell_manager(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    phase.send_replace(Phase::Leaving);
    tokio::time::sleep(config.shutdown_delay).await;

    phase.send_replace(Phase::Closing);
    while loops.join_next().await.is_some() {}
    acceptor.tasks().close();
    hub.drain(config.drain_timeout).await;
    if timeout(FINISH_TIME, acceptor.tasks().wait()).await.is_err() {
        tracing::warn!(connections = acceptor.tasks().len(), "connections that did not end are cut");
        phase.send_replace(Phase::Over);
        acceptor.tasks().wait().await;
    }
    hub.close().await;
    tracing::info!("stopped");
}

/// Tells the service manager, where there is one. That it cannot be told is no reason for anything.
pub(super) fn tell_manager(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// The phase that a hub's connections follow.
pub(super) fn phases() -> (watch::Sender<Phase>, watch::Receiver<Phase>) {
    watch::channel(Phase::default())
}

/// Stops what has neither streams nor publishers: the admin listener.
pub(super) async fn close(phase: &watch::Sender<Phase>, acceptor: &Arc<Acceptor>) {
    phase.send_replace(Phase::Over);
    acceptor.tasks().close();
    acceptor.tasks().wait().await;
}
