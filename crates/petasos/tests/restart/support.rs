//! Processes on one store, and what all runs on them share.

use std::path::Path;

use petasos_testkit::{
    TestHub, conclusion,
    follower::{Followed, Follower},
    ledger::Ledger,
    node::Node,
};

use crate::common::process_options;

/// The topic of all updates.
pub(crate) const TOPIC: &str = "https://example.com/ledger";

/// The data of the event behind the last one that counts.
pub(crate) const MARKER: &str = "the end";

/// Starts a process on the store of this directory, and waits until it is ready.
pub(crate) async fn start(directory: &Path, variables: &[(&str, &str)]) -> Node {
    let mut options = process_options(directory);
    options.environment.extend(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    Node::start(options).await
}

/// Starts one in namespaces of its own.
pub(crate) async fn start_in_a_namespace(directory: &Path) -> Node {
    Node::start_in_a_namespace(process_options(directory)).await
}

/// Ends a run, and checks that everybody knows and saw the same.
pub(crate) async fn conclude(
    hub: &TestHub,
    ledger: &Ledger,
    followers: Vec<Follower>,
) -> (Vec<String>, Vec<Followed>) {
    conclusion::conclude(hub, (TOPIC, MARKER), ledger, followers).await
}
