//! Whether an engine works now, as its writer and its tails find out, and told to the operator when it changes.

use parking_lot::Mutex;

use crate::transport::TransportHealth;

/// Shared by all that talk to one engine.
#[derive(Debug)]
pub(in crate::transport) struct Status {
    engine: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Works,
    Failed(String),
    Closed,
}

impl Status {
    /// Of an engine that works.
    pub(in crate::transport) fn new(engine: &'static str) -> Self {
        Self { engine, state: Mutex::new(State::Works) }
    }

    /// An append would fail now, for this reason; without credentials.
    pub(in crate::transport) fn failed(&self, reason: impl std::fmt::Display) {
        let mut state = self.state.lock();
        if *state == State::Works {
            tracing::error!(engine = self.engine, error = %reason, "the engine does not take writes");
        }
        if *state != State::Closed {
            *state = State::Failed(reason.to_string());
        }
    }

    /// It was just seen to take writes.
    pub(in crate::transport) fn works(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Failed(_)) {
            tracing::info!(engine = self.engine, "the engine takes writes again");
            *state = State::Works;
        }
    }

    /// Whether it was last seen not to.
    #[cfg(feature = "postgres")]
    pub(in crate::transport) fn is_failed(&self) -> bool {
        matches!(*self.state.lock(), State::Failed(_))
    }

    /// Nothing will be written any more.
    pub(in crate::transport) fn close(&self) {
        *self.state.lock() = State::Closed;
    }

    /// For probes. A lost engine never makes a hub not live (decision 14): a restart would not bring it back.
    pub(in crate::transport) fn health(&self) -> TransportHealth {
        let ready = match &*self.state.lock() {
            State::Works => Ok(()),
            State::Failed(reason) => Err(reason.clone()),
            State::Closed => Err(format!("the connection to {} is closed", self.engine)),
        };
        TransportHealth { ready, live: Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_engine_is_not_ready_and_a_closed_one_stays_so() {
        let status = Status::new("test");
        assert_eq!(status.health().ready, Ok(()));
        status.failed("gone");
        assert_eq!(status.health(), TransportHealth { ready: Err("gone".into()), live: Ok(()) });
        status.works();
        assert_eq!(status.health().ready, Ok(()));
        status.close();
        status.works();
        status.failed("gone");
        assert!(status.health().ready.is_err_and(|reason| reason.contains("closed")));
    }
}
