//! The admin listener: what probes and scrapers see.

mod serve_support;

use petasos_testkit::{matching, topic};
use serve_support::{config, start};

#[tokio::test]
async fn health_is_answered_under_every_name_it_is_asked_by() {
    let mut config = config();
    config.name = Some("news".to_owned());
    let hub = start(config);
    // A request on the public address: the hub is ready then.
    hub.get("/healthz").send().await.expect(200);
    for path in [
        "/healthz",
        "/mercure/health/ready",
        "/mercure/health/live",
        "/mercure/health/news/ready",
        "/mercure/health/news/live",
    ] {
        let answer = hub.admin_get(path).await.expect(200);
        assert_eq!(answer.text(), "ok\n", "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for path in ["/mercure/health/other/ready", "/mercure/health/news/sleepy", "/", "/.well-known/mercure"] {
        hub.admin_get(path).await.expect(404);
    }
    hub.request("POST", "/metrics").send().await.expect(404);
}

#[tokio::test]
async fn a_hub_without_a_name_answers_to_any() {
    let hub = start(config());
    hub.get("/healthz").send().await.expect(200);
    hub.admin_get("/mercure/health/whatever/ready").await.expect(200);
}

#[tokio::test]
async fn metrics_are_written_in_the_format_that_is_asked_for() {
    let hub = start(config());
    let mut stream = hub.subscribe(matching("a")).await;
    hub.publish(topic("a"), "1").await;
    assert_eq!(stream.next_data().await, "1");

    let plain = hub.admin_get("/metrics").await.expect(200);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "# TYPE mercure_updates_total counter",
        "mercure_updates_total 1",
        "mercure_subscribers_connected 1",
        "mercure_subscribers_total 1",
        "petasos_connections_open 1",
        "petasos_accept_errors_total 0",
    ] {
        assert!(plain.text().lines().any(|found| found == line), "no {line:?} in {}", plain.text());
    }
    for name in
        ["petasos_build_info{version=", "process_resident_memory_bytes ", "petasos_append_seconds_bucket{le="]
    {
        assert!(plain.text().contains(name), "no {name} in {}", plain.text());
    }

    let open = petasos_testkit::Request::new(hub.admin(), "GET", "/metrics")
        .header("Accept", "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;q=0.5")
        .send()
        .await
        .expect(200);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().ends_with("# EOF\n"));
}
