//! `/healthz`: whether the hub works, in one word. Why it does not is said on the admin listener and in the log only.

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
    let (status, word) = match shared.hub.health().ready {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n"),
    };
    let mut response = super::response::text(status, word);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
