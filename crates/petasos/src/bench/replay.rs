//! One subscriber that resumes, timed to the microsecond: a blocking connection, because nothing else is under way.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use super::{
    body::{Body, Piece},
    clock::now_ns,
    endpoint::Endpoint,
    error::BenchError,
    head,
    marker::{Carry, Finder},
};

/// How long a hub may be silent while something is to come.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// What one read may take.
const READ_BUFFER_BYTES: usize = 256 << 10;
/// How much of a refusal's body is shown.
const REFUSAL_BYTES: usize = 400;

/// When what came, since the request was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replay {
    /// The head of the answer.
    pub(crate) head_ns: u64,
    /// The first update.
    pub(crate) first_ns: u64,
    /// The last of those that were wanted.
    pub(crate) all_ns: u64,
}

/// Sends `request` on a connection that is open already, waits for so many updates, and closes it without reading on.
///
/// # Errors
/// The hub refuses, cuts, or says nothing for too long.
pub(crate) fn replay(
    endpoint: &Endpoint,
    request: &[u8],
    finder: &mut Finder,
    wanted: u64,
) -> Result<Replay, BenchError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => BenchError::Late {
            what: "an update of a resumed stream".into(),
            seconds: SILENCE_LIMIT.as_secs(),
        },
        _ => BenchError::Failed(format!("a stream that was to be resumed broke: {error}")),
    };
    let mut stream = Blocking::open(endpoint).map_err(failed)?;
    let begun = now_ns();
    stream.write_all(request).and_then(|()| stream.flush()).map_err(failed)?;
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut text = Vec::new();
    let head = loop {
        let count = stream.read_some(&mut buffer).map_err(failed)?;
        text.extend(&buffer[..count]);
        if let Some(head) = head::parse(&text).map_err(|error| BenchError::Failed(error.to_string()))? {
            break head;
        }
    };
    let head_ns = now_ns() - begun;
    if head.status != 200 {
        let body = &text[head.length..];
        let text = super::refusal("subscriber", head.status, &body[..body.len().min(REFUSAL_BYTES)]);
        return Err(BenchError::Failed(text));
    }
    let (mut body, mut carry) = (head.body, Carry::default());
    let (mut seen, mut first_ns) = (0, 0);
    let mut piece = text.split_off(head.length);
    loop {
        count(&mut body, &mut carry, finder, &piece, &mut seen)?;
        let passed = now_ns() - begun;
        if seen > 0 && first_ns == 0 {
            first_ns = passed;
        }
        if seen >= wanted {
            return Ok(Replay { head_ns, first_ns, all_ns: passed });
        }
        let count = stream.read_some(&mut buffer).map_err(failed)?;
        piece.clear();
        piece.extend(&buffer[..count]);
    }
}

fn count(
    body: &mut Body,
    carry: &mut Carry,
    finder: &mut Finder,
    bytes: &[u8],
    seen: &mut u64,
) -> Result<(), BenchError> {
    let mut input = bytes;
    loop {
        match body.next(&mut input) {
            Ok(Piece::Data(data)) => finder.scan(carry, data, |_| *seen += 1),
            Ok(Piece::More) => return Ok(()),
            Ok(Piece::End) => {
                return Err(BenchError::Failed("the hub ended a stream that was to be resumed".into()));
            }
            Err(error) => return Err(BenchError::Failed(error.to_string())),
        }
    }
}

enum Blocking {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Blocking {
    /// Connects; with TLS, up to the end of the handshake.
    fn open(endpoint: &Endpoint) -> io::Result<Self> {
        let tcp = TcpStream::connect(endpoint.address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(SILENCE_LIMIT))?;
        // A replay that is not read to its end is cut off, so that the hub does not go on with it.
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
        let Some(tls) = &endpoint.tls else { return Ok(Self::Plain(tcp)) };
        let connection =
            ClientConnection::new(tls.config.clone(), tls.name.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(stream) => stream.read(buffer),
                Self::Tls(stream) => stream.read(buffer),
            };
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
