//! What refused requests are answered: status, challenge and body, and what the operator's log is told (decision 5). No
//! answer is ever made from an internal error's text.

use std::{
    borrow::Cow,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body::Frame;

use super::{fault::Fault, request_url::RequestUrl};
use crate::auth::{Reason, Refusal, RefusalKind};

/// A response of this hub.
pub(super) type Response = http::Response<Body>;

/// The media type of everything that people may read.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The media type of the documents.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Stands in the extensions of a response that must not be sent: the listener closes the connection (or resets the
/// HTTP/2 stream) without an answer instead, because a reconnecting browser gives up for good on any status but 200
/// (C01). Where no listener understands it, the response is a 503 with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseWithoutAnswer;

/// What the operator is told of a refusal. Stands in the extensions of the response until it is logged.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

/// A request that is refused. Boxed, as it is the rare case of every result in this module.
#[derive(Debug)]
pub(super) struct Rejection(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    sentence: Cow<'static, str>,
    detail: String,
    fields: Vec<(HeaderName, HeaderValue)>,
    close_without_answer: bool,
}

impl Rejection {
    /// A refusal that says no more than its fault.
    pub(super) fn new(fault: Fault) -> Self {
        Self(Box::new(Inner {
            status: fault.status(),
            code: fault.code(),
            sentence: fault.sentence().into(),
            detail: String::new(),
            fields: Vec::new(),
            close_without_answer: false,
        }))
    }

    /// A token that is missing, not valid, or not enough: the challenges of A04 to A06.
    pub(super) fn unauthorized(refusal: &Refusal, url: &RequestUrl) -> Self {
        let (status, error) = match refusal.kind() {
            RefusalKind::MissingToken => (StatusCode::UNAUTHORIZED, None),
            RefusalKind::InvalidToken => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
            RefusalKind::InsufficientScope => (StatusCode::FORBIDDEN, Some("insufficient_scope")),
            RefusalKind::InvalidRequest => (StatusCode::BAD_REQUEST, Some("invalid_request")),
        };
        let code = refusal.reason().as_str();
        let mut challenge = format!("Bearer resource_metadata={}", quoted(&url.metadata_url()));
        if let Some(error) = error {
            challenge.push_str(&format!(", error={}, error_description={}", quoted(error), quoted(code)));
        }
        let fields =
            HeaderValue::try_from(challenge).map(|value| (WWW_AUTHENTICATE, value)).into_iter().collect();
        Self(Box::new(Inner {
            status,
            code,
            sentence: explanation(refusal.reason()).into(),
            detail: refusal.detail().to_owned(),
            fields,
            close_without_answer: false,
        }))
    }

    /// Replaces the sentence for the caller.
    pub(super) fn saying(mut self, sentence: impl Into<Cow<'static, str>>) -> Self {
        self.0.sentence = sentence.into();
        self
    }

    /// Adds what the operator must know.
    pub(super) fn because(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Adds a field to the answer.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.fields.push((name, value));
        self
    }

    /// Asks the caller to come again after so many seconds.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER, seconds.into())
    }

    /// Ends the connection behind the answer: what follows on it cannot be read.
    pub(super) fn closing(self) -> Self {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    /// See [`CloseWithoutAnswer`].
    pub(super) fn close_without_answer(mut self) -> Self {
        self.0.close_without_answer = true;
        self
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &'static str {
        self.0.code
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let Inner { status, code, sentence, detail, fields, close_without_answer } = *self.0;
        let mut response = text(status, format!("{code}\n{sentence}\n"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in fields {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(Refused { code, detail });
        if close_without_answer {
            response.extensions_mut().insert(CloseWithoutAnswer);
        }
        response
    }
}

/// A quoted-string of RFC 9110. The text has no control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

/// A response in plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// A response without a body, and without a length: one of zero would be wrong for `HEAD`, 204 and 304.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::new(Nothing));
    *response.status_mut() = status;
    response
}

struct Nothing;

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// Helps the legitimate caller and discloses nothing of the token or the configuration.
fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::MissingToken => "A token is needed, in an Authorization field or in the cookie of this hub.",
        Reason::MalformedAuthorization => "The Authorization field must be Bearer, a space and one token.",
        Reason::OriginNotAllowed => "Publishing by cookie is allowed to the pages of listed origins only.",
        Reason::MalformedToken => "The token is not a compact JWS with JSON objects in its first two parts.",
        Reason::WrongType => "The header of the token must have the typ at+jwt.",
        Reason::OldToken => {
            "The token belongs to version 0.x of the protocol. Mint one with authorization_details and the typ at+jwt, or \
             have the operator switch on the compatibility mode (protocol_version_compatibility 8)."
        }
        Reason::OldCookie => {
            "A token is needed, and there is only the cookie mercureAuthorization, which belongs to version 0.x of the \
             protocol. Set the cookie of this hub, or have the operator switch on the compatibility mode \
             (protocol_version_compatibility 8)."
        }
        Reason::AuthorizationParameter => {
            "A token is needed, and there is only one of version 0.x of the protocol in the URL. Send one in an \
             Authorization field or in the cookie of this hub, or have the operator switch on the compatibility mode \
             (protocol_version_compatibility 8)."
        }
        Reason::AlgorithmNotAllowed => "The algorithm of the token is not allowed here.",
        Reason::UnsupportedHeader => "The header of the token asks for something that this hub does not do.",
        Reason::UnknownIssuer => "The token does not come from a trusted issuer.",
        Reason::NoKey => "There is no key to verify this token with in this role.",
        Reason::KeysUnavailable => "The keys to verify this token with cannot be loaded now.",
        Reason::BadSignature => "The signature of the token does not verify.",
        Reason::WrongAudience => {
            "The token was not made for this hub: aud must contain its resource identifier."
        }
        Reason::MissingExpiry => "The token must have an exp.",
        Reason::Expired => "The token has expired.",
        Reason::NotYetValid => "The token is not valid yet.",
        Reason::MalformedClaim => "A claim of the token has the wrong type.",
        Reason::MalformedDetails => "The authorization_details of the token are malformed.",
        Reason::TopicNotGranted => "The token does not grant this.",
        _ => "The token is refused.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body_of(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_fault_is_a_status_a_code_on_its_own_line_and_a_sentence() {
        let response = Rejection::new(Fault::TopicParameter).because("for the operator").into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
        let body = body_of(response).await;
        assert_eq!(body.lines().next(), Some("topic_parameter"));
        assert!(body.contains("match_urlpattern") && !body.contains("operator's"));
        assert!(!body.contains("for the operator"));
    }

    #[test]
    fn the_marker_is_on_the_response_that_must_not_be_sent() {
        let response = Rejection::new(Fault::Stopping).retry_after(1).close_without_answer().into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.extensions().get(), Some(&CloseWithoutAnswer));
    }

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(quoted(r#"a"b\c é"#), r#""a\"b\\c é""#);
    }
}
