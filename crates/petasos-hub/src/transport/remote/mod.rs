//! What the engines that run as servers of their own share: the address of one, the line in which appends wait for it,
//! the bytes of an event, and how it is told whether it works. Each engine is a folder beside this one.

mod address;
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
mod line;
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
mod status;
#[cfg(any(feature = "redis", feature = "nats"))]
pub(in crate::transport) mod wire;

pub use self::address::{Address, Host, Secret};
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
pub(in crate::transport) use self::{
    line::{Job, Line, Queue},
    status::Status,
};
use super::Retention;

/// Where a log on a server is, and what it keeps. The engine is that of the address's scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// The server or servers, credentials, and the engine's own parameters.
    pub address: Address,
    /// What is kept. `None` leaves that to the hubs: for commands that look after a log, and discard nothing by the way.
    pub retention: Option<Retention>,
}
