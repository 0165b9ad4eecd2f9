//! Hubs of the library, without HTTP: what the tests of this folder share.

#![allow(dead_code, clippy::unwrap_used)] // Each test program uses a part of this.

use std::{collections::VecDeque, future::poll_fn, sync::Arc, task::Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use petasos_hub::{
    Draft, Hub, HubConfig, PublishError, SocketOwner, SubscribeRequest, Subscription, UpdateLimits,
    auth::{AuthConfig, Authenticator},
    topic::{Base, MatchType, Matcher},
    transport::{
        LocalTransport, Retention, Transport,
        remote::{Address, RemoteConfig},
        sqlite::{SqliteConfig, SqliteTransport},
    },
};
use petasos_testkit::{
    Chunk, Connection, DETAIL_TYPE, Token,
    contract::{Log, Place},
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET, default_auth},
    keys::SigningKey,
    model::Selector,
    patiently,
    process::scratch,
    sse::{Event, Item, Parser},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// The hub's URL in these tests.
pub(crate) const HUB_URL: &str = "https://hub.example/.well-known/mercure";

/// An empty log in memory.
pub(crate) async fn local() -> (Log, ()) {
    (Arc::new(LocalTransport::new()), ())
}

/// An empty store, and the directory that goes with it.
pub(crate) async fn sqlite() -> (Log, tempfile::TempDir) {
    let (transport, directory) = sqlite_transport().await;
    (Arc::new(transport), directory)
}

/// As [`sqlite`], to be wrapped.
pub(crate) async fn sqlite_transport() -> (SqliteTransport, tempfile::TempDir) {
    let directory = scratch();
    let transport =
        SqliteTransport::open(SqliteConfig::new(directory.path().join("petasos.db"))).await.unwrap();
    (transport, directory)
}

/// Where a store is that any number of nodes open.
pub(crate) async fn sqlite_place() -> Place {
    let directory = scratch();
    let path = directory.path().join("petasos.db");
    let open = move |retention| {
        let config = SqliteConfig { retention, ..SqliteConfig::new(&path) };
        async move { Arc::new(SqliteTransport::open(config).await.unwrap()) as Log }.boxed()
    };
    Place { open: Box::new(open), kept: Box::new(directory) }
}

/// An empty log on the Redis server of this test program.
#[cfg(feature = "redis")]
pub(crate) async fn redis() -> (Log, ()) {
    use petasos_hub::transport::redis::{RedisConfig, RedisTransport};
    use petasos_testkit::servers::{EngineServer, redis::RedisServer};
    let url = RedisServer::shared().url(&unique_name());
    let transport = RedisTransport::open(RedisConfig::new(&remote(&url)).unwrap()).await.unwrap();
    (Arc::new(transport), ())
}

/// Where a log on the Redis server of this test program is.
#[cfg(feature = "redis")]
pub(crate) async fn redis_place() -> Place {
    use petasos_hub::transport::redis::{RedisConfig, RedisTransport};
    use petasos_testkit::servers::{EngineServer, redis::RedisServer};
    let url = RedisServer::shared().url(&unique_name());
    let open = move |retention| {
        let config = RemoteConfig { retention: Some(retention), ..remote(&url) };
        let config = RedisConfig::new(&config).unwrap();
        async move { Arc::new(RedisTransport::open(config).await.unwrap()) as Log }.boxed()
    };
    Place { open: Box::new(open), kept: Box::new(()) }
}

/// An empty log on the NATS server of this test program.
#[cfg(feature = "nats")]
pub(crate) async fn nats() -> (Log, ()) {
    nats_on(petasos_testkit::servers::nats::NatsVersion::Current).await
}

/// An empty log on an old NATS server.
#[cfg(feature = "nats")]
pub(crate) async fn nats_old() -> (Log, ()) {
    nats_on(petasos_testkit::servers::nats::NatsVersion::Debian).await
}

#[cfg(feature = "nats")]
async fn nats_on(version: petasos_testkit::servers::nats::NatsVersion) -> (Log, ()) {
    let place = nats_place_on(version);
    ((place.open)(Retention::default()).await, ())
}

/// Where a log on the NATS server of this test program is.
#[cfg(feature = "nats")]
pub(crate) async fn nats_place() -> Place {
    nats_place_on(petasos_testkit::servers::nats::NatsVersion::Current)
}

/// Where a log on an old NATS server is.
#[cfg(feature = "nats")]
pub(crate) async fn nats_old_place() -> Place {
    nats_place_on(petasos_testkit::servers::nats::NatsVersion::Debian)
}

#[cfg(feature = "nats")]
fn nats_place_on(version: petasos_testkit::servers::nats::NatsVersion) -> Place {
    use petasos_hub::transport::nats::{NatsConfig, NatsTransport};
    use petasos_testkit::servers::{EngineServer, nats::NatsServer};
    let url = NatsServer::shared(version).url(&unique_name());
    let open = move |retention| {
        let config = RemoteConfig { retention: Some(retention), ..remote(&url) };
        let config = NatsConfig::new(&config).unwrap();
        async move { Arc::new(NatsTransport::open(config).await.unwrap()) as Log }.boxed()
    };
    Place { open: Box::new(open), kept: Box::new(()) }
}

/// An empty log on the PostgreSQL server of this test program.
#[cfg(feature = "postgres")]
pub(crate) async fn postgres() -> (Log, ()) {
    ((postgres_place().await.open)(Retention::default()).await, ())
}

/// Where a log on the PostgreSQL server of this test program is.
#[cfg(feature = "postgres")]
pub(crate) async fn postgres_place() -> Place {
    use petasos_hub::transport::postgres::{PostgresConfig, PostgresTransport};
    use petasos_testkit::servers::{EngineServer, postgres::PostgresServer};
    let url = PostgresServer::shared().url(&unique_name());
    let open = move |retention| {
        let config = RemoteConfig { retention: Some(retention), ..remote(&url) };
        let config = PostgresConfig::new(&config).unwrap();
        async move { Arc::new(PostgresTransport::open(config).await.unwrap()) as Log }.boxed()
    };
    Place { open: Box::new(open), kept: Box::new(()) }
}

/// The configuration of a log at this URL, with the default retention.
pub(crate) fn remote(url: &str) -> RemoteConfig {
    RemoteConfig { address: Address::parse(url).unwrap(), retention: Some(Retention::default()) }
}

/// A name that no other log has.
pub(crate) fn unique_name() -> String {
    format!("log{}", uuid::Uuid::new_v4().simple())
}

/// A hub with the keys of the testkit.
#[derive(Clone)]
pub(crate) struct LibraryHub {
    pub(crate) hub: Hub,
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) base: Base,
    /// Where the events of live subscribers go.
    pub(crate) sink: Sink,
}

/// Where the events of a live subscriber go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// To whoever polls: TLS, HTTP/2, other people's applications.
    Queue,
    /// To its socket: plain HTTP/1.1.
    Socket,
}

/// Every way in which live subscribers are served: so many event loops, and where the events go.
pub(crate) const WAYS: [(usize, Sink); 4] =
    [(1, Sink::Socket), (2, Sink::Socket), (4, Sink::Socket), (2, Sink::Queue)];

/// A subscriber that parses what comes.
pub(crate) struct Reader {
    source: Source,
    cursor: Option<String>,
    sink: Sink,
    parser: Parser,
    waiting: VecDeque<Event>,
}

enum Source {
    Subscription(Box<Subscription>),
    Socket(Connection),
    /// Between the two.
    Nowhere,
}

/// A connection that ends with its stream.
struct NoOwner;

impl SocketOwner for NoOwner {
    fn give_back(self: Box<Self>, _: std::net::TcpStream, _: Bytes) {}
}

impl LibraryHub {
    pub(crate) async fn start(log: Arc<dyn Transport>) -> Self {
        Self::start_with(log, HubConfig::default()).await
    }

    pub(crate) async fn start_with(log: Arc<dyn Transport>, config: HubConfig) -> Self {
        Self {
            hub: Hub::builder(log).config(config).start().await.unwrap(),
            auth: Arc::new(Authenticator::new(AuthConfig { anonymous: true, ..default_auth() }).unwrap()),
            base: Base::parse(HUB_URL).unwrap(),
            sink: Sink::Socket,
        }
    }

    /// A hub that serves its live subscribers in one of the [`WAYS`].
    pub(crate) async fn start_in(log: Arc<dyn Transport>, (event_loops, sink): (usize, Sink)) -> Self {
        let hub = Self::start_with(log, HubConfig { event_loops, ..HubConfig::default() }).await;
        Self { sink, ..hub }
    }

    /// Publishes with a grant of everything.
    pub(crate) async fn publish(&self, draft: Draft) -> Result<String, PublishError> {
        let token =
            Token::new(ISSUER, HUB_URL, &SigningKey::secret(PUBLISHER_SECRET)).may_publish(&["*"]).mint();
        let grant = self.auth.publisher(Some(&token), HUB_URL, &self.base).await.unwrap();
        let update = draft.validate(&self.base, &UpdateLimits::default()).unwrap();
        patiently("the end of a publish", self.hub.publish(&grant, update)).await
    }

    /// Subscribes with a token that grants these selectors; without any, without a token.
    pub(crate) async fn subscribe(
        &self,
        matchers: &[Selector],
        grants: &[Selector],
        cursor: Option<&str>,
    ) -> Reader {
        let token = subscriber_token(grants);
        let grant = self.auth.subscriber(token.as_deref(), HUB_URL, &self.base).await.unwrap();
        let matchers = matchers.iter().map(|selector| {
            let match_type = MatchType::parse(selector.match_type()).unwrap();
            Matcher::new(match_type, &selector.value(), &self.base).unwrap()
        });
        let request =
            SubscribeRequest { matchers: matchers.collect(), cursor: cursor.map(str::to_owned), cut: None };
        let subscription = patiently("a subscription", self.hub.subscribe(grant, request)).await.unwrap();
        let cursor = subscription.cursor().map(str::to_owned);
        let source = Source::Subscription(Box::new(subscription));
        Reader { source, cursor, sink: self.sink, parser: Parser::default(), waiting: VecDeque::new() }
    }

    /// Ends everything.
    pub(crate) async fn stop(self) {
        self.hub.drain(std::time::Duration::ZERO).await;
        self.hub.close().await;
    }
}

fn subscriber_token(grants: &[Selector]) -> Option<String> {
    if grants.is_empty() {
        return None;
    }
    let topics: Vec<Value> = grants
        .iter()
        .map(|selector| json!({ "match": selector.value(), "match_type": selector.match_type() }))
        .collect();
    let detail = json!({ "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": topics });
    Some(Token::new(ISSUER, HUB_URL, &SigningKey::secret(SUBSCRIBER_SECRET)).detail(detail).mint())
}

/// A public update on these topics.
pub(crate) fn draft(topics: &[&str], data: &str) -> Draft {
    Draft {
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        data: Some(data.to_owned()),
        ..Draft::default()
    }
}

impl Reader {
    /// What was answered as `Mercure-Last-Event-ID`.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        patiently("an event", async {
            loop {
                if let Some(event) = self.waiting.pop_front() {
                    return event;
                }
                let bytes = self.bytes().await.expect("the stream ended where an event was expected");
                for item in self.parser.feed(&bytes) {
                    if let Item::Event(event) = item {
                        self.waiting.push_back(event);
                    }
                }
                assert!(self.parser.is_between_items(), "C03: these bytes end inside an event");
            }
        })
        .await
    }

    /// Waits for the end of the stream, and returns the events before it.
    pub(crate) async fn ended(&mut self) -> Vec<Event> {
        patiently("the end of the stream", async {
            while let Some(bytes) = self.bytes().await {
                let items = self.parser.feed(&bytes).into_iter();
                self.waiting.extend(items.filter_map(|item| match item {
                    Item::Event(event) => Some(event),
                    _ => None,
                }));
            }
        })
        .await;
        self.waiting.drain(..).collect()
    }

    /// The next bytes, as events and comments; `None` at the end of the stream.
    async fn bytes(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.source {
                Source::Subscription(subscription) => {
                    let next = poll_fn(|context| match subscription.poll_bytes(context) {
                        Poll::Ready(bytes) => Poll::Ready(Some(bytes)),
                        Poll::Pending if self.sink == Sink::Socket && subscription.is_live() => {
                            Poll::Ready(None)
                        }
                        Poll::Pending => Poll::Pending,
                    });
                    if let Some(bytes) = next.await {
                        return bytes;
                    }
                }
                Source::Socket(connection) => match connection.chunk_unhurried().await {
                    Chunk::Data(bytes) => return Some(bytes),
                    Chunk::End(_) => return None,
                },
                Source::Nowhere => unreachable!(),
            }
            let Source::Subscription(subscription) = std::mem::replace(&mut self.source, Source::Nowhere)
            else {
                unreachable!()
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let socket = listener.accept().await.unwrap().0.into_std().unwrap();
            subscription.hand_over(socket, Bytes::new(), Bytes::new(), Box::new(NoOwner));
            self.source = Source::Socket(Connection::on(client));
        }
    }

    /// The data of the next `count` events.
    pub(crate) async fn next_data_of(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            data.push(self.next().await.data);
        }
        data
    }
}
