//! The client side of the protocol: `petasos publish` and `petasos subscribe`.
//!
//! What both share stands here: where the hub is and how it is reached ([`target`], [`connect`]), the token
//! ([`credentials`]), what an answer means ([`answer`]), how long to wait before the next attempt ([`backoff`]), and
//! how the command ends ([`exit`]).

pub mod answer;
pub mod backoff;
pub mod connect;
pub(crate) mod console;
pub mod credentials;
pub mod duration;
pub mod exit;
mod http1;
pub mod publish;
mod runtime;
pub mod sse;
pub mod subscribe;
pub mod target;

pub(crate) use runtime::signal;
