//! One stream: asks a hub for it, judges the answer, hands out the bytes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::timeout;
use url::form_urlencoded::Serializer;

use crate::client::{
    answer::{Answer, MAX_BODY_BYTES, Refused, Verdict, printable},
    connect::{self, HTTP_1},
    http1::{self, Driver, OpenError, USER_AGENT, X_FORWARDED_PROTO, with_causes},
    target::Target,
};

/// How long the head of the answer may take. A hub that cannot read its log holds the head back for a while before it
/// closes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the body of a refusal may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked for, in the terms of S03.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// Exactly this topic.
    Exact(String),
    /// Topics that this URL pattern matches.
    UrlPattern(String),
}

/// From where on (R01 to R03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// What comes from now on.
    Live,
    /// What follows this event; `earliest` stands before everything that is kept.
    After(String),
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Session {
    /// What the hub says it continues after (R02).
    pub(super) continues_after: Option<String>,
    body: Incoming,
    _driver: Driver,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// No connection.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It broke before there was an answer, or there was none.
    #[error("the hub did not answer: {0}")]
    NoAnswer(String),
    /// The hub asks to come back later.
    #[error("the hub cannot be read now: {0}")]
    Later(Refused, Option<Duration>),
    /// Asking again would not help.
    #[error("refused: {0}")]
    Refused(Refused),
    /// Not without a token, or not with this one.
    #[error("not authorized: {0}")]
    NotAuthorized(Refused),
    /// What answers is no hub.
    #[error("this URL does not answer as a hub: {0}")]
    NoHub(String),
}

impl Session {
    /// Asks for a stream.
    pub(super) async fn open(
        target: &Target,
        matchers: &[Matcher],
        cursor: &Cursor,
    ) -> Result<Self, SessionError> {
        let request = request(target, matchers, cursor)?;
        let (mut sender, driver) =
            http1::handshake(connect::open(target, HTTP_1).await.map_err(OpenError::from)?).await?;
        let response = match timeout(HEAD_TIMEOUT, sender.send_request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(SessionError::NoAnswer(with_causes(&error))),
            Err(_) => return Err(SessionError::NoAnswer(format!("silent for {} s", HEAD_TIMEOUT.as_secs()))),
        };
        let (parts, body) = response.into_parts();
        if parts.status != http::StatusCode::OK {
            let body = read_refusal(body).await;
            return Err(judge(Answer { status: parts.status, headers: parts.headers, body }));
        }
        if !is_event_stream(&parts.headers) {
            return Err(SessionError::NoHub("200, but the answer is no event stream".into()));
        }
        Ok(Self { continues_after: continues_after(&parts.headers), body, _driver: driver })
    }

    /// The next bytes; `None` at the clean end of the stream. Nothing is lost when the future is dropped.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(with_causes(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

fn request(
    target: &Target,
    matchers: &[Matcher],
    cursor: &Cursor,
) -> Result<Request<Full<Bytes>>, SessionError> {
    let mut query = Serializer::new(String::new());
    for matcher in matchers {
        match matcher {
            Matcher::Exact(value) => query.append_pair("match", value),
            Matcher::UrlPattern(value) => query.append_pair("match_urlpattern", value),
        };
    }
    if *cursor == Cursor::Live {
        // An empty cursor makes the hub say where "now" is (R02), so that nothing is missed even if the connection is
        // lost before the first event.
        query.append_pair("last_event_id", "");
    }
    // A field loses white space at its ends on the way.
    let fits_field = |id: &String| id.trim_ascii() == id;
    if let Cursor::After(id) = cursor
        && !fits_field(id)
    {
        query.append_pair("last_event_id", id);
    }
    let unusable = |error: &dyn std::error::Error| OpenError::Http(error.to_string());
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::GET;
    *request.uri_mut() =
        target.path_with(&query.finish()).parse().map_err(|error: http::uri::InvalidUri| unusable(&error))?;
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(target.authority()).map_err(|error| unusable(&error))?;
    headers.insert(header::HOST, host);
    if let Some(scheme) = target.forwarded_proto() {
        headers.insert(X_FORWARDED_PROTO, scheme);
    }
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Cursor::After(id) = cursor
        && fits_field(id)
    {
        let id = HeaderValue::from_bytes(id.as_bytes()).map_err(|error| unusable(&error))?;
        headers.insert("last-event-id", id);
    }
    if let Some(authorization) = target.token.authorization().map_err(OpenError::from)? {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    Ok(request)
}

fn judge(answer: Answer) -> SessionError {
    match answer.verdict() {
        Verdict::Accepted(_) => SessionError::NoHub(format!("{} instead of 200", answer.status.as_u16())),
        Verdict::Refused(why) if why.status == http::StatusCode::FORBIDDEN => {
            SessionError::NotAuthorized(why)
        }
        Verdict::Refused(why) => SessionError::Refused(why),
        Verdict::NotAuthorized(why) => SessionError::NotAuthorized(why),
        Verdict::Later { why, after } => SessionError::Later(why, after),
        Verdict::NoHub(why) => SessionError::NoHub(why.to_string()),
    }
}

async fn read_refusal(mut incoming: Incoming) -> Vec<u8> {
    let mut body = Vec::new();
    // Whatever comes is only an explanation.
    let _ = timeout(REFUSAL_TIMEOUT, async {
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Some(chunk) = frame.data_ref() {
                body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())]);
            }
            if body.len() == MAX_BODY_BYTES {
                break;
            }
        }
    })
    .await;
    body
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
}

/// The field of R02, or its name before 1.0.
fn continues_after(headers: &HeaderMap) -> Option<String> {
    let field = headers.get("mercure-last-event-id").or_else(|| headers.get("last-event-id"))?;
    Some(String::from_utf8_lossy(field.as_bytes()).into_owned())
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Live => out.write_str("now"),
            Self::After(id) => out.write_str(&printable(id)),
        }
    }
}
