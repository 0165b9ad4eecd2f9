//! Taking the history of a reference hub over: its real files, and a file whose lock its old hub still holds. The old
//! file is never written, and clients of the old hub go on where they were.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod locked;
mod reference;
mod support;
