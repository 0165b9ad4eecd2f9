//! The least that a publish can cost: one thread, one `recv()` and one `send()` for each. With a disk, one write and one
//! `fdatasync()` in between: what a store without group commit does.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use memchr::memmem;
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};

use crate::bench::clock::thread_cpu_ns;

/// What each publisher is answered: as long as what a hub answers.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\n\r\n\
urn:uuid:00000000-0000-4000-8000-000000000000";
/// One read takes a whole request, unless its data is large.
const READ_BUFFER_BYTES: usize = 64 << 10;
const EVENTS: usize = 256;
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

#[derive(Debug, Default)]
struct Shown {
    cpu_ns: AtomicU64,
    quit: AtomicBool,
}

/// The thread, and what it shows.
#[derive(Debug)]
pub(crate) struct PublishLimit {
    address: SocketAddr,
    shown: Arc<Shown>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl PublishLimit {
    /// Starts it; with a directory, each publish is written to a file in it and synced before the answer.
    ///
    /// # Errors
    /// No thread, no port, no file.
    pub(crate) fn start(directory: Option<&Path>) -> io::Result<Self> {
        let disk = directory.map(Disk::create).transpose()?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let shown = Arc::new(Shown::default());
        let server = Server {
            poll,
            listener,
            connections: Vec::new(),
            disk,
            shown: Arc::clone(&shown),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
        };
        let thread = std::thread::Builder::new().name("limit".into()).spawn(move || server.run())?;
        Ok(Self { address, shown, waker, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time of the thread, up to its last wait.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.shown.cpu_ns.load(Ordering::Relaxed)
    }
}

impl Drop for PublishLimit {
    fn drop(&mut self) {
        self.shown.quit.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A file that goes away with it.
struct Disk {
    file: File,
    path: PathBuf,
}

impl Disk {
    fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!("petasos-bench-{}", uuid::Uuid::new_v4()));
        Ok(Self { file: OpenOptions::new().append(true).create_new(true).open(&path)?, path })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Connection {
    stream: TcpStream,
    /// A request that did not come in one piece.
    begun: Vec<u8>,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    disk: Option<Disk>,
    shown: Arc<Shown>,
    buffer: Box<[u8]>,
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.shown.quit.load(Ordering::Relaxed) {
            self.shown.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return;
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => self.accept(),
                    Token(index) => {
                        if self.serve(index).is_err()
                            && let Some(place) = self.connections.get_mut(index)
                        {
                            // The publisher has gone.
                            *place = None;
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let _ = stream.set_nodelay(true);
            let token = Token(self.connections.len());
            if self.poll.registry().register(&mut stream, token, Interest::READABLE).is_ok() {
                self.connections.push(Some(Connection { stream, begun: Vec::new() }));
            }
        }
    }

    /// One read, and one answer if that made a whole request.
    fn serve(&mut self, index: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
        loop {
            let count = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let emptied = count < self.buffer.len();
            let whole = if connection.begun.is_empty() {
                is_whole(&self.buffer[..count])
            } else {
                connection.begun.extend(&self.buffer[..count]);
                is_whole(&connection.begun)
            };
            if whole {
                let request =
                    if connection.begun.is_empty() { &self.buffer[..count] } else { &connection.begun };
                if let Some(disk) = &mut self.disk {
                    disk.write(request)?;
                }
                // It fits into the socket's buffer, which is empty: one update is under way at a time.
                connection.stream.write_all(ANSWER)?;
                connection.begun.clear();
            } else if connection.begun.is_empty() {
                connection.begun.extend(&self.buffer[..count]);
            }
            if emptied {
                return Ok(());
            }
        }
    }
}

/// Whether the body is as long as its head says.
fn is_whole(request: &[u8]) -> bool {
    const LENGTH: &[u8] = b"Content-Length: ";
    let Some(head) = memmem::find(request, b"\r\n\r\n") else { return false };
    let Some(at) = memmem::find(&request[..head], LENGTH) else { return true };
    let digits = request[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length =
        digits.fold(0_usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    request.len() >= head.saturating_add(4).saturating_add(length)
}
