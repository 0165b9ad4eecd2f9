//! The raw baseline: servers that do nothing but the system calls which nobody can do without. What a hub costs is told
//! as a multiple of these, taken on the same machine in the same minutes.
//!
//! They run in threads of the bench itself, each on a free port of the loopback address, and know nothing of the
//! protocol: bytes are made ready once, answers are always the same.

mod fanout;
mod publish;

pub(crate) use fanout::FanoutLimit;
pub(crate) use publish::PublishLimit;
