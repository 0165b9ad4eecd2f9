//! Keys that sign test tokens: shared secrets, and the fixed key pairs of the folder `keys`.

use jsonwebtoken::{Algorithm, EncodingKey};
use petasos_hub::auth;

/// The JWK set of all public keys here; the `kid`s are `rsa`, `p256`, `p384` and `ed25519`.
pub const JWKS: &str = include_str!("../keys/jwks.json");
/// RSA, 2048 bits.
pub const RSA_PUBLIC: &str = include_str!("../keys/rsa.public.pem");
/// ECDSA on P-256.
pub const P256_PUBLIC: &str = include_str!("../keys/p256.public.pem");
/// ECDSA on P-384.
pub const P384_PUBLIC: &str = include_str!("../keys/p384.public.pem");
/// EdDSA on Curve25519.
pub const ED25519_PUBLIC: &str = include_str!("../keys/ed25519.public.pem");

const RSA_PRIVATE: &[u8] = include_bytes!("../keys/rsa.private.pem");
const P256_PRIVATE: &[u8] = include_bytes!("../keys/p256.private.pem");
const P384_PRIVATE: &[u8] = include_bytes!("../keys/p384.private.pem");
const ED25519_PRIVATE: &[u8] = include_bytes!("../keys/ed25519.private.pem");

/// What signs a token.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// A shared secret, HS256.
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::hmac(Algorithm::HS256, secret)
    }

    /// A shared secret with this algorithm of the HMAC family.
    pub fn hmac(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Self {
        Self { algorithm, key: EncodingKey::from_secret(secret.as_ref()) }
    }

    /// The fixed private key that fits the algorithm.
    pub fn private(algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(P256_PRIVATE),
            Algorithm::ES384 => EncodingKey::from_ec_pem(P384_PRIVATE),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(ED25519_PRIVATE),
            _ => EncodingKey::from_rsa_pem(RSA_PRIVATE),
        };
        Self { algorithm, key: key.unwrap_or_else(|error| panic!("a test key is broken: {error}")) }
    }

    /// As it is written in the header of a token.
    pub fn algorithm_name(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// The third part of a token.
    pub fn sign(&self, message: &[u8]) -> String {
        jsonwebtoken::crypto::sign(message, &self.key, self.algorithm)
            .unwrap_or_else(|error| panic!("cannot sign: {error}"))
    }
}

/// One algorithm of A09: how the hub is configured for it, and what signs.
pub struct AlgorithmCase {
    /// As the hub calls it.
    pub algorithm: auth::Algorithm,
    /// The secret or the public key in PEM, for the hub.
    pub verification_key: String,
    /// For the test.
    pub signing_key: SigningKey,
}

/// All algorithms of A09.
pub fn all_algorithms() -> Vec<AlgorithmCase> {
    use auth::Algorithm as Hub;
    let secret = "a secret of sixty-four bytes, long enough for every hash of the family";
    let hmac = |algorithm, signing| AlgorithmCase {
        algorithm,
        verification_key: secret.to_owned(),
        signing_key: SigningKey::hmac(signing, secret),
    };
    let pair = |algorithm, signing, public: &str| AlgorithmCase {
        algorithm,
        verification_key: public.to_owned(),
        signing_key: SigningKey::private(signing),
    };
    vec![
        hmac(Hub::HS256, Algorithm::HS256),
        hmac(Hub::HS384, Algorithm::HS384),
        hmac(Hub::HS512, Algorithm::HS512),
        pair(Hub::RS256, Algorithm::RS256, RSA_PUBLIC),
        pair(Hub::RS384, Algorithm::RS384, RSA_PUBLIC),
        pair(Hub::RS512, Algorithm::RS512, RSA_PUBLIC),
        pair(Hub::PS256, Algorithm::PS256, RSA_PUBLIC),
        pair(Hub::PS384, Algorithm::PS384, RSA_PUBLIC),
        pair(Hub::PS512, Algorithm::PS512, RSA_PUBLIC),
        pair(Hub::ES256, Algorithm::ES256, P256_PUBLIC),
        pair(Hub::ES384, Algorithm::ES384, P384_PUBLIC),
        pair(Hub::EdDSA, Algorithm::EdDSA, ED25519_PUBLIC),
    ]
}
