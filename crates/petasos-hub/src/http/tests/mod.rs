//! The resources as a whole: requests through the router to a hub in memory.

mod common;
mod cors;
mod discovery;
mod hostile;
mod logs;
mod publish;
mod socket;
mod subscribe;
mod subscriptions;
