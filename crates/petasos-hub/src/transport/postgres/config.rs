//! Where a log is, how its server is reached, and what is kept.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use crate::transport::{
    Retention,
    remote::{Address, RemoteConfig, Secret},
};

/// The port of PostgreSQL.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// The schema of the hub's tables where the URL names none.
const DEFAULT_SCHEMA: &str = "petasos";

/// The name of a channel has at most 63 bytes, and begins with `petasos_`.
const SCHEMA_BYTES: usize = 50;

/// The parameters that a URL may have beside those of every engine.
pub const PARAMETERS: &[&str] =
    &["schema", "sslmode", "sslrootcert", "sslcert", "sslkey", "synchronous_commit", "connect_timeout"];

/// How long a server may take to accept a connection, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A log in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    pub(super) address: Address,
    pub(super) schema: String,
    pub(super) tls: TlsMode,
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) synchronous_commit: Option<&'static str>,
    pub(super) connect_timeout: Duration,
    pub(super) retention: Option<Retention>,
    /// Which of the hosts was connected to last.
    pub(super) preferred: Arc<AtomicUsize>,
}

/// How much TLS there must be; the words are those of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl PostgresConfig {
    /// Checks everything that can be checked without connecting.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without credentials.
    pub fn new(config: &RemoteConfig) -> Result<Self, String> {
        let mut address = config.address.clone();
        let mut take = |name: &str| address.take(name).map(|value| Secret::expose(&value).to_owned());
        let schema = take("schema").unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
        check_schema(&schema)?;
        let root_certificate = take("sslrootcert");
        let names_certificate = root_certificate.is_some();
        let trusts_system = root_certificate.as_deref() == Some("system");
        let root_certificate = root_certificate.filter(|path| path != "system").map(PathBuf::from);
        let tls = match take("sslmode").as_deref() {
            // Whoever names a certificate wants it to be checked.
            None if names_certificate => TlsMode::VerifyFull,
            None | Some("prefer") => TlsMode::Prefer,
            Some("disable") => TlsMode::Disable,
            Some("require") => TlsMode::Require,
            Some("verify-ca") => TlsMode::VerifyCa,
            Some("verify-full") => TlsMode::VerifyFull,
            Some(_) => return Err("sslmode is disable, prefer, require, verify-ca or verify-full".to_owned()),
        };
        if trusts_system && tls != TlsMode::VerifyFull {
            // Anybody has a certificate that one of the system's authorities has signed.
            return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
        }
        let client_certificate = match (take("sslcert"), take("sslkey")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => return Err("sslcert and sslkey belong together".to_owned()),
        };
        if tls == TlsMode::Disable && (root_certificate.is_some() || client_certificate.is_some()) {
            return Err("sslmode=disable uses no certificates".to_owned());
        }
        let synchronous_commit = match take("synchronous_commit").as_deref() {
            None => None,
            Some(value) => Some(
                ["on", "off", "local", "remote_write", "remote_apply"]
                    .into_iter()
                    .find(|known| *known == value)
                    .ok_or("synchronous_commit is on, off, local, remote_write or remote_apply")?,
            ),
        };
        let connect_timeout = match take("connect_timeout") {
            None => CONNECT_TIMEOUT,
            Some(seconds) => match seconds.parse() {
                Ok(seconds @ 1..=60) => Duration::from_secs(seconds),
                _ => return Err("connect_timeout is a number of seconds, 1 to 60".to_owned()),
            },
        };
        if address.path.contains('/') {
            return Err("the path of the URL is the name of one database".to_owned());
        }
        if let Some(unknown) = address.left().next() {
            return Err(format!("postgres:// has no parameter {unknown}"));
        }
        let config = Self {
            address,
            schema,
            tls,
            root_certificate,
            client_certificate,
            synchronous_commit,
            connect_timeout,
            retention: config.retention,
            preferred: Arc::default(),
        };
        super::tls::check(&config)?;
        Ok(config)
    }

    /// Where this is, for people.
    pub(super) fn location(&self) -> String {
        format!("{}, schema {}", self.address.shown(DEFAULT_PORT), self.schema)
    }

    /// The name of the schema as SQL has it.
    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema)
    }

    /// On which appends are announced.
    pub(super) fn channel(&self) -> String {
        format!("petasos_{}", self.schema)
    }
}

/// It stands in SQL, so that it may hold nothing that would have to be escaped.
fn check_schema(name: &str) -> Result<(), String> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty()
        || name.len() > SCHEMA_BYTES
        || !is_word
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!(
            "schema is a name of letters, digits and underscores, at most {SCHEMA_BYTES} of them, no digit first"
        ));
    }
    if name.to_ascii_lowercase().starts_with("pg_") {
        return Err("schema may not begin with pg_, which PostgreSQL keeps for itself".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<PostgresConfig, String> {
        PostgresConfig::new(&RemoteConfig { address: Address::parse(url)?, retention: None })
    }

    #[test]
    fn every_parameter_is_understood() {
        let url = "postgresql://u:p@a,b:1/hubs?schema=live&sslmode=require&synchronous_commit=remote_apply&connect_timeout=5";
        let config = config(url).expect("a configuration");
        assert_eq!((config.schema.as_str(), config.channel().as_str()), ("live", "petasos_live"));
        assert_eq!((config.tls, config.synchronous_commit), (TlsMode::Require, Some("remote_apply")));
        assert_eq!(config.connect_timeout, Duration::from_secs(5));
        assert_eq!(config.location(), "postgresql://a:5432,b:1/hubs, schema live");
    }

    #[test]
    fn the_system_s_certificates_are_checked_where_they_are_named() {
        for parameters in ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full"] {
            let config = config(&format!("postgres://h/d?{parameters}")).expect("a configuration");
            assert_eq!((config.tls, config.root_certificate), (TlsMode::VerifyFull, None), "{parameters}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_no_secret_is_quoted() {
        for (parameters, said) in [
            ("schema=a-b", "letters"),
            ("schema=1a", "letters"),
            ("schema=pg_x", "pg_"),
            ("schema=%22%3B", "letters"),
            ("sslmode=hunter2", "verify-full"),
            ("sslcert=x", "belong together"),
            ("sslmode=disable&sslrootcert=x", "no certificates"),
            ("sslrootcert=/nowhere.pem", "cannot be read"),
            ("sslrootcert=system&sslmode=require", "verify-full"),
            ("sslrootcert=system&sslmode=verify-ca", "verify-full"),
            ("sslrootcert=system&sslmode=disable", "verify-full"),
            ("synchronous_commit=hunter2", "remote_apply"),
            ("connect_timeout=0", "seconds"),
            ("colour=hunter2", "no parameter colour"),
        ] {
            let error = config(&format!("postgres://u:hunter2@h/d?{parameters}")).expect_err(parameters);
            assert!(error.contains(said) && !error.contains("hunter2"), "{parameters}: {error}");
        }
        assert!(config("postgres://h/a/b").expect_err("two names").contains("one database"));
    }
}
