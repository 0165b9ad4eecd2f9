//! The parts of a token and its header: everything that can be said before a key is looked at (A07, A08, C08).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Algorithm, Reason,
    algorithm::list,
    finding::{Finding, shown},
    json::{Object, WrongType},
};

/// A whole token in bytes. Above what any server takes as a header field by default, and few enough that reading one
/// costs less than a millisecond.
pub(super) const MAX_TOKEN_BYTES: usize = 64 << 10;

/// The three parts of a compact JWS. The outer two are not trusted.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// Header and payload with the dot between them: what is signed.
    pub(super) signed: &'a str,
    header: &'a str,
    payload: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Splits a token. Strict: no padding, no line breaks, no bits beyond the last byte.
    pub(super) fn split(token: &'a str) -> Result<Self, Finding> {
        const EXPECTED: &str = "a compact JWS: three base64url parts with a dot between them";
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Finding::new(
                Reason::TooLarge,
                format!("the token has {} bytes", token.len()),
                format!("at most {MAX_TOKEN_BYTES}"),
            ));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let found = match token.split('.').count() {
                5 => {
                    "the token has five parts: it is encrypted (JWE), which the hub does not take".to_owned()
                }
                _ if token.starts_with('{') => "the token is a JWS in JSON form".to_owned(),
                count => format!("the token has {count} part(s)"),
            };
            return Err(Finding::new(Reason::MalformedToken, found, EXPECTED));
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| {
            Finding::new(Reason::MalformedToken, "the third part is not base64url without padding", EXPECTED)
        })?;
        Ok(Self { signed: &token[..header.len() + 1 + payload.len()], header, payload, signature })
    }

    /// The header's members.
    pub(super) fn header(&self) -> Result<(String, Header), Finding> {
        let (text, members) = decode(self.header, "header")?;
        Ok((text, Header { members }))
    }

    /// The payload's members, not yet verified.
    pub(super) fn payload(&self) -> Result<(String, Object), Finding> {
        decode(self.payload, "payload")
    }
}

/// UTF-8 is checked of the whole before anything is parsed: a JSON parser may skip strings it has no use for (C08).
fn decode(part: &str, name: &str) -> Result<(String, Object), Finding> {
    let malformed = |found: String| {
        Finding::new(
            Reason::MalformedToken,
            found,
            format!("a {name} that is a JSON object in UTF-8 and base64url"),
        )
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| malformed(format!("the {name} is not base64url without padding")))?;
    let text = String::from_utf8(bytes).map_err(|_| malformed(format!("the {name} is not UTF-8")))?;
    let members = Object::parse_strict(&text)
        .map_err(|error| malformed(format!("the {name} is not strict JSON: {error}")))?;
    Ok((text, members))
}

/// The header of a token. The values of `jwk`, `jku`, `x5u` and `x5c` are never read (A08).
#[derive(Debug)]
pub(super) struct Header {
    members: Object,
}

impl Header {
    /// Whether `typ` says so (A07).
    pub(super) fn is_access_token(&self) -> bool {
        matches!(self.members.string("typ"), Ok(Some(typ)) if is_access_token_type(&typ))
    }

    /// For old tokens, whose `typ` says nothing: that it is a string, if it is there.
    pub(super) fn check_old_type(&self) -> Result<(), Finding> {
        self.members.string("typ").map(drop).map_err(|WrongType| {
            Finding::new(Reason::WrongType, "typ is no string", "typ to be \"JWT\", or no typ")
        })
    }

    /// A07.
    pub(super) fn check_type(&self) -> Result<(), Finding> {
        const EXPECTED: &str = "typ to be \"at+jwt\" (RFC 9068)";
        const STEP: &str =
            "let the issuer make access tokens with this header; tokens of a Mercure 0.x hub have another";
        match self.members.string("typ") {
            Ok(Some(typ)) if is_access_token_type(&typ) => Ok(()),
            Ok(Some(typ)) => {
                Err(Finding::new(Reason::WrongType, format!("typ is {}", shown(&typ)), EXPECTED)
                    .next_step(STEP))
            }
            Ok(None) => {
                Err(Finding::new(Reason::WrongType, "the header has no typ", EXPECTED).next_step(STEP))
            }
            Err(WrongType) => {
                Err(Finding::new(Reason::WrongType, "typ is no string", EXPECTED).next_step(STEP))
            }
        }
    }

    /// A08, C08: no extension is understood, so none may be critical, and the payload is what it seems.
    pub(super) fn check_extensions(&self) -> Result<(), Finding> {
        let refuse = |found: &str| {
            Err(Finding::new(
                Reason::UnsupportedHeader,
                found,
                "a header without crit, zip and \"b64\": false",
            ))
        };
        if self.members.raw("crit").is_some() {
            return refuse("the header has crit");
        }
        if self.members.raw("zip").is_some() {
            return refuse("the header has zip");
        }
        match self.members.raw("b64") {
            None | Some("true") => Ok(()),
            Some(_) => refuse("b64 is not true"),
        }
    }

    /// The algorithm, if it is one of A09. Whether the key allows it is another question.
    pub(super) fn algorithm(&self) -> Result<Algorithm, Finding> {
        let refuse = |found: String| {
            let expected = format!("alg to be one of {}", list(&Algorithm::ALL));
            Finding::new(Reason::AlgorithmNotAllowed, found, expected)
        };
        match self.members.string("alg") {
            Ok(Some(name)) => {
                Algorithm::parse(&name).ok_or_else(|| refuse(format!("alg is {}", shown(&name))))
            }
            Ok(None) => Err(refuse("the header has no alg".into())),
            Err(WrongType) => Err(refuse("alg is no string".into())),
        }
    }

    /// Members by which a token could bring its own key. They are ignored.
    pub(super) fn embedded_keys(&self) -> Vec<&'static str> {
        ["jwk", "jku", "x5u", "x5c"].into_iter().filter(|name| self.members.raw(name).is_some()).collect()
    }

    /// Which of the issuer's keys it says to be signed with.
    pub(super) fn key_id(&self) -> Result<Option<String>, Finding> {
        self.members.string("kid").map_err(|WrongType| {
            Finding::new(Reason::MalformedToken, "kid is no string", "a string, or no kid")
        })
    }
}

fn is_access_token_type(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
}
