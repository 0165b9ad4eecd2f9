//! Tokens of the 0.x generation (L03): how they are told from those of the 1.0 generation, and what their claim grants.
//!
//! A downgrade must not be possible: whatever has `authorization_details` or the `typ` of an access token is of the 1.0
//! generation, by whose rules it stands or falls. So nothing that a 1.0 token says is ever read from an old one, and
//! nothing that an old token says counts in a 1.0 token.

use std::{fmt, sync::Arc};

use super::{
    Reason,
    claims::Claims,
    details::{MAX_PAYLOAD_BYTES, MAX_TOPIC_BYTES, MAX_TOPICS},
    finding::{Finding, shown},
    json::{self, Object, WrongType},
    token::{Header, Parts},
};
use crate::topic::{Base, MatchType, Matcher, MatcherError};

/// The two names of the claim. The second one is for issuers that want claims to be URLs.
pub(super) const CLAIM_NAMES: [&str; 2] = ["mercure", "https://mercure.rocks/"];

/// Which generation of the protocol a token is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// 0.x: rights in a claim called `mercure`.
    Old,
    /// 1.0: rights in `authorization_details`.
    New,
}

impl Generation {
    /// As people call it, and as the label of a metric: `0.x`, `1.0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Old => "0.x",
            Self::New => "1.0",
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Of which generation a token is by its form: only an old one may come in a URL (L05). `None` where it cannot be read.
/// Nothing is verified.
pub fn generation_of(token: &str) -> Option<Generation> {
    let parts = Parts::split(token).ok()?;
    let (_, header) = parts.header().ok()?;
    let (_, payload) = parts.payload().ok()?;
    Some(generation(&header, &Claims(payload)))
}

/// Whether a token has the form of the 0.x generation. Nothing is verified.
pub fn has_old_form(token: &str) -> bool {
    generation_of(token) == Some(Generation::Old)
}

/// Which rules a token stands under. Nothing in it is verified yet, and nothing is decided but that.
pub(super) fn generation(header: &Header, claims: &Claims) -> Generation {
    if header.is_access_token() || claims.details().is_some() { Generation::New } else { Generation::Old }
}

/// For a hub without the mode: what to say of a token that is of the 0.x generation beyond doubt.
pub(super) fn refusal(header: &Header, claims: &Claims) -> Option<Finding> {
    let is_old = generation(header, claims) == Generation::Old
        && CLAIM_NAMES.iter().any(|name| claims.0.raw(name).is_some());
    is_old.then(|| {
        Finding::new(
            Reason::OldToken,
            "the token has a claim of version 0.x (mercure) and neither the typ at+jwt nor authorization_details",
            "a token of version 1.0",
        )
        .next_step("mint tokens of version 1.0, or switch on protocol_version_compatibility 8 for clients that cannot yet")
    })
}

/// What the claim says.
#[derive(Debug, Default)]
pub(super) struct OldRights {
    pub(super) publish: Vec<Matcher>,
    pub(super) subscribe: Vec<OldSubscribe>,
    /// JSON text, for every subscription that has no other.
    pub(super) payload: Option<Arc<str>>,
    /// Whether there was a claim at all.
    pub(super) claimed: bool,
}

/// An element of `subscribe`.
#[derive(Debug)]
pub(super) struct OldSubscribe {
    pub(super) matcher: Matcher,
    /// JSON text.
    pub(super) payload: Option<Arc<str>>,
}

/// Reads the claim. Without one, nothing is granted; so it is without `publish` or `subscribe`.
pub(super) fn parse(claims: &Claims, base: &Base) -> Result<OldRights, Finding> {
    let mut found = CLAIM_NAMES.iter().filter_map(|name| Some((*name, claims.0.raw(name)?)));
    let Some((name, text)) = found.next() else { return Ok(OldRights::default()) };
    if found.next().is_some() {
        return Err(malformed(
            "both names of the claim are there".to_owned(),
            "one of mercure and https://mercure.rocks/",
        ));
    }
    let claim =
        Object::parse(text).map_err(|WrongType| malformed(format!("{name} is no object"), "an object"))?;
    let mut topics_left = MAX_TOPICS;
    let mut elements = |member: &str| elements(&claim, name, member, &mut topics_left, base);
    let publish = elements("publish")?.into_iter().map(|element| element.matcher).collect();
    let subscribe = elements("subscribe")?;
    Ok(OldRights { publish, subscribe, payload: payload(&claim, name)?, claimed: true })
}

fn elements(
    claim: &Object,
    name: &str,
    member: &str,
    topics_left: &mut usize,
    base: &Base,
) -> Result<Vec<OldSubscribe>, Finding> {
    let Some(text) = claim.raw(member).filter(|text| *text != "null") else { return Ok(Vec::new()) };
    let place = format!("{name}.{member}");
    let elements = json::as_array(text)
        .map_err(|WrongType| malformed(format!("{place} is no array"), "an array of topic selectors"))?;
    *topics_left = topics_left.checked_sub(elements.len()).ok_or_else(|| {
        Finding::new(Reason::TooLarge, "the token has more topic selectors", format!("at most {MAX_TOPICS}"))
    })?;
    elements
        .iter()
        .enumerate()
        .map(|(index, text)| element(text.get(), &format!("{place}[{index}]"), base))
        .collect()
}

/// A selector, or an object that names a type as the 1.0 generation does.
fn element(text: &str, place: &str, base: &Base) -> Result<OldSubscribe, Finding> {
    const EXPECTED: &str =
        "a topic selector, or an object with a string match, and match_type \"exact\" or \"urlpattern\"";
    if let Ok(value) = json::as_string(text) {
        return Ok(OldSubscribe { matcher: matcher(MatchType::Topic, &value, place, base)?, payload: None });
    }
    let wrong = || malformed(format!("{place} is neither"), EXPECTED);
    let object = Object::parse(text).map_err(|WrongType| wrong())?;
    let value = object.string("match").map_err(|WrongType| wrong())?.ok_or_else(wrong)?;
    let match_type = match object.string("match_type") {
        Ok(None) => MatchType::Exact,
        Ok(Some(name)) => MatchType::parse(&name)
            .ok_or_else(|| malformed(format!("{place}.match_type is {}", shown(&name)), EXPECTED))?,
        Err(WrongType) => return Err(wrong()),
    };
    Ok(OldSubscribe { matcher: matcher(match_type, &value, place, base)?, payload: payload(&object, place)? })
}

fn matcher(match_type: MatchType, value: &str, place: &str, base: &Base) -> Result<Matcher, Finding> {
    if value.len() > MAX_TOPIC_BYTES {
        let found = format!("{place} has {} bytes", value.len());
        return Err(Finding::new(Reason::TooLarge, found, format!("at most {MAX_TOPIC_BYTES}")));
    }
    Matcher::new(match_type, value, base).map_err(|error| {
        let found = format!("{place} {}: {error}", shown(value));
        match error {
            MatcherError::TooLong { limit } => {
                Finding::new(Reason::TooLarge, found, format!("at most {limit}"))
            }
            MatcherError::ForbiddenCharacter { .. } | MatcherError::Malformed | MatcherError::TooComplex => {
                malformed(found, "a selector of topics")
            }
        }
    })
}

/// Any JSON value but `null`.
fn payload(object: &Object, place: &str) -> Result<Option<Arc<str>>, Finding> {
    let Some(payload) = object.raw("payload").filter(|payload| *payload != "null") else { return Ok(None) };
    if payload.len() > MAX_PAYLOAD_BYTES {
        let found = format!("{place}.payload has {} bytes", payload.len());
        return Err(Finding::new(Reason::TooLarge, found, format!("at most {MAX_PAYLOAD_BYTES}")));
    }
    Ok(Some(payload.into()))
}

fn malformed(found: String, expected: &str) -> Finding {
    Finding::new(Reason::MalformedClaim, found, expected)
        .next_step("one malformed selector makes the whole token invalid: correct it where tokens are made")
}
