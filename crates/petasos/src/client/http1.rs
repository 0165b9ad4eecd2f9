//! What every HTTP/1.1 connection of the client commands needs, and the ways in which opening one fails.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::{
    connect::{ConnectError, Stream},
    credentials::TokenError,
};

/// Named in every request.
pub(super) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("petasos/", env!("CARGO_PKG_VERSION")));

/// The scheme by which a proxy was reached that passes a request on.
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Takes requests, one at a time.
pub(super) type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// Why there is no connection that takes requests.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The connection stands, but HTTP does not.
    #[error("no HTTP connection: {0}")]
    Http(String),
}

/// The task of a connection; it does not outlive its owner.
#[derive(Debug)]
pub(super) struct Driver(pub(super) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes an HTTP/1.1 connection of a stream.
pub(super) async fn handshake(stream: Stream) -> Result<(Sender, Driver), OpenError> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| OpenError::Http(with_causes(&error)))?;
    // Its error is also the error of the request that was under way.
    let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
    Ok((sender, driver))
}

/// An error with what lies behind it, on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
