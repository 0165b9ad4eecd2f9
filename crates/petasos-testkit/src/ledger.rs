//! What publishers know about their updates, and the check of a log against it: a model of the promise that an
//! acknowledged update is stored once and in order.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

/// How a publish ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered 200 at this moment: it is in the log, once.
    Acknowledged(Instant),
    /// Answered with a refusal: it is not in the log.
    Refused(u16),
    /// Not answered, in words why: it may be in the log, at most once.
    Unknown(String),
}

/// One publish.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The id of the update: the publisher, a colon, and a number that grows.
    pub id: String,
    /// When it was sent.
    pub sent: Instant,
    /// What came of it.
    pub fate: Fate,
    /// When that was known.
    pub ended: Instant,
}

/// Every publish of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Adds what a publisher did, in its order.
    pub fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries);
    }

    /// All of them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.fate, Fate::Acknowledged(_))).count()
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.fate, Fate::Refused(_))).count()
    }

    /// Those that were not acknowledged, in words.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.entries.iter().filter(|entry| !matches!(entry.fate, Fate::Acknowledged(_)));
        failed.map(|entry| format!("{}: {:?}", entry.id, entry.fate)).collect()
    }

    /// Takes answers that came after a loss of power for none. Of a real loss there would not be any: it ends the process
    /// too. A refusal says that an I/O error kept an update from being acknowledged; it may be on the disk all the same.
    pub fn doubt_answers_after(&mut self, power_cut: Instant) {
        for entry in &mut self.entries {
            entry.fate = match entry.fate {
                Fate::Refused(status) => Fate::Unknown(format!("answered {status}")),
                Fate::Acknowledged(at) if at > power_cut => Fate::Unknown("acknowledged later".to_owned()),
                _ => continue,
            };
        }
    }

    /// Takes answers of 503 for none: they say that the log did not acknowledge the update, which it may have stored all
    /// the same, once.
    pub fn doubt_unavailable(&mut self) {
        for entry in &mut self.entries {
            if entry.fate == Fate::Refused(503) {
                entry.fate = Fate::Unknown("answered 503".to_owned());
            }
        }
    }

    /// Asserts that a log with these ids, in this order, keeps the promise:
    ///
    /// - every acknowledged update is in it, nothing that was refused is, nothing is in it twice;
    /// - the updates of a publisher, who sends one after the other, are in their order;
    /// - an update that was acknowledged before another was sent stands before it, whoever sent them.
    #[track_caller]
    pub fn check(&self, log: &[String]) {
        let entries: HashMap<&str, &Entry> =
            self.entries.iter().map(|entry| (entry.id.as_str(), entry)).collect();
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(log.len());
        let mut newest: HashMap<&str, u64> = HashMap::new();
        let mut latest_sent: Option<&Entry> = None;
        for (place, id) in log.iter().enumerate() {
            let entry = entries.get(id.as_str()).unwrap_or_else(|| panic!("{id} was never published"));
            if let Some(before) = places.insert(id, place) {
                panic!("{id} is there twice, at {before} and {place}");
            }
            assert!(!matches!(entry.fate, Fate::Refused(_)), "{id} was refused and is stored: {entry:?}");
            let (publisher, number) = split(id);
            if let Some(last) = newest.insert(publisher, number) {
                assert!(last < number, "{id} stands behind number {last} of its publisher");
            }
            if let (Fate::Acknowledged(at), Some(earlier)) = (&entry.fate, latest_sent) {
                assert!(*at >= earlier.sent, "{id} was acknowledged before {} was sent", earlier.id);
            }
            if latest_sent.is_none_or(|latest| latest.sent < entry.sent) {
                latest_sent = Some(entry);
            }
        }
        let lost = self.lost(log);
        assert!(lost.is_empty(), "{} acknowledged updates are lost: {lost:?}", lost.len());
    }

    /// The acknowledged updates that are not in a log.
    pub fn lost(&self, log: &[String]) -> Vec<&str> {
        let log: HashSet<&String> = log.iter().collect();
        let acknowledged = self.entries.iter().filter(|entry| matches!(entry.fate, Fate::Acknowledged(_)));
        acknowledged.filter(|entry| !log.contains(&entry.id)).map(|entry| entry.id.as_str()).collect()
    }
}

fn split(id: &str) -> (&str, u64) {
    let parts = id.rsplit_once(':').and_then(|(name, number)| Some((name, number.parse().ok()?)));
    parts.unwrap_or_else(|| panic!("not an id of a ledger: {id}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sent and acknowledged at these seconds.
    fn acknowledged(id: &str, sent: u64, at: u64) -> Entry {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds * 100);
        Entry { id: id.into(), sent: after(sent), fate: Fate::Acknowledged(after(at)), ended: after(at) }
    }

    fn check(entries: &[Entry], log: &[&str]) {
        let mut ledger = Ledger::default();
        ledger.extend(entries.iter().cloned());
        ledger.check(&log.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    }

    #[test]
    fn updates_that_overlap_may_stand_in_either_order() {
        let entries = [acknowledged("a:1", 0, 5), acknowledged("b:1", 1, 2), acknowledged("a:2", 6, 7)];
        check(&entries, &["a:1", "b:1", "a:2"]);
        check(&entries, &["b:1", "a:1", "a:2"]);
    }

    #[test]
    #[should_panic(expected = "1 acknowledged updates are lost")]
    fn a_lost_update_is_noticed() {
        check(&[acknowledged("a:1", 0, 1), acknowledged("a:2", 2, 3)], &["a:1"]);
    }

    #[test]
    #[should_panic(expected = "a:1 is there twice")]
    fn a_doubled_update_is_noticed() {
        check(&[acknowledged("a:1", 0, 1)], &["a:1", "a:1"]);
    }

    #[test]
    #[should_panic(expected = "b:1 was acknowledged before a:1 was sent")]
    fn an_order_that_time_forbids_is_noticed() {
        check(&[acknowledged("a:1", 4, 5), acknowledged("b:1", 1, 2)], &["a:1", "b:1"]);
    }

    fn refused(id: &str, status: u16) -> Entry {
        let now = Instant::now();
        Entry { id: id.into(), sent: now, fate: Fate::Refused(status), ended: now }
    }

    #[test]
    #[should_panic(expected = "was refused and is stored")]
    fn a_refused_update_that_is_stored_is_noticed() {
        check(&[refused("a:1", 503)], &["a:1"]);
    }

    #[test]
    fn an_update_that_a_lost_engine_did_not_acknowledge_may_be_stored() {
        let mut ledger = Ledger::default();
        ledger.extend([refused("a:1", 503), refused("a:2", 503)]);
        ledger.doubt_unavailable();
        ledger.check(&["a:2".to_owned()]);
    }
}
