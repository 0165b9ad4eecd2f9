//! A file system of 16 MiB that fills up, and has room again.

use std::time::{Duration, Instant};

use petasos_testkit::{
    Request, TestHub,
    follower::Follower,
    load::{Load, Publishers},
    matching,
    process::HubProcess,
    volume::Volume,
    within,
};

use super::support::{TOPIC, assert_sound, store_in, whole_log};

const VOLUME_BYTES: u64 = 16 << 20;

/// Large updates fill what is left of the write-ahead log soon.
const DATA_BYTES: usize = 8 << 10;

/// What an operator can remove.
const BALLAST_BYTES: usize = 4 << 20;

const PUBLISHERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);

/// How many refusals are looked at.
const REFUSALS: usize = 50;

/// How long it may take until the disk is full, and until the store has noticed that it has room again.
const LIMIT: Duration = Duration::from_secs(30);

async fn status_of(hub: &TestHub, path: &str) -> u16 {
    Request::new(hub.admin(), "GET", path).send().await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_updates_loses_none_and_recovers_by_itself() {
    let volume = Volume::small(VOLUME_BYTES);
    let store = volume.path();
    let options = store_in(&store, volume.beside());
    let process = HubProcess::start(&options).await;
    let hub = process.hub();
    let follower = Follower::start(process.hub(), TOPIC, "marker").await;
    let load = Load::on(TOPIC).paced(PAUSE).of_bytes(DATA_BYTES);
    let publishers = Publishers::start(|| process.hub(), "publisher", PUBLISHERS, &load);
    publishers.acknowledge_more(20).await;

    let filler = volume.fill();
    within(LIMIT, "a hub that is not ready", async {
        while status_of(&hub, "/mercure/health/ready").await != 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(status_of(&hub, "/mercure/health/live").await, 200, "a full disk is no stall (decision 14)");
    let refused = hub.publish(TOPIC, &"x".repeat(DATA_BYTES)).id("refused").answer().await.expect(503);
    assert!(refused.required("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    assert!(refused.text().lines().any(|line| line == "unavailable"), "{refused:?}");
    let before = publishers.acknowledged();
    tokio::time::sleep(PAUSE * (REFUSALS as u32) * 4).await;
    let slipped_in = publishers.acknowledged() - before;
    // Readers of the past need no room.
    let mut reader = hub.subscribe(matching(TOPIC)).after("earliest").await;
    assert!(reader.next_data().await.starts_with("publisher"));
    drop(reader);

    std::fs::remove_file(filler).unwrap();
    let freed = Instant::now();
    within(LIMIT, "an update that is taken again", async {
        while publishers.acknowledged() - before == slipped_in {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let recovered = freed.elapsed();
    assert_eq!(status_of(&hub, "/mercure/health/ready").await, 200);
    publishers.acknowledge_more(20).await;
    let ledger = publishers.stop().await;
    assert!(ledger.refused() >= REFUSALS, "only {} were refused", ledger.refused());
    let doubtful: Vec<_> =
        ledger.failures().into_iter().filter(|failure| !failure.ends_with("Refused(503)")).collect();
    assert_eq!(doubtful, Vec::<String>::new(), "every publish is answered, with 200 or 503");

    let log = whole_log(&hub, "marker").await;
    ledger.check(&log);
    let followed = follower.end().await;
    assert_eq!(followed.ids(), log, "the subscriber saw what is stored, and nothing else");
    assert_eq!(followed.ends.len(), 0, "the subscriber stayed connected");
    println!(
        "{} of 16 MiB full: {} acknowledged, {} refused with 503, {} stored; taking updates again {recovered:.1?} after \
         there was room",
        volume.name(),
        ledger.acknowledged(),
        ledger.refused(),
        log.len()
    );
    assert!(process.terminate().await.success());
    assert_sound(&store).await;
}

/// The log itself fills the disk, the hub is killed, and the next one finds a full disk: it keeps its public port closed
/// and tries (decision 3) until there is room, and everything is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_starts_on_a_full_disk_waits_for_room() {
    let volume = Volume::small(VOLUME_BYTES);
    let store = volume.path();
    let ballast = store.join("ballast");
    std::fs::write(&ballast, vec![b'b'; BALLAST_BYTES]).unwrap();
    let options = store_in(&store, volume.beside());
    let process = HubProcess::start(&options).await;
    let hub = process.hub();
    let load = Load::on(TOPIC).of_bytes(DATA_BYTES * 8);
    let publishers = Publishers::start(|| process.hub(), "publisher", 1, &load);
    within(LIMIT, "a hub that is not ready", async {
        while status_of(&hub, "/mercure/health/ready").await != 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let ledger = publishers.stop().await;
    assert!(ledger.acknowledged() > 20, "only {} fitted", ledger.acknowledged());
    process.kill().await;
    let filler = volume.fill();

    let room = async {
        within(LIMIT, "an admin listener", async {
            while tokio::net::TcpStream::connect(options.admin).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!(status_of(&hub, "/mercure/health/ready").await, 503);
        assert_eq!(status_of(&hub, "/mercure/health/live").await, 200);
        assert!(tokio::net::TcpStream::connect(options.address).await.is_err(), "C01: nobody listens yet");
        std::fs::remove_file(filler).unwrap();
        std::fs::remove_file(ballast).unwrap();
    };
    let (process, ()) = tokio::join!(HubProcess::start(&options), room);
    let log = whole_log(&process.hub(), "marker").await;
    ledger.check(&log);
    println!("{} filled by the log alone with {} updates of 64 KiB: all there", volume.name(), log.len());
    assert!(process.terminate().await.success());
    assert_sound(&store).await;
}
