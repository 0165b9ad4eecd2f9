//! Servers that die, pause, come back, or come back empty.

use std::time::Instant;

use petasos_testkit::{contract::record, servers::EngineServer};
use rustix::process::Signal;

use super::*;

const VERSIONS: [NatsVersion; 2] = [NatsVersion::Debian, NatsVersion::Current];

/// Within this after the server takes connections again everything works again.
const BACK_WITHIN: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_told_at_once_and_tails_go_on_when_it_is_back() {
    for version in VERSIONS {
        let mut server = server(version);
        let (log, other) = (open(&server.url("kill")).await, open(&server.url("kill")).await);
        let mut tail = other.tail(Position::START);
        let mut expected = Vec::new();
        for round in 0..3 {
            for index in 0..20 {
                let id = format!("{round}-{index}");
                append_at_last(&log, &id).await;
                expected.push(id);
            }
            server.process_mut().kill();
            wait_ready(&log, false).await;
            let begin = Instant::now();
            let refused = try_append(&log, "refused").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable);
            assert!(begin.elapsed() < TOLD_WITHIN, "{:?}", begin.elapsed());
            server.start_again();
            let begin = Instant::now();
            let id = format!("{round}-back");
            append_at_last(&log, &id).await;
            wait_ready(&log, true).await;
            expected.push(id.clone());
            let until = if round == 0 { 0 } else { expected.len() - 21 };
            assert_eq!(follow_until(&mut *tail, &id).await, expected[until..], "{version:?}");
            assert!(begin.elapsed() < BACK_WITHIN, "{version:?}: {:?}", begin.elapsed());
        }
        assert_eq!(ids(&read_all(&other).await), expected);
        log.close().await;
        other.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_is_told_in_time_and_nothing_is_doubled() {
    for version in VERSIONS {
        let server = server(version);
        let log = open(&server.url("pause")).await;
        let mut tail = log.tail(Position::START);
        append(&log, "before").await;
        pause(&server).await;
        let begin = Instant::now();
        let refused = try_append(&log, "uncertain").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(begin.elapsed() < TOLD_WITHIN, "{:?}", begin.elapsed());
        wait_ready(&log, false).await;
        // Long enough for the connection to be given up.
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.process().go_on();
        append_at_last(&log, "after").await;
        wait_ready(&log, true).await;
        let seen = follow_until(&mut *tail, "after").await;
        assert!(seen.first().is_some_and(|id| id == "before"), "{seen:?}");
        assert!(seen.iter().filter(|id| *id == "uncertain").count() <= 1, "{seen:?}");
        assert_eq!(ids(&read_all(&log).await), seen);
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_log_notices_that_its_server_pauses() {
    let server = server(NatsVersion::Current);
    let log = open(&server.url("idle")).await;
    pause(&server).await;
    let begin = Instant::now();
    wait_ready(&log, false).await;
    assert!(begin.elapsed() < TOLD_WITHIN, "{:?}", begin.elapsed());
    server.process().go_on();
    wait_ready(&log, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_order_loses_and_doubles_nothing() {
    let mut server = server(NatsVersion::Current);
    let log = open(&server.url("restart")).await;
    let mut tail = log.tail(Position::START);
    let writer = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            let mut stored = Vec::new();
            for index in 0..300 {
                let id = index.to_string();
                // A second attempt would be another one: it may be stored twice.
                if try_append(&log, &id).await.is_ok() {
                    stored.push(id);
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            stored
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::block_in_place(|| server.restart());
    let stored = patiently("the writer", writer).await.unwrap();
    append_at_last(&log, "last").await;
    let seen = follow_until(&mut *tail, "last").await;
    let mut distinct = seen.clone();
    distinct.dedup();
    assert_eq!(distinct, seen, "nothing is doubled");
    assert!(stored.iter().all(|id| seen.contains(id)), "everything acknowledged is there");
    assert!(seen.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])), "{seen:?}");
}

fn number(id: &str) -> u32 {
    id.parse().unwrap_or(u32::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_memory_that_is_lost_is_told_and_its_positions_are_not_given_again() {
    for version in VERSIONS {
        let mut server = server(version);
        let log = open(&format!("{}&storage=memory", server.url("memory"))).await;
        let mut tail = log.tail(Position::START);
        let mut last = Position::START;
        for index in 0..10 {
            last = append(&log, &format!("lost {index}")).await;
        }
        follow_until(&mut *tail, "lost 9").await;
        server.process_mut().kill();
        server.start_again();
        let position = append_at_last(&log, "new").await;
        assert!(position > last, "{version:?}: {position} was given to another event");
        let told = next(&mut *tail).await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Overtaken, "{told}");
        assert_eq!(log.find("lost 9").await.unwrap(), None);
        assert_eq!(ids(&read_all(&log).await), ["new"]);
        // It goes on with what comes now.
        append(&log, "newer").await;
        assert!(follow_until(&mut *tail, "newer").await.ends_with(&["newer".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_somebody_deletes_are_made_again_while_updates_come() {
    let url = NatsServer::shared(NatsVersion::Current).url("deleted");
    let log = open(&url).await;
    let mut tail = log.tail(Position::START);
    let last = append(&log, "lost").await;
    follow_until(&mut *tail, "lost").await;
    let client = async_nats::connect(url.split('?').next().unwrap()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for stream in ["deleted", "deleted-presence"] {
        context.delete_stream(stream).await.unwrap();
    }
    // More than ever could be stored one after the other.
    let calls = (0..20).map(|index| log.append(AttemptId::new(), vec![entry(&format!("new {index}"))]));
    for outcome in patiently("the answers", futures_util::future::join_all(calls)).await {
        assert!(outcome.unwrap_or_else(|error| panic!("{error}")) > Some(last));
    }
    assert_eq!(next(&mut *tail).await.unwrap_err().kind(), ErrorKind::Overtaken);
    assert_eq!(log.health().ready, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_that_both_find_their_log_gone_keep_what_either_of_them_takes() {
    for version in VERSIONS {
        let url = NatsServer::shared(version).url("both");
        let hubs = [open(&url).await, open(&url).await];
        let client = async_nats::connect(url.split('?').next().unwrap()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        for round in 0..4 {
            // They know different positions.
            append(&hubs[round % 2], &format!("lost {round}")).await;
            context.delete_stream("both").await.unwrap();
            let names = ["a", "b"].map(|name| format!("{name} {round}"));
            let calls =
                hubs.iter().zip(&names).map(|(hub, name)| hub.append(AttemptId::new(), vec![entry(name)]));
            for outcome in patiently("the answers", futures_util::future::join_all(calls)).await {
                outcome.unwrap_or_else(|error| panic!("{version:?}: {error}"));
            }
            let kept = read_all(&hubs[0]).await;
            for name in &names {
                assert!(
                    ids(&kept).contains(&name.as_str()),
                    "{version:?}: {name} is not in {:?}",
                    ids(&kept)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_told() {
    let mut server = server(NatsVersion::Current);
    let log = open(&server.url("backup")).await;
    for index in 0..5 {
        append(&log, &format!("kept {index}")).await;
    }
    let data = server.process().directory().join("data");
    let copy = server.process().directory().join("copy");
    server.process_mut().stop(Signal::TERM);
    copy_directory(&data, &copy);
    server.start_again();
    let mut tail = log.tail(Position::START);
    for index in 0..5 {
        append_at_last(&log, &format!("lost {index}")).await;
    }
    follow_until(&mut *tail, "lost 4").await;
    server.process_mut().stop(Signal::TERM);
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    server.start_again();
    let told = next(&mut *tail).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Overtaken, "{told}");
    append_at_last(&log, "new").await;
    assert_eq!(follow_until(&mut *tail, "new").await, ["new"]);
    assert_eq!(ids(&read_all(&log).await), ["kept 0", "kept 1", "kept 2", "kept 3", "kept 4", "new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_followed_is_told_and_not_ready() {
    for version in VERSIONS {
        let url = NatsServer::shared(version).url("blind");
        let client = async_nats::connect(url.split('?').next().unwrap()).await.unwrap();
        // With room for one consumer.
        let settings = async_nats::jetstream::stream::Config {
            name: "blind".to_owned(),
            subjects: vec!["blind.log.*".to_owned()],
            max_consumers: 1,
            ..Default::default()
        };
        async_nats::jetstream::new(client).create_stream(settings).await.unwrap();
        let log = open(&url).await;
        let mut first = log.tail(Position::START);
        append(&log, "1").await;
        follow_until(&mut *first, "1").await;
        let mut second = log.tail(Position::START);
        let told = patiently("the tail", second.next()).await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Unavailable, "{told}");
        let reason = log.health().ready.unwrap_err();
        assert!(reason.contains("cannot be followed"), "{reason}");
        append(&log, "2").await;
        assert!(log.health().ready.is_err(), "writing works, and following does not");
        drop(first);
        assert_eq!(follow_until(&mut *second, "2").await, ["1", "2"]);
        assert_eq!(log.health().ready, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_that_somebody_deletes_is_made_again_also_on_a_log_without_updates() {
    for version in VERSIONS {
        let url = NatsServer::shared(version).url("absent");
        let log = open(&url).await;
        let (node, lease) = (NodeId::random(), Duration::from_secs(60));
        log.renew(node, lease).await.unwrap();
        assert!(log.renew(node, lease).await.unwrap());
        let client = async_nats::connect(url.split('?').next().unwrap()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("absent-presence").await.unwrap();
        patiently("presence", async {
            loop {
                match log.renew(node, lease).await {
                    // So the hub announces again what it has.
                    Ok(is_known) => return assert!(!is_known, "that stream is gone"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        wait_ready(&log, true).await;
    }
}

/// JetStream keeps what it acknowledged when it is killed, but not always that it deleted something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_ended_before_their_server_was_killed_stay_ended() {
    for version in VERSIONS {
        let mut server = server(version);
        let log = open(&server.url("revived")).await;
        let node = NodeId::random();
        let renew = || async {
            while patiently("a renewal", log.renew(node, Duration::from_secs(60))).await.is_err() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        renew().await;
        let records: Vec<_> = (0..20).map(|number| record(node, &format!("s{number:02}"), "a")).collect();
        for record in &records {
            change(&log, PresenceChange::Start(record.clone())).await;
        }
        for record in &records[10..] {
            change(&log, PresenceChange::End(record.clone())).await;
        }
        assert_eq!(log.expired(100).await.unwrap(), []);
        server.process_mut().kill();
        server.start_again();
        renew().await;
        // As a hub does it from time to time.
        patiently("the end of what came back", async {
            loop {
                for record in log.expired(100).await.unwrap_or_default() {
                    change(&log, PresenceChange::End(record)).await;
                }
                let listed = log.presence(&PresenceFilter::default()).await.map(|list| list.subscriptions);
                if listed.is_ok_and(|listed| listed == records[..10]) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }
}

async fn change(log: &NatsTransport, change: PresenceChange) {
    let entry = Append { presence: Some(change), ..entry(&format!("{:?}", AttemptId::new())) };
    patiently("an append", log.append(AttemptId::new(), vec![entry])).await.unwrap();
}

/// Pauses a server, and waits until none of its threads runs any more.
async fn pause(server: &NatsServer) {
    server.process().pause();
    let tasks = format!("/proc/{}/task", server.process().pid());
    let is_stopped = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    };
    patiently("the pause", async {
        while !std::fs::read_dir(&tasks).unwrap().all(|task| is_stopped(task.unwrap())) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
