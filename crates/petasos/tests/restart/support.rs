//! A process among several on one store, and the check at the end of every run.

use std::{path::Path, process::ExitStatus, time::Duration};

use petasos_testkit::{
    Request, TestHub,
    follower::{Followed, Follower, log_of},
    ledger::Ledger,
    patiently,
    process::{HubProcess, ProcessOptions, text},
};

use crate::common::process_options;

/// The topic of all updates.
pub(crate) const TOPIC: &str = "https://example.com/ledger";

/// The data of the event behind the last one that counts.
pub(crate) const MARKER: &str = "the end";

/// A process of its own ports, which keeps them when it is started again.
pub(crate) struct Node {
    options: ProcessOptions,
    process: Option<HubProcess>,
}

impl Node {
    /// Starts one on the store of this directory, and waits until it is ready.
    pub(crate) async fn start(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let mut options = process_options(directory);
        options.environment.extend(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let process = Some(HubProcess::start(&options).await);
        Self { options, process }
    }

    /// Starts one that is PID 1 in a namespace of its own, as in a container. It can be killed, and not be told to stop.
    pub(crate) async fn start_in_a_namespace(directory: &Path) -> Self {
        let mut options = process_options(directory);
        let arguments = ["--pid", "--mount", "--fork", "--kill-child"].map(str::to_owned);
        let program = std::mem::replace(&mut options.program, "unshare".into());
        options.arguments.splice(0..0, arguments.into_iter().chain([text(&program).to_owned()]));
        let process = Some(HubProcess::start(&options).await);
        Self { options, process }
    }

    pub(crate) fn hub(&self) -> TestHub {
        TestHub::new(self.options.address, Some(self.options.admin), true)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }

    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await;
        // In a namespace it is the child of what was killed, and may outlive it for a moment.
        patiently("the end of the killed program", async {
            while tokio::net::TcpStream::connect(self.options.admin).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(HubProcess::start(&self.options).await);
    }

    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.process.take().unwrap().terminate().await
    }

    /// Waits until it says that it is not ready (and does not mind if it is gone by then).
    pub(crate) async fn is_unready(admin: std::net::SocketAddr) {
        let waiting = async {
            while tokio::net::TcpStream::connect(admin).await.is_ok()
                && Request::new(admin, "GET", "/mercure/health/ready").send().await.status == 200
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        patiently("a process that is not ready", waiting).await;
    }
}

/// Ends a run: publishes the marker, checks the log against what publishers know, and every follower against the log.
/// Returns the log and what the followers saw.
pub(crate) async fn conclude(
    hub: &TestHub,
    ledger: &Ledger,
    followers: Vec<Follower>,
) -> (Vec<String>, Vec<Followed>) {
    hub.publish(TOPIC, MARKER).await;
    let log = log_of(hub, TOPIC, MARKER).await;
    ledger.check(&log);
    let mut all = Vec::new();
    for (number, follower) in followers.into_iter().enumerate() {
        let followed = follower.end().await;
        // They began before the first update, so that they must have seen all of them: none lost, doubled, or moved.
        assert_eq!(first_difference(&followed.ids(), &log), None, "follower {number} and the log");
        all.push(followed);
    }
    (log, all)
}

/// Where two lists begin to differ, with both sides: a message that can be read.
fn first_difference(seen: &[String], log: &[String]) -> Option<(usize, Option<String>, Option<String>)> {
    let length = seen.len().max(log.len());
    let differs = |place: &usize| seen.get(*place) != log.get(*place);
    (0..length).find(differs).map(|place| (place, seen.get(place).cloned(), log.get(place).cloned()))
}
