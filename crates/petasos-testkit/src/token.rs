//! Tokens: good ones with few words, bad ones by changing one thing of a good one, hostile ones from parts that no
//! JSON library would write.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{DETAIL_TYPE, keys::SigningKey};

/// A token to be minted. Starts as a good one that grants nothing and ends in an hour.
#[derive(Clone)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    key: SigningKey,
}

impl Token {
    /// A token of `issuer` for `audience`.
    pub fn new(issuer: &str, audience: &str, key: &SigningKey) -> Self {
        let header = json!({ "alg": key.algorithm_name(), "typ": "at+jwt" });
        let claims = json!({ "iss": issuer, "aud": audience, "exp": now() + 3600, "sub": "somebody" });
        Self { header: object(header), claims: object(claims), key: key.clone() }
    }

    /// A token of the 0.x generation (L03): nothing but a claim, which grants nothing yet.
    pub fn old(key: &SigningKey) -> Self {
        let header = json!({ "alg": key.algorithm_name(), "typ": "JWT" });
        Self { header: object(header), claims: object(json!({ "mercure": {} })), key: key.clone() }
    }

    /// Grants publishing as the 0.x generation does, by topic selectors.
    #[must_use]
    pub fn old_publish(self, selectors: &[&str]) -> Self {
        self.old_claim("publish", selectors)
    }

    /// Grants reading private updates as the 0.x generation does.
    #[must_use]
    pub fn old_subscribe(self, selectors: &[&str]) -> Self {
        self.old_claim("subscribe", selectors)
    }

    /// Sets a member of the claim of the 0.x generation.
    #[must_use]
    pub fn old_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims["mercure"][name] = value.into();
        self
    }

    /// Grants publishing on these topics, byte for byte (`*` is all).
    #[must_use]
    pub fn may_publish(self, topics: &[&str]) -> Self {
        self.detail(grant(&["publish"], topics))
    }

    /// Grants reading private updates on these topics, byte for byte (`*` is all).
    #[must_use]
    pub fn may_subscribe(self, topics: &[&str]) -> Self {
        self.detail(grant(&["subscribe"], topics))
    }

    /// Adds an authorization detail.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        let details = self.claims.entry("authorization_details").or_insert_with(|| json!([]));
        details.as_array_mut().unwrap_or_else(|| panic!("authorization_details is no array")).push(detail);
        self
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a member of the header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs with another key; the header goes on naming the algorithm it named before.
    #[must_use]
    pub fn signed_by(mut self, key: &SigningKey) -> Self {
        self.key = key.clone();
        self
    }

    /// Ends `seconds` from now, a fraction allowed (A12).
    #[must_use]
    pub fn expiring_in(self, seconds: f64) -> Self {
        self.claim("exp", precise_now() + seconds)
    }

    /// The token.
    pub fn mint(&self) -> String {
        self.assemble(Value::from(self.header.clone()).to_string(), self.claims_text())
    }

    /// The token with this text as its header, signed.
    pub fn mint_with_header(&self, header: impl AsRef<[u8]>) -> String {
        self.assemble(header, self.claims_text())
    }

    /// The token with this text as its payload, signed.
    pub fn mint_with_claims(&self, claims: impl AsRef<[u8]>) -> String {
        self.assemble(Value::from(self.header.clone()).to_string(), claims)
    }

    /// The claims as text, without the closing brace: more members can be put behind it by hand.
    pub fn open_claims(&self) -> String {
        let mut text = self.claims_text();
        text.pop();
        text
    }

    /// A token without signature.
    pub fn mint_unsigned(&self) -> String {
        format!("{}.{}.", part(Value::from(self.header.clone()).to_string()), part(self.claims_text()))
    }

    fn claims_text(&self) -> String {
        Value::from(self.claims.clone()).to_string()
    }

    fn assemble(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(message.as_bytes());
        format!("{message}.{signature}")
    }
}

/// An authorization detail of the hub's own type, on topics byte for byte.
pub fn grant(actions: &[&str], topics: &[&str]) -> Value {
    let topics: Vec<Value> = topics.iter().map(|topic| json!({ "match": topic })).collect();
    json!({ "type": DETAIL_TYPE, "actions": actions, "topics": topics })
}

/// An authorization detail on one URL pattern.
pub fn grant_pattern(actions: &[&str], pattern: &str) -> Value {
    json!({ "type": DETAIL_TYPE, "actions": actions, "topics": [{ "match": pattern, "match_type": "urlpattern" }] })
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

fn precise_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64())
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}
