//! What every transport must do, written from the contract in `petasos_hub::transport` and from nothing else. Each
//! case gets an empty log of its own; [`transport_contract!`](crate::transport_contract) makes a test of each.

mod log;
mod presence;
mod shared;
mod tail;

use std::sync::Arc;

use petasos_hub::{
    Update,
    transport::{Append, AttemptId, Page, Position, ReadHint, ReadLimit, StoredEvent, Transport},
};

pub use self::{log::*, presence::*, shared::*, tail::*};
use crate::patiently;

/// What a case gets.
pub type Log = Arc<dyn Transport>;

/// Makes a test of every case of the contract for one engine: `transport_contract!(sqlite, crate::open_sqlite);`.
///
/// The second argument is the path of an `async fn() -> (Log, impl Sized)` that opens an empty log; what comes with
/// it is kept until the case is done.
#[macro_export]
macro_rules! transport_contract {
    ($engine:ident, $open:path) => {
        mod $engine {
            $crate::transport_contract! { @cases $open;
                a_batch_keeps_its_order_and_every_field
                positions_grow_and_the_head_is_the_newest
                calls_keep_their_order_whoever_is_polled_first
                concurrent_appends_are_each_stored_once
                a_repeated_attempt_is_stored_once
                a_dropped_append_harms_no_other
                an_id_is_found_at_its_earliest_event
                a_read_stops_at_its_limits_and_goes_on
                a_read_stays_within_its_bounds
                a_hint_never_hides_a_wanted_event
                nothing_is_appended_after_the_close
                a_tail_has_every_event_once_in_order
                a_tail_from_the_head_has_only_what_comes_later
                two_tails_see_one_order
                a_dropped_wait_skips_nothing
                the_close_ends_a_tail
                a_start_is_listed_with_its_event
                an_end_is_announced_once
                a_second_start_replaces_the_first
                a_list_is_filtered_and_sorted
                a_node_is_known_while_its_lease_runs
                subscriptions_of_a_silent_node_expire
            }
        }
    };
    (@cases $open:path; $($case:ident)*) => {
        /// How many cases the contract has.
        #[allow(dead_code)]
        pub const CASES: usize = [$(stringify!($case)),*].len();
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (log, _kept) = $open().await;
                $crate::contract::$case(log.clone()).await;
                log.close().await;
            }
        )*
    };
}

/// An event with this id, on topic `t`.
fn event(id: &str) -> Append {
    event_on(id, &["t"])
}

fn event_on(id: &str, topics: &[&str]) -> Append {
    let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
    let update = Update::from_stored(id.to_owned(), topics, format!("data of {id}"), false, None, None);
    Append { update: Arc::new(update), presence: None }
}

/// Appends one entry that is stored, and returns its position.
async fn append(log: &Log, entry: Append) -> Position {
    let position = patiently("an append", log.append(AttemptId::new(), vec![entry])).await;
    let position = position.unwrap_or_else(|error| panic!("an append failed: {error}"));
    position.unwrap_or_else(|| panic!("an append was taken for a no-op"))
}

/// Reads one page of everything.
async fn read(log: &Log, after: Position, until: Position, limit: ReadLimit) -> Page {
    let page = patiently("a read", log.read(after, until, limit, &ReadHint::default())).await;
    page.unwrap_or_else(|error| panic!("a read failed: {error}"))
}

/// All that is kept.
async fn read_all(log: &Log) -> Vec<StoredEvent> {
    read(log, Position::START, Position(u64::MAX), ReadLimit { events: usize::MAX, bytes: usize::MAX })
        .await
        .events
}

/// The next `count` events of a new tail from the beginning.
async fn tail_of(log: &Log, after: Position, count: usize) -> Vec<StoredEvent> {
    let mut tail = log.tail(after);
    let mut events = Vec::new();
    while events.len() < count {
        let more = patiently("the tail's next events", tail.next()).await;
        let more = more.unwrap_or_else(|error| panic!("the tail failed: {error}"));
        assert!(!more.is_empty(), "a tail returns at least one event");
        events.extend(more);
    }
    events
}

fn ids(events: &[StoredEvent]) -> Vec<&str> {
    events.iter().map(|event| event.update.id()).collect()
}

#[cfg(test)]
mod tests {
    /// A case that is written but not in the list of the macro would never run.
    #[test]
    fn every_case_is_in_the_list() {
        let list = include_str!("mod.rs");
        assert_eq!(
            cases(list, &[include_str!("log.rs"), include_str!("tail.rs"), include_str!("presence.rs")]),
            22
        );
        let shared = include_str!("shared.rs");
        assert_eq!(cases(shared, &[shared]), 15);
    }

    /// How many cases are in these files; each is in the list.
    fn cases(list: &str, sources: &[&str]) -> usize {
        let mut cases = 0;
        for line in sources.iter().flat_map(|source| source.lines()) {
            let Some(name) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next())
            else {
                continue;
            };
            assert!(list.lines().any(|entry| entry.trim() == name), "{name} is not in the list");
            cases += 1;
        }
        cases
    }
}
