//! The admin listener: metrics and health. Not for the public: it says why the hub is not ready.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use prometheus_client::{encoding::text::encode, registry::Registry};

use super::{exposition, readiness::Readiness};

/// Where probes ask whether clients should be sent here.
pub(crate) const READY_PATH: &str = "/mercure/health/ready";

/// Where probes ask whether a restart would help.
pub(crate) const LIVE_PATH: &str = "/mercure/health/live";

/// What the resources are answered from.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) readiness: Arc<Readiness>,
    pub(super) registry: Registry,
    /// The name of the hub in paths; where none was given, any name is its name.
    pub(super) name: Option<String>,
}

/// The resources of the admin listener.
pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route(
            READY_PATH,
            get(|State(admin): State<Arc<Admin>>| async move { health(admin.readiness.ready()) }),
        )
        .route(
            LIVE_PATH,
            get(|State(admin): State<Arc<Admin>>| async move { health(admin.readiness.live()) }),
        )
        .route("/mercure/health/{name}/{probe}", get(named))
        .route(
            "/healthz",
            // Asked for liveness by existing deployments: see the one on the public listener.
            get(|State(admin): State<Arc<Admin>>| async move { health(admin.readiness.live()) }),
        )
        .with_state(Arc::new(admin))
}

async fn named(
    State(admin): State<Arc<Admin>>,
    Path((name, probe)): Path<(String, String)>,
) -> Response<String> {
    if admin.name.as_ref().is_some_and(|own| *own != name) {
        return text(StatusCode::NOT_FOUND, "no hub has this name\n".to_owned());
    }
    match probe.as_str() {
        "ready" => health(admin.readiness.ready()),
        "live" => health(admin.readiness.live()),
        _ => text(StatusCode::NOT_FOUND, "ask for ready or live\n".to_owned()),
    }
}

fn health(state: Result<(), String>) -> Response<String> {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response<String> {
    let mut encoded = String::new();
    if encode(&mut encoded, &admin.registry).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n".to_owned());
    }
    let (media_type, body) = if exposition::wants_open_metrics(headers.get(ACCEPT)) {
        (exposition::OPEN_METRICS, encoded)
    } else {
        (exposition::PLAIN, exposition::to_plain(&encoded))
    };
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

fn text(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
