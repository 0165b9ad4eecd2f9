//! A hub whose log fails, stalls and loses answers: what publishers are told, and that no subscriber misses, doubles or
//! reorders an update for it.

#![allow(clippy::unwrap_used)]

mod common;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use petasos_hub::{
    HubConfig, PublishError,
    http::{AppState, HttpConfig, Origins, router},
    transport::{Position, sqlite::SqliteTransport},
};
use petasos_testkit::{
    PATIENCE, Token,
    faulty::{Fault, Faults, FaultyTransport},
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    keys::SigningKey,
    model::Selector,
    patiently,
};
use tower::ServiceExt;

use crate::common::{HUB_URL, LibraryHub, Reader, draft, sqlite_transport};

/// Long enough that what should not happen would have happened, short enough for a test.
const A_WHILE: Duration = Duration::from_millis(300);

async fn faulty_hub() -> (LibraryHub, Faults, tempfile::TempDir) {
    let (transport, directory) = sqlite_transport().await;
    let (transport, faults): (Arc<FaultyTransport<SqliteTransport>>, _) = FaultyTransport::new(transport);
    let config = HubConfig { publish_wait: Duration::from_secs(1), ..HubConfig::default() };
    (LibraryHub::start_with(transport, config).await, faults, directory)
}

async fn reader(hub: &LibraryHub, cursor: Option<&str>) -> Reader {
    hub.subscribe(&[Selector::All], &[Selector::All], cursor).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_a_failed_append_is_refused_and_not_delivered() {
    let (hub, faults, _directory) = faulty_hub().await;
    let mut live = reader(&hub, None).await;
    hub.publish(draft(&["a"], "before")).await.unwrap();
    faults.on_append(Fault::Fail);
    let refused = hub.publish(draft(&["a"], "lost")).await;
    assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");
    assert!(hub.hub.health().ready.is_err(), "an append would fail now, so it is not ready");
    assert!(hub.hub.health().live.is_ok(), "a lost engine is no reason for a restart");
    faults.lift();
    hub.publish(draft(&["a"], "after")).await.unwrap();
    assert!(hub.hub.health().ready.is_ok());
    assert_eq!(live.next_data_of(2).await, ["before", "after"]);
    assert_eq!(reader(&hub, Some("earliest")).await.next_data_of(2).await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_nothing_is_acknowledged_before_the_append_is() {
    let (hub, faults, _directory) = faulty_hub().await;
    faults.on_append(Fault::Stall);
    let publishing = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(draft(&["a"], "stalled")).await }
    });
    tokio::time::sleep(A_WHILE).await;
    assert!(!publishing.is_finished(), "an update was answered before it was stored");
    faults.lift();
    assert!(patiently("the answer", publishing).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_an_answer_that_was_lost_stores_nothing_twice() {
    let (hub, faults, _directory) = faulty_hub().await;
    let mut live = reader(&hub, None).await;
    faults.on_append(Fault::LoseAnswer);
    let publishing = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(draft(&["a"], "uncertain")).await }
    });
    tokio::time::sleep(A_WHILE).await;
    faults.lift();
    // It may be refused or, tried again with the same attempt, be taken: stored it is in either case, and once.
    let outcome = patiently("the answer", publishing).await.unwrap();
    assert!(matches!(outcome, Ok(_) | Err(PublishError::Unavailable(_))), "{outcome:?}");
    hub.publish(draft(&["a"], "after")).await.unwrap();
    assert_eq!(live.next_data_of(2).await, ["uncertain", "after"]);
    assert_eq!(reader(&hub, Some("earliest")).await.next_data_of(2).await, ["uncertain", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_fails_for_a_while_delays_and_loses_nothing() {
    let (hub, faults, _directory) = faulty_hub().await;
    let mut live = reader(&hub, None).await;
    for (round, fault) in [Fault::Fail, Fault::Stall].into_iter().enumerate() {
        faults.on_tail(fault);
        for index in 0..20 {
            hub.publish(draft(&["a"], &format!("{round}-{index}"))).await.unwrap();
        }
        // Who comes meanwhile must meet the same seam.
        let resuming = tokio::spawn({
            let hub = hub.clone();
            async move { reader(&hub, Some("earliest")).await.next_data_of(20 * (round + 1)).await }
        });
        tokio::time::sleep(A_WHILE).await;
        faults.lift();
        let expected: Vec<String> =
            (0..=round).flat_map(|round| (0..20).map(move |index| format!("{round}-{index}"))).collect();
        assert_eq!(live.next_data_of(20).await, expected[20 * round..], "with {fault:?}");
        assert_eq!(patiently("the replay", resuming).await.unwrap(), expected, "with {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_a_log_that_has_lost_its_newest_events_ends_streams_and_is_not_asked_without_end() {
    let (hub, faults, _directory) = faulty_hub().await;
    let mut live = reader(&hub, None).await;
    let mut ids = Vec::new();
    for index in 0..10 {
        ids.push(hub.publish(draft(&["a"], &index.to_string())).await.unwrap());
    }
    assert_eq!(live.next_data_of(10).await.len(), 10);
    // The store counts its own events from here on.
    let first = Position((1 << 40) - 1);
    faults.lose(Position(first.0 + 5), Position(first.0 + 10));
    // The streams end, so that their readers come back and are told.
    live.ended().await;
    // Nobody publishes: those who come back wait, and the log is left alone.
    let mut known = reader(&hub, Some(&ids[2])).await;
    let mut lost = reader(&hub, Some(&ids[8])).await;
    let mut new = reader(&hub, None).await;
    assert_eq!(lost.cursor(), Some("earliest"), "the cursor has vanished");
    assert_eq!(known.next_data_of(2).await, ["3", "4"]);
    assert_eq!(lost.next_data_of(5).await, ["0", "1", "2", "3", "4"]);
    let reads = faults.reads();
    let waiting = tokio::time::timeout(A_WHILE, known.next()).await;
    assert!(waiting.is_err(), "an event from nowhere: {waiting:?}");
    assert!(
        faults.reads() <= reads + 10,
        "{} reads of a log in which nothing happens",
        faults.reads() - reads
    );
    hub.publish(draft(&["a"], "after")).await.unwrap();
    for reader in [&mut known, &mut lost, &mut new] {
        assert_eq!(reader.next_data_of(1).await, ["after"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_a_publisher_that_waits_for_room_is_told_when_the_log_is_lost() {
    let (transport, _directory) = sqlite_transport().await;
    let (transport, faults) = FaultyTransport::new(transport);
    // Longer than the test has patience: only the loss can end the wait.
    let config = HubConfig { publish_wait: PATIENCE * 10, fanout_lag_bytes: 4_096, ..HubConfig::default() };
    let hub = LibraryHub::start_with(transport, config).await;
    faults.on_tail(Fault::Stall);
    let large = "x".repeat(8_192);
    hub.publish(draft(&["a"], &large)).await.unwrap();
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(draft(&["a"], &large)).await }
    });
    faults.on_append(Fault::Fail);
    let refused = patiently("the answer", waiting).await.unwrap();
    assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_that_fails_for_a_while_harms_no_open_stream() {
    let (hub, faults, _directory) = faulty_hub().await;
    let mut live = reader(&hub, None).await;
    faults.on_read(Fault::Fail);
    hub.publish(draft(&["a"], "1")).await.unwrap();
    assert_eq!(live.next_data_of(1).await, ["1"], "what is live needs no reading");
    faults.lift();
    assert_eq!(reader(&hub, Some("earliest")).await.next_data_of(1).await, ["1"]);
}

fn token(role_secret: &str) -> Token {
    Token::new(ISSUER, HUB_URL, &SigningKey::secret(role_secret))
}

async fn ask(hub: &LibraryHub, request: http::request::Builder, token: &str, body: &str) -> Response<Body> {
    let http = HttpConfig {
        cors_origins: Origins::parse(["https://app.example"]).unwrap(),
        resource_identifier: Some(HUB_URL.parse().unwrap()),
        ..HttpConfig::default()
    };
    let state = AppState { hub: hub.hub.clone(), auth: Arc::clone(&hub.auth), config: Arc::new(http) };
    let request = request
        .header("Host", "hub.example")
        .header("Origin", "https://app.example")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Authorization", format!("Bearer {token}"));
    let request: Request<Body> = request.body(Body::from(body.to_owned())).unwrap();
    patiently("an answer", router(state).oneshot(request)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_a_publish_that_cannot_be_stored_is_503_with_retry_after() {
    let (hub, faults, _directory) = faulty_hub().await;
    faults.on_append(Fault::Fail);
    let publish = || Request::builder().method("POST").uri("/.well-known/mercure");
    let writer = token(PUBLISHER_SECRET).may_publish(&["*"]).mint();
    let answer = ask(&hub, publish(), &writer, "topic=a").await;
    assert_eq!(answer.status(), 503);
    let seconds: u32 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds > 0);
    // S14: also this answer.
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
    faults.lift();
    assert_eq!(ask(&hub, publish(), &writer, "topic=a").await.status(), 200);
}

/// C01: any status but 200 makes a browser give up for good, so the head waits for the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_cursor_waits_for_a_log_that_cannot_be_read_now() {
    let (hub, faults, _directory) = faulty_hub().await;
    let id = hub.publish(draft(&["a"], "1")).await.unwrap();
    faults.on_read(Fault::Fail);
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move {
            let request =
                Request::builder().uri("/.well-known/mercure?match=a").header("Last-Event-ID", id.as_str());
            let answer = ask(&hub, request, &token(SUBSCRIBER_SECRET).mint(), "").await;
            assert_eq!(answer.headers()["mercure-last-event-id"], id.as_str());
            answer.status()
        }
    });
    tokio::time::sleep(A_WHILE).await;
    assert!(!waiting.is_finished(), "a head was sent although the cursor could not be looked up");
    faults.lift();
    assert_eq!(patiently("the head", waiting).await.unwrap(), 200);
}

/// Subscribers without a cursor need nothing of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_live_subscriber_is_answered_while_the_log_cannot_be_read() {
    let (hub, faults, _directory) = faulty_hub().await;
    faults.on_read(Fault::Fail);
    let request = Request::builder().uri("/.well-known/mercure?match=a");
    assert_eq!(ask(&hub, request, &token(SUBSCRIBER_SECRET).mint(), "").await.status(), 200);
}
