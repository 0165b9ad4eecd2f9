//! The loop that accepts connections.
//!
//! Concurrency: one task per listener, and one per connection that it spawns into a [`TaskTracker`], so that the drain
//! can wait for them. A connection whose stream is served by an event loop of the hub has no task until it comes back. When there are as many connections as the configuration allows, the loop stops accepting: clients
//! wait in the queue of the kernel, which is bounded. The loop ends with the phase [`Phase::Closing`], after it has taken
//! what is queued.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use petasos_hub::{SocketOwner, metrics::Metrics};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use super::{
    bind::BACKLOG,
    connection::{Connections, reached},
    drain::Phase,
    socket::SocketOptions,
    stream::PlainStream,
};

/// How long the loop rests when the system has no more file descriptors or memory: long enough not to spin, short enough
/// that nobody notices when they are back.
const MIN_REST: Duration = Duration::from_millis(50);
const MAX_REST: Duration = Duration::from_secs(1);

/// How often the log tells that connections cannot be accepted, or that there are as many as there may be.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Makes a listener ready for [`Acceptor::run`].
///
/// # Errors
/// What the system says.
pub(super) fn prepare(listener: std::net::TcpListener, options: SocketOptions) -> io::Result<TcpListener> {
    options.apply(&listener)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// What the loops of one hub share.
#[derive(Debug)]
pub(super) struct Acceptor {
    connections: Arc<Connections>,
    /// `None` where there is no limit.
    room: Option<Arc<Semaphore>>,
    options: SocketOptions,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
}

impl Acceptor {
    /// `limit` bounds the connections; `None`: no limit.
    pub(super) fn new(
        connections: Connections,
        limit: Option<usize>,
        options: SocketOptions,
        metrics: Arc<Metrics>,
    ) -> Self {
        let room = limit.map(|limit| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))));
        Self { connections: Arc::new(connections), room, options, metrics, tasks: TaskTracker::new() }
    }

    /// The connections that are open.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Accepts until the hub closes its listeners.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut phase = self.connections.phase();
        let mut trouble = Trouble::default();
        let mut full = Seldom::default();
        loop {
            let next = async {
                let permit = self.permit(&mut full).await;
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                biased;
                () = reached(&mut phase, Phase::Closing) => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer)) => {
                    trouble.is_over();
                    self.spawn(stream, peer, permit);
                }
                Err(error) => {
                    drop(permit);
                    self.metrics.accept_errors_total.inc();
                    if let Some(rest) = trouble.met(&error) {
                        sleep(rest).await;
                    }
                }
            }
        }
        // An error means that the listener is gone already, and its queue with it.
        if let Ok(listener) = listener.into_std() {
            self.take_queued(&listener);
        }
    }

    /// Clients in the queue believe that they are connected: closing the listener would reset them (decision 26).
    fn take_queued(self: &Arc<Self>, listener: &std::net::TcpListener) {
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = listener.accept() else { return };
            let usable = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = usable {
                self.spawn(stream, peer, None);
            }
        }
    }

    async fn permit(&self, full: &mut Seldom) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(self.room.as_ref()?);
        if room.available_permits() == 0 && full.may_tell().is_some() {
            let connections = self.tasks.len();
            tracing::warn!(connections, "there are as many connections as there may be; others wait");
        }
        // The semaphore is never closed.
        room.acquire_owned().await.ok()
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) {
        // A listener for both families sees IPv4 addresses in the disguise of IPv6.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        self.options.stagger(&stream);
        let seat = Seat { _permit: permit, _open: OpenGuard::new(Arc::clone(&self.metrics)) };
        let acceptor = Arc::clone(self);
        self.tasks.spawn(async move {
            let connections = Arc::clone(&acceptor.connections);
            acceptor.serve(connections.serve(stream, peer), peer, seat).await;
        });
    }

    /// Serves a connection, or a part of its life. Where its stream becomes live, an event loop of the hub takes it.
    async fn serve(
        self: &Arc<Self>,
        connection: impl Future<Output = Option<PlainStream>>,
        peer: SocketAddr,
        seat: Seat,
    ) {
        let mut phase = self.connections.phase();
        let live = tokio::select! {
            live = connection => live,
            () = reached(&mut phase, Phase::Over) => None,
        };
        if let Some(live) = live {
            let ends_after = live.ends_after();
            let acceptor = Arc::clone(self);
            live.hand_over(Box::new(Owner { acceptor, runtime: Handle::current(), peer, ends_after, seat }));
        }
    }
}

/// What a connection holds on to for as long as it is open.
struct Seat {
    _permit: Option<OwnedSemaphorePermit>,
    _open: OpenGuard,
}

/// Waits for a socket whose stream an event loop serves, to go on with the connection when the stream has ended.
struct Owner {
    acceptor: Arc<Acceptor>,
    runtime: Handle,
    peer: SocketAddr,
    ends_after: bool,
    seat: Seat,
}

impl SocketOwner for Owner {
    fn give_back(self: Box<Self>, socket: std::net::TcpStream, read_ahead: Bytes) {
        let Self { acceptor, runtime, peer, ends_after, seat } = *self;
        let tasks = acceptor.tasks.clone();
        tasks.spawn_on(
            async move {
                // Fails only where the system has no room to watch it.
                let Ok(socket) = TcpStream::from_std(socket) else { return };
                let connections = Arc::clone(&acceptor.connections);
                acceptor.serve(connections.resume(socket, read_ahead, peer, ends_after), peer, seat).await;
            },
            &runtime,
        );
    }
}

/// Counts a connection as open.
struct OpenGuard(Arc<Metrics>);

impl OpenGuard {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections_open.inc();
        Self(metrics)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.connections_open.dec();
    }
}

/// What to do about connections that cannot be accepted.
#[derive(Debug, Default)]
struct Trouble {
    rest: Option<Duration>,
    log: Seldom,
}

impl Trouble {
    fn is_over(&mut self) {
        self.rest = None;
    }

    /// Tells the log, not too often, and returns how long to rest before the next attempt. Streams that are open are not
    /// touched, and the loop goes on by itself when the system has room again.
    fn met(&mut self, error: &io::Error) -> Option<Duration> {
        // The client gave up while it was queued: nothing that concerns the next one.
        let of_one_client = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        );
        if of_one_client {
            return None;
        }
        if let Some(untold) = self.log.may_tell() {
            tracing::error!(%error, untold, "connections cannot be accepted; trying again");
        }
        let rest = self.rest.map_or(MIN_REST, |rest| (rest * 2).min(MAX_REST));
        self.rest = Some(rest);
        Some(rest)
    }
}

/// Tells the log of something, but not too often.
#[derive(Debug, Default)]
struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Whether to tell now; if so, how often it was not told since the last time.
    fn may_tell(&mut self) -> Option<u64> {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_loop_rests_longer_and_longer_and_forgets_it_afterwards() {
        let full = io::Error::from_raw_os_error(24);
        let mut trouble = Trouble::default();
        assert_eq!(trouble.met(&io::ErrorKind::ConnectionAborted.into()), None);
        let rests: Vec<_> = (0..7).filter_map(|_| trouble.met(&full)).collect();
        assert_eq!(rests[..3], [50, 100, 200].map(Duration::from_millis));
        assert_eq!(rests.last(), Some(&MAX_REST));
        assert_eq!(trouble.log.untold, 6);
        trouble.is_over();
        assert_eq!(trouble.met(&full), Some(MIN_REST));
    }
}
