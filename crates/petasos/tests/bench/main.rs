//! `petasos bench`, as its users run it: the real program against hubs that it starts itself, hubs that misbehave, and
//! the limits of a system.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

mod fake;
mod faults;
mod limits;
mod reports;
mod scenarios;
mod secure;
mod stop;
mod support;
