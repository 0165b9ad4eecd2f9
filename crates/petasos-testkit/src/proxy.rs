//! A TCP proxy in front of a server, which can do to its connections what networks do: cut them, lose what comes back,
//! or pass nothing and say nothing.
//!
//! Concurrency: one task accepts, and each connection is a task of its own that pumps both ways. All look at one state,
//! which the test changes. They end with the proxy.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use crate::within;

/// What is passed on at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// How long to wait for bytes that a test wants to be lost.
const SWALLOW_LIMIT: Duration = Duration::from_secs(10);

/// What happens to the bytes of all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They are passed on.
    Pass,
    /// Those of the client are passed on, those of the server are thrown away.
    DropReplies,
    /// Nothing is passed, either way. New connections are taken, and lead nowhere until this is over.
    Hold,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections of an earlier generation have been cut.
    generation: u64,
    /// New connections are closed at once.
    refuses: bool,
}

/// Passes bytes between its clients and one server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    dropped_bytes: AtomicUsize,
}

impl Proxy {
    /// Starts one in front of `server`, on an address of its own.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let (state, changes) = watch::channel(State { mode: Mode::Pass, generation: 0, refuses: false });
        let counts = Arc::new(Counts::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, changes, Arc::clone(&counts)));
        Self { address, state, counts, _accepting: accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection with a reset. New ones are passed on.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Ends every connection with a reset, and every new one as soon as it comes, until [`Self::go_on`].
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.generation += 1;
            state.refuses = true;
        });
    }

    /// Throws away what the server sends from now on, until [`Self::go_on`], which does not bring it back: the
    /// connections are to be cut before.
    pub fn drop_replies(&self) {
        self.state.send_modify(|state| state.mode = Mode::DropReplies);
    }

    /// Passes nothing any more, and says nothing, until [`Self::go_on`]: then connections that still stand get what was
    /// sent meanwhile.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.mode = Mode::Hold);
    }

    /// Passes bytes on as in the beginning.
    pub fn go_on(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Pass;
            state.refuses = false;
        });
    }

    /// Connections that were taken so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Bytes of the server that were thrown away so far.
    pub fn dropped_bytes(&self) -> usize {
        self.counts.dropped_bytes.load(Ordering::Relaxed)
    }

    /// Throws away what the server sends, waits until that were some bytes, and cuts the connections: requests that the
    /// server has taken, and that nobody knows the answers of.
    pub async fn lose_replies(&self) {
        let before = self.dropped_bytes();
        self.drop_replies();
        within(SWALLOW_LIMIT, "a reply to be lost", async {
            while self.dropped_bytes() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        self.cut();
        self.go_on();
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    changes: watch::Receiver<State>,
    counts: Arc<Counts>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                counts.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(client, server, changes.clone(), Arc::clone(&counts)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side closes it or it is cut.
async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    mut changes: watch::Receiver<State>,
    counts: Arc<Counts>,
) {
    // Whatever ends this, both sides see a reset: there is no orderly end on a network that fails.
    let _ = client.set_zero_linger();
    let generation = changes.borrow().generation;
    let mut cuts = changes.clone();
    let cut = async {
        let _ = cuts.wait_for(|state| state.refuses || state.generation != generation).await;
    };
    let passing = async {
        let _ = changes.wait_for(|state| state.mode != Mode::Hold).await;
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true), server.set_zero_linger());
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        // Which side ended it does not matter: both do.
        tokio::select! {
            _ = pump(from_client, to_server, changes.clone(), None) => {}
            _ = pump(from_server, to_client, changes.clone(), Some(&counts.dropped_bytes)) => {}
        }
    };
    tokio::select! {
        biased;
        () = cut => {}
        () = passing => {}
    }
}

/// Passes bytes one way. `dropped` counts those that are thrown away, where they may be.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut changes: watch::Receiver<State>,
    dropped: Option<&AtomicUsize>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let state = changes.wait_for(|state| state.mode != Mode::Hold).await;
        let mode = state.map_err(io::Error::other)?.mode;
        match dropped {
            Some(dropped) if mode == Mode::DropReplies => {
                dropped.fetch_add(length, Ordering::Relaxed);
            }
            _ => to.write_all(&buffer[..length]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patiently;

    /// A server that sends back what it gets.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, tasks)
    }

    async fn answer(client: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        client.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        patiently("an answer", client.read_exact(&mut answer)).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn connections_pass_bytes_until_they_are_cut() {
        let (server, _tasks) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(answer(&mut client, b"one").await.expect("an answer"), b"one");
        proxy.cut();
        assert!(patiently("the end", client.read(&mut [0; 1])).await.is_err(), "no reset came");
        let mut client = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(answer(&mut client, b"two").await.expect("an answer"), b"two");
        proxy.refuse();
        let mut late = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert!(answer(&mut late, b"three").await.is_err());
        assert_eq!(proxy.connections(), 3);
    }

    #[tokio::test]
    async fn replies_are_lost_and_what_was_held_comes_later() {
        let (server, _tasks) = echo().await;
        let proxy = Proxy::start(server).await;
        let mut client = TcpStream::connect(proxy.address()).await.expect("a connection");
        client.write_all(b"lost").await.expect("sent");
        // The bytes may have been answered before this: then there must be others.
        let writer = async {
            while proxy.dropped_bytes() == 0 {
                client.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            io::Result::Ok(())
        };
        let (_, ()) = tokio::join!(writer, proxy.lose_replies());
        assert!(proxy.dropped_bytes() > 0);
        let mut client = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(answer(&mut client, b"here").await.expect("an answer"), b"here");
        proxy.hold();
        client.write_all(b"later").await.expect("sent");
        let mut held = [0; 5];
        let waiting = tokio::time::timeout(Duration::from_millis(50), client.read_exact(&mut held)).await;
        assert!(waiting.is_err(), "it was not held");
        proxy.go_on();
        patiently("what was held", client.read_exact(&mut held)).await.expect("an answer");
        assert_eq!(&held, b"later");
    }
}
