//! What happens to every request and every response alike: a request id, a span, CORS fields, the limit on the request
//! target, one line in the log, and the counts.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::IntoResponse,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{CONNECTION, TRANSFER_ENCODING},
};
use tracing::{Instrument, Span};

use super::{
    ConnectionInfo, HEALTH_PATH, HUB_PATH, METADATA_PATH, Shared,
    cors::{self, Caller},
    fault::Fault,
    generation::Habits,
    order::Turn,
    response::{Refused, Rejection, Response},
};
use crate::{
    metrics::{ReasonLabel, RequestLabels},
    presence_event::SUBSCRIPTIONS_PATH,
};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones are not taken over from the client or its proxy.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Where the path of an unknown resource is cut off in the log.
const MAX_LOGGED_PATH_BYTES: usize = 128;

/// Wraps the resources.
pub(super) async fn envelope(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        // Only publishes have an order. A stream that kept its place would hold up every publish behind it.
        request.extensions_mut().remove::<Turn>();
    }
    let caller = Caller::of(request.headers());
    let resource = resource(request.uri().path());
    let method = method(request.method());
    let id = request_id(request.headers());
    let framing = Framing::of(&request);
    let span = span(&request, resource, method, &id);
    // Requests to what both generations have.
    let habits = (matches!(resource, "hub" | "subscriptions") && !matches!(method, "OPTIONS" | "other"))
        .then(Habits::default);
    request.extensions_mut().insert(habits.clone().unwrap_or_default());

    let mut response = answer(&shared, request, next).instrument(span.clone()).await;

    caller.allow(&shared.config.cors_origins, shared.compatible(), response.headers_mut());
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    framing.finish(response.headers_mut());
    let labels = RequestLabels { resource, method, status: response.status().as_u16() };
    if let Some(habits) = habits {
        shared.generations.count(shared.hub.metrics(), &habits, shared.compatible());
    }
    tell(&shared, labels, response.extensions_mut().remove(), &span);
    response
}

async fn answer(shared: &Shared, request: Request, next: Next) -> Response {
    if request
        .uri()
        .path_and_query()
        .is_some_and(|target| target.as_str().len() > shared.config.limits.target_bytes)
    {
        return Rejection::new(Fault::TargetTooLong).closing().into_response();
    }
    if cors::is_preflight(request.method(), request.headers()) {
        return cors::preflight();
    }
    next.run(request).await
}

/// What the version and the framing of a request mean for the fields of its response.
struct Framing {
    http1: bool,
    chunked: bool,
}

impl Framing {
    fn of(request: &Request) -> Self {
        Self {
            http1: request.version() < Version::HTTP_2,
            chunked: request.headers().contains_key(TRANSFER_ENCODING),
        }
    }

    fn finish(&self, headers: &mut HeaderMap) {
        if !self.http1 {
            // Connections of HTTP/2 are not ended by a field.
            headers.remove(CONNECTION);
        } else if self.chunked {
            // RFC 9112, section 6.1: behind a request with both a length and chunks the connection must be closed, and
            // whether there was a length cannot be seen any more.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

fn tell(shared: &Shared, labels: RequestLabels, refused: Option<Refused>, span: &Span) {
    let metrics = shared.hub.metrics();
    let status = labels.status;
    metrics.requests_total.get_or_create(&labels).inc();
    match refused {
        Some(Refused { code, detail }) => {
            metrics.refusals_total.get_or_create(&ReasonLabel { reason: code }).inc();
            span.in_scope(|| tracing::info!(status, reason = code, detail, "refused"));
        }
        None => span.in_scope(|| tracing::debug!(status, "answered")),
    }
}

fn span(request: &Request, resource: &'static str, method: &'static str, id: &HeaderValue) -> Span {
    let path = match resource {
        // What stands behind it is a matcher, and that may be private.
        "subscriptions" => SUBSCRIPTIONS_PATH,
        _ => start_of(request.uri().path()),
    };
    let peer = request.extensions().get::<ConnectionInfo>().map(|connection| connection.peer);
    let id = id.to_str().unwrap_or_default();
    tracing::info_span!("request", id, method, path, peer = peer.map(tracing::field::display))
}

fn start_of(path: &str) -> &str {
    &path[..path.floor_char_boundary(MAX_LOGGED_PATH_BYTES)]
}

/// As the label of a metric.
fn resource(path: &str) -> &'static str {
    match path {
        HUB_PATH => "hub",
        METADATA_PATH => "metadata",
        HEALTH_PATH => "health",
        _ => match path.strip_prefix(SUBSCRIPTIONS_PATH) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => "subscriptions",
            _ => "other",
        },
    }
}

/// As the label of a metric.
fn method(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "QUERY", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// The request id that came with the request, if it is fit for a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:/+=".contains(byte);
        !id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES && id.as_bytes().iter().all(plain)
    };
    headers.get(&REQUEST_ID).filter(fit).cloned().unwrap_or_else(|| {
        let id = format!("{:016x}", rand::random::<u64>());
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_taken_over_only_where_they_are_fit_for_a_log() {
        let given = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID.clone(), HeaderValue::from_bytes(id).expect("a field value"));
            request_id(&headers)
        };
        assert_eq!(
            given(b"Root=1-67891233-abcdef012345678912345678"),
            "Root=1-67891233-abcdef012345678912345678"
        );
        for id in [&b""[..], b"a b", b"a\"b", b"\xff", &[b'x'; 129]] {
            let made = given(id);
            assert_ne!(made.as_bytes(), id);
            assert_eq!(made.len(), 16);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn labels_are_of_a_fixed_set() {
        assert_eq!(resource("/.well-known/mercure"), "hub");
        assert_eq!(resource("/.well-known/mercure/subscriptions"), "subscriptions");
        assert_eq!(resource("/.well-known/mercure/subscriptions/exact/x"), "subscriptions");
        assert_eq!(resource("/.well-known/mercure/subscriptionsx"), "other");
        assert_eq!(resource("/healthz"), "health");
        assert_eq!(method(&Method::from_bytes(b"QUERY").expect("a method")), "QUERY");
        assert_eq!(method(&Method::from_bytes(b"BREW").expect("a method")), "other");
    }

    #[test]
    fn the_logged_path_is_cut_off_between_characters() {
        let path = format!("/{}", "é".repeat(200));
        assert!(start_of(&path).len() <= MAX_LOGGED_PATH_BYTES);
        assert_eq!(start_of("/x"), "/x");
    }
}
