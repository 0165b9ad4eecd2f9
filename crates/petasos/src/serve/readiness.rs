//! What the probes are answered: whether clients should be sent here now, and whether a restart would help.

use parking_lot::Mutex;
use petasos_hub::Hub;

/// Shared by whoever starts the hub and the admin listener, which answers from the first moment on (decision 3).
#[derive(Debug)]
pub(super) struct Readiness(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    /// Not listening yet; in words, why.
    Starting(String),
    /// From now on the hub knows.
    Started(Hub),
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Stage::Starting("starting".to_owned())))
    }
}

impl Readiness {
    /// The hub cannot start yet.
    pub(super) fn waits(&self, reason: String) {
        *self.0.lock() = Stage::Starting(reason);
    }

    /// The hub listens.
    pub(super) fn started(&self, hub: Hub) {
        *self.0.lock() = Stage::Started(hub);
    }

    /// Whether clients should be sent here.
    ///
    /// # Errors
    /// Why not, for the operator.
    pub(super) fn ready(&self) -> Result<(), String> {
        match &*self.0.lock() {
            Stage::Starting(reason) => Err(reason.clone()),
            Stage::Started(hub) => hub.health().ready,
        }
    }

    /// Whether the process works as well as it can. False only where a restart may help: an engine that is away is none
    /// of its faults (decision 14).
    ///
    /// # Errors
    /// What is stalled, for the operator.
    pub(super) fn live(&self) -> Result<(), String> {
        match &*self.0.lock() {
            Stage::Starting(_) => Ok(()),
            Stage::Started(hub) => hub.health().live,
        }
    }
}
