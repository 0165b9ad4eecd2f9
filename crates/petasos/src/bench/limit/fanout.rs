//! The least that a fan-out can cost: one thread, one `send()` of ready bytes for each subscriber and update.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::bench::{
    clock::{SECOND_NS, now_ns, thread_cpu_ns},
    marker::{Marker, RunId},
    pacing::Timetable,
};

/// What each subscriber is answered.
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// As long as the line that a hub's own ids make.
const ID_LINE: &[u8] = b"id: urn:uuid:00000000-0000-4000-8000-000000000000\n";
/// How long a subscriber may take for its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long updates that were due may still be sent when the time is over, as for publishers.
const LATE_LIMIT_NS: u64 = 5 * SECOND_NS;
/// How long the thread sleeps at most before it looks whether the time is over.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A request with a thousand topics is longer than one read; more than this is no request.
const MAX_REQUEST_BYTES: usize = 128 << 10;

/// What the thread is told.
enum Command {
    /// One update.
    One,
    /// Updates at this pace, or without a pause, until it is stopped.
    Load { per_second: Option<f64>, start_ns: u64 },
}

#[derive(Debug, Default)]
struct Shown {
    /// Updates sent to everybody.
    updates: AtomicU64,
    cpu_ns: AtomicU64,
    /// When the time is over; 0 while it is not.
    over_ns: AtomicU64,
    unsent: AtomicU64,
    quit: AtomicBool,
    busy: AtomicBool,
}

/// The thread, and what it shows.
#[derive(Debug)]
pub(crate) struct FanoutLimit {
    address: SocketAddr,
    shown: Arc<Shown>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl FanoutLimit {
    /// Starts it for so many subscribers. With `events_per_send` above 1 each call sends that many updates at once,
    /// which shows what the bench itself can take in.
    ///
    /// # Errors
    /// No thread, no port.
    pub(crate) fn start(
        subscribers: usize,
        run: RunId,
        data_bytes: usize,
        events_per_send: usize,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shown = Arc::new(Shown::default());
        let (commands, told) = mpsc::channel();
        let server = Server {
            shown: Arc::clone(&shown),
            chunk: Chunk::new(run, data_bytes, events_per_send),
            streams: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("limit".into())
            .spawn(move || server.run(&listener, subscribers, &told))?;
        Ok(Self { address, shown, commands, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Updates sent to everybody.
    pub(crate) fn updates(&self) -> u64 {
        self.shown.updates.load(Ordering::Relaxed)
    }

    /// Processor time of the thread, up to its last update.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.shown.cpu_ns.load(Ordering::Relaxed)
    }

    /// Sends one update (or as many as are sent at once).
    pub(crate) fn send_one(&self) {
        self.tell(Command::One);
    }

    /// Begins to send.
    pub(crate) fn begin(&self, per_second: Option<f64>, start_ns: u64) {
        self.shown.over_ns.store(0, Ordering::Relaxed);
        self.tell(Command::Load { per_second, start_ns });
    }

    /// Ends with the last update that is due now.
    pub(crate) fn stop(&self) {
        self.shown.over_ns.store(now_ns(), Ordering::Relaxed);
    }

    /// Updates that were due and never sent.
    pub(crate) fn unsent(&self) -> u64 {
        self.shown.unsent.load(Ordering::Relaxed)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.shown.busy.load(Ordering::Acquire)
    }

    fn tell(&self, command: Command) {
        self.shown.busy.store(true, Ordering::Release);
        // It fails only for a thread that has ended.
        let _ = self.commands.send(command);
    }
}

impl Drop for FanoutLimit {
    fn drop(&mut self) {
        self.stop();
        self.shown.quit.store(true, Ordering::Relaxed);
        // It may be waiting for a subscriber that does not come.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    shown: Arc<Shown>,
    chunk: Chunk,
    streams: Vec<TcpStream>,
}

impl Server {
    fn run(mut self, listener: &TcpListener, subscribers: usize, told: &Receiver<Command>) {
        while self.streams.len() < subscribers {
            let Ok((stream, _)) = listener.accept() else { continue };
            if self.shown.quit.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(stream) = welcome(stream) {
                self.streams.push(stream);
            }
            self.show_cpu();
        }
        while !self.shown.quit.load(Ordering::Relaxed) {
            match told.recv_timeout(Duration::from_millis(100)) {
                Ok(Command::One) => self.send(now_ns()),
                Ok(Command::Load { per_second, start_ns }) => self.load(per_second, start_ns),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.shown.busy.store(false, Ordering::Release);
        }
    }

    fn load(&mut self, per_second: Option<f64>, start_ns: u64) {
        let mut timetable = per_second.map(|rate| Timetable::new(start_ns, rate, 0, 1));
        loop {
            let now = now_ns();
            let over_ns = self.shown.over_ns.load(Ordering::Relaxed);
            let due = timetable.as_ref().map_or(now, Timetable::next_ns);
            if over_ns > 0 && (due >= over_ns || self.shown.quit.load(Ordering::Relaxed)) {
                return;
            }
            if let Some(table) = &mut timetable {
                if over_ns > 0 && now > over_ns + LATE_LIMIT_NS {
                    let unsent = table.give_up(over_ns).count() as u64;
                    self.shown.unsent.fetch_add(unsent, Ordering::Relaxed);
                    return;
                }
                if due > now {
                    self.show_cpu();
                    // Not beyond a stop that comes meanwhile.
                    std::thread::sleep(Duration::from_nanos(due - now).min(LOOK_AGAIN));
                    continue;
                }
                table.advance();
            }
            self.send(due);
        }
    }

    /// The loop whose cost is the limit.
    fn send(&mut self, due_ns: u64) {
        let bytes = self.chunk.fill(due_ns);
        // Sockets block: where a subscriber's buffer is full, the thread waits for it and loses nothing. One that has
        // gone is passed over.
        for stream in &mut self.streams {
            let _ = stream.write_all(bytes);
        }
        self.shown.updates.fetch_add(self.chunk.events as u64, Ordering::Relaxed);
        self.show_cpu();
    }

    fn show_cpu(&self) {
        self.shown.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
    }
}

/// Reads the request of a subscriber and answers it.
fn welcome(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REQUEST_LIMIT))?;
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 || request.len() > MAX_REQUEST_BYTES {
            return Err(io::Error::other("no request"));
        }
        request.extend(&buffer[..count]);
    }
    stream.write_all(HEAD)?;
    Ok(stream)
}

/// Bytes that are ready but for markers.
struct Chunk {
    bytes: Vec<u8>,
    marker_at: Vec<usize>,
    events: usize,
    run: RunId,
    next: u64,
}

impl Chunk {
    fn new(run: RunId, data_bytes: usize, events: usize) -> Self {
        let mut event = [ID_LINE, b"data: "].concat();
        let marker_in_event = event.len();
        event.extend(std::iter::repeat_n(b'x', data_bytes));
        event.extend(b"\n\n");
        let mut bytes = format!("{:x}\r\n", event.len() * events).into_bytes();
        let mut marker_at = Vec::new();
        for _ in 0..events {
            marker_at.push(bytes.len() + marker_in_event);
            bytes.extend(&event);
        }
        bytes.extend(b"\r\n");
        Self { bytes, marker_at, events, run, next: 0 }
    }

    fn fill(&mut self, sent_ns: u64) -> &[u8] {
        for at in &self.marker_at {
            if let Some(place) = self.bytes[*at..].first_chunk_mut() {
                Marker { stream: 0, number: self.next, sent_ns }.write(self.run, place);
            }
            self.next += 1;
        }
        &self.bytes
    }
}
