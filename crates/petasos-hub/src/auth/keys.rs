//! Keys that verify signatures: from a configured secret, a PEM text, or the parameters of a JWK. A key has one kind
//! and verifies only with algorithms of that kind.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{DecodingKey, crypto::aws_lc::DEFAULT_PROVIDER as CRYPTO};

use super::{Algorithm, algorithm::KeyKind};

/// RSA keys below this can be factored within reach of an attacker (RFC 7518, 3.3); the cryptography underneath refuses
/// them too, but only when a signature is verified, and then without saying why.
const MIN_RSA_BITS: usize = 2_048;

/// What the cryptography underneath supports.
const MAX_RSA_BITS: usize = 8_192;

/// `OBJECT IDENTIFIER` of P-256 and P-384 in DER. A key says its curve by it.
const P256_OID: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384_OID: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// A key that is no key for its algorithm. For the operator; holds no part of the key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the key is empty")]
    Empty,
    #[error(
        "the key is a public key and {0} takes a shared secret: everybody who knows the public key could make tokens; \
         set the algorithm the key is for (for example RS256, ES256 or EdDSA)"
    )]
    PublicKeyAsSecret(Algorithm),
    #[error(
        "{0} takes a public key in PEM, and this is none (it must begin with -----BEGIN PUBLIC KEY-----); \
         a shared secret needs HS256, HS384 or HS512"
    )]
    NotPem(Algorithm),
    #[error("the PEM text is damaged: {0}")]
    BrokenPem(&'static str),
    #[error("the PEM text holds a private key; configure the public one, the hub must not have the other")]
    PrivateKey,
    #[error("the PEM text holds {label:?}, a public key is needed")]
    OtherPem { label: String },
    #[error("the key is not {expected}, which {algorithm} needs")]
    WrongKind { algorithm: Algorithm, expected: &'static str },
    #[error("the RSA key has {bits} bits; it must have {MIN_RSA_BITS} to {MAX_RSA_BITS}")]
    RsaSize { bits: usize },
    #[error("{0}")]
    Malformed(&'static str),
}

/// A key that verifies signatures.
#[derive(Clone, Debug)]
pub(super) struct VerifyingKey {
    kind: KeyKind,
    // Prints no bytes in `Debug` and wipes them on drop.
    key: DecodingKey,
}

impl VerifyingKey {
    /// A configured key: for HMAC the bytes as they are, else PEM.
    pub(super) fn from_config(key: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        if algorithm.is_symmetric() {
            return if looks_public(key) {
                Err(KeyError::PublicKeyAsSecret(algorithm))
            } else {
                Self::secret(key)
            };
        }
        let pem = Pem::read(key)
            .map_err(|error| if error == KeyError::Empty { KeyError::NotPem(algorithm) } else { error })?;
        let read = match algorithm.key_kind() {
            KeyKind::Rsa => pem.rsa()?,
            KeyKind::P256 | KeyKind::P384 => pem.ec()?,
            KeyKind::Ed25519 => pem.ed25519()?,
            KeyKind::Secret => None,
        };
        read.filter(|key| key.fits(algorithm))
            .ok_or(KeyError::WrongKind { algorithm, expected: algorithm.key_kind().describe() })
    }

    pub(super) fn secret(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self { kind: KeyKind::Secret, key: DecodingKey::from_secret(bytes) })
    }

    /// Modulus and exponent, big-endian.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        check_rsa_size(modulus)?;
        let key = DecodingKey::from_rsa_raw_components(strip_zeros(modulus), strip_zeros(exponent));
        Ok(Self { kind: KeyKind::Rsa, key })
    }

    /// The coordinates of the point, big-endian, each exactly as long as the field.
    pub(super) fn ec(kind: KeyKind, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let coordinate_bytes = if kind == KeyKind::P256 { 32 } else { 48 };
        if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
            return Err(KeyError::Malformed("the coordinates have not the length of the curve"));
        }
        // An uncompressed point of SEC 1.
        let point = [&[0x04], x, y].concat();
        Ok(Self { kind, key: DecodingKey::from_ec_der(&point) })
    }

    pub(super) fn ed25519(public: &[u8]) -> Result<Self, KeyError> {
        if public.len() != 32 {
            return Err(KeyError::Malformed("an Ed25519 key has 32 bytes"));
        }
        Ok(Self { kind: KeyKind::Ed25519, key: DecodingKey::from_ed_der(public) })
    }

    /// Whether it may be used with `algorithm` (A08).
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.key_kind()
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Other readings of a secret that people may have had in mind, for the report on a token that another key signed.
    pub(super) fn misread_secrets(&self) -> Vec<(&'static str, Self)> {
        let Some(secret) = self.key.try_get_as_bytes().ok().filter(|_| self.kind == KeyKind::Secret) else {
            return Vec::new();
        };
        let trimmed = secret.trim_ascii();
        let readings = [
            ("without the white space around it", (trimmed != secret).then(|| trimmed.to_vec())),
            ("decoded from base64", STANDARD.decode(trimmed).ok()),
            ("decoded from base64url", URL_SAFE_NO_PAD.decode(trimmed).ok()),
        ];
        readings.into_iter().filter_map(|(how, bytes)| Some((how, Self::secret(&bytes?).ok()?))).collect()
    }

    /// Whether `signature` is this key's for `message`. False as well where the algorithm is none of this key's.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        // The provider is named and not looked up, so that nothing global decides who verifies.
        self.fits(algorithm)
            && (CRYPTO.verifier_factory)(&algorithm.jwa(), &self.key)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

/// The first block of a PEM text.
struct Pem {
    /// Written anew: one block, one line of base64, line breaks where they must be.
    text: String,
    der: Vec<u8>,
}

impl Pem {
    /// Takes PEM as it survives environment variables and YAML: line breaks may be missing, spaces, or a literal `\n`.
    fn read(key: &[u8]) -> Result<Self, KeyError> {
        const BEGIN: &str = "-----BEGIN ";
        const DASHES: &str = "-----";
        let text = std::str::from_utf8(key).map_err(|_| KeyError::Empty)?;
        let (_, rest) = text.split_once(BEGIN).ok_or(KeyError::Empty)?;
        let (label, rest) =
            rest.split_once(DASHES).ok_or(KeyError::BrokenPem("its first line has no end"))?;
        if label.ends_with("PRIVATE KEY") {
            return Err(KeyError::PrivateKey);
        }
        if !["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"].contains(&label) {
            return Err(KeyError::OtherPem { label: label.chars().take(40).collect() });
        }
        let (body, _) = rest
            .split_once(&format!("-----END {label}-----"))
            .ok_or(KeyError::BrokenPem("its last line is missing"))?;
        let body: String =
            body.replace("\\r", "").replace("\\n", "").chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(&body).map_err(|_| KeyError::BrokenPem("its body is not base64"))?;
        Ok(Self { text: format!("{BEGIN}{label}{DASHES}\n{body}\n-----END {label}-----\n"), der })
    }

    fn rsa(&self) -> Result<Option<VerifyingKey>, KeyError> {
        let Ok(key) = DecodingKey::from_rsa_pem(self.text.as_bytes()) else { return Ok(None) };
        let Ok(der) = key.try_get_as_bytes() else { return Ok(None) };
        let (modulus, _) = (CRYPTO.key_utils.rsa_pub_components_from_public_key)(der)
            .map_err(|_| KeyError::Malformed("the RSA key cannot be read"))?;
        check_rsa_size(&modulus)?;
        Ok(Some(VerifyingKey { kind: KeyKind::Rsa, key }))
    }

    fn ec(&self) -> Result<Option<VerifyingKey>, KeyError> {
        let Ok(key) = DecodingKey::from_ec_pem(self.text.as_bytes()) else { return Ok(None) };
        let Ok(point) = key.try_get_as_bytes() else { return Ok(None) };
        let kind = match point.len() {
            65 if contains(&self.der, P256_OID) => KeyKind::P256,
            97 if contains(&self.der, P384_OID) => KeyKind::P384,
            _ => return Ok(None),
        };
        if point.first() != Some(&0x04) {
            return Err(KeyError::Malformed("the EC point is in a form that is not supported"));
        }
        Ok(Some(VerifyingKey { kind, key }))
    }

    fn ed25519(&self) -> Result<Option<VerifyingKey>, KeyError> {
        let Ok(key) = DecodingKey::from_ed_pem(self.text.as_bytes()) else { return Ok(None) };
        let Ok(public) = key.try_get_as_bytes() else { return Ok(None) };
        VerifyingKey::ed25519(public).map(Some)
    }
}

/// Whether bytes meant as a secret are a public key instead (A17): PEM in any state, or the DER inside it, plain or in
/// base64 as it is when the first and last line got lost.
fn looks_public(key: &[u8]) -> bool {
    if contains(key, b"-----BEGIN") || looks_like_public_der(key) {
        return true;
    }
    let compact: Vec<u8> = key.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).is_ok_and(|der| looks_like_public_der(&der))
}

/// The outer shape of a SubjectPublicKeyInfo: a sequence as long as the bytes are, and in it a sequence that begins
/// with an object identifier. A random secret has that shape once in 2^40.
fn looks_like_public_der(bytes: &[u8]) -> bool {
    let Some((outer, body)) = der_sequence(bytes) else { return false };
    let Some((_, algorithm)) = der_sequence(body) else { return false };
    outer == body.len() && algorithm.first() == Some(&0x06)
}

/// The length a DER sequence claims, and what follows its head.
fn der_sequence(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag != 0x30 {
        return None;
    }
    match first {
        0..=0x7f => Some((first.into(), rest)),
        0x81 | 0x82 => {
            let (length, rest) = rest.split_at_checked((first & 0x7f).into())?;
            Some((length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest))
        }
        _ => None,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn check_rsa_size(modulus: &[u8]) -> Result<(), KeyError> {
    let significant = strip_zeros(modulus);
    let bits = significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize);
    if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) { Ok(()) } else { Err(KeyError::RsaSize { bits }) }
}
