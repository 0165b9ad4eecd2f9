//! `GET`, `HEAD` and `QUERY` on the hub: subscribing (section S).
//!
//! The order of the checks: where the request is for, the names and sizes of its parameters, who asks, the body of a
//! `QUERY`, the matchers (which take time to compile, so nobody gets there without a token where one is needed), the
//! limits on streams, and last the log.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use http::{
    HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE},
    request::Parts,
};
use tokio::time::{Instant, sleep};

use super::{
    ConnectionInfo, Shared,
    body::RequestBody,
    credentials,
    fault::Fault,
    generation::Habits,
    parameters::Parameters,
    publish::require_form,
    request_url::RequestUrl,
    response::{Rejection, Response, empty},
    stream::EventStream,
};
use crate::{
    SubscribeError, SubscribeRequest,
    auth::{Refusal, SubscribeGrant},
    topic::MatchType,
};

static MERCURE_LAST_EVENT_ID: HeaderName = HeaderName::from_static("mercure-last-event-id");
/// The same in the 0.x generation (L06).
static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long the head of a response is held back while the log cannot be read (decision 3). Longer than the restart of an
/// engine takes, shorter than the patience of proxies.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// How often the log is asked again meanwhile.
const LOG_RETRY: Duration = Duration::from_millis(250);

/// Opens a stream, or for `HEAD` answers the fields that it would have (S01).
pub(super) async fn subscribe(shared: &Shared, request: Request) -> Result<Response, Rejection> {
    let (parts, body) = request.into_parts();
    let url = shared.urls.of(&parts)?;
    let mut parameters = Parameters::new(shared.compatible(), Habits::of(&parts));
    if let Some(query) = parts.uri.query() {
        parameters.read(query.as_bytes(), &shared.config.limits)?;
    }
    let grant = if parts.method.as_str() == "QUERY" {
        let mut body = RequestBody::new(body, &parts.headers);
        match authorize_and_read(shared, &parts, &url, &mut body, &mut parameters).await {
            Ok(grant) => grant,
            Err(rejection) => return Err(body.refuse(rejection).await),
        }
    } else {
        authorize(shared, &parts, &url).await?
    };
    let cursor = parameters.cursor(&parts.headers);
    let matchers = parameters.compile(url.base()).await?;
    if parts.method == Method::HEAD {
        let cursor = match cursor {
            Some(cursor) => Some(resolve(shared, &cursor).await?),
            None => None,
        };
        return Ok(with_stream_fields(shared, empty(StatusCode::OK), &parts, cursor.as_deref()));
    }
    let permit = shared.streams.open(url.client(), grant.subject())?;
    let has_patterns = matchers.iter().any(|matcher| matcher.match_type() == MatchType::UrlPattern);
    let base = if has_patterns { Some(shared.bases.enter(url.base())?) } else { None };
    let connection = parts.extensions.get::<ConnectionInfo>();
    let cut = connection.and_then(|connection| connection.cut.clone());
    let mut subscription = open(shared, grant, SubscribeRequest { matchers, cursor, cut }).await?;
    if permit.counts() || base.is_some() {
        subscription.keep((permit, base));
    }
    let cursor = subscription.cursor().map(str::to_owned);
    let response = if connection.is_some_and(|connection| connection.takes_streams) {
        let (body, open) = EventStream::shared(subscription);
        let mut response = Response::new(Body::new(body));
        response.extensions_mut().insert(open);
        response
    } else {
        Response::new(Body::new(EventStream::new(subscription)))
    };
    Ok(with_stream_fields(shared, response, &parts, cursor.as_deref()))
}

async fn authorize(shared: &Shared, parts: &Parts, url: &RequestUrl) -> Result<SubscribeGrant, Rejection> {
    let unauthorized = |refusal: Refusal| Rejection::unauthorized(&refusal, url);
    let habits = Habits::of(parts);
    let credentials = credentials::read(shared, parts, &habits).map_err(unauthorized)?;
    let verdict = shared.auth.subscriber(credentials.token(), url.resource(), url.base()).await;
    credentials::judged(shared, &credentials, &habits, verdict, SubscribeGrant::generation)
        .map_err(unauthorized)
}

async fn authorize_and_read(
    shared: &Shared,
    parts: &Parts,
    url: &RequestUrl,
    body: &mut RequestBody,
    parameters: &mut Parameters,
) -> Result<SubscribeGrant, Rejection> {
    let grant = authorize(shared, parts, url).await?;
    if !body.is_empty() {
        require_form(&parts.headers)?;
        let form = body.read(shared.config.limits.body_bytes).await?;
        parameters.read(&form, &shared.config.limits)?;
    }
    Ok(grant)
}

async fn open(
    shared: &Shared,
    grant: SubscribeGrant,
    request: SubscribeRequest,
) -> Result<crate::Subscription, Rejection> {
    let patience = Patience::new();
    loop {
        match shared.hub.subscribe(grant.clone(), request.clone()).await {
            Ok(subscription) => return Ok(subscription),
            Err(error) => patience.wait_after(error).await?,
        }
    }
}

async fn resolve(shared: &Shared, cursor: &str) -> Result<String, Rejection> {
    let patience = Patience::new();
    loop {
        match shared.hub.resolve_cursor(cursor).await {
            Ok(cursor) => return Ok(cursor),
            Err(error) => patience.wait_after(error).await?,
        }
    }
}

/// Holds a response back while the log cannot be read, and in the end closes the connection without an answer: any status
/// but 200 would make a browser that comes back give up for good (C01).
struct Patience {
    until: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { until: Instant::now() + LOG_PATIENCE }
    }

    /// Waits for a moment if there is time left.
    async fn wait_after(&self, error: SubscribeError) -> Result<(), Rejection> {
        let fault = match error {
            SubscribeError::Unavailable(_) if Instant::now() < self.until => {
                sleep(LOG_RETRY).await;
                return Ok(());
            }
            SubscribeError::Unavailable(_) => Fault::Unavailable,
            SubscribeError::Stopping => Fault::Stopping,
        };
        Err(Rejection::new(fault).because(error.to_string()).retry_after(1).closing().close_without_answer())
    }
}

/// The fields of S01, S10, C04, R02 and L06.
fn with_stream_fields(
    shared: &Shared,
    mut response: Response,
    request: &Parts,
    cursor: Option<&str>,
) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache, no-store, must-revalidate, max-age=0"),
    );
    headers.insert(X_ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"));
    if request.version == Version::HTTP_11 && !wants_close(request) {
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    // Ids have no control characters (P09). Whatever else they have is sent as it is, in UTF-8.
    if let Some(cursor) = cursor.and_then(|cursor| HeaderValue::from_bytes(cursor.as_bytes()).ok()) {
        if shared.compatible() {
            headers.insert(LAST_EVENT_ID.clone(), cursor.clone());
        }
        headers.insert(MERCURE_LAST_EVENT_ID.clone(), cursor);
    }
    response
}

/// Whether the client ends the connection after this request.
fn wants_close(request: &Parts) -> bool {
    let options = request.headers.get_all(CONNECTION).iter();
    options
        .flat_map(|options| options.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::{http::CloseWithoutAnswer, transport::TransportError};

    #[tokio::test(start_paused = true)]
    async fn c01_an_unreadable_log_is_waited_for_and_then_the_connection_closed_without_an_answer() {
        let begun = Instant::now();
        let patience = Patience::new();
        let rejection = loop {
            let error = SubscribeError::Unavailable(TransportError::unavailable("disk on fire"));
            if let Err(rejection) = patience.wait_after(error).await {
                break rejection;
            }
        };
        assert_eq!(begun.elapsed().as_secs(), 10);
        let response = rejection.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        assert!(response.extensions().get::<CloseWithoutAnswer>().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn c01_a_stopping_hub_closes_at_once() {
        let rejection = Patience::new().wait_after(SubscribeError::Stopping).await.expect_err("no patience");
        assert!(rejection.into_response().extensions().get::<CloseWithoutAnswer>().is_some());
    }
}
