//! A whole answer, and the challenge it may carry.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::connection::{End, single_header};

/// An answer that has been read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How the body ended.
    pub end: End,
}

impl Answer {
    /// The value of a field that must not come twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        single_header(&self.headers, name)
    }

    /// The value of a field that must be there, once.
    pub fn required(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("the field {name} is missing from {self:?}"))
    }

    /// The comma-separated members of a field, over all its lines, in lower case.
    pub fn list(&self, name: &str) -> Vec<String> {
        list(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("the body is not UTF-8: {:?}", self.body))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.body))
    }

    /// The status, asserted.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "unexpected status of {self:?}");
        assert_eq!(self.end, End::Clean, "the answer was cut: {self:?}");
        self
    }

    /// The challenge of a 400, 401 or 403.
    #[track_caller]
    pub fn challenge(&self) -> Challenge {
        Challenge::parse(self.required("www-authenticate"))
    }

    /// Asserts status, `error` and reason code of a refusal, and returns its challenge. The code stands in
    /// `error_description` and alone on its line in the body.
    #[track_caller]
    pub fn expect_refusal(self, status: u16, error: &str) -> Challenge {
        let answer = self.expect(status);
        let challenge = answer.challenge();
        assert_eq!(challenge.error(), Some(error), "wrong error in {answer:?}");
        let reason = challenge.description().unwrap_or_else(|| panic!("no reason code in {answer:?}"));
        assert!(answer.text().lines().any(|line| line == reason), "{reason:?} is not a line of {answer:?}");
        challenge
    }
}

/// The comma-separated members of a field, over all its lines, in lower case.
pub(crate) fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    let members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.map(|member| String::from_utf8_lossy(member).trim().to_ascii_lowercase()).collect()
}

/// A `Bearer` challenge, parsed by the grammar of RFC 9110, 11.6.1: every value must be a token or a quoted string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// Parses one challenge, and fails the test where it breaks the grammar.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let rest = text.strip_prefix("Bearer ").unwrap_or_else(|| panic!("not a Bearer challenge: {text:?}"));
        let mut parameters = BTreeMap::new();
        let mut rest = rest.trim_start();
        while !rest.is_empty() {
            let equals = rest.find('=').unwrap_or_else(|| panic!("a parameter without a value in {text:?}"));
            let name = &rest[..equals];
            assert!(
                !name.is_empty() && name.bytes().all(is_token_byte),
                "not a parameter name: {name:?} in {text:?}"
            );
            let (value, after) = value(&rest[equals + 1..], text);
            let doubled = parameters.insert(name.to_ascii_lowercase(), value);
            assert!(doubled.is_none(), "{name} comes twice in {text:?}");
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if after.is_empty() => after,
                None => panic!("parameters are not separated by a comma in {text:?}"),
            };
        }
        Self { parameters }
    }

    /// The `error` parameter.
    pub fn error(&self) -> Option<&str> {
        self.get("error")
    }

    /// The `error_description` parameter: the reason code.
    pub fn description(&self) -> Option<&str> {
        self.get("error_description")
    }

    /// The `resource_metadata` parameter, which every challenge carries (A06).
    #[track_caller]
    pub fn resource_metadata(&self) -> &str {
        self.get("resource_metadata").unwrap_or_else(|| panic!("no resource_metadata in {self:?}"))
    }

    /// Any parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Splits a token or quoted string off.
#[track_caller]
fn value<'a>(text: &'a str, whole: &str) -> (String, &'a str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(text.len());
        assert!(end > 0, "an empty value in {whole:?}");
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.push(characters.next().unwrap_or_else(|| panic!("a cut escape in {whole:?}")).1),
            // RFC 6750, section 3: neither quote nor backslash nor anything beyond ASCII.
            ' '..='~' => value.push(character),
            _ => panic!("{character:?} in a quoted string of {whole:?}"),
        }
    }
    panic!("a quoted string does not end in {whole:?}")
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_by_its_grammar() {
        let challenge = Challenge::parse(
            r#"Bearer error="invalid_token", error_description="a \"b\"",resource_metadata=x"#,
        );
        assert_eq!(challenge.error(), Some("invalid_token"));
        assert_eq!(challenge.description(), Some("a \"b\""));
        assert_eq!(challenge.resource_metadata(), "x");
    }

    #[test]
    #[should_panic(expected = "not separated")]
    fn a_missing_comma_is_noticed() {
        Challenge::parse(r#"Bearer error="a" resource_metadata="b""#);
    }

    #[test]
    #[should_panic(expected = "does not end")]
    fn an_open_string_is_noticed() {
        Challenge::parse(r#"Bearer error="a"#);
    }
}
