//! An embeddable hub for the Mercure protocol.
//!
//! Publishers hand in updates, subscribers receive them as Server-Sent Events, with JWT authorization, history and
//! presence. The pieces, in the order in which an update meets them:
//!
//! - [`http`]: the resources of the protocol as an axum [`Router`](axum::Router); the only place that knows status
//!   codes.
//! - [`auth`]: turns a token into a grant. There is no way to publish or subscribe without one.
//! - [`topic`]: what a topic may be, and the matchers that select topics.
//! - [`Hub`]: publish, subscribe, fan-out, replay, presence.
//! - [`transport`]: the ordered log underneath, one implementation per engine.
//!
//! The library reads no environment and installs no global state. The rules it implements are numbered in
//! `docs/protocol.md`; comments and tests refer to those numbers.

pub mod auth;
#[doc(hidden)]
pub mod bench_internals;
#[cfg(feature = "sqlite")]
pub mod bolt;
pub mod chunk;
pub mod http;
mod hub;
pub mod metrics;
mod presence_event;
pub mod sse;
pub mod topic;
pub mod transport;
mod update;

pub use hub::{
    EndReason, Hub, HubBuilder, HubConfig, PublishError, Receipt, SocketOwner, SubscribeError,
    SubscribeRequest, Subscription,
};
pub use update::{Draft, EARLIEST, Update, UpdateError, UpdateLimits};
