//! What the store does when its disk is full, loses its power, or holds damaged bytes: never lose what was acknowledged,
//! never serve what is wrong. Needs root and loop devices, and fails without them. `scripts/soak` runs the same with full
//! counts.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod damage;
mod full;
mod power;
mod support;
mod wal;
