//! A running hub as tests see it: addresses, keys, and the sentences that a test is made of. How it was started is
//! the starter's business.

use std::{any::Any, net::SocketAddr, time::Duration};

use bytes::Bytes;
use petasos_hub::auth::{self, AuthConfig, IssuerConfig, KeySource, Secret};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Answer, HUB_PATH, Publish, Request, Subscribe, Token, keys::SigningKey, publish::Topics,
    subscribe::Matchers, within,
};

/// The issuer that a [`TestHub`] trusts unless its configuration says otherwise.
pub const ISSUER: &str = "https://issuer.example";
/// The secret of publishers' tokens.
pub const PUBLISHER_SECRET: &str = "the publishers' secret, of more than 32 bytes";
/// The secret of subscribers' tokens: another one, so that a mix-up of roles shows (A10).
pub const SUBSCRIBER_SECRET: &str = "the subscribers' secret, of more than 32 bytes";

/// How long a hub may take to stop: its drain window and a little more.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running hub.
pub struct TestHub {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    resource: String,
    history: bool,
    running: Option<Running>,
    /// What must outlive the hub, such as the directory of its store.
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

struct Running {
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), String>>,
}

/// The configuration that fits [`TestHub::publisher`] and [`TestHub::subscriber`].
pub fn default_auth() -> AuthConfig {
    let key =
        |secret: &str| KeySource::Static { key: Secret::new(secret), algorithm: auth::Algorithm::HS256 };
    AuthConfig {
        issuers: vec![IssuerConfig {
            id: ISSUER.to_owned(),
            authorization_server: false,
            publisher: Some(key(PUBLISHER_SECRET)),
            subscriber: Some(key(SUBSCRIBER_SECRET)),
        }],
        ..AuthConfig::default()
    }
}

impl TestHub {
    /// A hub that listens here. `history` says whether its log keeps events (R07).
    pub fn new(address: SocketAddr, admin: Option<SocketAddr>, history: bool) -> Self {
        let resource = format!("http://{address}{HUB_PATH}");
        Self { address, admin, resource, history, running: None, kept: Vec::new() }
    }

    /// Takes over the task that runs the hub in this process, and what tells it to stop.
    #[must_use]
    pub fn run_by(mut self, shutdown: oneshot::Sender<()>, task: JoinHandle<Result<(), String>>) -> Self {
        self.running = Some(Running { shutdown: Some(shutdown), task });
        self
    }

    /// Keeps `thing` until the hub is gone.
    #[must_use]
    pub fn keeping(mut self, thing: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(thing));
        self
    }

    /// Says that the hub has this resource identifier (D02).
    #[must_use]
    pub fn known_as(mut self, resource: &str) -> Self {
        resource.clone_into(&mut self.resource);
        self
    }

    /// The public address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin.unwrap_or_else(|| panic!("this hub has no admin listener"))
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of the hub by its address.
    pub fn url(&self) -> String {
        format!("{}{HUB_PATH}", self.origin())
    }

    /// The resource identifier: the audience of tokens (A11) and the base of relative references (M06).
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Whether events are kept.
    pub fn has_history(&self) -> bool {
        self.history
    }

    /// A publisher's token to build on. It grants nothing yet.
    pub fn publisher(&self) -> Token {
        Token::new(ISSUER, &self.resource, &SigningKey::secret(PUBLISHER_SECRET))
    }

    /// A subscriber's token to build on. It grants nothing yet.
    pub fn subscriber(&self) -> Token {
        Token::new(ISSUER, &self.resource, &SigningKey::secret(SUBSCRIBER_SECRET))
    }

    /// A publisher's token of the 0.x generation. It grants nothing yet.
    pub fn old_publisher(&self) -> Token {
        Token::old(&SigningKey::secret(PUBLISHER_SECRET))
    }

    /// A subscriber's token of the 0.x generation. It grants nothing yet.
    pub fn old_subscriber(&self) -> Token {
        Token::old(&SigningKey::secret(SUBSCRIBER_SECRET))
    }

    /// Publishes; awaiting it gives the id of the update.
    pub fn publish(&self, topics: impl Into<Topics>, data: &str) -> Publish<'_> {
        Publish::new(self, topics.into(), data)
    }

    /// Subscribes; awaiting it gives the stream.
    pub fn subscribe(&self, matchers: Matchers) -> Subscribe<'_> {
        Subscribe::new(self, matchers)
    }

    /// A request to this hub.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// A `GET` of this target.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A `POST` on the hub with a token that grants every topic, for forms that only the caller understands.
    pub fn post_form(&self, form: impl Into<Bytes>) -> Request {
        self.request("POST", HUB_PATH).bearer(&self.publisher().may_publish(&["*"]).mint()).form(form)
    }

    /// What the hub has counted so far under this name and labels, in the words of the exposition.
    pub async fn counted(&self, sample: &str) -> u64 {
        let answer = self.admin_get("/metrics").await.expect(200);
        let line = answer.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |count| {
            count.trim().parse().unwrap_or_else(|_| panic!("{sample} is no whole number: {count}"))
        })
    }

    /// A resource of the admin listener.
    pub async fn admin_get(&self, target: &str) -> Answer {
        Request::new(self.admin(), "GET", target).send().await
    }

    /// Tells the hub to stop and goes on at once.
    pub fn begin_to_stop(&mut self) {
        let running = self.running.as_mut().unwrap_or_else(|| panic!("somebody else runs this hub"));
        if let Some(shutdown) = running.shutdown.take() {
            let _ = shutdown.send(());
        }
    }

    /// Waits until the hub has stopped, without an error.
    pub async fn stopped(&mut self) {
        let running = self.running.take().unwrap_or_else(|| panic!("somebody else runs this hub"));
        match within(STOP_LIMIT, "the end of the hub", running.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("the hub stopped with an error: {error}"),
            Err(error) => panic!("the hub panicked: {error}"),
        }
    }

    /// Stops the hub and returns what was kept for it, so that another one can be started on the same store.
    pub async fn stop(mut self) -> Vec<Box<dyn Any + Send + Sync>> {
        self.begin_to_stop();
        self.stopped().await;
        std::mem::take(&mut self.kept)
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        if let Some(shutdown) = self.running.as_mut().and_then(|running| running.shutdown.take()) {
            let _ = shutdown.send(());
        }
    }
}
