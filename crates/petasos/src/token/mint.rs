//! Mints access tokens of the form that A07 to A13 ask for, and those of version 0.x (L03). Knows nothing of the command line
//! or the configuration.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header};
use petasos_hub::{
    auth::{Algorithm, Secret},
    topic::{Base, MatchType, Matcher, MatcherError, WILDCARD},
};
use serde_json::{Map, Value, json};

/// The `type` of the authorization details of this protocol (A13).
const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// The base for relative patterns where the audience is no URL.
const FALLBACK_BASE: &str = "http://localhost/.well-known/mercure";

/// How long a demo token lasts.
const DEMO_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A topic, or a pattern of topics, that a token grants something on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How the value is read.
    pub match_type: MatchType,
    /// A topic, a URL pattern, or `*`.
    pub value: String,
}

impl Grant {
    /// On exactly this topic; `*` is all of them.
    pub fn exact(topic: impl Into<String>) -> Self {
        Self { match_type: MatchType::Exact, value: topic.into() }
    }

    /// On all topics that this selector of version 0.x matches: equal ones, or expansions of a URI Template.
    pub fn selector(selector: impl Into<String>) -> Self {
        Self { match_type: MatchType::Topic, value: selector.into() }
    }

    /// On all topics that this URL pattern matches.
    pub fn pattern(pattern: impl Into<String>) -> Self {
        Self { match_type: MatchType::UrlPattern, value: pattern.into() }
    }
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// `iss` (A10).
    pub issuer: String,
    /// `aud` (A11): at least one; the resource identifier of the hub.
    pub audience: Vec<String>,
    /// `sub`, if any.
    pub subject: Option<String>,
    /// `kid`, if any.
    pub key_id: Option<String>,
    /// How long from now on it is valid (A12).
    pub lifetime: Duration,
    /// What its bearer may publish on (A14).
    pub publish: Vec<Grant>,
    /// Whose private updates its bearer may read (A15).
    pub subscribe: Vec<Grant>,
    /// What the hub tells others about its bearer's subscriptions (E04): an object.
    pub payload: Option<Value>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Anybody could guess it.
    #[error("the secret is empty")]
    EmptySecret,
    /// Public keys are public: as a secret they would let anybody mint tokens.
    #[error("a PEM key is no secret for {0}: name the algorithm of the key with --alg, such as ES256")]
    PemAsSecret(&'static str),
    /// It does not fit the algorithm, or cannot sign.
    #[error("the key cannot sign with {algorithm}: {problem}")]
    Key {
        /// The algorithm.
        algorithm: &'static str,
        /// In words, with the next step.
        problem: String,
    },
    /// A hub would refuse the whole token (A13).
    #[error("{value:?} cannot be granted: {error}")]
    Grant {
        /// As it was given.
        value: String,
        /// Why.
        error: MatcherError,
    },
    /// A hub would refuse the whole token (A13).
    #[error("the payload must be a JSON object")]
    Payload,
    /// The clock is before 1970, or the expiry beyond what a date can be.
    #[error("the time of expiry cannot be told")]
    Time,
}

/// Mints a token.
///
/// `key` is the secret of an HMAC algorithm, or a private key in PEM.
///
/// # Errors
/// What kept it from being minted; no error shows the key.
pub fn mint(request: &MintRequest, key: &Secret, algorithm: Algorithm) -> Result<String, MintError> {
    let claims = claims(request, SystemTime::now())?;
    sign(&claims, "at+jwt", request.key_id.clone(), key, algorithm)
}

/// What a token of version 0.x is to say (L03). It names neither issuer nor audience: whoever has the key has made it.
#[derive(Clone, Debug)]
pub struct OldMintRequest {
    /// `sub`, if any.
    pub subject: Option<String>,
    /// `kid`, if any.
    pub key_id: Option<String>,
    /// How long from now on it is valid.
    pub lifetime: Duration,
    /// What its bearer may publish on.
    pub publish: Vec<Grant>,
    /// Whose private updates its bearer may read.
    pub subscribe: Vec<Grant>,
    /// What the hub tells others about its bearer's subscriptions (L07).
    pub payload: Option<Value>,
}

/// Mints a token of version 0.x.
///
/// `key` is the secret of an HMAC algorithm, or a private key in PEM.
///
/// # Errors
/// As for [`mint`].
pub fn mint_old(request: &OldMintRequest, key: &Secret, algorithm: Algorithm) -> Result<String, MintError> {
    let base = Base::parse(FALLBACK_BASE).map_err(|_| MintError::Time)?;
    let grants = |grants: &[Grant]| {
        let told = grants.iter().map(|Grant { match_type, value }| {
            Matcher::new(*match_type, value, &base)
                .map_err(|error| MintError::Grant { value: value.clone(), error })?;
            Ok(match match_type {
                MatchType::Topic => json!(value),
                MatchType::Exact | MatchType::UrlPattern => {
                    json!({ "match": value, "match_type": match_type.as_str() })
                }
            })
        });
        told.collect::<Result<Vec<Value>, MintError>>()
    };
    let mut claim = json!({ "publish": grants(&request.publish)?, "subscribe": grants(&request.subscribe)? });
    if let Some(payload) = &request.payload {
        claim["payload"] = payload.clone();
    }
    let mut claims = Map::from_iter([("mercure".to_owned(), claim)]);
    let (issued_at, expires_at) = times(SystemTime::now(), request.lifetime)?;
    claims.insert("iat".to_owned(), json!(issued_at));
    claims.insert("exp".to_owned(), json!(expires_at));
    if let Some(subject) = &request.subject {
        claims.insert("sub".to_owned(), json!(subject));
    }
    sign(&claims, "JWT", request.key_id.clone(), key, algorithm)
}

/// A token for `serve --dev`: publishes and subscribes everything.
///
/// # Errors
/// As for [`mint`].
pub fn demo_token(secret: &Secret, issuer: &str, audience: &str) -> Result<String, MintError> {
    let request = MintRequest {
        issuer: issuer.to_owned(),
        audience: vec![audience.to_owned()],
        subject: Some("demo".to_owned()),
        key_id: None,
        lifetime: DEMO_LIFETIME,
        publish: vec![Grant::exact(WILDCARD)],
        subscribe: vec![Grant::exact(WILDCARD)],
        payload: None,
    };
    mint(&request, secret, Algorithm::HS256)
}

/// The algorithm that a key is for, as far as the key tells: a PEM key has a kind, anything else is a secret.
pub fn algorithm_for(key: &Secret) -> Algorithm {
    if !is_pem(key) {
        return Algorithm::HS256;
    }
    let kinds = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::RS256];
    let fits = |algorithm: &Algorithm| sign(&Map::new(), "at+jwt", None, key, *algorithm).is_ok();
    // A key that fits none gets the error of the last one.
    kinds.into_iter().find(fits).unwrap_or(Algorithm::RS256)
}

/// Whether this is a PEM file and not a secret.
pub(super) fn is_pem(key: &Secret) -> bool {
    contains(key, b"-----BEGIN ")
}

fn contains(key: &Secret, text: &[u8]) -> bool {
    key.expose().windows(text.len()).any(|window| window == text)
}

fn claims(request: &MintRequest, now: SystemTime) -> Result<Map<String, Value>, MintError> {
    let (issued_at, expires_at) = times(now, request.lifetime)?;
    let base = request.audience.iter().find_map(|audience| Base::parse(audience).ok());
    let base = match base {
        Some(base) => base,
        None => Base::parse(FALLBACK_BASE).map_err(|_| MintError::Time)?,
    };
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(request.issuer));
    let audience = match request.audience.as_slice() {
        [one] => json!(one),
        several => json!(several),
    };
    claims.insert("aud".into(), audience);
    if let Some(subject) = &request.subject {
        claims.insert("sub".into(), json!(subject));
    }
    claims.insert("iat".into(), json!(issued_at));
    claims.insert("exp".into(), json!(expires_at));
    claims.insert("jti".into(), json!(uuid::Uuid::new_v4().to_string()));
    claims.insert("authorization_details".into(), details(request, &base)?);
    Ok(claims)
}

/// Seconds since 1970: `iat` and `exp`.
fn times(now: SystemTime, lifetime: Duration) -> Result<(u64, u64), MintError> {
    let issued_at = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| MintError::Time)?.as_secs();
    Ok((issued_at, issued_at.checked_add(lifetime.as_secs()).ok_or(MintError::Time)?))
}

fn details(request: &MintRequest, base: &Base) -> Result<Value, MintError> {
    if request.payload.as_ref().is_some_and(|payload| !payload.is_object()) {
        return Err(MintError::Payload);
    }
    let payload = request.payload.as_ref();
    let mut details = Vec::new();
    if request.publish == request.subscribe && !request.publish.is_empty() {
        details.push(detail(&["publish", "subscribe"], &request.publish, payload, base)?);
    } else {
        if !request.publish.is_empty() {
            details.push(detail(&["publish"], &request.publish, None, base)?);
        }
        if !request.subscribe.is_empty() {
            details.push(detail(&["subscribe"], &request.subscribe, payload, base)?);
        }
    }
    Ok(Value::Array(details))
}

fn detail(
    actions: &[&str],
    grants: &[Grant],
    payload: Option<&Value>,
    base: &Base,
) -> Result<Value, MintError> {
    let mut topics = Vec::new();
    for Grant { match_type, value } in grants {
        // What a hub would refuse is better refused here.
        Matcher::new(*match_type, value, base)
            .map_err(|error| MintError::Grant { value: value.clone(), error })?;
        topics.push(match match_type {
            MatchType::Exact => json!({ "match": value }),
            MatchType::UrlPattern | MatchType::Topic => {
                json!({ "match": value, "match_type": match_type.as_str() })
            }
        });
    }
    let mut detail = json!({ "type": DETAIL_TYPE, "actions": actions, "topics": topics });
    if let Some(payload) = payload {
        detail["payload"] = payload.clone();
    }
    Ok(detail)
}

fn sign(
    claims: &Map<String, Value>,
    typ: &str,
    key_id: Option<String>,
    key: &Secret,
    algorithm: Algorithm,
) -> Result<String, MintError> {
    let failed = |problem: String| MintError::Key { algorithm: algorithm.as_str(), problem };
    let signing_key = if algorithm.is_symmetric() {
        if key.expose().is_empty() {
            return Err(MintError::EmptySecret);
        }
        if is_pem(key) {
            return Err(MintError::PemAsSecret(algorithm.as_str()));
        }
        EncodingKey::from_secret(key.expose())
    } else {
        private_key(key, algorithm).map_err(failed)?
    };
    let mut header = Header::new(jwa(algorithm));
    header.typ = Some(typ.to_owned());
    header.kid = key_id;
    jsonwebtoken::encode(&header, claims, &signing_key)
        .map_err(|_| failed("it is of another kind, or damaged".to_owned()))
}

/// Reads a private key, and says what is wrong in the usual cases: the parser only says "invalid".
fn private_key(key: &Secret, algorithm: Algorithm) -> Result<EncodingKey, String> {
    let usual = [
        (
            &b"PUBLIC KEY-----"[..],
            "this is the public key, which only verifies; signing needs the private one",
        ),
        (b"BEGIN CERTIFICATE", "this is a certificate, which only verifies; signing needs the private key"),
        (b"ENCRYPTED", "it is encrypted; decrypt it with `openssl pkcs8 -in KEY`"),
        (
            b"BEGIN EC PRIVATE KEY",
            "it is not in PKCS #8; convert it with `openssl pkcs8 -topk8 -nocrypt -in KEY`",
        ),
    ];
    if let Some((_, problem)) = usual.into_iter().find(|(mark, _)| contains(key, mark)) {
        return Err(problem.to_owned());
    }
    if !is_pem(key) {
        return Err("it is no PEM file, which begins with -----BEGIN PRIVATE KEY-----".to_owned());
    }
    let parsed = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(key.expose()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(key.expose()),
        _ => EncodingKey::from_rsa_pem(key.expose()),
    };
    parsed.map_err(|_| "it is of another kind, or damaged".to_owned())
}

fn jwa(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Jwa;
    match algorithm {
        Algorithm::HS256 => Jwa::HS256,
        Algorithm::HS384 => Jwa::HS384,
        Algorithm::HS512 => Jwa::HS512,
        Algorithm::RS256 => Jwa::RS256,
        Algorithm::RS384 => Jwa::RS384,
        Algorithm::RS512 => Jwa::RS512,
        Algorithm::PS256 => Jwa::PS256,
        Algorithm::PS384 => Jwa::PS384,
        Algorithm::PS512 => Jwa::PS512,
        Algorithm::ES256 => Jwa::ES256,
        Algorithm::ES384 => Jwa::ES384,
        Algorithm::EdDSA => Jwa::EdDSA,
    }
}

#[cfg(test)]
#[path = "mint_tests.rs"]
mod tests;
