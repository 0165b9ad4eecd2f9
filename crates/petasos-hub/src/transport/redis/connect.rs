//! Finds the one server that keeps the log, and connects to it: the first primary among the hosts, the one that the
//! sentinels name, or the one that serves the log's slot of a cluster. Every connection asks anew, so that a fail-over is
//! followed by connecting again. All keys of a log are in one slot: nothing else of a cluster needs to be known.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Cmd, RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd,
    from_redis_value,
};

use super::{
    config::{Peer, Place, RedisConfig},
    error::{is_login_refused, translate},
    script::Keys,
    server::Server,
};
use crate::transport::{ErrorKind, TransportError};

/// How long one host may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a server or sentinel may take to say what it is.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// The oldest version with everything that the scripts and reads use.
const OLDEST: (u32, u32) = (6, 2);

/// The first version that can wait for the disk.
const WAITS_FOR_DISK: (u32, u32) = (7, 2);

/// A connection to the server that keeps the log.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) server: Server,
    pub(super) place: Place,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ({})", self.place, self.server.run_id)
    }
}

/// Waits that get longer, up to a bound: between attempts to connect.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(20);
    const LAST: Duration = Duration::from_millis(500);

    /// Of somebody who has not failed yet.
    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::LAST);
        wait
    }
}

/// Connects to the server that keeps the log. Answers to the connection's commands may take `patience`; `None` means for
/// ever, for who bounds the wait otherwise.
///
/// Places in `tried` are passed over, and those that were tried are put there.
///
/// # Errors
/// [`ErrorKind::Invalid`] where only another configuration helps, else [`ErrorKind::Unavailable`].
pub(super) async fn connect(
    config: &RedisConfig,
    patience: Option<Duration>,
    tried: &mut Vec<Place>,
) -> Result<Link, TransportError> {
    let mut failure = None;
    for host in &config.hosts {
        let place = match &config.sentinel {
            None => Ok(host.clone()),
            // A sentinel that lags behind the others may name one that is no primary any more.
            Some(sentinel) => ask_sentinel(config, host, &sentinel.service).await,
        };
        let connected = match place {
            Ok(place) if tried.contains(&place) => continue,
            Ok(place) => {
                tried.push(place.clone());
                connect_to(config, &place, patience).await
            }
            Err(error) => Err(error),
        };
        match connected {
            Ok(link) => return Ok(link),
            // Of several problems the first is told: the others usually follow from it.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| TransportError::unavailable("the address names no server")))
}

/// Connects to the server there, or to the one of its cluster that keeps the log.
pub(super) async fn connect_to(
    config: &RedisConfig,
    place: &Place,
    patience: Option<Duration>,
) -> Result<Link, TransportError> {
    let mut link = open(config, place, Peer::Server, patience).await?;
    if link.server.is_cluster
        && let Some(owner) = slot_owner(config, &mut link).await?
    {
        link = open(config, &owner, Peer::Server, patience).await?;
    }
    let place = &link.place;
    let server = &link.server;
    if server.is_sentinel {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!("{place} is a sentinel: name the service that it watches with sentinel=NAME"),
        ));
    }
    if server.version.is_some_and(|version| version < OLDEST) {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!("{place} is {}: at least Redis 6.2 is needed", server.name),
        ));
    }
    if config.fsync && server.version.is_some_and(|version| version < WAITS_FOR_DISK) {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "{place} is {}: fsync=true needs at least Redis 7.2; without it, appendfsync always in the server's \
                 configuration says the same for all of its clients",
                server.name
            ),
        ));
    }
    if server.is_replica {
        return Err(TransportError::unavailable(format!(
            "{place} is a replica: name the primary, or its sentinels with sentinel=NAME"
        )));
    }
    Ok(link)
}

async fn open(
    config: &RedisConfig,
    place: &Place,
    peer: Peer,
    patience: Option<Duration>,
) -> Result<Link, TransportError> {
    let client =
        config.client(place, peer).map_err(|error| TransportError::new(ErrorKind::Invalid, error))?;
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(patience);
    let connecting = client.get_multiplexed_async_connection_with_config(&settings);
    let in_time = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    let mut connection = match in_time {
        Ok(connected) => connected.map_err(|error| refused(place, &error))?,
        Err(_) => {
            return Err(TransportError::unavailable(format!("{place} does not let us in in time")));
        }
    };
    let server = match peer {
        Peer::Sentinel => Server::default(),
        Peer::Server => match ask::<String>(&mut connection, cmd("INFO")).await {
            Ok(text) => Server::read(&text),
            // A user that may not ask is served all the same.
            Err(error) if error.code() == Some("NOPERM") => Server::default(),
            Err(error) => return Err(refused(place, &error)),
        },
    };
    Ok(Link { connection, server, place: place.clone() })
}

/// Asks and waits for a second at most.
async fn ask<T: redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: Cmd,
) -> Result<T, RedisError> {
    in_time(ASK_TIMEOUT, command.query_async(connection)).await
}

fn refused(place: &Place, error: &RedisError) -> TransportError {
    if is_login_refused(error) {
        let message = format!("{place} refuses the user name or the password: correct them in the address");
        return TransportError::new(ErrorKind::Invalid, message);
    }
    let translated = translate(error);
    TransportError::new(translated.kind(), format!("{place}: {translated}"))
}

/// The primary, as this sentinel knows it.
async fn ask_sentinel(config: &RedisConfig, place: &Place, service: &str) -> Result<Place, TransportError> {
    let mut link = open(config, place, Peer::Sentinel, Some(ASK_TIMEOUT)).await?;
    let mut command = cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(service);
    let answer = ask::<Option<(String, u16)>>(&mut link.connection, command).await;
    match answer.map_err(|error| refused(place, &error))? {
        Some((host, port)) => Ok(Place { host, port }),
        None => Err(TransportError::new(
            ErrorKind::Invalid,
            format!("the sentinel {place} knows no service of the name given as sentinel"),
        )),
    }
}

/// Who serves the slot of the log in the cluster of this server; `None` if it is this server.
async fn slot_owner(config: &RedisConfig, link: &mut Link) -> Result<Option<Place>, TransportError> {
    let place = link.place.clone();
    let failed = |error: RedisError| refused(&place, &error);
    let mut keyslot = cmd("CLUSTER");
    keyslot.arg("KEYSLOT").arg(Keys::new(&config.prefix).log);
    let slot: i64 = ask(&mut link.connection, keyslot).await.map_err(failed)?;
    let mut command = cmd("CLUSTER");
    command.arg("MYID");
    let own: String = ask(&mut link.connection, command).await.map_err(failed)?;
    let mut command = cmd("CLUSTER");
    command.arg("SLOTS");
    let ranges: Vec<Vec<Value>> = ask(&mut link.connection, command).await.map_err(failed)?;
    for range in ranges {
        let mut range = range.into_iter();
        let (Some(Value::Int(first)), Some(Value::Int(last)), Some(Value::Array(primary))) =
            (range.next(), range.next(), range.next())
        else {
            continue;
        };
        if !(first..=last).contains(&slot) {
            continue;
        }
        let mut primary = primary.into_iter();
        let host = primary.next().and_then(|value| from_redis_value::<Option<String>>(value).ok()).flatten();
        let port = primary.next().and_then(|value| from_redis_value::<u16>(value).ok());
        let id = primary.next().and_then(|value| from_redis_value::<String>(value).ok());
        if id.is_some_and(|id| id == own) {
            return Ok(None);
        }
        // Without a name of its own it is where we are.
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| place.host.clone());
        return Ok(Some(Place { host, port: port.unwrap_or(place.port) }));
    }
    Err(TransportError::unavailable(format!(
        "{place}: nobody in the cluster serves slot {slot}, that of the log"
    )))
}

/// The answer, or that it took longer than this.
pub(super) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(timed_out()))
}

pub(super) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
