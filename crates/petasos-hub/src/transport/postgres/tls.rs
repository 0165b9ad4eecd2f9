//! TLS to the server, as libpq's `sslmode` says: `prefer` and `require` encrypt and check nothing, unless a root
//! certificate is named; `verify-ca` checks who signed the server's certificate, `verify-full` its name too.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{self, CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::config::{PostgresConfig, TlsMode};

/// Checks that the files are there and hold what they should.
pub(super) fn check(config: &PostgresConfig) -> Result<(), String> {
    client(config).map(|_| ())
}

/// `None` where TLS is not wanted at all.
///
/// # Errors
/// Which file is not what it should be.
pub(super) fn client(config: &PostgresConfig) -> Result<Option<ClientConfig>, String> {
    if config.tls == TlsMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(config, provider)?);
    match &config.client_certificate {
        None => Ok(Some(builder.with_no_client_auth())),
        Some((certificate, key)) => {
            let chain = certificates(certificate, "sslcert")?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("sslkey {} cannot be read: {error}", key.display()))?;
            let client = builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("sslcert and sslkey do not fit: {error}"))?;
            Ok(Some(client))
        }
    }
}

fn verifier(
    config: &PostgresConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let trusted: Option<Arc<dyn ServerCertVerifier>> = match (&config.root_certificate, config.tls) {
        (None, TlsMode::Disable | TlsMode::Prefer | TlsMode::Require) => None,
        (None, TlsMode::VerifyCa | TlsMode::VerifyFull) => {
            let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider))
                .map_err(|error| format!("the system's root certificates cannot be read: {error}"))?;
            Some(Arc::new(verifier))
        }
        (Some(path), _) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, "sslrootcert")? {
                roots.add(certificate).map_err(|error| format!("sslrootcert {}: {error}", path.display()))?;
            }
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| format!("sslrootcert {}: {error}", path.display()))?;
            Some(verifier)
        }
    };
    let checks_name = config.tls == TlsMode::VerifyFull;
    Ok(Arc::new(Verifier { trusted, checks_name, provider }))
}

fn certificates(path: &Path, parameter: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{parameter} {} holds no certificate in PEM", path.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{parameter} {} cannot be read: {error}", path.display())),
    }
}

/// Checks as much of a server's certificate as the mode says.
#[derive(Debug)]
struct Verifier {
    trusted: Option<Arc<dyn ServerCertVerifier>>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        match trusted.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is what is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
