//! `authorization_details` (A13): what a token grants. Anything malformed in a detail of ours makes the whole token
//! invalid, also where the other role asks.

use std::sync::Arc;

use super::{
    Reason, Role,
    finding::{Finding, shown},
    json::{self, Object, WrongType},
};
use crate::topic::{Base, MatchType, Matcher, MatcherError};

/// The details of A13; others are ignored.
const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// Details of one token, of any type.
pub(super) const MAX_DETAILS: usize = 100;

/// Actions of one detail. Two are known.
pub(super) const MAX_ACTIONS: usize = 100;

/// Topics in all details of one token together: as many as the matchers a request may have by default (S07).
pub(super) const MAX_TOPICS: usize = 1_000;

/// One topic's `match`, in bytes; the same as for a matcher of a request.
pub(super) const MAX_TOPIC_BYTES: usize = 8 << 10;

/// A `payload` in bytes. It is repeated in an event for every subscription it belongs to (E02).
pub(super) const MAX_PAYLOAD_BYTES: usize = 8 << 10;

/// One detail of ours, checked and compiled.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) publish: bool,
    pub(super) subscribe: bool,
    pub(super) matchers: Vec<Matcher>,
    /// JSON text of an object, as it was written.
    pub(super) payload: Option<Arc<str>>,
}

impl Detail {
    /// Whether it says something about `role`.
    pub(super) fn is_for(&self, role: Role) -> bool {
        match role {
            Role::Publisher => self.publish,
            Role::Subscriber => self.subscribe,
        }
    }
}

/// Reads the claim; absent means no details. Relative patterns are resolved against `base`.
pub(super) fn parse(claim: Option<&str>, base: &Base) -> Result<Vec<Detail>, Finding> {
    let Some(claim) = claim else { return Ok(Vec::new()) };
    let elements = json::as_array(claim)
        .map_err(|WrongType| malformed("authorization_details is no array", "an array of objects"))?;
    if elements.len() > MAX_DETAILS {
        return Err(too_large(format!("authorization_details has {} elements", elements.len()), MAX_DETAILS));
    }
    let mut topics_left = MAX_TOPICS;
    let mut details = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let place = Place { detail: index };
        let object = Object::parse(element.get())
            .map_err(|WrongType| malformed(format!("{place} is no object"), "an object"))?;
        if object.string("type") == Ok(Some(DETAIL_TYPE.to_owned())) {
            details.push(parse_detail(&object, &place, &mut topics_left, base)?);
        }
    }
    Ok(details)
}

/// Where in the claim, for the operator.
struct Place {
    detail: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "authorization_details[{}]", self.detail)
    }
}

fn parse_detail(
    object: &Object,
    place: &Place,
    topics_left: &mut usize,
    base: &Base,
) -> Result<Detail, Finding> {
    let actions = non_empty_array(object, "actions", place, "strings")?;
    if actions.len() > MAX_ACTIONS {
        return Err(too_large(format!("{place}.actions has {} elements", actions.len()), MAX_ACTIONS));
    }
    let actions =
        actions.iter().map(|action| json::as_string(action.get())).collect::<Result<Vec<_>, _>>().map_err(
            |WrongType| malformed(format!("{place}.actions has an element that is no string"), "strings"),
        )?;
    let topics = non_empty_array(object, "topics", place, "objects with a match")?;
    *topics_left = topics_left.checked_sub(topics.len()).ok_or_else(|| {
        too_large("the token has more topics in all its authorization_details".to_owned(), MAX_TOPICS)
    })?;
    let matchers = topics
        .iter()
        .enumerate()
        .map(|(index, topic)| parse_topic(topic.get(), &format!("{place}.topics[{index}]"), base))
        .collect::<Result<Vec<_>, _>>()?;
    let has = |name: &str| actions.iter().any(|action| action == name);
    Ok(Detail {
        publish: has("publish"),
        subscribe: has("subscribe"),
        matchers,
        payload: parse_payload(object, place)?,
    })
}

fn parse_topic(text: &str, place: &str, base: &Base) -> Result<Matcher, Finding> {
    const EXPECTED: &str =
        "an object with a string match, and match_type \"exact\" (the default) or \"urlpattern\"";
    let topic =
        Object::parse(text).map_err(|WrongType| malformed(format!("{place} is no object"), EXPECTED))?;
    let value = match topic.string("match") {
        Ok(Some(value)) => value,
        Ok(None) => return Err(malformed(format!("{place} has no match"), EXPECTED)),
        Err(WrongType) => return Err(malformed(format!("{place}.match is no string"), EXPECTED)),
    };
    let match_type = match topic.string("match_type") {
        Ok(None) => MatchType::Exact,
        Ok(Some(name)) => MatchType::parse(&name)
            .ok_or_else(|| malformed(format!("{place}.match_type is {}", shown(&name)), EXPECTED))?,
        Err(WrongType) => return Err(malformed(format!("{place}.match_type is no string"), EXPECTED)),
    };
    if value.len() > MAX_TOPIC_BYTES {
        return Err(too_large(format!("{place}.match has {} bytes", value.len()), MAX_TOPIC_BYTES));
    }
    Matcher::new(match_type, &value, base).map_err(|error| {
        let found = format!("{place}.match {}: {error}", shown(&value));
        match error {
            MatcherError::TooLong { limit } => too_large(found, limit),
            MatcherError::ForbiddenCharacter { .. } | MatcherError::Malformed | MatcherError::TooComplex => {
                malformed(found, format!("a value of type {}", match_type.as_str()))
            }
        }
    })
}

fn parse_payload(object: &Object, place: &Place) -> Result<Option<Arc<str>>, Finding> {
    let Some(payload) = object.raw("payload") else { return Ok(None) };
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(too_large(format!("{place}.payload has {} bytes", payload.len()), MAX_PAYLOAD_BYTES));
    }
    if !payload.starts_with('{') {
        return Err(malformed(format!("{place}.payload is no object"), "an object, or no payload"));
    }
    Ok(Some(payload.into()))
}

fn non_empty_array(
    object: &Object,
    name: &str,
    place: &Place,
    of: &str,
) -> Result<Vec<Box<serde_json::value::RawValue>>, Finding> {
    let expected = format!("a non-empty array of {of}");
    let text = object.raw(name).ok_or_else(|| malformed(format!("{place} has no {name}"), &expected))?;
    let elements = json::as_array(text)
        .map_err(|WrongType| malformed(format!("{place}.{name} is no array"), &expected))?;
    if elements.is_empty() {
        return Err(malformed(format!("{place}.{name} is empty"), &expected));
    }
    Ok(elements)
}

fn malformed(found: impl Into<String>, expected: impl Into<String>) -> Finding {
    Finding::new(Reason::MalformedDetails, found, expected)
        .next_step("one malformed detail makes the whole token invalid: correct it where tokens are made")
}

fn too_large(found: String, limit: usize) -> Finding {
    Finding::new(Reason::TooLarge, found, format!("at most {limit}"))
}

/// Members of ours that look misspelt, for the report of `petasos token check`: they have no effect.
pub(super) fn suspicious_members(claim: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let details = claim.and_then(|claim| json::as_array(claim).ok()).unwrap_or_default();
    for (index, element) in details.iter().take(MAX_DETAILS).enumerate() {
        let Ok(detail) = Object::parse(element.get()) else { continue };
        if detail.string("type") != Ok(Some(DETAIL_TYPE.to_owned())) {
            found.push(format!(
                "authorization_details[{index}] is of another type than {DETAIL_TYPE}: it grants nothing here"
            ));
            continue;
        }
        let topics = detail.raw("topics").and_then(|topics| json::as_array(topics).ok()).unwrap_or_default();
        for topic in topics.iter().take(MAX_TOPICS) {
            let Ok(topic) = Object::parse(topic.get()) else { continue };
            let unknown = topic.names().filter(|name| !["match", "match_type"].contains(name));
            found.extend(unknown.map(|name| {
                format!(
                    "authorization_details[{index}] has a topic with the unknown member {}: it is ignored",
                    shown(name)
                )
            }));
        }
    }
    found.dedup();
    found
}
