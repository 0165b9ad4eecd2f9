//! SSE libraries of PyPI.

use serde_json::json;

use crate::{
    driver::Driver,
    hub::{Generation, Hubs},
    survival::{TOPIC, survives},
};

async fn subscriber_survives(library: &str, generation: Generation) {
    let mut hubs = Hubs::start(generation, &[]).await;
    let token = hubs.subscriber_token(&[TOPIC]);
    let settings = json!({
        "library": library,
        "url": hubs.url(TOPIC),
        "headers": { "Authorization": format!("Bearer {token}") },
    });
    let mut client = Driver::python("python/subscribe.py", &settings);
    survives(&mut client, &mut hubs).await;
    client.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_pypi_sseclient_py() {
    subscriber_survives("sseclient-py", Generation::New).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_pypi_httpx_sse() {
    subscriber_survives("httpx-sse", Generation::New).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_pypi_aiohttp_sse_client2() {
    subscriber_survives("aiohttp-sse-client2", Generation::New).await;
}
