//! Memory and descriptors are bounded whatever clients do: readers that never read, that vanish, that close half, waves
//! of connections. The load is that of `petasos bench`, which also checks that nobody loses, doubles or reorders an
//! update.
//!
//! `BOUNDED_SUBSCRIBERS`, `BOUNDED_SECONDS`, `CHURN_SECONDS` and `CHURN_SUBSCRIBERS` in the environment make the runs
//! longer.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod cgroup;
mod churn;
mod container;
mod waves;

#[path = "../bench/support.rs"]
mod support;

use serde_json::Value;

/// Runs `petasos bench` and returns its result; fails where the bench found a fault.
fn bench(arguments: &[&str]) -> Value {
    let done = support::bench(&[arguments, &["--quiet", "--json", "r.json"]].concat()).done();
    println!("{}", done.stdout());
    done.result()
}

/// One of the figures of the hub.
fn figure(result: &Value, name: &str) -> f64 {
    support::median(result, "hub", name)
}
