//! Who issues tokens and with which keys (A17): the types a configuration is read into. Whether it makes sense is
//! checked by `issuers`.

use std::fmt;

use super::Algorithm;

/// Who issues tokens and how they are checked (A17).
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// The trusted issuers; their ids differ.
    pub issuers: Vec<IssuerConfig>,
    /// Subscribing without a token is allowed, for public updates only (A01).
    pub anonymous: bool,
    /// Publishing without a token is allowed (P13). For closed networks.
    pub anonymous_publish: bool,
    /// The 0.x generation of the protocol is served beside the 1.0 generation (section L): its tokens, parameters, cookie
    /// and answers. `None`: it is not.
    pub compatibility: Option<Compatibility>,
}

/// Keys of the 0.x generation that belong to no issuer (L08). They verify old tokens only. The static keys of named issuers
/// do so as well, for the same role.
#[derive(Clone, Debug, Default)]
pub struct Compatibility {
    /// Keys of publishers' tokens.
    pub publisher: Option<KeySource>,
    /// Keys of subscribers' tokens.
    pub subscriber: Option<KeySource>,
}

/// One trusted issuer.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The `iss` claim, compared byte for byte.
    pub id: String,
    /// Advertised in the metadata of D01 as an authorization server.
    pub authorization_server: bool,
    /// Keys of publishers' tokens.
    pub publisher: Option<KeySource>,
    /// Keys of subscribers' tokens.
    pub subscriber: Option<KeySource>,
}

/// Where keys come from: configuration only, never the token (A08).
#[derive(Clone)]
pub enum KeySource {
    /// One key with one algorithm: a shared secret, or a public key in PEM.
    Static {
        /// The secret's bytes, taken as they are, or the PEM text (line breaks may be written as `\n`).
        key: Secret,
        /// The only algorithm this key is used with.
        algorithm: Algorithm,
    },
    /// A JWK set with an algorithm allowlist.
    Jwks {
        /// Where the set is.
        location: JwksLocation,
        /// Empty means the asymmetric ones.
        algorithms: Vec<Algorithm>,
    },
}

/// Where a JWK set is.
#[derive(Clone, PartialEq, Eq)]
pub enum JwksLocation {
    /// Fetched with `http` or `https`, cached, fetched again when it expires or an unknown `kid` comes.
    Url(url::Url),
    /// Read from a file, again when it changes or on reload.
    File(std::path::PathBuf),
}

impl fmt::Display for JwksLocation {
    /// Without the user, password and query a URL may carry: they can be secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                let mut shown = url.clone();
                // Both fail only for URLs without a host, which carry neither.
                let _ = shown.set_username("");
                let _ = shown.set_password(None);
                shown.set_query(None);
                shown.set_fragment(None);
                write!(out, "{shown}")
            }
            Self::File(path) => write!(out, "{}", path.display()),
        }
    }
}

impl fmt::Debug for JwksLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.to_string())
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { algorithm, .. } => {
                out.debug_struct("Static").field("algorithm", algorithm).finish_non_exhaustive()
            }
            Self::Jwks { location, algorithms } => {
                out.debug_struct("Jwks").field("location", location).field("algorithms", algorithms).finish()
            }
        }
    }
}

/// Bytes that are never shown: `Debug` prints a placeholder, memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<Vec<u8>>);

impl Secret {
    /// Wraps secret bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(zeroize::Zeroizing::new(bytes.into()))
    }

    /// The bytes. Only key construction calls this.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

/// Keys or configuration that cannot be used. For the operator, at start and on reload; one line for each fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AuthConfigError(pub String);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_credentials_in_urls_are_never_shown() {
        let config = AuthConfig {
            issuers: vec![IssuerConfig {
                id: "https://id.example".into(),
                authorization_server: true,
                publisher: Some(KeySource::Static {
                    key: Secret::new("hunter2"),
                    algorithm: Algorithm::HS256,
                }),
                subscriber: Some(KeySource::Jwks {
                    location: JwksLocation::Url(
                        url::Url::parse("https://user:hunter2@id.example/jwks?key=hunter2").unwrap(),
                    ),
                    algorithms: vec![],
                }),
            }],
            ..AuthConfig::default()
        };
        let shown = format!("{config:?} {:?}", Secret::new("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("https://id.example/jwks"), "{shown}");
    }
}
