//! The resources of the protocol as an axum router. The only place that knows status codes.

mod bases;
mod body;
mod cors;
mod credentials;
mod envelope;
mod fault;
pub(crate) mod form;
mod forwarded;
mod generation;
mod health;
mod limits;
mod metadata;
mod order;
mod origins;
mod parameters;
mod publish;
mod publish_origin;
mod request_url;
mod response;
mod stream;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use ::http::{HeaderValue, Method, StatusCode, header::ALLOW};
use axum::{
    Router,
    extract::{Request, State},
    middleware::from_fn_with_state,
    routing::any,
};

use self::{
    bases::Bases,
    fault::Fault,
    generation::Generations,
    limits::StreamLimits,
    request_url::RequestUrls,
    response::{Rejection, Response},
};
pub use self::{
    order::{PublishOrder, Turn},
    origins::{OriginError, Origins},
    response::CloseWithoutAnswer,
    stream::OpenStream,
};
use crate::{Hub, UpdateLimits, auth::Authenticator, presence_event::SUBSCRIPTIONS_PATH};

/// The hub's path on every origin it answers on.
pub const HUB_PATH: &str = "/.well-known/mercure";

/// Where the metadata of the protected resource is (D01).
const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

/// Where probes ask.
const HEALTH_PATH: &str = "/healthz";

/// How the resources of the protocol behave.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Origins that browsers may read from (S14).
    pub cors_origins: Origins,
    /// Origins that may publish by cookie (A03).
    pub publish_origins: Origins,
    /// The cookie that carries a token (A02).
    pub cookie_name: String,
    /// The origins of the hub; others get 421 (D02). Empty: any.
    pub public_urls: Vec<url::Url>,
    /// The resource identifier (D02), where it does not follow from the request.
    pub resource_identifier: Option<url::Url>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Limits of requests.
    pub limits: HttpLimits,
}

/// Limits of requests (S07, P12). Where zero means "no limit" it says so.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Body of a `POST` or `QUERY` in bytes; zero: none.
    pub body_bytes: usize,
    /// Matchers of one subscriber.
    pub matchers: usize,
    /// One matcher in bytes.
    pub matcher_bytes: usize,
    /// Length of the request target in bytes.
    pub target_bytes: usize,
    /// Streams in total; zero: no limit (C01).
    pub streams: usize,
    /// Streams of one client address; zero: no limit.
    pub streams_per_address: usize,
    /// Streams of one token subject; zero: no limit.
    pub streams_per_subject: usize,
    /// Limits on the fields of an update.
    pub update: UpdateLimits,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            matchers: 1_000,
            matcher_bytes: 8 << 10,
            target_bytes: 60 << 10,
            streams: 0,
            streams_per_address: 0,
            streams_per_subject: 0,
            update: UpdateLimits::default(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            cors_origins: Origins::default(),
            publish_origins: Origins::default(),
            cookie_name: "__Secure-mercure_access_token".into(),
            public_urls: Vec::new(),
            resource_identifier: None,
            trusted_proxies: Vec::new(),
            limits: HttpLimits::default(),
        }
    }
}

/// What the listener knows of a connection. A listener puts it into the extensions of each request; without it the
/// connection counts as plaintext from an unknown peer, and requests have no order among themselves.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The address of the peer, which may be a proxy.
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Order among the publishes of this connection.
    pub order: PublishOrder,
    /// Cuts the connection when one of its streams has stalled; `None` where connections carry several streams.
    pub cut: Option<Arc<tokio::sync::Notify>>,
    /// Whether the listener takes streams out of their responses: then there is an [`OpenStream`] in the extensions of
    /// a response that has one.
    pub takes_streams: bool,
}

/// What the router is made of.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The hub.
    pub hub: Hub,
    /// Verifies tokens.
    pub auth: Arc<Authenticator>,
    /// How the resources behave.
    pub config: Arc<HttpConfig>,
}

/// The resources of the protocol: the hub, the subscription API, the metadata of the protected resource, and
/// `/healthz`. Every response carries its CORS fields (S14).
pub fn router(state: AppState) -> Router {
    let shared = Arc::new(Shared::new(state));
    let routes = resources().route(HEALTH_PATH, any(health::health));
    wrap(routes, shared)
}

/// [`router`] without `/healthz`, for applications that have one of their own.
pub fn protocol_router(state: AppState) -> Router {
    wrap(resources(), Arc::new(Shared::new(state)))
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    hub: Hub,
    auth: Arc<Authenticator>,
    config: Arc<HttpConfig>,
    urls: RequestUrls,
    streams: StreamLimits,
    bases: Bases,
    generations: Generations,
}

impl Shared {
    fn new(AppState { hub, auth, config }: AppState) -> Self {
        let urls = RequestUrls::new(Arc::clone(&config));
        let streams = StreamLimits::new(&config.limits);
        let (bases, generations) = (Bases::default(), Generations::default());
        Self { hub, auth, config, urls, streams, bases, generations }
    }

    /// The 0.x generation is served as well (section L). A reload of the configuration may end that.
    fn compatible(&self) -> bool {
        self.auth.serves_old_generation()
    }
}

fn resources() -> Router<Arc<Shared>> {
    // Methods are told apart in the handlers, as axum knows no `QUERY`. It matches paths undecoded.
    Router::new()
        .route(HUB_PATH, any(hub))
        .route(SUBSCRIPTIONS_PATH, any(subscriptions::subscriptions))
        .route(&format!("{SUBSCRIPTIONS_PATH}/{{*rest}}"), any(subscriptions::subscriptions))
        .route(METADATA_PATH, any(metadata::metadata))
}

fn wrap(routes: Router<Arc<Shared>>, shared: Arc<Shared>) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(&shared), envelope::envelope)).with_state(shared)
}

async fn hub(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Rejection> {
    match request.method().as_str() {
        "GET" | "HEAD" | "QUERY" => subscribe::subscribe(&shared, request).await,
        "POST" => publish::publish(&shared, request).await,
        _ => other_method(request.method(), "GET, HEAD, POST, QUERY, OPTIONS"),
    }
}

/// The answer to `OPTIONS` that is no preflight, and to methods that the resource does not have.
fn other_method(method: &Method, allow: &'static str) -> Result<Response, Rejection> {
    let allow = HeaderValue::from_static(allow);
    if method == Method::OPTIONS {
        let mut response = response::empty(StatusCode::NO_CONTENT);
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    Err(Rejection::new(Fault::MethodNotAllowed).with(ALLOW, allow))
}
