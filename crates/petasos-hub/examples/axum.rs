//! A hub inside a user's own axum application: in memory, open for reading and, as it is an example, for publishing.
//!
//! ```sh
//! cargo run --example axum
//! curl -N 'http://localhost:3000/.well-known/mercure?match=hello' &
//! curl -d topic=hello -d data=world http://localhost:3000/.well-known/mercure
//! ```

use std::{error::Error, sync::Arc};

use axum::{Router, routing::get};
use petasos_hub::{
    Hub,
    auth::{AuthConfig, Authenticator},
    http::{self, AppState},
    transport::LocalTransport,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::builder(Arc::new(LocalTransport::new())).start().await?;
    let open = AuthConfig { anonymous: true, anonymous_publish: true, ..AuthConfig::default() };
    let state = AppState { hub, auth: Arc::new(Authenticator::new(open)?), config: Arc::default() };

    let app = Router::new().route("/", get(|| async { "my own page" })).merge(http::router(state));

    let listener = tokio::net::TcpListener::bind("localhost:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
