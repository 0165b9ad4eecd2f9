//! A JWK set (RFC 7517) as the keys in it that verify signatures. A member that cannot be used is skipped with a note:
//! sets in the field hold keys for other purposes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Algorithm,
    algorithm::KeyKind,
    finding::shown,
    json::{self, Object, WrongType},
    keys::VerifyingKey,
};

/// Keys taken from one set. Providers publish a handful; a token without `kid` is tried against all that fit.
const MAX_KEYS: usize = 100;

/// One usable key of a set.
#[derive(Clone, Debug)]
pub(super) struct SetKey {
    pub(super) kid: Option<String>,
    /// The only algorithm, if the set names one.
    algorithm: Option<Algorithm>,
    pub(super) key: VerifyingKey,
}

impl SetKey {
    /// Whether the key may be used with `algorithm` (A08).
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.key.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// The usable keys, and why others are not used.
#[derive(Debug)]
pub(super) struct ParsedSet {
    pub(super) keys: Vec<SetKey>,
    pub(super) notes: Vec<String>,
}

/// Reads the text of a set.
///
/// # Errors
/// Where it is no JWK set at all.
pub(super) fn parse_set(text: &str) -> Result<ParsedSet, String> {
    let set = Object::parse_strict(text).map_err(|error| format!("not a JWK set: {error}"))?;
    let members = set.raw("keys").ok_or("not a JWK set: it has no member \"keys\"")?;
    let members = json::as_array(members).map_err(|WrongType| "not a JWK set: \"keys\" is no array")?;
    let mut parsed = ParsedSet { keys: Vec::new(), notes: Vec::new() };
    if members.len() > MAX_KEYS {
        parsed.notes.push(format!("the set has {} keys, only the first {MAX_KEYS} are used", members.len()));
    }
    for (index, member) in members.iter().take(MAX_KEYS).enumerate() {
        let Ok(jwk) = Object::parse(member.get()) else {
            parsed.notes.push(format!("key {index} is no object"));
            continue;
        };
        let name = match jwk.string("kid") {
            Ok(Some(kid)) => format!("key {}", shown(&kid)),
            _ => format!("key {index}"),
        };
        if ["d", "p", "q"].iter().any(|part| jwk.raw(part).is_some()) {
            parsed.notes.push(format!(
                "{name} has its private part in the set: whoever reads the set can make tokens"
            ));
        }
        match parse_key(&jwk) {
            Ok(key) => parsed.keys.push(key),
            Err(why) => parsed.notes.push(format!("{name} is not used: {why}")),
        }
    }
    Ok(parsed)
}

fn parse_key(jwk: &Object) -> Result<SetKey, String> {
    let kid = text(jwk, "kid")?;
    if let Some(purpose) = text(jwk, "use")?.filter(|purpose| purpose != "sig") {
        return Err(format!("it is for {} (use), not for signatures", shown(&purpose)));
    }
    check_operations(jwk)?;
    let algorithm = match text(jwk, "alg")? {
        None => None,
        Some(name) => Some(
            Algorithm::parse(&name)
                .ok_or_else(|| format!("its algorithm {} is not supported", shown(&name)))?,
        ),
    };
    let key = match text(jwk, "kty")?.as_deref() {
        Some("RSA") => VerifyingKey::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        Some("EC") => {
            let kind = match text(jwk, "crv")?.as_deref() {
                Some("P-256") => KeyKind::P256,
                Some("P-384") => KeyKind::P384,
                other => return Err(format!("its curve {other:?} is not supported")),
            };
            VerifyingKey::ec(kind, &bytes(jwk, "x")?, &bytes(jwk, "y")?)
        }
        Some("OKP") => match text(jwk, "crv")?.as_deref() {
            Some("Ed25519") => VerifyingKey::ed25519(&bytes(jwk, "x")?),
            other => return Err(format!("its curve {other:?} is not supported")),
        },
        Some("oct") => VerifyingKey::secret(&bytes(jwk, "k")?),
        other => return Err(format!("its type {other:?} is not supported")),
    }
    .map_err(|error| error.to_string())?;
    if let Some(only) = algorithm.filter(|only| !key.fits(*only)) {
        return Err(format!("its alg is {only}, and it is {}", key.kind().describe()));
    }
    Ok(SetKey { kid, algorithm, key })
}

/// `key_ops`, if present, must let the key verify.
fn check_operations(jwk: &Object) -> Result<(), String> {
    let Some(operations) = jwk.raw("key_ops") else { return Ok(()) };
    let operations = json::as_array(operations).map_err(|WrongType| "key_ops is no array")?;
    if operations.iter().any(|operation| json::as_string(operation.get()).is_ok_and(|name| name == "verify"))
    {
        Ok(())
    } else {
        Err("its key_ops do not include \"verify\"".into())
    }
}

fn text(jwk: &Object, name: &str) -> Result<Option<String>, String> {
    jwk.string(name).map_err(|WrongType| format!("{name} is no string"))
}

fn bytes(jwk: &Object, name: &str) -> Result<Vec<u8>, String> {
    let value = text(jwk, name)?.ok_or_else(|| format!("{name} is missing"))?;
    URL_SAFE_NO_PAD.decode(value).map_err(|_| format!("{name} is not base64url"))
}
