//! Clients that other people wrote, unmodified, as applications use them: EventSources of npm and PyPI and of Chromium,
//! and the publishers of the 0.x generation. Each is a program in `clients/` that says what it sees, a line at a time.
//!
//! `scripts/install-test-needs` installs them; where one is missing, its tests fail.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod driver;
mod generation;
mod guide;
mod hub;
mod node;
mod presence;
mod publishers;
mod python;
mod survival;
mod swap;
