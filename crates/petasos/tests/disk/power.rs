//! Power loss with `sync=full` (the default): the file system below a hub under load stops at once, is mounted again as
//! by the next boot, and every acknowledged update is there.
//!
//! `POWER_CUTS` in the environment makes the run longer.

use std::time::Duration;

use petasos_testkit::{
    ledger::Ledger,
    load::{Load, Publishers},
    process::HubProcess,
    volume::Volume,
};
use rand::Rng;

use super::support::{TOPIC, assert_sound, store_in, whole_log};
use crate::common::count_from_environment;

const POWER_CUTS: usize = 3;
const VOLUME_BYTES: u64 = 256 << 20;
const PUBLISHERS: usize = 8;

/// When the power goes, from the moment in which updates are being acknowledged.
const CUT_AFTER_MS: std::ops::Range<u64> = 0..400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_every_acknowledged_update_survives_power_loss() {
    let cuts = count_from_environment("POWER_CUTS", POWER_CUTS);
    let volume = Volume::ext4(VOLUME_BYTES);
    let store = volume.path();
    let mut ledger = Ledger::default();
    let (mut stored, mut late) = (0, 0);
    for cut in 0..cuts {
        let options = store_in(&store, volume.beside());
        let process = HubProcess::start(&options).await;
        let name = format!("cut{cut}-");
        let load = Load::on(TOPIC).paced(Duration::from_millis(1));
        let publishers = Publishers::start(|| process.hub(), &name, PUBLISHERS, &load);
        let switch = volume.power_switch();
        publishers.acknowledge_more(PUBLISHERS).await;
        let after = rand::rng().random_range(CUT_AFTER_MS);
        tokio::time::sleep(Duration::from_millis(after)).await;
        let power_cut = switch.cut();
        process.kill().await;
        let mut round = publishers.stop().await;
        let answered = round.acknowledged();
        round.doubt_answers_after(power_cut);
        late += answered - round.acknowledged();
        ledger.extend(round.entries().iter().cloned());
        volume.power_on();

        let process = HubProcess::start(&options).await;
        let log = whole_log(&process.hub(), &format!("marker {cut}")).await;
        ledger.check(&log);
        stored = log.len();
        assert!(process.terminate().await.success());
        assert_sound(&store).await;
    }
    println!(
        "{cuts} power cuts under load, {PUBLISHERS} publishers: {} acknowledged, {stored} stored, 0 lost, 0 doubled, 0 out \
         of order; {late} were answered while the power went",
        ledger.acknowledged()
    );
}

/// The control of the test above: without syncs, the same power cut loses updates, so that it is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_the_same_power_cut_loses_updates() {
    let volume = Volume::ext4(VOLUME_BYTES);
    let mut options = store_in(&volume.path(), volume.beside());
    // Something to start from, which is on the disk.
    assert!(HubProcess::start(&options).await.terminate().await.success());
    options.environment.push(("PETASOS_TRANSPORT_SYNC".into(), "normal".into()));
    let process = HubProcess::start(&options).await;
    let publishers = Publishers::start(|| process.hub(), "publisher", PUBLISHERS, &Load::on(TOPIC));
    let switch = volume.power_switch();
    publishers.acknowledge_more(PUBLISHERS).await;
    switch.cut();
    process.kill().await;
    let ledger = publishers.stop().await;
    volume.power_on();
    let process = HubProcess::start(&options).await;
    let log = whole_log(&process.hub(), "marker").await;
    assert!(!ledger.lost(&log).is_empty(), "nothing of {} is lost", ledger.acknowledged());
    println!("control: without syncs, {} of {} are lost", ledger.lost(&log).len(), ledger.acknowledged());
    process.kill().await;
}
