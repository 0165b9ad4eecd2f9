//! Lost acknowledgements, sizes, limits, and streams that are there already.

use async_nats::jetstream;
use petasos_hub::transport::nats::examine;
use petasos_testkit::{proxy::Proxy, servers::EngineServer};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_whose_acknowledgements_are_lost_are_stored_once_in_their_order() {
    for version in [NatsVersion::Debian, NatsVersion::Current] {
        let server = NatsServer::shared(version);
        let proxy = Proxy::start(server.address()).await;
        let log = open(&server.url_at(proxy.address(), "lost_acks")).await;
        append(&log, "first").await;
        for round in 0..5 {
            proxy.drop_replies();
            let calls: Vec<_> = (0..50)
                .map(|index| log.append(AttemptId::new(), vec![entry(&format!("{round}-{index}"))]))
                .collect();
            let calls = tokio::spawn(futures_util::future::join_all(calls));
            proxy.lose_replies().await;
            for outcome in patiently("the answers", calls).await.unwrap() {
                outcome.unwrap_or_else(|error| panic!("{version:?}: {error}"));
            }
        }
        let expected: Vec<String> = std::iter::once("first".to_owned())
            .chain((0..5).flat_map(|round| (0..50).map(move |index| format!("{round}-{index}"))))
            .collect();
        assert_eq!(ids(&read_all(&log).await), expected, "{version:?}");
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_failed_and_is_repeated_by_its_caller_is_stored_once() {
    let server = NatsServer::shared(NatsVersion::Current);
    let proxy = Proxy::start(server.address()).await;
    let log = open(&server.url_at(proxy.address(), "repeated")).await;
    append(&log, "first").await;
    proxy.drop_replies();
    let attempt = AttemptId::new();
    let refused = patiently("an answer", log.append(attempt, vec![entry("again")])).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    proxy.cut();
    proxy.go_on();
    patiently("another attempt", async { while log.append(attempt, vec![entry("again")]).await.is_err() {} })
        .await;
    append(&log, "last").await;
    assert_eq!(ids(&read_all(&log).await), ["first", "again", "last"]);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_is_too_large_is_refused_and_holds_up_no_other() {
    let mut options = NatsOptions::of(NatsVersion::Current);
    options.configuration = "max_payload: 100KB\n".to_owned();
    let server = NatsServer::start_with(options);
    let log = open(&server.url("large")).await;
    let large = log.append(AttemptId::new(), vec![entry_of("large", &"x".repeat(200_000))]);
    let refused = patiently("an answer", large).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("max_payload"), "{refused}");
    append(&log, "small").await;
    assert_eq!(ids(&read_all(&log).await), ["small"]);
    assert_eq!(log.health().ready, Ok(()));
    let said = examine(&config(&server.url("large"), None)).await.unwrap();
    assert!(said.contains("1 events, file storage, 1 replica") && said.contains("max_payload"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_updates_are_read_and_followed() {
    for version in [NatsVersion::Debian, NatsVersion::Current] {
        let log = open(&NatsServer::shared(version).url("large_updates")).await;
        let mut tail = log.tail(Position::START);
        let data = "x".repeat(1_500_000);
        for index in 0..5 {
            let stored = log.append(AttemptId::new(), vec![entry_of(&index.to_string(), &data)]);
            patiently("an append", stored).await.unwrap();
        }
        assert_eq!(follow_until(&mut *tail, "4").await, ["0", "1", "2", "3", "4"]);
        assert_eq!(ids(&read_all(&log).await).len(), 5);
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_follow_the_hub_that_opened_last_and_are_left_alone_by_commands() {
    let url = NatsServer::shared(NatsVersion::Current).url("limits");
    let retention = |events| Retention { events, bytes: 0, age: Some(Duration::from_secs(60)) };
    let first = NatsTransport::open(config(&url, Some(retention(10)))).await.unwrap();
    for index in 0..10 {
        append(&first, &index.to_string()).await;
    }
    let command = NatsTransport::open(config(&url, None)).await.unwrap();
    append(&command, "10").await;
    assert_eq!(read_all(&command).await.len(), 10);
    let second = NatsTransport::open(config(&url, Some(retention(3)))).await.unwrap();
    assert_eq!(ids(&read_all(&second).await), ["8", "9", "10"]);
    let context = context(&url).await;
    let stream = context.get_stream("limits").await.unwrap();
    let settings = &stream.cached_info().config;
    assert_eq!((settings.max_messages, settings.max_bytes), (3, -1));
    assert_eq!(
        (settings.max_age, settings.duplicate_window),
        (Duration::from_secs(60), Duration::from_secs(60))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_somebody_else_is_refused_and_not_touched() {
    let url = NatsServer::shared(NatsVersion::Current).url("foreign");
    let context = context(&url).await;
    let theirs = jetstream::stream::Config {
        name: "foreign".into(),
        subjects: vec!["orders.*".into()],
        ..Default::default()
    };
    context.create_stream(theirs).await.unwrap();
    let error = try_open(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("parameter stream"), "{error}");
    let error = examine(&config(&url, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let stream = context.get_stream("foreign").await.unwrap();
    assert_eq!(stream.cached_info().config.subjects, ["orders.*"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_storage_than_that_of_the_stream_is_refused() {
    let url = NatsServer::shared(NatsVersion::Current).url("storage");
    open(&format!("{url}&storage=memory")).await;
    open(&url).await;
    let error = try_open(&format!("{url}&storage=file")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("export"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_put_into_the_log_is_never_served_and_never_skipped_silently() {
    let url = NatsServer::shared(NatsVersion::Current).url("damaged");
    let log = open(&url).await;
    append(&log, "a").await;
    let mut tail = log.tail(Position::START);
    assert_eq!(follow_until(&mut *tail, "a").await, ["a"]);
    let context = context(&url).await;
    context.publish("damaged.log.0", "no event".into()).await.unwrap().await.unwrap();
    append(&log, "b").await;
    let told = patiently("the tail", tail.next()).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Overtaken);
    assert_eq!(follow_until(&mut *tail, "b").await, ["b"]);
    assert_eq!(try_read_all(&log).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(log.find("b").await.unwrap(), Some(Position(3)));
}

/// The server of this log, as others see it.
async fn context(url: &str) -> jetstream::Context {
    let server = url.split('?').next().unwrap();
    jetstream::new(async_nats::connect(server).await.unwrap())
}
