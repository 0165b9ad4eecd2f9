//! Which hub, with which token, and how far its certificate is trusted: the flags that `publish` and `subscribe` share,
//! and what they come to.

use std::{path::PathBuf, sync::Arc};

use http::HeaderValue;
use petasos_hub::{auth::Secret, http::HUB_PATH};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use url::Url;

use super::credentials::TokenSource;

/// The hub where none is named: the one that `petasos serve --dev` starts.
pub const DEFAULT_URL: &str = "http://localhost:3000/.well-known/mercure";

/// The variable that names the hub.
pub const URL_VARIABLE: &str = "PETASOS_URL";

/// The variable that holds a token.
pub const TOKEN_VARIABLE: &str = "PETASOS_TOKEN";

/// Which hub, and how to get in.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TargetArgs {
    /// The hub. Without a path, /.well-known/mercure is meant [default: http://localhost:3000/.well-known/mercure]
    #[arg(long, short, value_name = "URL", env = URL_VARIABLE, hide_env_values = true)]
    pub url: Option<String>,

    /// The token. Other users of this machine can see it in the list of processes: better put it into the variable
    /// PETASOS_TOKEN or a file
    #[arg(long, value_name = "TOKEN", value_parser = secret, conflicts_with = "token_file")]
    pub token: Option<Secret>,

    /// A file that holds the token; it is read again for every connection
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub cacert: Option<PathBuf>,

    /// Do not check the certificate of the hub (only for tests)
    #[arg(long)]
    pub insecure: bool,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// A hub and the way to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The hub's URL, as requests name it. With another one than the connection goes to, they are as from a proxy.
    pub url: Url,
    /// What the connection goes to.
    pub host: String,
    /// With [`Self::host`].
    pub port: u16,
    /// How to speak TLS; `None` for `http`.
    pub tls: Option<Tls>,
    /// Where the token comes from.
    pub token: TokenSource,
}

/// The TLS side of a target.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Everything but the application protocols.
    pub config: ClientConfig,
    /// The name that the certificate must bear.
    pub name: ServerName<'static>,
}

/// What is wrong with the flags.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No URL of a hub.
    #[error("{url:?} is not the URL of a hub: {problem}")]
    Url {
        /// As it was given, without what may be secret.
        url: String,
        /// In words.
        problem: String,
    },
    /// `--cacert`.
    #[error("the certificates in {} cannot be used: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// In words.
        problem: String,
    },
    /// The system's certificates.
    #[error("no certificates to trust were found on this system ({0}); name a file with --cacert")]
    NoRoots(rustls::Error),
    /// The protocol versions do not fit the cryptography that is built in.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

impl TargetArgs {
    /// What the flags come to. A token in the flags wins over one in a file, and both over `token_variable`, the value
    /// of [`TOKEN_VARIABLE`].
    ///
    /// # Errors
    /// Where the URL or the certificates cannot be used.
    pub fn resolve(&self, token_variable: Option<String>) -> Result<Target, TargetError> {
        let given = self.url.as_deref().filter(|url| !url.is_empty()).unwrap_or(DEFAULT_URL);
        let url = hub_url(given).map_err(|problem| TargetError::Url { url: shown(given), problem })?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // Brackets are the URL's spelling of an IPv6 address, not the address.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let tls = match url.scheme() {
            "https" => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|error| TargetError::Url { url: shown(given), problem: error.to_string() })?;
                Some(Tls { config: self.tls_config()?, name })
            }
            _ => None,
        };
        let token = match (&self.token, &self.token_file, token_variable.filter(|token| !token.is_empty())) {
            (Some(token), _, _) => TokenSource::Given(token.clone()),
            (None, Some(path), _) => TokenSource::File(path.clone()),
            (None, None, Some(token)) => TokenSource::Given(Secret::new(token)),
            (None, None, None) => TokenSource::None,
        };
        Ok(Target { url, host, port, tls, token })
    }

    fn tls_config(&self) -> Result<ClientConfig, TargetError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TargetError::Tls)?;
        if self.insecure {
            let config =
                builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnything(provider)));
            return Ok(config.with_no_client_auth());
        }
        let Some(path) = &self.cacert else {
            let config = builder.with_platform_verifier().map_err(TargetError::NoRoots)?;
            return Ok(config.with_no_client_auth());
        };
        let failed = |problem: String| TargetError::Certificates { path: path.clone(), problem };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// A URL as it was given, without its query, which carries a token in version 0.x (L05), and without name and password.
fn shown(given: &str) -> String {
    let given = given.split(['?', '#']).next().unwrap_or_default();
    match given.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            if scheme.is_empty() { format!("…@{rest}") } else { format!("{scheme}://…@{rest}") }
        }
        None => given.to_owned(),
    }
}

/// Reads the URL of a hub; a bare origin stands for its well-known path.
fn hub_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name and password do not belong here; use a token".into());
    }
    if url.path() == "/" && url.query().is_none() {
        url.set_path(HUB_PATH);
    }
    url.set_fragment(None);
    Ok(url)
}

impl Target {
    /// The value of the `Host` field: the host as the URL spells it, and the port unless it is the scheme's own.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// The scheme that clients use, where it is not that of the connection: the value of `X-Forwarded-Proto`.
    pub fn forwarded_proto(&self) -> Option<HeaderValue> {
        match (self.url.scheme() == "https", self.tls.is_some()) {
            (true, false) => Some(HeaderValue::from_static("https")),
            (false, true) => Some(HeaderValue::from_static("http")),
            _ => None,
        }
    }

    /// The hub without the query of its URL, which may carry a token (L05): to be shown, and to be the audience of tokens.
    pub fn resource(&self) -> Url {
        let mut url = self.url.clone();
        url.set_query(None);
        url
    }

    /// Path and query of the hub, with `query` appended to it.
    pub fn path_with(&self, query: &str) -> String {
        let own = self.url.query().unwrap_or_default();
        let both = [own, query].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
        if both.is_empty() { self.url.path().to_owned() } else { format!("{}?{both}", self.url.path()) }
    }
}

/// `--insecure`: any certificate will do.
#[derive(Debug)]
struct TrustAnything(Arc<CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str) -> Result<Target, TargetError> {
        TargetArgs { url: Some(url.into()), ..TargetArgs::default() }.resolve(None)
    }

    #[test]
    fn a_bare_origin_stands_for_the_well_known_path() {
        for (given, url) in [
            ("", DEFAULT_URL),
            ("http://hub.test", "http://hub.test/.well-known/mercure"),
            ("http://hub.test:8080/", "http://hub.test:8080/.well-known/mercure"),
            ("http://hub.test/mounted/mercure#x", "http://hub.test/mounted/mercure"),
        ] {
            assert_eq!(resolved(given).expect(given).url.as_str(), url);
        }
    }

    #[test]
    fn what_is_no_hub_is_refused() {
        for url in [
            "localhost:3000",
            "ftp://hub.test",
            "http://",
            "http://user:pw@hub.test/",
            "/.well-known/mercure",
        ] {
            assert!(matches!(resolved(url), Err(TargetError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn host_and_port_are_what_a_socket_needs() {
        let target = resolved("http://[::1]:3000/").expect("a target");
        assert_eq!((target.host.as_str(), target.port, target.authority()), ("::1", 3000, "[::1]:3000"));
        let target = resolved("http://hub.test/").expect("a target");
        assert_eq!((target.port, target.authority()), (80, "hub.test"));
    }

    #[test]
    fn the_hubs_own_query_is_kept() {
        assert_eq!(resolved("http://h/m?a=1").expect("a target").path_with("match=x"), "/m?a=1&match=x");
        assert_eq!(resolved("http://h/m").expect("a target").path_with(""), "/m");
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_variable() {
        let args = TargetArgs { token_file: Some("f".into()), ..TargetArgs::default() };
        assert!(matches!(args.resolve(Some("v".into())).expect("a target").token, TokenSource::File(_)));
        let args = TargetArgs { token: Some(Secret::new("t")), ..args };
        let TokenSource::Given(token) = args.resolve(Some("v".into())).expect("a target").token else {
            panic!("the flag was not used")
        };
        assert_eq!(token.expose(), b"t");
        let args = TargetArgs::default();
        assert!(matches!(args.resolve(Some(String::new())).expect("a target").token, TokenSource::None));
    }

    #[test]
    fn tokens_are_not_shown() {
        let args = TargetArgs { token: Some(Secret::new("hush")), ..TargetArgs::default() };
        assert!(!format!("{args:?}{:?}", args.resolve(None).expect("a target")).contains("hush"));
    }

    #[test]
    fn l05_what_a_url_may_carry_of_a_token_is_not_shown() {
        for url in [
            "ftp://hub.test/x?authorization=hush",
            "http://hub.test:port/?authorization=hush",
            "http://user:hush@hub.test/",
            "user:hush@hub.test",
            "http://#authorization=hush",
        ] {
            let error = resolved(url).expect_err(url).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        let error = resolved("ftp://a:b@hub.test/x?y").expect_err("ftp").to_string();
        assert!(error.contains("ftp://\u{2026}@hub.test/x"), "{error}");
        let target = resolved("https://hub.test/m?authorization=hush").expect("a target");
        assert_eq!(target.resource().as_str(), "https://hub.test/m");
        assert!(target.path_with("").contains("authorization=hush"), "it is sent");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let args = TargetArgs {
            url: Some("https://hub.test/".into()),
            cacert: Some(file.path().to_owned()),
            ..TargetArgs::default()
        };
        assert!(matches!(args.resolve(None), Err(TargetError::Certificates { .. })));
    }
}
