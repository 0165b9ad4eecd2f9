//! What went wrong, counted. Unlike in a test nothing panics here: the figures are what is wanted.

use std::collections::{HashMap, HashSet};

use petasos_testkit::{
    follower::Followed,
    ledger::{Fate, Ledger},
};
use serde_json::{Value, json};

/// The figures of a run.
///
/// - `lost`: acknowledged updates that are not in the log, and events of the log that a subscriber did not see, over all of
///   them; `doubled` and `disordered` likewise.
/// - `refused`: publishes answered with an error. `unanswered`: those whose connection broke.
pub(crate) fn of(ledger: &Ledger, log: &[String], followed: &[Followed], failed_subscribers: usize) -> Value {
    let places: HashMap<&str, usize> = log.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let mut lost = ledger.lost(log).len();
    let mut doubled = log.len() - places.len();
    let mut disordered = disorder_of_publishers(log);
    for one in followed {
        let seen: HashSet<&str> = one.seen.iter().map(|(id, _)| id.as_str()).collect();
        lost += places.keys().filter(|id| !seen.contains(*id)).count();
        doubled += one.seen.len() - seen.len();
        let order: Vec<usize> =
            one.seen.iter().filter_map(|(id, _)| places.get(id.as_str()).copied()).collect();
        disordered += order.windows(2).filter(|pair| pair[1] < pair[0]).count();
    }
    let unanswered: Vec<&str> = ledger
        .entries()
        .iter()
        .filter_map(|entry| if let Fate::Unknown(why) = &entry.fate { Some(why.as_str()) } else { None })
        .collect();
    let slowest = ledger.entries().iter().filter_map(|entry| match entry.fate {
        Fate::Acknowledged(at) => Some(at - entry.sent),
        _ => None,
    });
    let gap = followed.iter().map(Followed::longest_gap).max().unwrap_or_default();
    json!({
        "published": ledger.entries().len(),
        "acknowledged": ledger.acknowledged(),
        "refused": ledger.refused(),
        "unanswered": unanswered.len(),
        "unanswered_why": unanswered.first(),
        "stored": log.len(),
        "lost": lost,
        "doubled": doubled,
        "disordered": disordered,
        "subscribers": followed.len(),
        "failed_subscribers": failed_subscribers,
        "reconnections": followed.iter().map(|one| one.ends.len()).sum::<usize>(),
        "cuts": followed.iter().map(|one| one.cuts.len()).sum::<usize>(),
        "refused_connections": followed.iter().map(|one| one.refused).sum::<usize>(),
        "unanswered_connections": followed.iter().map(|one| one.unanswered).sum::<usize>(),
        "longest_gap_ms": gap.as_millis(),
        "slowest_publish_ms": slowest.max().unwrap_or_default().as_millis(),
    })
}

/// Updates that stand before an earlier one of the same publisher, who sends one after the other.
fn disorder_of_publishers(log: &[String]) -> usize {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    let numbers = log.iter().filter_map(|id| {
        let (name, number) = id.rsplit_once(':')?;
        Some((name, number.parse::<u64>().ok()?))
    });
    numbers.filter(|(name, number)| newest.insert(name, *number).is_some_and(|last| last > *number)).count()
}
