//! The `petasos` program as a library, so that tests run what `main` runs.

// Its documentation is for the people who change it: links to private items are of use to them.
#![allow(rustdoc::private_intra_doc_links)]

pub mod bench;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod health;
pub mod history;
pub mod serve;
pub mod telemetry;
pub mod token;
