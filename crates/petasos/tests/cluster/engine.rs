//! The engines that nodes can share.

use petasos_testkit::servers::{
    EngineServer, nats::NatsServer, postgres::PostgresServer, redis::RedisServer,
};

/// An engine whose log several processes can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The embedded store, shared by processes of one host. It has no server that could be lost.
    Sqlite,
    /// Redis, with an append-only file that is synced before each answer.
    Redis,
    /// NATS JetStream, the newest version.
    Nats,
    /// PostgreSQL, which syncs its disk.
    Postgres,
}

impl Engine {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Sqlite, Self::Redis, Self::Nats, Self::Postgres];

    /// A server of its own, which a test may break.
    pub(crate) fn start(self) -> Option<Box<dyn EngineServer>> {
        match self {
            Self::Sqlite => None,
            Self::Redis => Some(Box::new(RedisServer::start())),
            Self::Nats => Some(Box::new(NatsServer::start())),
            Self::Postgres => Some(Box::new(PostgresServer::start())),
        }
    }

    /// Whether a node that stands still in the middle of a commit keeps the others from writing until it goes on: it holds
    /// the lock of the file. One that is killed does not.
    pub(crate) fn may_wait_for_a_node(self) -> bool {
        self == Self::Sqlite
    }

    /// Whether a list holds exactly what events up to its cursor have told. JetStream has no transaction over both: a list
    /// may hold some of what comes behind the cursor already, and never lacks what came before it.
    pub(crate) fn lists_exactly(self) -> bool {
        self != Self::Nats
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Postgres => "postgres",
        }
    }
}
