//! Whether certificate and key can be read and belong together.

use std::path::Path;

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};

use crate::config::TlsFiles;

/// Returns a line about what was found.
///
/// # Errors
/// Why the hub could not speak TLS with these files.
pub(super) fn examine(files: &TlsFiles) -> Result<String, String> {
    let TlsFiles { certificate, key } = files;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(certificate, &error))?;
    if chain.is_empty() {
        return Err(format!("{} holds no certificate in PEM", certificate.display()));
    }
    let length = chain.len();
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    CertifiedKey::from_der(chain, private_key, &aws_lc_rs::default_provider())
        .map_err(|error| format!("{} and {} do not fit: {error}", certificate.display(), key.display()))?;
    Ok(format!("the certificate {} ({length} in its chain) fits its key", certificate.display()))
}

fn unreadable(path: &Path, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => format!("{} holds no private key in PEM", path.display()),
        error => format!("{} cannot be read: {error}", path.display()),
    }
}
