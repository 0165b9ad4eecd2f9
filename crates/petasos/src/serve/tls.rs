//! TLS from certificate files, which may change while the hub runs. New connections get what was loaded last; a file
//! that cannot be used leaves the last one in force.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::config::TlsFiles;

/// How often the files are looked at. Their contents are compared, not their times: so it does not matter whether they
/// are written, moved, or switched by a symbolic link as Kubernetes does it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Stands for the contents of files that cannot be read.
const UNREADABLE: u64 = 0;

/// HTTP/2 first, for browsers: it has no limit of six streams for all tabs.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key in PEM form", .0.display())]
    NoKey(PathBuf),
    #[error("certificate {} and key {} do not fit: {error}", files.certificate.display(), files.key.display())]
    Mismatch { files: TlsFiles, error: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// TLS of the public listeners.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    resolver: Arc<Resolver>,
    config: Arc<ServerConfig>,
    /// Of the contents that were looked at last, whether or not they could be used.
    seen: Mutex<u64>,
}

#[derive(Debug)]
struct Resolver(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(super) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let contents = Contents::read(files)?;
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(contents.parse(files, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // Clients that come back after a restart of a proxy need no full handshake, and the hub keeps nothing for them.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
        let seen = Mutex::new(contents.fingerprint());
        Ok(Self { files: files.clone(), provider, resolver, config: Arc::new(config), seen })
    }

    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reads the files again, and returns whether their contents are others than those seen last.
    ///
    /// # Errors
    /// See [`TlsError`]. What was loaded before stays in force, and the same contents are no error again.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.files);
        let fingerprint = contents.as_ref().map_or(UNREADABLE, Contents::fingerprint);
        if std::mem::replace(&mut *self.seen.lock(), fingerprint) == fingerprint {
            return Ok(false);
        }
        let contents = contents?;
        self.resolver.0.store(Arc::new(contents.parse(&self.files, &self.provider)?));
        Ok(true)
    }

    /// Reloads the files, off the threads that serve, and tells the log.
    pub(super) async fn reload_and_tell(self: &Arc<Self>) {
        let this = Arc::clone(self);
        match tokio::task::spawn_blocking(move || this.reload()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => {
                tracing::info!(certificate = %self.files.certificate.display(), "certificate reloaded")
            }
            Ok(Err(error)) => tracing::warn!(%error, "certificate not reloaded, the last one stays in force"),
            Err(error) => tracing::error!(%error, "certificate not reloaded"),
        }
    }

    /// Reloads the files when they change, for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.reload_and_tell().await;
        }
    }
}

/// Whether the client has chosen HTTP/2 in the handshake.
pub(super) fn is_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN[0])
}

struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read =
            |path: &PathBuf| fs::read(path).map_err(|error| TlsError::Read { path: path.clone(), error });
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key).hash(&mut hasher);
        hasher.finish()
    }

    fn parse(&self, files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate(files.certificate.clone()))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(files.certificate.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let mismatch = |error| TlsError::Mismatch { files: files.clone(), error };
        let key = provider.key_provider.load_private_key(key).map_err(mismatch)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A kind of key that cannot be compared is the operator's word against nobody's.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(error) => Err(mismatch(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn write(directory: &std::path::Path, certificate: &str, key: &str) -> TlsFiles {
        let files = TlsFiles { certificate: directory.join("tls.crt"), key: directory.join("tls.key") };
        fs::write(&files.certificate, certificate).expect("written");
        fs::write(&files.key, key).expect("written");
        files
    }

    fn in_force(tls: &Tls) -> Vec<u8> {
        tls.resolver.0.load().cert[0].to_vec()
    }

    #[test]
    fn new_contents_come_into_force_and_old_ones_are_no_news() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, new) = (pair(), pair());
        let tls = Tls::load(&write(directory.path(), &old.certificate, &old.key)).expect("usable");
        let before = in_force(&tls);
        assert!(!tls.reload().expect("readable"));
        write(directory.path(), &new.certificate, &new.key);
        assert!(tls.reload().expect("usable"));
        assert_ne!(in_force(&tls), before);
    }

    #[test]
    fn a_symbolic_link_that_is_switched_is_a_change() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, pair) in [("one", pair()), ("two", pair())] {
            fs::create_dir(directory.path().join(name)).expect("created");
            write(&directory.path().join(name), &pair.certificate, &pair.key);
        }
        let link = directory.path().join("..data");
        std::os::unix::fs::symlink("one", &link).expect("linked");
        let files = TlsFiles { certificate: link.join("tls.crt"), key: link.join("tls.key") };
        let tls = Tls::load(&files).expect("usable");
        std::os::unix::fs::symlink("two", directory.path().join("new")).expect("linked");
        fs::rename(directory.path().join("new"), &link).expect("switched");
        assert!(tls.reload().expect("usable"));
    }

    #[test]
    fn what_cannot_be_used_leaves_the_last_in_force_and_is_told_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, new) = (pair(), pair());
        let tls = Tls::load(&write(directory.path(), &old.certificate, &old.key)).expect("usable");
        let before = in_force(&tls);
        // Half of a change that is still being written.
        write(directory.path(), &new.certificate, &old.key);
        let error = tls.reload().expect_err("they do not fit").to_string();
        assert!(error.contains("do not fit"), "{error}");
        assert!(!tls.reload().expect("no news"));
        write(directory.path(), "nothing", &new.key);
        assert!(tls.reload().expect_err("no certificate").to_string().contains("holds no certificate"));
        fs::remove_file(directory.path().join("tls.key")).expect("removed");
        assert!(tls.reload().expect_err("no file").to_string().contains("cannot read"));
        assert!(!tls.reload().expect("no news"));
        assert_eq!(in_force(&tls), before);
        write(directory.path(), &new.certificate, &new.key);
        assert!(tls.reload().expect("usable"));
    }

    #[test]
    fn errors_do_not_show_keys() {
        let directory = tempfile::tempdir().expect("a directory");
        let pair = pair();
        let secret = pair.key.lines().nth(1).expect("a line").to_owned();
        let error = Tls::load(&write(directory.path(), &pair.key, &pair.key)).expect_err("no certificate");
        assert!(!format!("{error} {error:?}").contains(&secret));
    }
}
