//! Two processes on one store, for clients of either generation: theirs, which comes and goes, and another one, through
//! which updates come while it is gone.

use petasos_testkit::{
    HUB_PATH, TestHub, Token,
    hub::{PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    process::{HubProcess, ProcessOptions, free_address, scratch},
};
use tempfile::TempDir;

use crate::generation::{Generation, set};

/// The hub's host as browsers name it, for whom a cookie with `__Secure-` is good on this host without TLS.
const BROWSERS_HOST: &str = "localhost";

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
        Self::start_in(generation, scratch(), origins).await
    }

    /// Starts both in a directory where something may be already.
    pub(crate) async fn start_in(generation: Generation, directory: TempDir, origins: &[&str]) -> Self {
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
        self.generation.subscriber_token(&self.hub(), topics)
    }

    /// The same for a browser.
    pub(crate) fn browsers_token(&self, topics: &[&str]) -> String {
        self.generation.subscriber_token(&self.browsers_hub(), topics)
    }

    /// A publisher's token of the new form that this hub takes, whichever its configuration.
    pub(crate) fn new_publisher(&self) -> Token {
        self.generation.new_token(&self.hub(), PUBLISHER_SECRET)
    }

    /// A subscriber's token of the new form that this hub takes, whichever its configuration.
    pub(crate) fn new_subscriber(&self) -> Token {
        self.generation.new_token(&self.hub(), SUBSCRIBER_SECRET)
    }

    /// Publishes a private update through the client's process.
    pub(crate) async fn publish(&self, topic: &str, data: &str, more: &[(&str, &str)]) -> String {
        self.publish_at(&self.hub(), topic, data, more).await
    }

    /// Publishes a private update through the other process.
    pub(crate) async fn publish_elsewhere(&self, topic: &str, data: &str) -> String {
        self.publish_at(&self.other.hub(), topic, data, &[]).await
    }

    async fn publish_at(&self, hub: &TestHub, topic: &str, data: &str, more: &[(&str, &str)]) -> String {
        let token = self.generation.publisher_token(hub);
        let mut publish = hub.publish(topic, data).with_token(&token).private();
        for (name, value) in more {
            publish = publish.field(name, value);
        }
        publish.await
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
        for name in ["PETASOS_ADMIN_ADDRESS", "MERCURE_ADMIN_ADDRESS"] {
            set(&mut self.options.environment, name, self.options.admin);
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
