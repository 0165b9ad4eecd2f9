//! A server that speaks as much of the protocol as a bench needs, and does not keep its promises where a test wants it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What it does wrong, to every fifth update but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nothing; but it tears events apart in the most awkward places that chunks allow.
    Nothing,
    Loses,
    Doubles,
    /// Sends it behind the next one.
    Swaps,
    /// Ends the first subscriber's stream at the tenth update.
    EndsStream,
    /// Stands still for [`STALL`] at the twentieth update, once.
    Stalls,
    /// Answers everybody with 401.
    Refuses,
    /// Answers every fifth publish with 503, without storing it.
    IsBusy,
    /// Breaks the connection of a publisher at every fifth update, after storing it.
    BreaksPublishers,
}

/// How long [`Wrong::Stalls`] takes.
pub(crate) const STALL: Duration = Duration::from_millis(400);

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const REFUSAL: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\nmissing_token";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nurn:x";

#[derive(Default)]
struct State {
    streams: Vec<TcpStream>,
    /// Publishes so far.
    count: u64,
    /// Updates that it did something wrong to.
    wronged: u64,
    held: Option<Vec<u8>>,
}

/// A server on a port of its own; its threads end with the test's process.
pub(crate) struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) fn start(wrong: Wrong) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let accept = move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.expect("a connection"), Arc::clone(&shared));
                // A client that goes ends its thread.
                named(move || drop(serve(stream, wrong, &shared)));
            }
        };
        named(accept);
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hub", self.address)
    }

    /// Updates that it did something wrong to.
    pub(crate) fn wronged(&self) -> u64 {
        self.state.lock().unwrap().wronged
    }
}

fn named(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name("fake".into()).spawn(run).expect("a thread");
}

fn serve(mut stream: TcpStream, wrong: Wrong, state: &Mutex<State>) -> std::io::Result<()> {
    loop {
        let (head, body) = request(&mut stream)?;
        if wrong == Wrong::Refuses {
            stream.write_all(REFUSAL)?;
            continue;
        }
        if head.starts_with("GET ") {
            stream.write_all(HEAD)?;
            state.lock().unwrap().streams.push(stream);
            return Ok(());
        }
        let mut state = state.lock().unwrap();
        let fifth = state.count % 5 == 3;
        state.count += 1;
        if fifth && wrong == Wrong::IsBusy {
            state.wronged += 1;
            stream.write_all(BUSY)?;
            continue;
        }
        if wrong == Wrong::Stalls && state.count == 20 {
            std::thread::sleep(STALL);
        }
        state.deliver(&body, wrong, fifth);
        if fifth && wrong == Wrong::BreaksPublishers {
            state.wronged += 1;
            return Ok(());
        }
        stream.write_all(ANSWER)?;
    }
}

impl State {
    fn deliver(&mut self, body: &str, wrong: Wrong, fifth: bool) {
        let data = body.split("data=").nth(1).expect("data");
        let event = format!("id: urn:x\ndata: {data}\n\n").into_bytes();
        let mut bytes = chunks(&event, if wrong == Wrong::Nothing { 7 } else { event.len() });
        match (fifth, wrong) {
            (true, Wrong::Loses) => bytes.clear(),
            (true, Wrong::Doubles) => bytes.extend(bytes.clone()),
            (true, Wrong::Swaps) => self.held = Some(std::mem::take(&mut bytes)),
            _ => bytes.extend(self.held.take().unwrap_or_default()),
        }
        self.wronged += u64::from(fifth && matches!(wrong, Wrong::Loses | Wrong::Doubles | Wrong::Swaps));
        for stream in &mut self.streams {
            let _ = stream.write_all(&bytes);
        }
        if wrong == Wrong::EndsStream && self.count == 10 {
            let _ = self.streams.remove(0).write_all(b"0\r\n\r\n");
        }
    }
}

/// `bytes` in chunks of this many.
fn chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    bytes.chunks(size).flat_map(chunk).collect()
}

/// Head and body of the next request.
fn request(stream: &mut TcpStream) -> std::io::Result<(String, String)> {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}
