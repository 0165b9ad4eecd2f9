//! Strict JSON for tokens and key sets (C08): an object whose members, at every depth, appear once. Parsing accepts
//! nothing that another parser could read differently.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of one object, each as its JSON text.
#[derive(Debug)]
pub(super) struct Object {
    members: BTreeMap<String, Box<RawValue>>,
}

/// A member is there and has another JSON type than it must have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongType;

impl Object {
    /// Parses `text` and checks all that is inside it, however deep (the parser refuses more than 127 levels).
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub(super) fn parse_strict(text: &str) -> Result<Self, String> {
        serde_json::from_str::<Strict>(text).map_err(|error| error.to_string())?;
        Self::parse(text).map_err(|WrongType| "not a JSON object".to_owned())
    }

    /// Parses a part of a text that was checked as a whole.
    pub(super) fn parse(text: &str) -> Result<Self, WrongType> {
        serde_json::from_str(text).map(|members| Self { members }).map_err(|_| WrongType)
    }

    /// The text of a member.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.members.get(name).map(|value| value.get())
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<String>, WrongType> {
        self.raw(name).map(as_string).transpose()
    }

    /// A number as a float. One that overflows counts as no number: nobody means it, and infinity would pass for a
    /// time that never comes.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, WrongType> {
        self.raw(name).map(as_number).transpose()
    }

    /// The names of all members.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }
}

pub(super) fn as_string(text: &str) -> Result<String, WrongType> {
    serde_json::from_str(text).map_err(|_| WrongType)
}

fn as_number(text: &str) -> Result<f64, WrongType> {
    // Every JSON number is a float literal for Rust; the test of the first byte keeps out Rust's own `inf` and `nan`,
    // which JSON does not have anyway, and strings.
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(WrongType);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(WrongType)
}

/// The elements of an array, each as its JSON text.
pub(super) fn as_array(text: &str) -> Result<Vec<Box<RawValue>>, WrongType> {
    serde_json::from_str(text).map_err(|_| WrongType)
}

/// Reads any value, keeps nothing, and refuses an object with a doubled member. Every string is decoded on the way, so
/// that a bad escape is found in members nobody reads, too.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Strict, A::Error> {
        while elements.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Strict>()?;
            if let Some(doubled) = seen.replace(name) {
                let shown: String = doubled.chars().take(40).collect();
                return Err(de::Error::custom(format_args!("member {shown:?} appears twice")));
            }
        }
        Ok(Strict)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn c08_a_doubled_member_is_refused_at_every_depth_and_in_every_spelling() {
        for text in [
            r#"{"exp":1,"exp":2}"#,
            r#"{"exp":1,"\u0065xp":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[[{"b":1,"c":2,"b":1}]]}"#,
            r#"{"":1,"":1}"#,
        ] {
            let error = Object::parse_strict(text).unwrap_err();
            assert!(error.contains("appears twice"), "{text}: {error}");
        }
        Object::parse_strict(r#"{"exp":1,"EXP":2,"a":{"exp":3}}"#).unwrap();
    }

    #[test]
    fn only_one_whole_object_is_accepted() {
        for text in [
            "",
            " ",
            "null",
            "[]",
            "\"{}\"",
            "{}{}",
            "{},",
            "{\"a\":1,}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert!(Object::parse_strict(text).is_err(), "{text}");
        }
        Object::parse_strict(" {\"a\" : \"\\ud83d\\ude00\"}\n").unwrap();
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert!(Object::parse_strict(&deep).is_err());
        let open = format!("{{\"a\":{}", "{\"a\":".repeat(10_000));
        assert!(Object::parse_strict(&open).is_err());
    }

    #[test]
    fn members_have_the_type_they_have() {
        let object = Object::parse_strict(r#"{"s":"x","n":1.5,"neg":-2,"e":1e3,"null":null}"#).unwrap();
        assert_eq!(object.string("s"), Ok(Some("x".into())));
        assert_eq!(object.string("n"), Err(WrongType));
        assert_eq!(object.string("null"), Err(WrongType));
        assert_eq!(object.string("S"), Ok(None), "names are case-sensitive");
        assert_eq!(object.number("n"), Ok(Some(1.5)));
        assert_eq!(object.number("neg"), Ok(Some(-2.0)));
        assert_eq!(object.number("e"), Ok(Some(1000.0)));
        assert_eq!(object.number("s"), Err(WrongType));
        assert_eq!(object.number("null"), Err(WrongType));
        assert_eq!(object.number("none"), Ok(None));
    }
}
