//! Two processes on one store, for clients of either generation: theirs, which comes and goes, and another one, through
//! which updates come while it is gone.

use std::path::Path;

use petasos_testkit::{
    HUB_PATH, TestHub, form,
    process::{HubProcess, ProcessOptions, free_address, scratch},
};
use tempfile::TempDir;

use crate::common::process_options;

/// Short, so that every client sees many (C02, S09).
const HEARTBEAT: &str = "100ms";

/// Streams of a hub that stops end within this time; a test need not wait longer.
const DRAIN_TIMEOUT: &str = "300ms";

/// The hub's host as browsers name it, for whom a cookie with `__Secure-` is good on this host without TLS.
const BROWSERS_HOST: &str = "localhost";

/// The generation of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// 1.0.
    New,
}

impl Generation {
    /// The query that subscribes to this topic.
    pub(crate) fn query(self, topic: &str) -> String {
        match self {
            Self::New => form::encode([("match", topic)]),
        }
    }

    /// The cookie of a browser.
    pub(crate) fn cookie_name(self) -> &'static str {
        match self {
            Self::New => "__Secure-mercure_access_token",
        }
    }

    /// What a process is started with, apart from its store.
    fn environment(self, origins: &[&str]) -> Vec<(&'static str, String)> {
        match self {
            Self::New => vec![
                ("PETASOS_HEARTBEAT", HEARTBEAT.into()),
                ("PETASOS_DRAIN_TIMEOUT", DRAIN_TIMEOUT.into()),
                ("PETASOS_CORS_ORIGINS", origins.join(",")),
                ("PETASOS_PUBLISH_ORIGINS", origins.join(",")),
                ("PETASOS_REUSE_PORT", "true".into()),
            ],
        }
    }

    fn options(self, directory: &Path, origins: &[&str]) -> ProcessOptions {
        let mut options = process_options(directory);
        let more = self.environment(origins);
        options.environment.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        options
    }
}

/// The two processes.
pub(crate) struct Hubs {
    generation: Generation,
    options: ProcessOptions,
    process: Option<HubProcess>,
    other: HubProcess,
    // Removed after the processes are killed.
    _directory: TempDir,
}

impl Hubs {
    /// Starts both. Pages of these origins may read answers, and publish with their cookies.
    pub(crate) async fn start(generation: Generation, origins: &[&str]) -> Self {
        let directory = scratch();
        let options = generation.options(directory.path(), origins);
        let process = Some(HubProcess::start(&options).await);
        let other = HubProcess::start(&generation.options(directory.path(), origins)).await;
        Self { generation, options, process, other, _directory: directory }
    }

    /// The client's hub.
    pub(crate) fn hub(&self) -> TestHub {
        TestHub::new(self.options.address, Some(self.options.admin), true)
    }

    /// The client's hub as it is known to browsers.
    pub(crate) fn browsers_hub(&self) -> TestHub {
        self.hub().known_as(&format!("{}{HUB_PATH}", self.browsers_origin()))
    }

    pub(crate) fn browsers_origin(&self) -> String {
        format!("http://{BROWSERS_HOST}:{}", self.options.address.port())
    }

    /// Where a client of this generation subscribes to a topic.
    pub(crate) fn url(&self, topic: &str) -> String {
        format!("{}?{}", self.hub().url(), self.generation.query(topic))
    }

    /// Where a browser subscribes to a topic.
    pub(crate) fn browsers_url(&self, topic: &str) -> String {
        format!("{}{HUB_PATH}?{}", self.browsers_origin(), self.generation.query(topic))
    }

    /// A token that reads private updates on these topics of the client's hub.
    pub(crate) fn subscriber_token(&self, topics: &[&str]) -> String {
        self.hub().subscriber().may_subscribe(topics).mint()
    }

    /// Publishes a private update through the client's process.
    pub(crate) async fn publish(&self, topic: &str, data: &str, more: &[(&str, &str)]) -> String {
        publish(&self.hub(), topic, data, more).await
    }

    /// Publishes a private update through the other process.
    pub(crate) async fn publish_elsewhere(&self, topic: &str, data: &str) -> String {
        publish(&self.other.hub(), topic, data, &[]).await
    }

    /// Kills the client's process (SIGKILL).
    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await;
    }

    /// Stops it as a restart does: its streams end and it exits.
    pub(crate) async fn drain(&mut self) {
        let status = self.process.take().unwrap().terminate().await;
        assert!(status.success(), "{status}");
    }

    /// Puts another process in its place without a gap: both listen on the port for a while.
    pub(crate) async fn roll(&mut self) {
        self.options.admin = free_address();
        let admin = self.options.admin.to_string();
        for (name, value) in &mut self.options.environment {
            if name.ends_with("_ADMIN_ADDRESS") {
                value.clone_from(&admin);
            }
        }
        let next = HubProcess::start(&self.options).await;
        self.drain().await;
        self.process = Some(next);
    }

    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(HubProcess::start(&self.options).await);
    }
}

async fn publish(hub: &TestHub, topic: &str, data: &str, more: &[(&str, &str)]) -> String {
    let mut publish = hub.publish(topic, data).private();
    for (name, value) in more {
        publish = publish.field(name, value);
    }
    publish.await
}
