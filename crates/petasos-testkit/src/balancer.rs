//! A load balancer as small as one can be: it sends each new connection to a process that says it is ready, and passes
//! bytes on. It knows nothing of HTTP beyond the question whether a process is ready.
//!
//! Concurrency: one task accepts, one asks the processes, and each connection is a task of its own. All end with the
//! balancer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{TestHub, health};

/// How often each process is asked whether it is ready: what a real balancer does every few seconds.
pub const HEALTH_INTERVAL: Duration = Duration::from_millis(50);

/// Forwards connections to processes that are ready. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    backends: Backends,
    _tasks: JoinSet<()>,
}

type Backends = Arc<Mutex<Vec<Backend>>>;

#[derive(Clone, Copy, Debug)]
struct Backend {
    address: SocketAddr,
    admin: SocketAddr,
    ready: bool,
}

impl Balancer {
    /// Starts one without any process behind it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let backends = Backends::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&backends)));
        tasks.spawn(ask(Arc::clone(&backends)));
        Self { address, backends, _tasks: tasks }
    }

    /// Puts a process that is ready behind it.
    pub fn add(&self, hub: &TestHub) {
        let (address, admin) = (hub.address(), hub.admin());
        let mut backends = self.backends.lock();
        backends.retain(|backend| backend.address != address);
        backends.push(Backend { address, admin, ready: true });
    }

    /// The hub as its clients see it, whichever process serves it.
    pub fn hub(&self) -> TestHub {
        TestHub::new(self.address, None, true)
    }
}

async fn accept(listener: TcpListener, backends: Backends) {
    let turn = AtomicUsize::new(0);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                connections.spawn(forward(client, candidates(&backends, turn)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The processes that are ready, another one first each time.
fn candidates(backends: &Backends, turn: usize) -> Vec<SocketAddr> {
    let backends = backends.lock();
    let mut ready: Vec<_> =
        backends.iter().filter(|backend| backend.ready).map(|backend| backend.address).collect();
    if !ready.is_empty() {
        let first = turn % ready.len();
        ready.rotate_left(first);
    }
    ready
}

/// Passes bytes on, to the first process that takes the connection. A client for which there is none is closed.
async fn forward(mut client: TcpStream, candidates: Vec<SocketAddr>) {
    for address in candidates {
        if let Ok(mut server) = TcpStream::connect(address).await {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            // However it ended: both sides are closed, and the framing tells the client whether that was clean.
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

async fn ask(backends: Backends) {
    loop {
        let asked = backends.lock().clone();
        for backend in asked {
            let ready = health::status(backend.admin, health::READY).await.is_ok_and(|status| status == 200);
            if let Some(known) = backends.lock().iter_mut().find(|known| known.address == backend.address) {
                known.ready = ready;
            }
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}
