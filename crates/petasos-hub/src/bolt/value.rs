//! The JSON of one update. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ValueProblem;
use crate::Update;

/// The longest value that is read into memory. The reference hub takes publishes of 1 MiB unless told otherwise, which
/// JSON makes six times as long at worst.
pub(super) const MAX_VALUE_BYTES: u64 = 64 << 20;

/// What is stored of an update. Members that are missing or null have the value that means nothing was given; those that
/// are not known, `Debug` among them, are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored<'a> {
    #[serde(rename = "ID")]
    id: Option<String>,
    topics: Option<Vec<String>>,
    data: Option<String>,
    #[serde(rename = "Type")]
    event_type: Option<String>,
    /// In milliseconds, 0 for none.
    retry: Option<u64>,
    private: Option<bool>,
    /// Whom an update was for, before there were private updates.
    #[serde(borrow)]
    targets: Option<&'a RawValue>,
}

/// Refuses a value that is too long to be read.
pub(super) fn check_length(bytes: u64) -> Result<(), ValueProblem> {
    if bytes > MAX_VALUE_BYTES { Err(ValueProblem::TooLong { bytes }) } else { Ok(()) }
}

/// The update in `value`, whose key has the id `key_id`.
pub(super) fn parse(key_id: &[u8], value: &[u8]) -> Result<Update, ValueProblem> {
    // The text of the error may quote the value: only its place is told.
    let stored: Stored<'_> = serde_json::from_slice(value)
        .map_err(|error| ValueProblem::Json { line: error.line(), column: error.column() })?;
    let id = id(key_id, stored.id)?;
    let topics = stored.topics.filter(|topics| !topics.is_empty()).ok_or(ValueProblem::NoTopic)?;
    let event_type = stored.event_type.filter(|name| !name.is_empty());
    check_sendable("ID", &id)?;
    check_sendable("Type", event_type.as_deref().unwrap_or_default())?;
    // What was meant for a few must not become public.
    let is_targeted = stored.targets.is_some_and(|targets| !matches!(targets.get(), "null" | "{}" | "[]"));
    Ok(Update::from_stored(
        id,
        topics,
        stored.data.unwrap_or_default(),
        stored.private.unwrap_or_default() || is_targeted,
        event_type,
        stored.retry.filter(|retry_ms| *retry_ms != 0),
    ))
}

/// The id of the value, which the key repeats. A key that is not UTF-8 cannot be compared: JSON has replaced its bytes.
fn id(key_id: &[u8], stored: Option<String>) -> Result<String, ValueProblem> {
    let key_id = std::str::from_utf8(key_id);
    match stored.filter(|id| !id.is_empty()) {
        Some(id) if key_id.is_ok_and(|key_id| key_id != id) => Err(ValueProblem::OtherId),
        Some(id) => Ok(id),
        None => key_id.ok().filter(|id| !id.is_empty()).map(str::to_owned).ok_or(ValueProblem::NoId),
    }
}

/// Ids and types go to subscribers as they are: a line break would begin another field (S11), and clients ignore an id
/// with NUL.
fn check_sendable(member: &'static str, value: &str) -> Result<(), ValueProblem> {
    if value.contains(['\r', '\n', '\0']) { Err(ValueProblem::Unsendable { member }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Result<Update, ValueProblem> {
        parse(b"urn:x:1", value.as_bytes())
    }

    #[test]
    fn all_members_are_taken_and_unknown_ones_ignored() {
        let update = parsed(
            r#"{"Data":"a\nb","ID":"urn:x:1","Type":"t","Retry":7,"Topics":["a","b"],"Private":true,"Debug":true,"X":{}}"#,
        );
        let expected = Update::from_stored(
            "urn:x:1".into(),
            vec!["a".into(), "b".into()],
            "a\nb".into(),
            true,
            Some("t".into()),
            Some(7),
        );
        assert_eq!(update, Ok(expected));
    }

    #[test]
    fn what_is_missing_null_or_empty_was_not_given() {
        let expected =
            Update::from_stored("urn:x:1".into(), vec!["a".into()], String::new(), false, None, None);
        for value in [
            r#"{"Topics":["a"]}"#,
            r#"{"Topics":["a"],"ID":"","Data":"","Type":"","Retry":0,"Private":false,"Targets":{}}"#,
            r#"{"Topics":["a"],"ID":null,"Data":null,"Type":null,"Retry":null,"Private":null,"Targets":null}"#,
        ] {
            assert_eq!(parsed(value).as_ref(), Ok(&expected), "{value}");
        }
    }

    #[test]
    fn what_was_meant_for_a_few_stays_private() {
        for targets in [r#"{"urn:user:1":{}}"#, r#"["urn:user:1"]"#] {
            let value = format!(r#"{{"Topics":["a"],"Targets":{targets}}}"#);
            assert!(parsed(&value).is_ok_and(|update| update.is_private()), "{value}");
        }
    }

    #[test]
    fn what_is_no_update_is_refused() {
        use ValueProblem::{Json, NoTopic, OtherId, Unsendable};
        for (value, problem) in [
            ("", Json { line: 1, column: 0 }),
            ("null", Json { line: 1, column: 4 }),
            (r#"{"Topics":["a"]"#, Json { line: 1, column: 15 }),
            (r#"{"Topics":["a"],"Retry":-1}"#, Json { line: 1, column: 26 }),
            (r#"{"Topics":["a"],"Private":"x"}"#, Json { line: 1, column: 29 }),
            (r#"{"ID":"urn:x:1"}"#, NoTopic),
            (r#"{"Topics":[]}"#, NoTopic),
            (r#"{"Topics":["a"],"ID":"urn:x:2"}"#, OtherId),
            (r#"{"Topics":["a"],"Type":"t\nid: 5"}"#, Unsendable { member: "Type" }),
        ] {
            assert_eq!(parsed(value), Err(problem), "{value}");
        }
        let topics = br#"{"Topics":["a"]}"#;
        assert_eq!(parse(b"", topics), Err(ValueProblem::NoId));
        assert_eq!(parse(b"\xff", topics), Err(ValueProblem::NoId));
        assert_eq!(parse(b"a\rb", topics), Err(Unsendable { member: "ID" }));
    }

    #[test]
    fn an_id_that_json_had_to_change_is_taken_from_the_value() {
        let update = parse(b"a\xffb", "{\"Topics\":[\"a\"],\"ID\":\"a\u{fffd}b\"}".as_bytes());
        assert_eq!(update.map(|update| update.id().to_owned()), Ok("a\u{fffd}b".to_owned()));
    }
}
