//! One connection to a hub that takes publishes in order. HTTP/2 where the server speaks it, with several requests under
//! way at once; else HTTP/1.1 with one.
//!
//! Concurrency: each channel owns one task that drives its connection. The task ends when the connection does, and is
//! aborted when the channel is dropped. Requests under way are futures of the caller.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

use super::sniff::Sniffed;
use crate::client::{
    answer::{Answer, MAX_BODY_BYTES},
    connect::{self, HTTP_1, HTTP_2_OR_1, Stream},
    http1::{self, Driver, OpenError, USER_AGENT, X_FORWARDED_PROTO, with_causes},
    target::Target,
};

/// How long an answer may take. A hub whose store is slow makes publishers wait, so this is no short time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a server on a plaintext connection may be silent after the preface of HTTP/2 before it is taken for one
/// that does not speak it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the polite end of a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The connection or one request on it has failed; there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Broken {
    /// In words.
    pub text: String,
    /// The server has certainly not acted on the request.
    pub unprocessed: bool,
}

/// A request under way.
pub(super) type Pending = BoxFuture<'static, Result<Answer, Broken>>;

/// A connection that takes requests.
#[derive(Debug)]
pub(super) struct Channel {
    sender: Sender,
    authorization: Option<HeaderValue>,
    uri: Uri,
    authority: HeaderValue,
    forwarded_proto: Option<HeaderValue>,
    connection: Driver,
}

#[derive(Debug)]
enum Sender {
    Http2(h2::client::SendRequest<Bytes>),
    Http1(http1::Sender),
}

impl Channel {
    /// Opens a connection, with HTTP/2 unless `http1_only` or the server does not speak it. The token is read anew.
    pub(super) async fn open(target: &Target, http1_only: bool) -> Result<Self, OpenError> {
        let authorization = target.token.authorization()?;
        let (sender, connection) = open_sender(target, http1_only).await?;
        let http2 = matches!(sender, Sender::Http2(_));
        // HTTP/2 wants the whole URL for its pseudo-fields, HTTP/1.1 the path and a `Host`.
        let uri = if http2 {
            let mut url = target.url.clone();
            url.set_fragment(None);
            url.as_str().parse()
        } else {
            target.path_with("").parse()
        };
        let uri = uri.map_err(|error: http::uri::InvalidUri| OpenError::Http(error.to_string()))?;
        let authority =
            HeaderValue::from_str(target.authority()).map_err(|error| OpenError::Http(error.to_string()))?;
        let forwarded_proto = target.forwarded_proto();
        Ok(Self { sender, authorization, uri, authority, forwarded_proto, connection })
    }

    /// How many requests may be under way at once.
    pub(super) fn limit(&self) -> usize {
        match &self.sender {
            Sender::Http2(sender) => sender.current_max_send_streams().max(1),
            Sender::Http1(_) => 1,
        }
    }

    /// Whether this is HTTP/1.1.
    pub(super) fn is_http1(&self) -> bool {
        matches!(self.sender, Sender::Http1(_))
    }

    /// The `Authorization` field that this connection's requests bear.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Sends a publish. Its head is on the way before the head of any later one; the answer comes from what is
    /// returned.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<Pending, Broken> {
        let request = self.request(body.len());
        let pending: Pending = match &mut self.sender {
            Sender::Http2(sender) => {
                let ready = timeout(ANSWER_TIMEOUT, poll_fn(|cx| sender.poll_ready(cx)));
                ready.await.map_err(|_| Broken::silent())?.map_err(|error| Broken::http2(&error))?;
                let (response, mut stream) =
                    sender.send_request(request, false).map_err(|error| Broken::http2(&error))?;
                stream.send_data(body, true).map_err(|error| Broken::http2(&error))?;
                Box::pin(async move {
                    let answer = http2_answer(response).await;
                    // Dropping it earlier would reset a stream whose body is still on the way.
                    drop(stream);
                    answer
                })
            }
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|error| Broken::http1(&error))?;
                let response = sender.send_request(request.map(|()| Full::new(body)));
                Box::pin(http1_answer(response))
            }
        };
        Ok(Box::pin(async move {
            match timeout(ANSWER_TIMEOUT, pending).await {
                Ok(answer) => answer,
                Err(_) => Err(Broken::silent()),
            }
        }))
    }

    /// Waits for the end of the connection.
    pub(super) async fn closed(&mut self) {
        // However the task ended, there is no connection any more.
        let _ = (&mut self.connection.0).await;
    }

    /// Says good-bye, where that does not take long.
    pub(super) async fn finish(self) {
        let Self { sender, mut connection, .. } = self;
        // The connection ends by itself when nobody can send on it.
        drop(sender);
        let _ = timeout(CLOSE_TIMEOUT, &mut connection.0).await;
    }

    fn request(&self, body_bytes: usize) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        if let Sender::Http1(_) = self.sender {
            headers.insert(header::HOST, self.authority.clone());
        }
        if let Some(scheme) = &self.forwarded_proto {
            headers.insert(X_FORWARDED_PROTO, scheme.clone());
        }
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body_bytes));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }
}

impl Broken {
    fn silent() -> Self {
        Self { text: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()), unprocessed: false }
    }

    fn http1(error: &hyper::Error) -> Self {
        Self { text: with_causes(error), unprocessed: error.is_canceled() }
    }

    fn http2(error: &h2::Error) -> Self {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        // A graceful GOAWAY fails exactly those streams that it does not cover.
        let left_out =
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        Self { text: with_causes(error), unprocessed: refused || left_out }
    }
}

async fn open_sender(target: &Target, http1_only: bool) -> Result<(Sender, Driver), OpenError> {
    if !http1_only {
        let stream = connect::open(target, HTTP_2_OR_1).await?;
        let plain = matches!(stream, Stream::Plain(_));
        if plain || stream.chose_http2() {
            if let Some(opened) = try_http2(stream).await {
                return Ok(opened);
            }
            if !plain {
                return Err(OpenError::Http("the server chose HTTP/2 and does not speak it".into()));
            }
        } else {
            return open_http1(stream).await;
        }
    }
    open_http1(connect::open(target, HTTP_1).await?).await
}

async fn open_http1(stream: Stream) -> Result<(Sender, Driver), OpenError> {
    let (sender, driver) = http1::handshake(stream).await?;
    Ok((Sender::Http1(sender), driver))
}

/// Speaks HTTP/2 and gives up as soon as what comes back is not.
async fn try_http2(stream: Stream) -> Option<(Sender, Driver)> {
    let (stream, is_http2) = Sniffed::new(stream);
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).initial_max_send_streams(1);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.ok()?;
    let task = Driver(tokio::spawn(async move { drop(connection.await) }));
    match timeout(PREFACE_TIMEOUT, is_http2).await {
        Ok(Ok(true)) => Some((Sender::Http2(sender), task)),
        _ => None,
    }
}

async fn http2_answer(response: h2::client::ResponseFuture) -> Result<Answer, Broken> {
    let (parts, mut stream) = response.await.map_err(|error| Broken::http2(&error))?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.map_err(|error| Broken::http2(&error))?;
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())]);
        if body.len() == MAX_BODY_BYTES {
            break;
        }
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

async fn http1_answer(
    response: impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
) -> Result<Answer, Broken> {
    let (parts, mut incoming) = response.await.map_err(|error| Broken::http1(&error))?.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Broken::http1(&error))?;
        if let Some(chunk) = frame.data_ref() {
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())]);
        }
        if body.len() == MAX_BODY_BYTES {
            break;
        }
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}
