//! Where a log on NATS JetStream is and how it is reached: everything that can be checked without connecting.

use std::path::{Path, PathBuf};

use async_nats::{ConnectOptions, ServerAddr};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::transport::{
    Retention,
    remote::{RemoteConfig, Secret},
};

/// Where servers listen unless the address says otherwise.
const PORT: u16 = 4_222;

/// The stream, unless the address says otherwise.
const STREAM: &str = "petasos";

/// The longest name of a stream: it is in every subject.
const STREAM_BYTES: usize = 64;

/// Parameters of a URL, beside those that every engine has.
pub const PARAMETERS: &[&str] =
    &["stream", "replicas", "storage", "domain", "token", "credentials", "nkey", "ca", "cert", "key"];

/// A log on NATS JetStream.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Tried in random order; a cluster tells of more.
    pub(super) servers: Vec<ServerAddr>,
    login: Login,
    tls: Option<TlsFiles>,
    /// The stream of the log; that of presence has a name made of it.
    pub(super) stream: String,
    /// `None`: one for a new stream, and that of an existing one is left alone.
    pub(super) replicas: Option<u8>,
    /// `None`: files for a new stream, and that of an existing one is left alone.
    pub(super) storage: Option<Storage>,
    /// The JetStream domain, for servers behind leaf nodes.
    pub(super) domain: Option<String>,
    /// What is kept; `None`: the limits of an existing stream are left alone.
    pub(super) retention: Option<Retention>,
    /// For people.
    pub(super) location: String,
}

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    File,
    Memory,
}

impl Storage {
    /// As JetStream writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

#[derive(Clone, Debug)]
enum Login {
    Nobody,
    User {
        name: String,
        password: Secret,
    },
    Token(Secret),
    /// The text of a credentials file: a JWT and the seed of its key.
    Credentials(Secret),
    /// The seed of a key that the server knows.
    Seed(Secret),
}

/// Read again for each connection, so that renewed certificates are taken without a restart.
#[derive(Clone, Debug)]
struct TlsFiles {
    ca: Option<PathBuf>,
    certificate_and_key: Option<(PathBuf, PathBuf)>,
}

impl NatsConfig {
    /// Reads an address with its parameters, and the files that they name.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without credentials.
    pub fn new(config: &RemoteConfig) -> Result<Self, String> {
        let mut address = config.address.clone();
        let mut take = |name: &str| address.take(name).map(|value| value.expose().to_owned());
        let stream = take("stream").unwrap_or_else(|| STREAM.to_owned());
        check_stream(&stream)?;
        let replicas = match take("replicas").as_deref() {
            None => None,
            Some("1") => Some(1),
            Some("3") => Some(3),
            Some("5") => Some(5),
            Some(_) => return Err("replicas is 1, 3 or 5".to_owned()),
        };
        let storage = match take("storage").as_deref() {
            None => None,
            Some("file") => Some(Storage::File),
            Some("memory") => Some(Storage::Memory),
            Some(_) => return Err("storage is file or memory".to_owned()),
        };
        let domain = take("domain");
        if domain.as_deref().is_some_and(|domain| !is_token(domain)) {
            return Err("domain is one word of letters, digits, - and _".to_owned());
        }
        let files = [take("token"), take("credentials"), take("nkey")];
        let (ca, certificate, key) = (take("ca"), take("cert"), take("key"));
        let tls = match address.scheme.as_str() {
            "tls" => Some(TlsFiles::read(ca, certificate, key)?),
            _ if ca.is_some() || certificate.is_some() || key.is_some() => {
                return Err("ca, cert and key are for TLS: write tls:// to use them".to_owned());
            }
            _ => None,
        };
        if let Some(name) = address.left().next() {
            return Err(format!("there is no parameter {name}"));
        }
        if !address.path.is_empty() {
            return Err("nats:// has no path; the stream is named by the parameter stream".to_owned());
        }
        let login = Login::read(address.username.clone(), address.password.clone(), files)?;
        let servers = address
            .hosts
            .iter()
            .map(|host| format!("{}://{}", address.scheme, host.with_port(PORT)).parse())
            .collect::<Result<Vec<ServerAddr>, _>>()
            .map_err(|_| "a host is no name and no address".to_owned())?;
        let location = format!("{}?stream={stream}", address.shown(PORT));
        let retention = config.retention;
        Ok(Self { servers, login, tls, stream, replicas, storage, domain, retention, location })
    }

    /// What connections are made with.
    pub(super) fn options(&self) -> Result<ConnectOptions, String> {
        let options = ConnectOptions::new();
        let mut options = match &self.login {
            Login::Nobody => options,
            Login::User { name, password } => {
                options.user_and_password(name.clone(), password.expose().to_owned())
            }
            Login::Token(token) => options.token(token.expose().to_owned()),
            Login::Credentials(text) => {
                options.credentials(text.expose()).map_err(|_| no_credentials().to_owned())?
            }
            Login::Seed(seed) => options.nkey(seed.expose().to_owned()),
        };
        if let Some(tls) = &self.tls {
            options = options.require_tls(true);
            if let Some(ca) = &tls.ca {
                options = options.add_root_certificates(ca.clone());
            }
            if let Some((certificate, key)) = &tls.certificate_and_key {
                options = options.add_client_certificate(certificate.clone(), key.clone());
            }
        }
        Ok(options)
    }
}

impl Login {
    fn read(
        username: Option<String>,
        password: Option<Secret>,
        [token, credentials, nkey]: [Option<String>; 3],
    ) -> Result<Self, String> {
        let mut logins = Vec::new();
        match (username, password) {
            (Some(name), Some(password)) => logins.push(Self::User { name, password }),
            // What clients of NATS make of a name alone.
            (Some(token), None) => logins.push(Self::Token(Secret::new(token))),
            (None, Some(_)) => return Err("there is a password without a user name".to_owned()),
            (None, None) => {}
        }
        if let Some(token) = token {
            logins.push(Self::Token(Secret::new(token)));
        }
        if let Some(path) = credentials {
            let text = read_file("credentials", &path)?;
            ConnectOptions::new().credentials(&text).map_err(|_| no_credentials().to_owned())?;
            logins.push(Self::Credentials(Secret::new(text)));
        }
        if let Some(path) = nkey {
            let text = read_file("nkey", &path)?;
            let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU") && line.len() == 58);
            let seed = seed.ok_or("the file of nkey holds no seed of a user's key (SU…)")?;
            logins.push(Self::Seed(Secret::new(seed)));
        }
        if logins.len() > 1 {
            return Err(
                "one way to log in is enough: user and password, token, credentials or nkey".to_owned()
            );
        }
        Ok(logins.pop().unwrap_or(Self::Nobody))
    }
}

impl TlsFiles {
    fn read(ca: Option<String>, certificate: Option<String>, key: Option<String>) -> Result<Self, String> {
        let certificates = |name: &str, path: &str| -> Result<PathBuf, String> {
            let text = read_file(name, path)?;
            let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
            match found {
                Ok(found) if !found.is_empty() => Ok(PathBuf::from(path)),
                _ => Err(format!("the file of {name} holds no certificate in PEM")),
            }
        };
        let ca = ca.map(|path| certificates("ca", &path)).transpose()?;
        let certificate_and_key = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let certificate = certificates("cert", &certificate)?;
                let text = read_file("key", &key)?;
                PrivateKeyDer::from_pem_slice(text.as_bytes())
                    .map_err(|_| "the file of key holds no private key in PEM".to_owned())?;
                Some((certificate, PathBuf::from(key)))
            }
            (None, None) => None,
            _ => return Err("cert and key are given together".to_owned()),
        };
        Ok(Self { ca, certificate_and_key })
    }
}

fn read_file(parameter: &str, path: &str) -> Result<String, String> {
    std::fs::read_to_string(Path::new(path))
        .map_err(|error| format!("the file of {parameter}, {path}, cannot be read: {error}"))
}

fn no_credentials() -> &'static str {
    "the file of credentials holds no user JWT with its seed: nsc generate creds writes one"
}

fn check_stream(name: &str) -> Result<(), String> {
    if name.len() > STREAM_BYTES || !is_token(name) {
        return Err(format!(
            "stream must be 1 to {STREAM_BYTES} letters, digits, - and _: it names the stream and begins its subjects"
        ));
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::remote::Address;

    fn read(url: &str) -> Result<NatsConfig, String> {
        NatsConfig::new(&RemoteConfig { address: Address::parse(url)?, retention: None })
    }

    #[test]
    fn an_address_is_read_with_its_parameters() {
        let config =
            read("nats://me:hunter2@a,b:5?stream=log_1&replicas=3&storage=memory&domain=hub").expect("fine");
        assert_eq!(config.servers.len(), 2);
        assert_eq!((config.stream.as_str(), config.replicas), ("log_1", Some(3)));
        assert_eq!((config.storage, config.domain.as_deref()), (Some(Storage::Memory), Some("hub")));
        assert_eq!(config.location, "nats://a:4222,b:5?stream=log_1");
        assert!(matches!(&config.login, Login::User { name, .. } if name == "me"));
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        assert!(matches!(read("nats://hunter2@a").expect("fine").login, Login::Token(_)));
        assert!(matches!(read("nats://a?token=hunter2").expect("fine").login, Login::Token(_)));
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        for (url, says) in [
            ("nats://a?stream=a.b", "letters"),
            ("nats://a?stream=", "letters"),
            ("nats://a?replicas=2", "1, 3 or 5"),
            ("nats://a?storage=disk", "file or memory"),
            ("nats://a?domain=a.b", "one word"),
            ("nats://a?ca=x.pem", "tls://"),
            ("nats://a/petasos", "no path"),
            ("nats://me:hunter2@a?token=hunter2", "one way to log in"),
            ("nats://:hunter2@a", "user name"),
            ("nats://a?credentials=/nonexistent", "cannot be read"),
            ("nats://a?nkey=/nonexistent", "cannot be read"),
            ("nats://a?hunter=2", "no parameter"),
            ("tls://a?cert=/nonexistent", "together"),
            ("tls://a?ca=/dev/null", "no certificate"),
        ] {
            let error = read(url).expect_err(url);
            assert!(error.contains(says) && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn files_that_hold_something_else_are_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "hunter2").expect("write");
        for parameter in ["credentials", "nkey"] {
            let error = read(&format!("nats://a?{parameter}={}", file.display())).expect_err(parameter);
            assert!(error.contains("holds no") && !error.contains("hunter2"), "{error}");
        }
    }
}
