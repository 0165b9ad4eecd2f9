//! Opens a connection to a hub: TCP, and TLS where the URL says so.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::target::Target;

/// How long TCP and TLS together may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// After how long without a sign of life the system asks the peer, and how often again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// After how long a peer that acknowledges nothing is given up.
const PEER_TIMEOUT: Duration = Duration::from_secs(60);

/// Names of application protocols (ALPN), most wanted first.
pub type Protocols = &'static [&'static [u8]];

/// Only HTTP/1.1.
pub const HTTP_1: Protocols = &[b"http/1.1"];

/// HTTP/2 if the server can.
pub const HTTP_2_OR_1: Protocols = &[b"h2", b"http/1.1"];

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name is unknown, nobody listens, the network is away.
    #[error("cannot connect to {place}: {error}")]
    Tcp {
        /// `host:port`.
        place: String,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate is not to be trusted. Trying again does not help.
    #[error("the certificate of {place} is not trusted: {error}")]
    Certificate {
        /// `host:port`.
        place: String,
        /// What rustls says.
        error: io::Error,
    },
    /// The TLS handshake failed for another reason.
    #[error("no TLS connection to {place}: {error}")]
    Tls {
        /// `host:port`.
        place: String,
        /// What rustls says.
        error: io::Error,
    },
    /// It took too long.
    #[error("{place} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// `host:port`.
        place: String,
    },
}

impl ConnectError {
    /// Whether trying again later can help.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Certificate { .. })
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// `http`.
    Plain(TcpStream),
    /// `https`.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the server chose HTTP/2; never on a plaintext connection, where nothing is negotiated.
    pub fn chose_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// Opens a connection.
///
/// # Errors
/// What kept it from being opened.
pub async fn open(target: &Target, protocols: Protocols) -> Result<Stream, ConnectError> {
    let place = || format!("{}:{}", target.host, target.port);
    timeout(CONNECT_TIMEOUT, handshakes(target, protocols))
        .await
        .unwrap_or_else(|_| Err(ConnectError::Timeout { place: place() }))
}

async fn handshakes(target: &Target, protocols: Protocols) -> Result<Stream, ConnectError> {
    let place = || format!("{}:{}", target.host, target.port);
    let tcp = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|error| ConnectError::Tcp { place: place(), error })?;
    watch_over(&tcp).map_err(|error| ConnectError::Tcp { place: place(), error })?;
    let Some(tls) = &target.tls else { return Ok(Stream::Plain(tcp)) };
    let mut config = tls.config.clone();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    match TlsConnector::from(Arc::new(config)).connect(tls.name.clone(), tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match cause {
                Some(rustls::Error::InvalidCertificate(_)) => {
                    Err(ConnectError::Certificate { place: place(), error })
                }
                _ => Err(ConnectError::Tls { place: place(), error }),
            }
        }
    }
}

/// A peer that vanished without a word must be noticed: a client that waits for events sends nothing by which it
/// would notice otherwise.
fn watch_over(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = socket2::SockRef::from(tcp);
    let keep_alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    Ok(())
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
