//! A hub in memory behind its router, and the words to talk to it.

use std::{sync::Arc, time::Duration};

use ::http::{HeaderMap, Request, Response, StatusCode};
use axum::{Router, body::Body};
use http_body_util::BodyExt;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    Hub, HubConfig,
    auth::{Algorithm, AuthConfig, Authenticator, IssuerConfig, KeySource, Secret},
    http::{AppState, HttpConfig, Origins, router},
    transport::{LocalTransport, Transport},
};

pub(super) const HUB: &str = "/.well-known/mercure";
pub(super) const HUB_URL: &str = "http://hub.example/.well-known/mercure";
pub(super) const S: &str = "/.well-known/mercure/subscriptions";
pub(super) const METADATA_URL: &str =
    "http://hub.example/.well-known/oauth-protected-resource/.well-known/mercure";
pub(super) const LISTED: &str = "https://app.example.com";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

const ISSUER: &str = "https://issuer.example";
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct App {
    pub(super) router: Router,
    pub(super) hub: Hub,
}

/// What a hub is made of, before it is.
pub(super) struct Setup {
    pub(super) auth: AuthConfig,
    pub(super) http: HttpConfig,
    pub(super) hub: HubConfig,
}

impl Setup {
    pub(super) async fn start(self) -> App {
        self.start_on(Arc::new(LocalTransport::new())).await
    }

    pub(super) async fn start_on(self, transport: Arc<dyn Transport>) -> App {
        let hub = Hub::builder(transport).config(self.hub).start().await.expect("the hub starts");
        let auth = Arc::new(Authenticator::new(self.auth).expect("the keys are fine"));
        let state = AppState { hub: hub.clone(), auth, config: Arc::new(self.http) };
        App { router: router(state), hub }
    }
}

/// A hub with one issuer, on which everybody needs a token, with subscriptions on.
pub(super) fn secured() -> Setup {
    let key = || Some(KeySource::Static { key: Secret::new(SECRET), algorithm: Algorithm::HS256 });
    let issuer =
        IssuerConfig { id: ISSUER.into(), authorization_server: true, publisher: key(), subscriber: key() };
    Setup {
        auth: AuthConfig {
            issuers: vec![issuer],
            anonymous: false,
            anonymous_publish: false,
            ..AuthConfig::default()
        },
        http: HttpConfig {
            cors_origins: Origins::parse([LISTED]).expect("an origin"),
            publish_origins: Origins::parse([LISTED]).expect("an origin"),
            ..HttpConfig::default()
        },
        hub: HubConfig { subscriptions: true, ..HubConfig::default() },
    }
}

/// The same, open for subscribers.
pub(super) fn anonymous() -> Setup {
    let mut setup = secured();
    setup.auth.anonymous = true;
    setup
}

/// A token for `action` on the topics that are exactly these; `*` is all.
pub(super) fn token(action: &str, topics: &[&str]) -> String {
    let topics: Vec<Value> = topics.iter().map(|topic| json!({ "match": topic })).collect();
    token_with(json!([{
        "type": "https://mercure.rocks/authorization-detail",
        "actions": [action],
        "topics": topics,
    }]))
}

pub(super) fn token_with(details: Value) -> String {
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.typ = Some("at+jwt".into());
    let claims = json!({
        "iss": ISSUER,
        "aud": HUB_URL,
        "sub": "tester",
        "exp": jsonwebtoken::get_current_timestamp() + 3_600,
        "authorization_details": details,
    });
    signed(&header, &claims)
}

/// A token of these very parts.
pub(super) fn signed(header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

/// A request to the hub, whose URL is [`HUB_URL`].
pub(super) fn request(method: &str, target: &str) -> ::http::request::Builder {
    Request::builder().method(method).uri(target).header("host", "hub.example")
}

pub(super) fn get(target: &str) -> Request<Body> {
    request("GET", target).body(Body::empty()).expect("a request")
}

/// A publish with a token for everything.
pub(super) fn post(form: &str) -> Request<Body> {
    post_with(&token("publish", &["*"]), form)
}

pub(super) fn post_with(token: &str, form: &str) -> Request<Body> {
    request("POST", HUB)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", FORM)
        .body(Body::from(form.to_owned()))
        .expect("a request")
}

impl App {
    pub(super) async fn send(&self, request: Request<Body>) -> Response<Body> {
        let answer = tokio::time::timeout(PATIENCE, self.router.clone().oneshot(request)).await;
        match answer.expect("an answer in time") {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The status and the reason code of a refusal.
    pub(super) async fn refused(&self, request: Request<Body>) -> (u16, String) {
        let response = self.send(request).await;
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        let status = response.status();
        assert!(status.is_client_error() || status.is_server_error(), "{status}");
        let body = text(response).await;
        (status.as_u16(), body.lines().next().unwrap_or_default().to_owned())
    }

    pub(super) async fn published(&self, form: &str) -> String {
        let response = self.send(post(form)).await;
        assert_eq!(response.status(), StatusCode::OK);
        text(response).await
    }
}

pub(super) async fn text(response: Response<Body>) -> String {
    let bytes = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.expect("a body in time");
    String::from_utf8(bytes.expect("a body").to_bytes().to_vec()).expect("text")
}

pub(super) async fn json_of(response: Response<Body>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&text(response).await).expect("JSON")
}

/// The names of a response's fields, sorted, without those that differ from response to response.
pub(super) fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// An open stream, read event by event.
pub(super) struct Stream {
    body: Body,
    read: String,
}

impl Stream {
    pub(super) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), read: String::new() }
    }

    /// The next block that has data, without its `id` line.
    pub(super) async fn event(&mut self) -> String {
        loop {
            if let Some(at) = self.read.find("\n\n") {
                let block: String = self.read.drain(..at + 2).collect();
                let lines = block
                    .lines()
                    .filter(|line| !line.starts_with("id: ") && *line != ":" && !line.is_empty());
                return lines.collect::<Vec<_>>().join("\n");
            }
            self.read_more().await.expect("the stream goes on");
        }
    }

    /// The next bytes as they come; `None` at the end.
    pub(super) async fn read_more(&mut self) -> Option<()> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("bytes in time")?;
        let bytes = frame.expect("a stream that does not break").into_data().expect("data");
        self.read.push_str(std::str::from_utf8(&bytes).expect("text"));
        Some(())
    }

    pub(super) fn so_far(&self) -> &str {
        &self.read
    }
}
