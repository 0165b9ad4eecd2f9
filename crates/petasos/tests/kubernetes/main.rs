//! What the chart relies on, as far as it can be tested without a cluster: that its dashboard and rules ask for metrics that
//! there are, and that an installation can be tested by the program alone. The rest is `scripts/test-kubernetes`.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod metrics;
mod round_trip;
mod rules;
