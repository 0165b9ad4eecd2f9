//! Where a log on Redis is and how it is reached: everything that can be checked without connecting.

use std::path::Path;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use crate::transport::{
    Retention,
    remote::{RemoteConfig, Secret},
};

/// Where servers listen, and sentinels, unless the address says otherwise.
const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// What keys begin with, unless the address says otherwise.
const PREFIX: &str = "petasos";

/// The longest prefix: it is in every key and in every call.
const PREFIX_BYTES: usize = 64;

/// Parameters of a URL, beside those that every engine has.
pub const PARAMETERS: &[&str] = &[
    "prefix",
    "replicas",
    "fsync",
    "sentinel",
    "sentinel_username",
    "sentinel_password",
    "ca",
    "cert",
    "key",
];

/// A log on Redis or Valkey.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Servers, or sentinels, in the order in which they are tried.
    pub(super) hosts: Vec<Place>,
    pub(super) sentinel: Option<Sentinel>,
    login: Login,
    database: i64,
    tls: Option<Certificates>,
    /// What all keys of the log begin with.
    pub(super) prefix: String,
    /// How many replicas must have an update before its publisher is answered.
    pub(super) replicas: u32,
    /// The server, and as many replicas, must have it on the disk before.
    pub(super) fsync: bool,
    /// What is kept; `None`: this process discards nothing.
    pub(super) retention: Option<Retention>,
    /// For people.
    pub(super) location: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

/// What the sentinels are asked.
#[derive(Clone, Debug)]
pub(super) struct Sentinel {
    /// The name under which they know the servers.
    pub(super) service: String,
    login: Login,
}

#[derive(Clone, Debug, Default)]
struct Login {
    username: Option<String>,
    password: Option<Secret>,
}

#[derive(Clone)]
struct Certificates(TlsCertificates);

impl std::fmt::Debug for Certificates {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TLS")
    }
}

/// Whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Server,
    Sentinel,
}

impl RedisConfig {
    /// Reads an address with its parameters, and the files that they name.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without credentials.
    pub fn new(config: &RemoteConfig) -> Result<Self, String> {
        let mut address = config.address.clone();
        let scheme = address.scheme.clone();
        let mut take = |name: &str| address.take(name).map(|value| value.expose().to_owned());
        let sentinel = take("sentinel").map(|service| Sentinel {
            service,
            login: Login {
                username: take("sentinel_username"),
                password: take("sentinel_password").map(Secret::new),
            },
        });
        let prefix = take("prefix").unwrap_or_else(|| PREFIX.to_owned());
        check_prefix(&prefix)?;
        let replicas = match take("replicas") {
            None => 0,
            Some(text) => text.parse().map_err(|_| "replicas is no number of replicas".to_owned())?,
        };
        let fsync = match take("fsync").as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1" | "") => true,
            Some(_) => return Err("fsync is neither true nor false".to_owned()),
        };
        let tls = match scheme.as_str() {
            "rediss" | "valkeys" => Some(certificates(take("ca"), take("cert"), take("key"))?),
            scheme => {
                if let Some(name) = ["ca", "cert", "key"].into_iter().find(|name| take(name).is_some()) {
                    return Err(format!("{name} is for TLS: write {scheme}s:// to use it"));
                }
                None
            }
        };
        if let Some(name) = address.left().find(|name| name.starts_with("sentinel")) {
            return Err(format!("{name} is for sentinels: name their service with sentinel"));
        }
        if let Some(name) = address.left().next() {
            return Err(format!("there is no parameter {name}"));
        }
        let database =
            match address.path.as_str() {
                "" => 0,
                path => path.parse().ok().filter(|database| *database >= 0).ok_or(
                    "the path is the number of a database, such as /0; for the keys, there is prefix",
                )?,
            };
        let default_port = if sentinel.is_some() { SENTINEL_PORT } else { PORT };
        let hosts = address
            .hosts
            .iter()
            .map(|host| Place { host: host.name.clone(), port: host.port.unwrap_or(default_port) });
        let mut location = address.shown(default_port);
        if prefix != PREFIX {
            location = format!("{location}?prefix={prefix}");
        }
        let config = Self {
            hosts: hosts.collect(),
            sentinel,
            login: Login { username: address.username.clone(), password: address.password.clone() },
            database,
            tls,
            prefix,
            replicas,
            fsync,
            retention: config.retention,
            location,
        };
        // What the files hold is only looked at when a client is made of it.
        config.client(&config.hosts[0], Peer::Server)?;
        Ok(config)
    }

    /// A client of the server or sentinel there.
    pub(super) fn client(&self, place: &Place, peer: Peer) -> Result<Client, String> {
        let wrong = |error: redis::RedisError| format!("the connection cannot be set up: {error}");
        let (login, database) = match (peer, &self.sentinel) {
            (Peer::Sentinel, Some(sentinel)) => (&sentinel.login, 0),
            _ => (&self.login, self.database),
        };
        let mut settings = RedisConnectionInfo::default().set_db(database).set_skip_set_lib_name();
        if let Some(username) = &login.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password.expose());
        }
        let (host, port) = (place.host.clone(), place.port);
        let address = match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let keepalive = TcpKeepalive::new()
            .with_time(std::time::Duration::from_secs(10))
            .with_interval(std::time::Duration::from_secs(5));
        let info: ConnectionInfo = address
            .into_connection_info()
            .map_err(wrong)?
            .set_redis_settings(settings)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true).set_keepalive(keepalive));
        match &self.tls {
            None => Client::open(info).map_err(wrong),
            Some(Certificates(certificates)) => {
                Client::build_with_tls(info, certificates.clone()).map_err(wrong)
            }
        }
    }
}

/// The prefix is the hash tag of the keys: braces would end it.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let is_usual = |byte: u8| byte.is_ascii_graphic() && !b"{}".contains(&byte);
    if prefix.is_empty() || prefix.len() > PREFIX_BYTES || !prefix.bytes().all(is_usual) {
        return Err(format!(
            "prefix must be 1 to {PREFIX_BYTES} visible ASCII characters without braces: it begins the keys of the log"
        ));
    }
    Ok(())
}

fn certificates(
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
) -> Result<Certificates, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let read = |name: &str, path: String| {
        std::fs::read(Path::new(&path)).map_err(|error| format!("{name}: {path} cannot be read: {error}"))
    };
    let client_tls = match (cert, key) {
        (None, None) => None,
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read("cert", cert)?, client_key: read("key", key)? })
        }
        _ => return Err("cert and key belong together: name both or neither".to_owned()),
    };
    let root_cert = ca.map(|path| read("ca", path)).transpose()?;
    if root_cert.as_ref().is_some_and(|pem| !pem.windows(5).any(|window| window == b"BEGIN")) {
        return Err("ca names a file that holds no certificate in PEM".to_owned());
    }
    Ok(Certificates(TlsCertificates { client_tls, root_cert }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::remote::Address;

    fn config(url: &str) -> Result<RedisConfig, String> {
        RedisConfig::new(&RemoteConfig { address: Address::parse(url)?, retention: None })
    }

    #[test]
    fn an_address_says_everything() {
        let plain = config("redis://host").expect("an address");
        assert_eq!(plain.location, "redis://host:6379");
        assert_eq!(
            (plain.prefix.as_str(), plain.replicas, plain.fsync, plain.database),
            ("petasos", 0, false, 0)
        );
        let full = config(
            "valkey://me:hunter2@a,b:7/3?prefix=x&replicas=2&fsync=true&sentinel=main&sentinel_password=hunter3",
        )
        .expect("an address");
        assert_eq!(full.location, "valkey://a:26379,b:7/3?prefix=x");
        assert_eq!((full.prefix.as_str(), full.replicas, full.fsync, full.database), ("x", 2, true, 3));
        assert_eq!(full.hosts.iter().map(Place::to_string).collect::<Vec<_>>(), ["a:26379", "b:7"]);
        assert_eq!(full.sentinel.as_ref().map(|sentinel| sentinel.service.as_str()), Some("main"));
        let shown = format!("{full:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_told_without_credentials() {
        for (url, part) in [
            ("redis://:hunter2@h/hubs", "number of a database"),
            ("redis://:hunter2@h/-1", "number of a database"),
            ("redis://:hunter2@h?prefix=", "prefix"),
            ("redis://:hunter2@h?prefix=%7Bx%7D", "braces"),
            ("redis://:hunter2@h?replicas=hunter2", "replicas"),
            ("redis://:hunter2@h?fsync=hunter2", "fsync"),
            ("redis://:hunter2@h?ca=/x", "rediss://"),
            ("redis://:hunter2@h?sentinel_password=hunter2", "sentinel"),
            ("redis://:hunter2@h?colour=hunter2", "colour"),
            ("rediss://:hunter2@h?ca=/nowhere/ca.pem", "/nowhere/ca.pem cannot be read"),
            ("rediss://:hunter2@h?ca=/dev/null", "PEM"),
            ("rediss://:hunter2@h?cert=/dev/null", "belong together"),
            ("rediss://:hunter2@h?cert=/dev/null&key=/dev/null", "set up"),
        ] {
            let error = config(url).expect_err(url);
            assert!(error.contains(part) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
