//! What a hub does wrong is reported, and a hub that does nothing wrong is not blamed.

use crate::{
    fake::{Fake, STALL, Wrong},
    support::{Bench, bench, fault},
};

/// A short load on a hub that does this wrong.
fn driven(fake: &Fake) -> Bench {
    bench(&[
        "fanout",
        "--url",
        &fake.url(),
        "-s",
        "2",
        "-r",
        "100",
        "--duration",
        "500ms",
        "--warmup",
        "0",
        "--size",
        "40",
        "--json",
        "r.json",
        "-q",
    ])
}

#[test]
fn a_hub_that_tears_its_events_apart_is_not_blamed() {
    let bench = driven(&Fake::start(Wrong::Nothing)).done();
    let result = bench.result();
    for name in ["lost", "doubled", "out_of_order", "unasked", "ended_streams", "broken_publishes"] {
        assert_eq!(fault(&result, name), 0, "{name}");
    }
    assert!(result["medians"][0]["figures"]["deliveries_per_second"].as_f64().unwrap() > 150.0);
}

#[test]
fn lost_doubled_and_late_updates_are_counted_exactly() {
    for (wrong, name, words) in [
        (Wrong::Loses, "lost", "updates lost"),
        (Wrong::Doubles, "doubled", "updates doubled"),
        (Wrong::Swaps, "out_of_order", "updates out of order"),
    ] {
        let fake = Fake::start(wrong);
        let bench = driven(&fake);
        assert_eq!(bench.code(), 1, "{wrong:?}: {}", bench.stderr());
        let result = bench.result();
        let told = fault(&result, name);
        // An update that is still held back when everything is over is lost and not late.
        let unsent = if wrong == Wrong::Swaps { fault(&result, "lost") } else { 0 };
        assert!(
            told > 0 && told + unsent == 2 * fake.wronged(),
            "{wrong:?}: {told} of 2 x {}",
            fake.wronged()
        );
        assert!(bench.stdout().contains(words), "{}", bench.stdout());
    }
}

#[test]
fn a_stream_that_ends_is_told_and_what_it_missed_is_lost() {
    let bench = driven(&Fake::start(Wrong::EndsStream));
    assert_eq!(bench.code(), 1);
    let result = bench.result();
    assert_eq!(fault(&result, "ended_streams"), 1);
    assert!(fault(&result, "lost") > 10, "{result}");
    assert!(bench.stdout().contains("ended: the hub ended it"), "{}", bench.stdout());
}

#[test]
fn a_hub_that_asks_to_wait_gets_the_update_again_and_loses_nothing() {
    let fake = Fake::start(Wrong::IsBusy);
    let bench = driven(&fake).done();
    assert_eq!(fault(&bench.result(), "refused"), fake.wronged());
    assert!(fake.wronged() > 0);
}

#[test]
fn an_update_without_an_answer_is_told_and_neither_lost_nor_doubled() {
    let fake = Fake::start(Wrong::BreaksPublishers);
    let bench = driven(&fake);
    assert_eq!(bench.code(), 1);
    let result = bench.result();
    assert_eq!(fault(&result, "broken_publishes"), fake.wronged());
    assert_eq!((fault(&result, "lost"), fault(&result, "doubled")), (0, 0));
}

/// Coordinated omission: forty updates fall due while the hub stands still.
#[test]
fn a_stall_counts_for_all_updates_that_waited() {
    let bench = driven(&Fake::start(Wrong::Stalls)).done();
    let result = bench.result();
    let percentiles = result["runs"][0]["publish_latency"]["percentiles_us"].as_array().unwrap();
    let at = |percent: f64| percentiles.iter().find(|pair| pair[0] == percent).unwrap()[1].as_u64().unwrap();
    // Of fifty updates one is answered late; measured from the send, only the highest percentiles would show it.
    assert!(u128::from(at(70.0)) > STALL.as_micros() / 4, "{percentiles:?}");
}

#[test]
fn a_refusal_ends_the_bench_with_what_the_hub_said() {
    let bench = driven(&Fake::start(Wrong::Refuses));
    assert_eq!(bench.code(), 3);
    assert!(bench.stderr().contains("the hub refuses a subscriber: 401 missing_token"), "{}", bench.stderr());
}
