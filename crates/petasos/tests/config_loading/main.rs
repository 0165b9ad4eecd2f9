//! The configuration from its sources to its effective values: nothing here reads the process's own environment.

mod auth;
mod directives;
mod docs;
mod environment;
mod errors;
mod file;
mod layers;
mod legacy;
mod listen;
mod print;
mod support;
mod transport;
