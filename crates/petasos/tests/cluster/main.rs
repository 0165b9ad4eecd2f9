//! Many nodes, one log: one order for everybody, and what is left of that when an engine, the network, or a node fails.
//! The same cases run on every engine; `every_case!` is the list of them. `scripts/soak cluster` runs them with full counts.
//!
//! Each case has servers, nodes and data of its own, because it breaks them.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

#[macro_use]
#[path = "../common/suite.rs"]
mod suite;

mod chaos;
mod cluster;
mod engine;
mod faults;
mod figures;
mod list;
mod moving;
mod nodes;
mod order;
mod outcome;
mod presence;
mod rollout;
mod work;

use std::time::Duration;

/// How long a case may take, with full counts.
const CASE_LIMIT: Duration = Duration::from_secs(1800);

/// The cases that every engine must pass.
macro_rules! every_case {
    ($then:ident $arguments:tt) => {
        $then! { $arguments
            order: [
                all_subscribers_of_three_nodes_see_the_order_of_the_log,
            ];
            nodes: [
                node_killed_and_started_again,
                node_paused_for_longer_than_its_lease,
            ];
            presence: [
                every_list_goes_on_in_the_events_of_every_node,
                what_a_killed_node_left_ends_once,
                a_node_that_was_paused_is_listed_again,
            ];
            rollout: [
                nobody_notices_a_rolling_restart,
            ];
        }
    };
}

/// Those of engines with a server, which can be lost.
macro_rules! every_case_of_a_server {
    ($then:ident $arguments:tt) => {
        $then! { $arguments
            faults: [
                engine_restarted_in_order,
                engine_killed_and_started_again,
                engine_paused,
                network_passes_nothing_and_then_everything,
                network_passes_nothing_and_is_cut,
                replies_are_lost_in_the_middle_of_appends,
                one_node_is_cut_off,
                engine_away_at_the_start,
            ];
            chaos: [
                nothing_is_lost_doubled_or_moved_whatever_fails,
            ];
        }
    };
}

const CASES: &[&str] = every_case! { names_of () };
const CASES_OF_A_SERVER: &[&str] = every_case_of_a_server! { names_of () };

/// How many there must be: a suite that shrinks unnoticed proves nothing.
const EXPECTED_CASES: usize = 7;
const EXPECTED_CASES_OF_A_SERVER: usize = 9;

#[test]
fn every_case_is_counted() {
    println!(
        "{} cases of many nodes, and {} of engines that can be lost",
        CASES.len(),
        CASES_OF_A_SERVER.len()
    );
    assert_eq!((CASES.len(), CASES_OF_A_SERVER.len()), (EXPECTED_CASES, EXPECTED_CASES_OF_A_SERVER));
}

every_case! { tests_of (sqlite, crate::engine::Engine::Sqlite) }

every_case! { tests_of (redis, crate::engine::Engine::Redis) }
every_case_of_a_server! { tests_of (redis_faults, crate::engine::Engine::Redis) }

every_case! { tests_of (nats, crate::engine::Engine::Nats) }
every_case_of_a_server! { tests_of (nats_faults, crate::engine::Engine::Nats) }

every_case! { tests_of (postgres, crate::engine::Engine::Postgres) }
every_case_of_a_server! { tests_of (postgres_faults, crate::engine::Engine::Postgres) }
