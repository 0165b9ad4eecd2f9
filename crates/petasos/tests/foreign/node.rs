//! EventSources of npm.

use serde_json::json;

use crate::{
    driver::Driver,
    hub::{Generation, Hubs},
    survival::{TOPIC, survives},
};

/// A library that subscribes with a token in `Authorization`, or in a cookie where `cookie` says so.
async fn subscriber_survives(library: &str, generation: Generation, cursor: &str) {
    let mut hubs = Hubs::start(generation, &[]).await;
    let token = hubs.subscriber_token(&[TOPIC]);
    let settings = json!({
        "library": library,
        "url": hubs.url(TOPIC),
        "headers": { "Authorization": format!("Bearer {token}") },
        "types": ["odd"],
        "cursor": cursor,
    });
    let mut client = Driver::node("node/subscribe.cjs", &settings);
    survives(&mut client, &mut hubs).await;
    client.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_npm_eventsource() {
    subscriber_survives("eventsource", Generation::New, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_npm_eventsource_2() {
    subscriber_survives("eventsource-2", Generation::New, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_c05_r01_npm_event_source_polyfill() {
    subscriber_survives("event-source-polyfill", Generation::New, "last_event_id").await;
}
