//! The signature algorithms of A09 and the kind of key each one needs.

use jsonwebtoken::Algorithm as Jwa;

/// A signature algorithm of A09.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// What a key must be for an algorithm. A key has one kind, so that no token can make the hub use it as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Algorithm {
    /// All of A09.
    pub const ALL: [Self; 12] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The name in `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The reverse of [`Self::as_str`], case-sensitive as RFC 7515 has it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Whether who can verify can also sign: the HMAC ones.
    pub fn is_symmetric(self) -> bool {
        self.key_kind() == KeyKind::Secret
    }

    pub(super) fn key_kind(self) -> KeyKind {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => KeyKind::Secret,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => KeyKind::Rsa,
            Self::ES256 => KeyKind::P256,
            Self::ES384 => KeyKind::P384,
            Self::EdDSA => KeyKind::Ed25519,
        }
    }

    /// Output of the algorithm's hash in bytes. RFC 7518, 3.2 asks for HMAC secrets of at least this length.
    pub(super) fn hash_bytes(self) -> usize {
        match self {
            Self::HS256 | Self::RS256 | Self::PS256 | Self::ES256 => 32,
            Self::HS384 | Self::RS384 | Self::PS384 | Self::ES384 => 48,
            Self::HS512 | Self::RS512 | Self::PS512 | Self::EdDSA => 64,
        }
    }

    pub(super) fn jwa(self) -> Jwa {
        match self {
            Self::HS256 => Jwa::HS256,
            Self::HS384 => Jwa::HS384,
            Self::HS512 => Jwa::HS512,
            Self::RS256 => Jwa::RS256,
            Self::RS384 => Jwa::RS384,
            Self::RS512 => Jwa::RS512,
            Self::PS256 => Jwa::PS256,
            Self::PS384 => Jwa::PS384,
            Self::PS512 => Jwa::PS512,
            Self::ES256 => Jwa::ES256,
            Self::ES384 => Jwa::ES384,
            Self::EdDSA => Jwa::EdDSA,
        }
    }
}

impl KeyKind {
    /// For the operator.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Secret => "a shared secret",
            Self::Rsa => "an RSA key",
            Self::P256 => "an EC key on P-256",
            Self::P384 => "an EC key on P-384",
            Self::Ed25519 => "an Ed25519 key",
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// `RS256, PS256, …`, for the operator.
pub(super) fn list(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(", ")
}
