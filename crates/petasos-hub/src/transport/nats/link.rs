//! A connection to NATS that makes itself again, and what state it is in.
//!
//! The client library's task owns the socket and reconnects for ever; it tells of connections made and lost, in their
//! order, and this file keeps the newest in a `watch` channel: a count of connections, and whether there is one now.
//! Nothing is published while there is none: the library would keep it and send it whenever the server returns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectErrorKind, Event};
use tokio::sync::watch;

use super::config::NatsConfig;
use crate::transport::{ErrorKind, TransportError};

/// How long a connection may take to be made. A server that is paused takes connections and says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the library asks whether the server is there; a connection counts as lost after two that got no answer.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Between attempts to connect, at most.
const LONGEST_DELAY_MS: u64 = 500;

/// What waits in the library for its socket, in commands. More than are ever under way.
const COMMANDS: usize = 4_096;

/// Messages that wait for a subscription to take them. Requests for messages are bounded far below it.
const MESSAGES: usize = 8_192;

/// Which connection there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkState {
    /// How many there have been, this one included.
    pub(super) generation: u64,
    /// Whether it stands.
    pub(super) is_up: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    state: watch::Receiver<LinkState>,
    is_closed: Arc<AtomicBool>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] where nobody answers, [`ErrorKind::Invalid`] where who answers refuses us.
    pub(super) async fn connect(config: &NatsConfig, purpose: &str) -> Result<Self, TransportError> {
        // The library takes the provider of the process, and panics where there is a choice of them.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only where somebody else was faster, which is as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let (changes, state) = watch::channel(LinkState::default());
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        let changes = Arc::new(changes);
        let options = config
            .options()
            .map_err(|error| TransportError::new(ErrorKind::Invalid, error))?
            .name(format!("petasos {purpose}"))
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(None)
            .ping_interval(PING_INTERVAL)
            .client_capacity(COMMANDS)
            .subscription_capacity(MESSAGES)
            .reconnect_delay_callback(move |attempts| {
                if closed.load(Ordering::Acquire) {
                    // The library has no other way to be told that nobody waits any more.
                    return Duration::from_secs(u64::from(u32::MAX));
                }
                let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
                let delay = if attempts <= 1 { 0 } else { (10 << exponent).min(LONGEST_DELAY_MS) };
                Duration::from_millis(delay)
            })
            .event_callback(move |event| {
                match event {
                    Event::Connected => changes.send_modify(|state| {
                        state.generation += 1;
                        state.is_up = true;
                    }),
                    Event::Disconnected | Event::Closed => changes.send_modify(|state| state.is_up = false),
                    _ => {}
                }
                std::future::ready(())
            });
        // It holds buffers of its own.
        let connecting = Box::pin(options.connect(config.servers.clone()));
        let location = &config.location;
        let client = match tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(explain(&error, location)),
            Err(_) => {
                return Err(TransportError::unavailable(format!("{location} does not answer")));
            }
        };
        let link = Self { client, state, is_closed };
        // Told by another task: wait for the word, so that nobody takes the first connection for none.
        link.wait_up(CONNECT_TIMEOUT).await?;
        Ok(link)
    }

    /// Which connection there is.
    pub(super) fn state(&self) -> LinkState {
        *self.state.borrow()
    }

    /// Tells of other connections than the present one.
    pub(super) fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Waits until there is a connection.
    pub(super) async fn wait_up(&self, patience: Duration) -> Result<LinkState, TransportError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(TransportError::closed());
        }
        let mut state = self.state.clone();
        match tokio::time::timeout(patience, state.wait_for(|state| state.is_up)).await {
            Ok(Ok(state)) => Ok(*state),
            _ => Err(lost()),
        }
    }

    /// Lets go: of the connection, and no attempt to make another is made from now on.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        if self.state().is_up {
            // Where it is lost meanwhile, there is nothing to let go of.
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.client.drain()).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
    }
}

/// There is no connection.
pub(super) fn lost() -> TransportError {
    TransportError::unavailable("the connection to NATS is lost; it is tried again")
}

fn explain(error: &async_nats::ConnectError, location: &str) -> TransportError {
    let (kind, text) = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => (
            ErrorKind::Invalid,
            "refuses to let us in: check user and password, token, credentials or nkey, and the permissions of the user"
                .to_owned(),
        ),
        // The library's text of these is the system's or that of rustls.
        kind => (
            ErrorKind::Unavailable,
            match std::error::Error::source(error) {
                Some(source) => format!("cannot be reached: {kind}: {source}"),
                None => format!("cannot be reached: {kind}"),
            },
        ),
    };
    TransportError::new(kind, format!("{location} {text}"))
}
