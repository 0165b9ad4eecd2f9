//! A cluster of three servers, of which one dies.

use std::time::Instant;

use petasos_testkit::servers::EngineServer;

use super::*;

/// Elections take seconds.
const BACK_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_server_goes_on_and_keeps_everything_acknowledged() {
    let mut servers = tokio::task::block_in_place(NatsServer::cluster);
    let hosts: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    let url = format!("nats://{}?stream=three&replicas=3", hosts.join(","));
    let (log, other) = (open_at_last(&url).await, open_at_last(&url).await);
    let mut tail = other.tail(Position::START);
    let mut acknowledged = Vec::new();
    for index in 0..20 {
        let id = format!("before {index}");
        append(&log, &id).await;
        acknowledged.push(id);
    }
    // Whichever leads, some of the rounds hit it.
    for (round, server) in servers.iter_mut().enumerate() {
        server.process_mut().kill();
        let begin = Instant::now();
        for attempt in 0.. {
            let id = format!("round {round} {attempt}");
            match try_append(&log, &id).await {
                Ok(_) => {
                    acknowledged.push(id);
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            assert!(begin.elapsed() < BACK_WITHIN, "no new leader after {:?}", begin.elapsed());
        }
        for index in 0..20 {
            let id = format!("after {round} {index}");
            if try_append(&log, &id).await.is_ok() {
                acknowledged.push(id);
            }
        }
        tokio::task::block_in_place(|| server.start_again());
        wait_ready(&log, true).await;
    }
    append_at_last(&log, "last").await;
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("last") {
        let events = petasos_testkit::within(BACK_WITHIN, "the tail", tail.next()).await;
        let events = events.unwrap_or_else(|error| panic!("{error}"));
        seen.extend(events.iter().map(|event| event.update.id().to_owned()));
    }
    assert_eq!(ids(&read_all(&other).await), seen);
    let kept: Vec<_> = seen.iter().filter(|id| acknowledged.contains(id)).collect();
    // Refused ones may be there; everything acknowledged is, once and in order.
    assert_eq!(kept, acknowledged.iter().collect::<Vec<_>>());
    log.close().await;
    other.close().await;
}

/// A new cluster takes a moment to agree on who leads.
async fn open_at_last(url: &str) -> Arc<NatsTransport> {
    let begin = Instant::now();
    loop {
        match try_open(url).await {
            Ok(log) => return Arc::new(log),
            Err(error) => assert!(begin.elapsed() < BACK_WITHIN, "the log cannot be opened: {error}"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
