//! `/healthz`: whether the hub is alive, in one word. Why it is not is said on the admin listener and in the log only.
//!
//! Existing deployments ask it for liveness too, so that it must not fail for what a restart does not mend, such as a full
//! disk. Whether updates can be stored now is a question for `/mercure/health/ready` of the admin listener.

use std::sync::Arc;

use axum::extract::{Request, State};
use http::{HeaderValue, Method, StatusCode, header::CACHE_CONTROL};

use super::{
    Shared,
    response::{Rejection, Response},
};

/// `GET` and `HEAD` of the health path.
pub(super) async fn health(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Rejection> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return super::other_method(request.method(), "GET, HEAD, OPTIONS");
    }
    let (status, word) = match shared.hub.health().live {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n"),
    };
    let mut response = super::response::text(status, word);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
