//! The metadata of the protected resource (D01, RFC 9728): where clients learn which tokens this hub wants.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
};
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use serde::Serialize;

use super::{
    Shared,
    fault::Fault,
    response::{JSON, Rejection, Response},
};

/// The `type` of the authorization details that this hub reads (A13).
const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// `GET` and `HEAD` of the metadata.
pub(super) async fn metadata(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Rejection> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return super::other_method(request.method(), "GET, HEAD, OPTIONS");
    }
    let issuers = &shared.auth.config().issuers;
    let old = shared.auth.config().compatibility.as_ref();
    let has_old_keys = old.is_some_and(|old| old.publisher.is_some() || old.subscriber.is_some());
    if issuers.is_empty() && !has_old_keys {
        return Err(
            Rejection::new(Fault::NotFound).because("this hub checks no tokens: no key is configured")
        );
    }
    let (parts, _) = request.into_parts();
    let url = shared.urls.of(&parts)?;
    let metadata = Metadata {
        resource: url.resource(),
        authorization_servers: issuers
            .iter()
            .filter(|issuer| issuer.authorization_server)
            .map(|issuer| issuer.id.as_str())
            .collect(),
        bearer_methods_supported: ["header"],
        authorization_details_types_supported: [DETAIL_TYPE],
        mercure_cookie: &shared.config.cookie_name,
        mercure_subscriptions: shared.hub.config().subscriptions,
    };
    // Strings and lists of strings: there is nothing in it that could fail.
    let mut response = Response::new(Body::from(serde_json::to_string(&metadata).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    // What it says may depend on the host, and it is small: caches may keep it, and ask again.
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

#[derive(Serialize)]
struct Metadata<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    authorization_details_types_supported: [&'static str; 1],
    mercure_cookie: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mercure_subscriptions: bool,
}
