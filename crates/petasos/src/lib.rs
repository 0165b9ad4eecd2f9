//! The `petasos` program as a library, so that tests run what `main` runs.

pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod health;
pub mod history;
pub mod serve;
pub mod telemetry;
pub mod token;
