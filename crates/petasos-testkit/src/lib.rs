//! Test support for Petasos: clients that see what goes over the wire, tokens of every form, handles on running hubs,
//! a transport that fails on command, a contract suite for transports and a reference model of a hub.
//!
//! Everything here panics where an expectation does not hold and where an answer takes longer than [`PATIENCE`]: it
//! is called by tests only. It knows the rules of `docs/protocol.md`, not the code that implements them.

#![allow(clippy::missing_panics_doc)]

pub mod answer;
pub mod balancer;
pub mod conclusion;
pub mod connection;
pub mod contract;
pub mod faulty;
pub mod follower;
pub mod form;
pub mod health;
pub mod hub;
pub mod jwks;
pub mod keys;
pub mod ledger;
pub mod load;
pub mod model;
pub mod node;
pub mod percentile;
pub mod process;
pub mod proxy;
pub mod publish;
pub mod request;
pub mod servers;
pub mod sse;
pub mod stream;
pub mod subscribe;
mod time;
pub mod token;
pub mod volume;

pub use answer::{Answer, Challenge};
pub use connection::{Chunk, Connection, End};
pub use hub::TestHub;
pub use publish::{Publish, topic};
pub use request::{Protocol, Request};
pub use stream::EventStream;
pub use subscribe::{Subscribe, matching, matching_exactly, matching_pattern, matching_raw, matching_topic};
pub use time::{PATIENCE, patiently, within};
pub use token::{Token, grant};

/// The hub's path on every origin.
pub const HUB_PATH: &str = "/.well-known/mercure";

/// The collection of active subscriptions (section E).
pub const SUBSCRIPTIONS: &str = "/.well-known/mercure/subscriptions";

/// The `type` of the authorization details that the hub reads (A13).
pub const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";
