//! Sockets that listen, and the loop that accepts.
//!
//! Concurrency: one task per listener, and one per connection that it spawns into a [`TaskTracker`], so that the drain
//! can wait for them. When there are as many connections as the configuration allows, the loop stops accepting: clients
//! wait in the queue of the kernel, which is bounded. The loop ends with the phase [`Phase::Closing`], after it has taken
//! what is queued.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use petasos_hub::metrics::Metrics;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use super::{
    connection::{Connections, reached},
    drain::Phase,
    socket::SocketOptions,
};

/// How many connections may wait to be accepted; the system may allow fewer. A reconnect storm should fit.
const BACKLOG: i32 = 4096;

/// How long the loop rests when the system has no more file descriptors or memory: long enough not to spin, short enough
/// that nobody notices when they are back.
const MIN_REST: Duration = Duration::from_millis(50);
const MAX_REST: Duration = Duration::from_secs(1);

/// How often the log tells that connections cannot be accepted.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// An address that is taken but where nobody is listened to yet: clients are refused, and another process that wants it
/// is told so.
#[derive(Debug)]
pub(super) struct Bound(Socket);

/// Takes an address: `host:port`, and all interfaces where the host is missing. A name may stand for several addresses.
///
/// # Errors
/// What the system says; the address is in the text.
pub(super) fn bind(address: &str, reuse_port: bool) -> io::Result<Vec<Bound>> {
    let in_words =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    if let Some(port) = address.strip_prefix(':').or_else(|| address.strip_prefix("*:")) {
        let port = port.parse().map_err(|_| in_words(io::Error::other("the port is not a number")))?;
        // One socket for both families, where the machine has both.
        let dual = bind_one(SocketAddr::from(([0_u16; 8], port)), reuse_port);
        let bound = match dual {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                bind_one(SocketAddr::from(([0_u8; 4], port)), reuse_port)
            }
            other => other,
        };
        return Ok(vec![bound.map_err(in_words)?]);
    }
    let mut bound = Vec::new();
    let mut missing = None;
    for resolved in address.to_socket_addrs().map_err(in_words)? {
        match bind_one(resolved, reuse_port) {
            Ok(socket) => bound.push(socket),
            // `localhost` has an IPv6 address on machines without IPv6.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => missing = Some(error),
            Err(error) => return Err(in_words(error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(in_words(error)),
        _ => Ok(bound),
    }
}

fn bind_one(address: SocketAddr, reuse_port: bool) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart need not wait for the connections of the last process.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(Bound(socket))
}

impl Bound {
    /// Lets clients come.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn listen(self) -> io::Result<std::net::TcpListener> {
        self.0.listen(BACKLOG)?;
        Ok(self.0.into())
    }
}

/// What the loops of one hub share.
#[derive(Debug)]
pub(super) struct Acceptor {
    connections: Arc<Connections>,
    /// `None` where there is no limit.
    room: Option<Arc<Semaphore>>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
}

impl Acceptor {
    /// `limit` bounds the connections; zero: no limit.
    pub(super) fn new(connections: Connections, limit: usize, metrics: Arc<Metrics>) -> Self {
        let room = (limit > 0).then(|| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))));
        Self { connections: Arc::new(connections), room, metrics, tasks: TaskTracker::new() }
    }

    /// The connections that are open.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Accepts until the hub closes its listeners.
    ///
    /// # Errors
    /// The listener cannot be used at all.
    pub(super) async fn run(
        self: Arc<Self>,
        listener: std::net::TcpListener,
        options: SocketOptions,
    ) -> io::Result<()> {
        options.apply(&listener)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut phase = self.connections.phase();
        let mut trouble = Trouble::default();
        loop {
            let next = async {
                let permit = self.permit().await;
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
        self.take_queued(&listener.into_std()?);
        Ok(())
    }

    /// Clients in the queue believe that they are connected: closing the listener would reset them (decision 26).
    fn take_queued(&self, listener: &std::net::TcpListener) {
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.spawn(stream, peer, None);
            }
        }
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(self.room.as_ref()?).acquire_owned().await.ok()
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) {
        let connections = Arc::clone(&self.connections);
        let open = OpenGuard::new(Arc::clone(&self.metrics));
        let mut phase = connections.phase();
        self.tasks.spawn(async move {
            tokio::select! {
                () = connections.serve(stream, peer) => {}
                () = reached(&mut phase, Phase::Over) => {}
            }
            drop((permit, open));
        });
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
    told: Option<Instant>,
    untold: u64,
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
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.untold += 1;
        } else {
            let untold = std::mem::take(&mut self.untold);
            tracing::error!(%error, untold, "connections cannot be accepted; trying again");
            self.told = Some(Instant::now());
        }
        let rest = self.rest.map_or(MIN_REST, |rest| (rest * 2).min(MAX_REST));
        self.rest = Some(rest);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_host_is_both_families_on_one_socket() {
        let mut bound = bind(":0", false).expect("a free port");
        assert_eq!(bound.len(), 1);
        let listener = bound.remove(0).listen().expect("listening");
        let port = listener.local_addr().expect("an address").port();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection by IPv4");
    }

    #[test]
    fn nobody_is_listened_to_before_the_hub_is_ready_but_the_address_is_taken() {
        let mut bound = bind("127.0.0.1:0", false).expect("a free port");
        let socket = bound.remove(0);
        let address = socket.0.local_addr().expect("an address").as_socket().expect("of the internet");
        let refused = std::net::TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let _listener = socket.listen().expect("listening");
        std::net::TcpStream::connect(address).expect("a connection");
        let error = bind(&address.to_string(), false).expect_err("taken").to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[test]
    fn two_processes_may_share_a_port_if_both_say_so() {
        let first = bind("127.0.0.1:0", true).expect("a free port").remove(0).listen().expect("listening");
        let address = first.local_addr().expect("an address").to_string();
        bind(&address, true).expect("shared").remove(0).listen().expect("listening");
        assert!(bind(&address, false).is_err());
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        let error = bind("no-such-host.invalid:80", false).expect_err("no such name").to_string();
        assert!(error.contains("no-such-host.invalid:80"), "{error}");
        assert!(bind(":http", false).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_rests_longer_and_longer_and_forgets_it_afterwards() {
        let full = io::Error::from_raw_os_error(24);
        let mut trouble = Trouble::default();
        assert_eq!(trouble.met(&io::ErrorKind::ConnectionAborted.into()), None);
        let rests: Vec<_> = (0..7).filter_map(|_| trouble.met(&full)).collect();
        assert_eq!(rests[..3], [50, 100, 200].map(Duration::from_millis));
        assert_eq!(rests.last(), Some(&MAX_REST));
        assert_eq!(trouble.untold, 6);
        trouble.is_over();
        assert_eq!(trouble.met(&full), Some(MIN_REST));
    }
}
