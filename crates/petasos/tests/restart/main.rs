//! Several processes on one store: rolling restarts that nobody notices, one order for everybody, and what is left when
//! one of them is killed. `scripts/soak` runs the same with full counts.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod kill;
mod presence;
mod rollout;
mod support;
mod two_processes;
