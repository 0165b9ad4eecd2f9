//! An HTTP/1.1 connection on which everything is visible: raw bytes out, heads and single chunks in. It knows only as
//! much of HTTP as an honest reader needs, and nothing of the hub.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::patiently;

/// A head longer than this is a mistake of the hub.
const HEAD_LIMIT_BYTES: usize = 256 << 10;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    /// What was read and not yet handed out.
    buffer: BytesMut,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The bytes as they came, for tests that look at the spelling.
    pub raw: Bytes,
}

/// One piece of a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// The payload of one chunk.
    Data(Bytes),
    /// The body ended.
    End(End),
}

/// How a body or a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As the protocol says: terminating chunk, END_STREAM, or all of the declared length.
    Clean,
    /// In any other way, said in words.
    Cut(String),
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// A connection on a socket that is connected already.
    pub fn on(socket: TcpStream) -> Self {
        Self { socket, buffer: BytesMut::new() }
    }

    /// Connects from this address of the machine: every one of 127.0.0.0/8 is one.
    pub async fn open_from(from: IpAddr, address: SocketAddr) -> Self {
        let connecting = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind(SocketAddr::new(from, 0))?;
            socket.connect(address).await
        };
        let socket = patiently("connecting", connecting).await;
        let socket =
            socket.unwrap_or_else(|error| panic!("cannot connect from {from} to {address}: {error}"));
        Self { socket, buffer: BytesMut::new() }
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// What the system says, for instance that nobody listens.
    pub async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let socket = patiently("connecting", TcpStream::connect(address)).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: BytesMut::new() })
    }

    /// Connects, or gives up: a client with sense tries again then. On a cluster a first packet may be lost for good, where a
    /// node is just learning of a Service.
    ///
    /// # Errors
    /// What the system says, or that there was no answer within `limit`.
    pub async fn try_open_within(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let connecting = tokio::time::timeout(limit, TcpStream::connect(address)).await;
        let socket = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: BytesMut::new() })
    }

    /// Writes all of `bytes`.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Writes all of `bytes`, or says why not: the peer may have closed while a body is still being sent.
    ///
    /// # Errors
    /// What the system says.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        patiently("sending", self.socket.write_all(bytes.as_ref())).await
    }

    /// Closes the sending side.
    pub async fn finish_sending(&mut self) {
        // A peer that has closed already is no reason to fail: what it answered can still be read.
        let _ = patiently("half-closing", self.socket.shutdown()).await;
    }

    /// Ends the connection with a reset instead of a close, as a client does that vanishes.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap_or_else(|error| panic!("cannot set SO_LINGER: {error}"));
    }

    /// The next final head; interim answers (1xx) are skipped.
    pub async fn head(&mut self) -> Head {
        self.try_head().await.unwrap_or_else(|error| panic!("no head came: {error}"))
    }

    /// The next final head, or why there is none.
    ///
    /// # Errors
    /// The connection ended before the head did.
    pub async fn try_head(&mut self) -> io::Result<Head> {
        loop {
            let end = loop {
                if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                    break at + 4;
                }
                assert!(self.buffer.len() <= HEAD_LIMIT_BYTES, "the head does not end");
                if self.fill().await? == 0 {
                    let text = if self.buffer.is_empty() {
                        "closed without an answer"
                    } else {
                        "closed within a head"
                    };
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
            };
            let raw = self.buffer.split_to(end).freeze();
            let head = parse_head(raw);
            if head.status >= 200 {
                return Ok(head);
            }
        }
    }

    /// The next chunk of a chunked body. Checks the framing of RFC 9112, 7.1.
    pub async fn chunk(&mut self) -> Chunk {
        patiently("a chunk", self.chunk_unhurried()).await
    }

    /// As [`Self::chunk`], but waits as long as it takes. Safe to drop: nothing that was read is lost.
    pub async fn chunk_unhurried(&mut self) -> Chunk {
        match self.read_chunk().await {
            Ok(Some(data)) => Chunk::Data(data),
            Ok(None) => Chunk::End(End::Clean),
            Err(error) => Chunk::End(End::Cut(error.to_string())),
        }
    }

    /// Reads the body that `head` announces to its end.
    pub async fn body(&mut self, head: &Head) -> (Bytes, End) {
        if head.is_chunked() {
            let mut body = BytesMut::new();
            loop {
                match self.chunk().await {
                    Chunk::Data(data) => body.extend_from_slice(&data),
                    Chunk::End(end) => return (body.freeze(), end),
                }
            }
        }
        let wanted = head.content_length();
        while wanted.is_none_or(|length| self.buffer.len() < length) {
            match patiently("the body", self.fill()).await {
                Ok(0) if wanted.is_none() => return (self.buffer.split().freeze(), End::Clean),
                Ok(0) => return (self.buffer.split().freeze(), End::Cut("closed within a body".into())),
                Ok(_) => {}
                Err(error) => return (self.buffer.split().freeze(), End::Cut(error.to_string())),
            }
        }
        (self.buffer.split_to(wanted.unwrap_or(0)).freeze(), End::Clean)
    }

    /// Waits until the peer closes, and returns what it still sent and how it closed.
    pub async fn closed(&mut self) -> (Bytes, End) {
        loop {
            match patiently("the close", self.fill()).await {
                Ok(0) => return (self.buffer.split().freeze(), End::Clean),
                Ok(_) => {}
                Err(error) => return (self.buffer.split().freeze(), End::Cut(error.to_string())),
            }
        }
    }

    /// Takes nothing from the buffer before the chunk is complete, so that dropping the future loses nothing.
    async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let line_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.fill_more().await?;
        };
        let line = &self.buffer[..line_end];
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|text| usize::from_str_radix(text.split(';').next().unwrap_or(""), 16).ok())
            .unwrap_or_else(|| panic!("not a chunk size: {line:?}"));
        let data_start = line_end + 2;
        while self.buffer.len() < data_start + size + 2 {
            self.fill_more().await?;
        }
        self.buffer.advance(data_start);
        let data = self.buffer.split_to(size).freeze();
        assert_eq!(&self.buffer[..2], b"\r\n", "a chunk must end with CRLF");
        self.buffer.advance(2);
        Ok((size > 0).then_some(data))
    }

    async fn fill_more(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a terminating chunk")),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.socket.read_buf(&mut self.buffer).await
    }
}

impl Head {
    /// The value of a field, if it is there exactly once.
    pub fn header(&self, name: &str) -> Option<&str> {
        single_header(&self.headers, name)
    }

    /// Whether the body comes in chunks.
    pub fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn content_length(&self) -> Option<usize> {
        if self.status == 204 || self.status == 304 {
            return Some(0);
        }
        self.header("content-length")
            .map(|digits| digits.parse().unwrap_or_else(|_| panic!("not a length: {digits:?}")))
    }
}

/// The value of a field that must not be doubled.
pub(crate) fn single_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    assert!(values.next().is_none(), "the field {name} came more than once: {headers:?}");
    Some(std::str::from_utf8(value.as_bytes()).unwrap_or_else(|_| panic!("{name} is not UTF-8: {value:?}")))
}

fn parse_head(raw: Bytes) -> Head {
    let text = String::from_utf8_lossy(&raw);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    assert!(status_line.starts_with("HTTP/1."), "not a status line: {status_line:?}");
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no status in {status_line:?}"));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line:?}"));
        let name: HeaderName = name.parse().unwrap_or_else(|_| panic!("not a field name: {name:?}"));
        let value = HeaderValue::from_bytes(value.trim().as_bytes())
            .unwrap_or_else(|_| panic!("not a field value: {value:?}"));
        headers.append(name, value);
    }
    Head { status, headers, raw }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
