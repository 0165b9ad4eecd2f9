//! Requests, over HTTP/1.1 byte by byte as they were written, or over HTTP/2 through an ordinary client.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::{
    Answer, Chunk, Connection, End, EventStream,
    answer::list,
    connection::{Head, single_header},
    patiently,
};

/// How a request travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, written by hand.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge, on plaintext.
    Http2,
}

/// A request to be sent.
#[derive(Clone)]
pub struct Request {
    address: SocketAddr,
    protocol: Protocol,
    method: String,
    target: String,
    host: String,
    from: Option<IpAddr>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Bytes>,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// A body that is still coming.
#[derive(Debug)]
pub(crate) enum Body {
    Http1(Box<Connection>, Head),
    Http2(Box<reqwest::Response>),
}

impl Request {
    /// A request without fields and body.
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            address,
            protocol: Protocol::Http1,
            method: method.to_owned(),
            target: target.to_owned(),
            host: address.to_string(),
            from: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Sends it over this protocol.
    #[must_use]
    pub fn over(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Names another host than the address (HTTP/1.1 only).
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Comes from this address of the machine (HTTP/1.1 only).
    #[must_use]
    pub fn from(mut self, address: impl Into<IpAddr>) -> Self {
        self.from = Some(address.into());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Adds `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds `Origin`, as a browser does.
    #[must_use]
    pub fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    /// Adds a form as the body.
    #[must_use]
    pub fn form(self, body: impl Into<Bytes>) -> Self {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    /// Adds a body; its length is declared.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The bytes of the request on HTTP/1.1, for tests that go on from there.
    pub fn bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.extend_from_slice(
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).as_bytes(),
        );
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out.freeze()
    }

    /// Sends it and reads the answer to its end. An event stream is not waited for: its answer comes without a body, so
    /// that a test that expected a refusal fails at once.
    ///
    /// The whole body is written before anything is read, as simple clients do: a hub that refuses early must still
    /// let them read why (P12).
    pub async fn send(self) -> Answer {
        let is_head = self.method == "HEAD";
        let mut opened = self.open().await;
        let endless =
            list(&opened.headers, "content-type").iter().any(|kind| kind.starts_with("text/event-stream"));
        let (body, end) =
            if is_head || endless { (Bytes::new(), End::Clean) } else { opened.body.read_all().await };
        Answer { status: opened.status, headers: opened.headers, body, end }
    }

    /// Sends it and returns the event stream that must open.
    pub async fn stream(self) -> EventStream {
        EventStream::new(self.open().await).await
    }

    pub(crate) async fn open(self) -> Opened {
        match self.protocol {
            Protocol::Http1 => self.open_http1().await,
            Protocol::Http2 => self.open_http2().await,
        }
    }

    async fn open_http1(self) -> Opened {
        let mut connection = match self.from {
            Some(from) => Connection::open_from(from, self.address).await,
            None => Connection::open(self.address).await,
        };
        // An early answer may cut the sending short; then the answer is what counts.
        let _ = connection.try_send(self.bytes()).await;
        let head = patiently("the head of the answer", connection.try_head()).await;
        let head = head.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        Opened {
            status: head.status,
            headers: head.headers.clone(),
            body: Body::Http1(Box::new(connection), head),
        }
    }

    async fn open_http2(self) -> Opened {
        let client = reqwest::Client::builder()
            .http2_prior_knowledge()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap_or_else(|error| panic!("cannot make a client: {error}"));
        let method = reqwest::Method::from_bytes(self.method.as_bytes())
            .unwrap_or_else(|_| panic!("not a method: {}", self.method));
        let mut request = client.request(method, format!("http://{}{}", self.host, self.target));
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let response = patiently("the head of the answer", request.send()).await;
        let response = response.unwrap_or_else(|error| panic!("{self:?}: {error:?}"));
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        Opened {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Body::Http2(Box::new(response)),
        }
    }
}

impl Body {
    /// The next piece: a chunk, or what one DATA frame brought.
    pub(crate) async fn next(&mut self) -> Chunk {
        patiently("the next part of the body", self.next_unhurried()).await
    }

    /// As [`Self::next`], but waits as long as it takes. Safe to drop: nothing that was read is lost.
    pub(crate) async fn next_unhurried(&mut self) -> Chunk {
        match self {
            Self::Http1(connection, head) if head.is_chunked() => connection.chunk_unhurried().await,
            Self::Http1(connection, head) => match connection.body(head).await {
                (body, end) if body.is_empty() => Chunk::End(end),
                (body, _) => Chunk::Data(body),
            },
            Self::Http2(response) => match response.chunk().await {
                Ok(Some(data)) => Chunk::Data(data),
                Ok(None) => Chunk::End(End::Clean),
                Err(error) => Chunk::End(End::Cut(format!("{error:?}"))),
            },
        }
    }

    async fn read_all(&mut self) -> (Bytes, End) {
        if let Self::Http1(connection, head) = self {
            return connection.body(head).await;
        }
        let mut body = BytesMut::new();
        loop {
            match self.next().await {
                Chunk::Data(data) => body.extend_from_slice(&data),
                Chunk::End(end) => return (body.freeze(), end),
            }
        }
    }
}

impl Opened {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        single_header(&self.headers, name)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target: String = self.target.chars().take(200).collect();
        write!(out, "{} {target} over {:?}", self.method, self.protocol)
    }
}
