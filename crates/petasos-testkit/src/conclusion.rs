//! The end of a run in which publishers and subscribers worked while something went wrong: what everybody saw is
//! compared with the log, and the log with what the publishers know.

use crate::{
    TestHub,
    follower::{Followed, Follower, log_of},
    ledger::Ledger,
};

/// Ends a run: publishes the marker, checks the log against what publishers know, and every follower against the log.
/// Returns the log and what the followers saw.
pub async fn conclude(
    hub: &TestHub,
    (topic, marker): (&str, &str),
    ledger: &Ledger,
    followers: Vec<Follower>,
) -> (Vec<String>, Vec<Followed>) {
    hub.publish(topic, marker).await;
    let log = log_of(hub, topic, marker).await;
    ledger.check(&log);
    let mut all = Vec::new();
    for (number, follower) in followers.into_iter().enumerate() {
        let followed = follower.end().await;
        // They began before the first update, so that they must have seen all of them: none lost, doubled, or moved.
        assert_eq!(first_difference(&followed.ids(), &log), None, "follower {number} and the log");
        all.push(followed);
    }
    (log, all)
}

/// Where two lists begin to differ, with both sides: a message that can be read.
pub fn first_difference(seen: &[String], log: &[String]) -> Option<(usize, Option<String>, Option<String>)> {
    let length = seen.len().max(log.len());
    let differs = |place: &usize| seen.get(*place) != log.get(*place);
    (0..length).find(differs).map(|place| (place, seen.get(place).cloned(), log.get(place).cloned()))
}
