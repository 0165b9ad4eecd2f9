//! Tests of the module as a whole: tokens in, grants or refusals out. Here is what they are told with.

mod algorithms;
mod cached;
mod claims;
mod configuration;
mod details;
mod downgrade;
mod hostile;
mod key_sets;
mod legacy;
mod mutation;
#[cfg(feature = "jwks-http")]
mod server;

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

use super::{
    Algorithm, AuthConfig, Authenticator, IssuerConfig, KeySource, Outcome, Reason, Refusal, RefusalKind,
    Role, Secret, cache::Use,
};
use crate::topic::Base;

const ISSUER: &str = "https://issuer.example";
const HUB: &str = "https://hub.example/.well-known/mercure";
const SECRET: &[u8] = b"a test secret that is long enough for every hash there is, HS512 included";
const OTHER_SECRET: &[u8] = b"another test secret that is long enough for every hash, HS512 included too";
const DETAIL: &str = "https://mercure.rocks/authorization-detail";

const RSA: TestKey = TestKey {
    private: include_str!("keys/rsa2048.private.pem"),
    public: include_str!("keys/rsa2048.public.pem"),
};
const OTHER_RSA: TestKey = TestKey { private: include_str!("keys/rsa2048-other.private.pem"), public: "" };
const P256: TestKey =
    TestKey { private: include_str!("keys/p256.private.pem"), public: include_str!("keys/p256.public.pem") };
const P384: TestKey =
    TestKey { private: include_str!("keys/p384.private.pem"), public: include_str!("keys/p384.public.pem") };
const ED25519: TestKey = TestKey {
    private: include_str!("keys/ed25519.private.pem"),
    public: include_str!("keys/ed25519.public.pem"),
};

/// A key pair in PEM; empty for secrets.
#[derive(Clone, Copy)]
struct TestKey {
    private: &'static str,
    public: &'static str,
}

/// What signs tokens with `algorithm`.
fn key_for(algorithm: Algorithm) -> Signer {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Signer::secret(algorithm, SECRET),
        Algorithm::ES256 => Signer::pem(algorithm, P256),
        Algorithm::ES384 => Signer::pem(algorithm, P384),
        Algorithm::EdDSA => Signer::pem(algorithm, ED25519),
        _ => Signer::pem(algorithm, RSA),
    }
}

/// Signs, and says what the hub must be given to verify.
#[derive(Clone)]
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    verifier: Vec<u8>,
}

impl Signer {
    fn secret(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { algorithm, key: EncodingKey::from_secret(secret), verifier: secret.to_vec() }
    }

    fn pem(algorithm: Algorithm, pair: TestKey) -> Self {
        let pem = pair.private.as_bytes();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        Self { algorithm, key: key.unwrap(), verifier: pair.public.into() }
    }

    /// The configuration of the key that verifies.
    fn source(&self) -> KeySource {
        KeySource::Static { key: Secret::new(self.verifier.clone()), algorithm: self.algorithm }
    }

    /// The public half in a JWK set, with a name.
    fn jwk(&self, kid: &str) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm.jwa()).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    }

    fn sign(&self, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm.jwa()).unwrap()
    }

    /// A token of these very texts.
    fn token(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        format!("{message}.{}", self.sign(&message))
    }
}

/// Seconds since 1970, now plus `offset_s`.
fn seconds(offset_s: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + offset_s
}

fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

/// A token in the making. It begins as one that may do everything on `https://example.com/books/1`.
#[derive(Clone)]
struct Token {
    header: Value,
    claims: Value,
}

fn token() -> Token {
    Token {
        header: json!({"typ": "at+jwt"}),
        claims: json!({
            "iss": ISSUER,
            "aud": HUB,
            "exp": seconds(3600),
            "sub": "alice",
            "authorization_details": [detail(&["publish", "subscribe"], json!([{"match": "https://example.com/books/1"}]))],
        }),
    }
}

fn detail(actions: &[&str], topics: Value) -> Value {
    json!({"type": DETAIL, "actions": actions, "topics": topics})
}

impl Token {
    fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    fn without_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name).unwrap();
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    fn details(self, details: Value) -> Self {
        self.claim("authorization_details", details)
    }

    /// Signed with HS256 and the secret of [`hub`].
    fn signed(self) -> String {
        self.signed_by(&key_for(Algorithm::HS256))
    }

    fn signed_by(mut self, signer: &Signer) -> String {
        if self.header.get("alg").is_none() {
            self.header["alg"] = json!(signer.algorithm.as_str());
        }
        signer.token(self.header.to_string(), self.claims.to_string())
    }
}

/// The claims as text, with one member's text put in as it is: for what `serde_json` would not write.
fn claims_with_raw(name: &str, raw: &str) -> String {
    let mut claims = token().claims;
    claims.as_object_mut().unwrap().remove(name);
    let text = claims.to_string();
    format!("{{\"{name}\":{raw},{}", &text[1..])
}

const HEADER: &str = r#"{"typ":"at+jwt","alg":"HS256"}"#;

/// The default header and these claims, signed with the secret of [`hub`].
fn signed_payload(payload: impl AsRef<[u8]>) -> String {
    key_for(Algorithm::HS256).token(HEADER, payload)
}

/// This header and the default claims, signed with the secret of [`hub`].
fn signed_header(header: impl AsRef<[u8]>) -> String {
    key_for(Algorithm::HS256).token(header, token().claims.to_string())
}

fn issuer(id: &str, publisher: Option<KeySource>, subscriber: Option<KeySource>) -> IssuerConfig {
    IssuerConfig { id: id.into(), authorization_server: false, publisher, subscriber }
}

/// One issuer with the same keys for both roles.
fn config(keys: KeySource) -> AuthConfig {
    AuthConfig { issuers: vec![issuer(ISSUER, Some(keys.clone()), Some(keys))], ..AuthConfig::default() }
}

/// A hub that trusts one issuer with a shared secret.
fn hub() -> Authenticator {
    hub_with(key_for(Algorithm::HS256).source())
}

fn hub_with(keys: KeySource) -> Authenticator {
    Authenticator::new(config(keys)).unwrap()
}

fn base() -> Base {
    Base::parse(HUB).unwrap()
}

/// How the hub answers a token, for both roles; they must agree. The report must come to the same end.
async fn outcome(hub: &Authenticator, token: &str) -> Result<(), Reason> {
    let publisher = outcome_for(hub, Role::Publisher, token).await;
    assert_eq!(publisher, outcome_for(hub, Role::Subscriber, token).await, "the roles differ for {token}");
    publisher
}

async fn outcome_for(hub: &Authenticator, role: Role, token: &str) -> Result<(), Reason> {
    let base = base();
    let result = match role {
        Role::Publisher => hub.publisher(Some(token), HUB, &base).await.map(drop),
        Role::Subscriber => hub.subscriber(Some(token), HUB, &base).await.map(drop),
    };
    let report = hub.explain(role, token, HUB, &base).await;
    let reported = report.first_failure().map(|step| match &step.outcome {
        Outcome::Failed { reason, .. } => *reason,
        other => panic!("{other:?}"),
    });
    assert_eq!(report.is_accepted(), result.is_ok(), "{report}");
    assert_eq!(reported, result.as_ref().err().map(Refusal::reason), "{report}");
    result.map_err(|refusal| {
        assert_eq!(refusal.kind(), RefusalKind::InvalidToken);
        assert!(!refusal.detail().is_empty(), "the operator is told nothing about {:?}", refusal.reason());
        let signature = token.rsplit('.').next().unwrap_or_default();
        assert!(
            signature.len() < 20 || !refusal.to_string().contains(signature),
            "the refusal shows the token"
        );
        refusal.reason()
    })
}

/// Asserts that the hub refuses the token for both roles with this reason.
async fn refused(hub: &Authenticator, token: &str, reason: Reason) {
    assert_eq!(outcome(hub, token).await, Err(reason), "{token}");
}

/// Asserts that the hub accepts the token for both roles.
async fn accepted(hub: &Authenticator, token: &str) {
    assert_eq!(outcome(hub, token).await, Ok(()), "{token}");
}

/// How the hub answers a publisher's token at a moment.
async fn outcome_at(hub: &Authenticator, token: &str, now: SystemTime) -> Result<(), Reason> {
    let wanted = Use { role: Role::Publisher, audience: HUB, base: &base(), token };
    hub.rights_at(&wanted, now).await.map(drop).map_err(|refusal| refusal.reason())
}
