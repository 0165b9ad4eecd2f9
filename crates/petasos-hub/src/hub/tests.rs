//! What a hub must hold to when clients leave, readers are slow and the log misbehaves. In the crate, because queues and
//! tables are looked into.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;

use super::*;
use crate::{
    Draft, UpdateLimits,
    auth::{AuthConfig, Authenticator, PublishGrant, SubscribeGrant},
    topic::{Base, MatchType},
    transport::LocalTransport,
};

const HUB_URL: &str = "https://hub.example/.well-known/mercure";
const PATIENCE: Duration = Duration::from_secs(10);

async fn hub(config: HubConfig) -> Hub {
    Hub::builder(Arc::new(LocalTransport::new())).config(config).start().await.expect("the hub starts")
}

async fn grants() -> (PublishGrant, SubscribeGrant) {
    let config = AuthConfig { anonymous: true, anonymous_publish: true, ..AuthConfig::default() };
    let auth = Authenticator::new(config).expect("no keys are fine");
    let base = Base::parse(HUB_URL).expect("a URL");
    let publisher = auth.publisher(None, HUB_URL, &base).await.expect("anybody may publish");
    (publisher, auth.subscriber(None, HUB_URL, &base).await.expect("anybody may subscribe"))
}

fn request(cursor: Option<&str>) -> SubscribeRequest {
    let base = Base::parse(HUB_URL).expect("a URL");
    let matchers = vec![Matcher::new(MatchType::Exact, "a", &base).expect("a matcher")];
    SubscribeRequest { matchers, cursor: cursor.map(str::to_owned), cut: None }
}

async fn subscribe(hub: &Hub, cursor: Option<&str>) -> Subscription {
    hub.subscribe(grants().await.1, request(cursor)).await.expect("a subscription")
}

async fn publish(hub: &Hub, data: String) -> String {
    let base = Base::parse(HUB_URL).expect("a URL");
    let draft = Draft { topics: vec!["a".into()], data: Some(data), ..Draft::default() };
    let update = draft.validate(&base, &UpdateLimits::default()).expect("an update");
    hub.publish(&grants().await.0, update).await.expect("it is stored")
}

async fn next(subscription: &mut Subscription) -> Option<Bytes> {
    let bytes = poll_fn(|cx| subscription.poll_bytes(cx));
    tokio::time::timeout(PATIENCE, bytes).await.expect("in time")
}

/// Waits until a subscription has nothing more to hand out, and is as a connection that waits for it.
fn is_idle(subscription: &mut Subscription) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(bytes) = subscription.poll_bytes(&mut cx) {
        if bytes.is_none() {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_is_taken_in_leaves_nothing_behind() {
    let hub = hub(HubConfig { backlog_bytes: 10_000, ..HubConfig::default() }).await;
    let grant = grants().await.1;
    let mut left = 0;
    for _ in 0..500 {
        let mut arriving = Box::pin(hub.subscribe(grant.clone(), request(None)));
        let mut cx = Context::from_waker(Waker::noop());
        left += u32::from(arriving.as_mut().poll(&mut cx).is_pending());
        // The fan-out handles its commands in order: it has replied to that one.
        drop(subscribe(&hub, None).await);
        drop(arriving);
    }
    assert!(left > 0, "nobody left while it was taken in");
    assert_eq!(*hub.inner.streams.borrow(), 0, "a drain would wait for them");
    // Nobody takes from the queues of subscribers that are not there, and fan-out would wait for them.
    let begun = Instant::now();
    for _ in 0..10 {
        publish(&hub, "x".repeat(5_000)).await;
    }
    subscribe(&hub, None).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "fan-out waited for {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_that_takes_a_little_at_a_time_does_not_set_the_pace_for_all() {
    let hub = hub(HubConfig { backlog_bytes: 200_000, ..HubConfig::default() }).await;
    let mut slow = subscribe(&hub, None).await;
    let mut healthy = subscribe(&hub, None).await;
    const UPDATES: usize = 400;
    let publishing = async {
        for _ in 0..UPDATES {
            publish(&hub, "x".repeat(20_000)).await;
        }
    };
    let reading = async {
        let mut bytes = 0;
        while bytes < UPDATES * 20_000 {
            bytes += next(&mut healthy).await.expect("a healthy reader is never dropped").len();
        }
    };
    // It comes back every time before the scheduler's grace is over: 8 MB would take it ten seconds and more.
    let trickling = async {
        while next(&mut slow).await.is_some() {
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
    };
    let begun = Instant::now();
    tokio::join!(publishing, reading, trickling);
    assert!(begun.elapsed() < Duration::from_secs(6), "everybody waited for {:?}", begun.elapsed());
    let reason = crate::metrics::ReasonLabel { reason: EndReason::SlowReader.as_str() };
    drop(slow);
    assert_eq!(hub.metrics().disconnects_total.get_or_create(&reason).get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_is_measured() {
    let hub = hub(HubConfig::default()).await;
    let mut subscription = subscribe(&hub, None).await;
    assert!(is_idle(&mut subscription));
    publish(&hub, "x".repeat(1_000)).await;
    let measured = async {
        while hub.metrics().backlog_bytes.get() < 1_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, measured).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_stream_that_comes_while_the_hub_drains_ends_cleanly_too() {
    let hub = hub(HubConfig::default()).await;
    hub.inner.fanout.drain(Duration::ZERO);
    // As one that was on its way when the drain began.
    let mut subscription = subscribe(&hub, None).await;
    while next(&mut subscription).await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_streams_end_when_the_hub_is_closed_under_them() {
    let hub = hub(HubConfig { subscriptions: true, ..HubConfig::default() }).await;
    let mut subscription = subscribe(&hub, None).await;
    assert_eq!(hub.presence(&PresenceFilter::default()).await.expect("a list").subscriptions.len(), 1);
    hub.close().await;
    let left = hub.presence(&PresenceFilter::default()).await.expect("a list").subscriptions;
    assert_eq!(left, [], "E01: the end of what is left is announced");
    while next(&mut subscription).await.is_some() {}
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use super::*;
    use crate::transport::{
        Retention,
        sqlite::{SqliteConfig, SqliteTransport},
    };

    async fn start(config: SqliteConfig) -> Hub {
        let transport = SqliteTransport::open(config).await.expect("a store");
        Hub::builder(Arc::new(transport)).start().await.expect("the hub starts")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn r04_a_known_cursor_that_retention_passes_before_the_first_read_ends_the_stream() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = SqliteConfig::new(directory.path().join("petasos.db"));
        config.retention = Retention { events: 3, bytes: 0, age: None };
        let hub = start(config.clone()).await;
        let known = publish(&hub, "1".into()).await;
        publish(&hub, "2".into()).await;
        hub.close().await;
        // Its memory does not reach back to the cursor.
        let hub = start(config).await;
        let mut subscription = subscribe(&hub, Some(&known)).await;
        assert_eq!(subscription.cursor(), Some(&*known), "it is kept now");
        for number in 3..10 {
            publish(&hub, number.to_string()).await;
        }
        while let Some(bytes) = next(&mut subscription).await {
            assert_eq!(bytes, crate::sse::HEARTBEAT, "2 to 6 were left out, and nobody was told");
        }
        assert_eq!(subscribe(&hub, Some(&known)).await.cursor(), Some(crate::EARLIEST));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_publisher_that_leaves_keeps_its_room_until_its_update_is_delivered() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("petasos.db");
        let hub = start(SqliteConfig::new(&path)).await;
        let lock = rusqlite::Connection::open(&path).expect("a connection");
        lock.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let base = Base::parse(HUB_URL).expect("a URL");
        let draft = Draft { topics: vec!["a".into()], data: Some("x".repeat(9_000)), ..Draft::default() };
        let update = draft.validate(&base, &UpdateLimits::default()).expect("an update");
        let receipt = hub.enqueue(&grants().await.0, update).await.expect("a place in line");
        drop(receipt);
        tokio::task::yield_now().await;
        assert!(hub.inner.shared.lag.bytes() > 9_000, "its bytes wait, and are not counted");
        lock.execute_batch("ROLLBACK").expect("the lock is free");
        let stored = async {
            while hub.inner.shared.lag.bytes() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, stored).await.expect("in time");
        assert_eq!(hub.metrics().updates_total.get(), 1);
    }
}
