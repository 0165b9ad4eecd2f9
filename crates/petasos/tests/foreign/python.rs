//! SSE libraries of PyPI, of both generations.

use serde_json::json;

use crate::{
    driver::{Driver, event},
    generation::Generation,
    hub::Hubs,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_l03_pypi_sseclient_py_of_the_old_generation() {
    subscriber_survives("sseclient-py", Generation::Old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_l03_pypi_httpx_sse_of_the_old_generation() {
    subscriber_survives("httpx-sse", Generation::Old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_l03_pypi_aiohttp_sse_client2_of_the_old_generation() {
    subscriber_survives("aiohttp-sse-client2", Generation::Old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_pypi_pymercure_reads_public_updates_of_several_topics() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let topics = [TOPIC, "https://example.com/authors/{id}"];
    let settings = json!({ "library": "pymercure", "hub": hubs.hub().url(), "topics": topics });
    let mut client = Driver::python("python/subscribe.py", &settings);
    client.expect("open").await;
    hubs.publish(TOPIC, "private", &[]).await;
    let token = hubs.new_publisher().may_publish(&["*"]).mint();
    let hub = hubs.hub();
    let publish = |topic: &'static str, data: &'static str| hub.publish(topic, data).with_token(&token);
    let first = publish(TOPIC, "first").await;
    publish("https://example.com/authors/1/2", "of no topic").await;
    let second = publish("https://example.com/authors/1", "second").kind("odd").await;
    assert_eq!(client.expect("event").await, event(&first, "message", "first"));
    assert_eq!(client.expect("event").await, event(&second, "odd", "second"));
    client.end().await;
}
