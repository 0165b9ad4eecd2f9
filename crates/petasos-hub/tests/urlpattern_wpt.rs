//! The web platform tests for URL patterns, as far as a matcher can be given them: string patterns with their base,
//! against string inputs (M02). Dictionaries run component by component in `src/topic/pattern/wpt_tests.rs`.

#![allow(clippy::unwrap_used)]

use petasos_hub::topic::{Base, MatchType, Matcher, MatcherIndex, ParsedTopic};
use serde_json::Value;

const DATA: &str = include_str!("../testdata/urlpattern/urlpatterntestdata.json");

/// The base of patterns that the data set gives none: a matcher always has one. No input is relative to its scheme.
const ANY_BASE: &str = "custom://hub.invalid/.well-known/mercure";

/// Cases with a string pattern that do not run, by their place in the data set.
const EXCLUDED: &[(usize, &str)] = &[
    (208, DICTIONARY),
    (209, DICTIONARY),
    (210, NO_BASE),
    (211, NO_BASE),
    (228, NO_BASE),
    (235, NO_BASE),
    (242, DICTIONARY),
    (339, IGNORE_CASE),
    (340, IGNORE_CASE),
    (341, IGNORE_CASE),
];

const DICTIONARY: &str = "the input is a dictionary, which no topic is; it runs by component";
const NO_BASE: &str = "an error because there is no base; a matcher always has one";
const IGNORE_CASE: &str = "the option ignoreCase, which is off for matchers (M02)";

/// Why a case cannot be given to a matcher, found from the case itself.
fn reason_against(case: &Value) -> Option<&'static str> {
    let arguments = case["pattern"].as_array().unwrap();
    if arguments.iter().any(Value::is_object) {
        return Some(IGNORE_CASE);
    }
    let is_error = case["expected_obj"] == "error";
    if is_error && arguments.len() == 1 && matcher(arguments).is_ok() {
        return Some(NO_BASE);
    }
    let is_dictionary =
        |inputs: &Value| inputs.as_array().is_some_and(|inputs| inputs.iter().any(Value::is_object));
    (!is_error && is_dictionary(&case["inputs"])).then_some(DICTIONARY)
}

fn base(arguments: &[Value]) -> Option<Base> {
    Base::parse(arguments.get(1).map_or(ANY_BASE, |base| base.as_str().unwrap())).ok()
}

fn matcher(arguments: &[Value]) -> Result<Matcher, String> {
    let base = base(arguments).ok_or("no base")?;
    let value = arguments[0].as_str().unwrap();
    Matcher::new(MatchType::UrlPattern, value, &base).map_err(|error| error.to_string())
}

#[test]
fn m02_web_platform_tests_of_string_patterns() {
    let cases: Vec<Value> = serde_json::from_str(DATA).unwrap();
    let with_string = |case: &&(usize, &Value)| case.1["pattern"][0].is_string();
    let numbered: Vec<(usize, &Value)> = cases.iter().enumerate().collect();
    let (mut refused, mut matched, mut unmatched) = (0, 0, 0);
    let mut excluded = Vec::new();
    for &(number, case) in numbered.iter().filter(with_string) {
        if let Some(reason) = reason_against(case) {
            excluded.push((number, reason));
            continue;
        }
        let arguments = case["pattern"].as_array().unwrap();
        let matcher = matcher(arguments);
        if case["expected_obj"] == "error" {
            assert!(matcher.is_err(), "case {number}: accepted {arguments:?}");
            refused += 1;
            continue;
        }
        let matcher = matcher.unwrap_or_else(|error| panic!("case {number}: {error}: {arguments:?}"));
        let inputs = case["inputs"].as_array().unwrap();
        if let Some(input_base) = inputs.get(1) {
            // A topic is resolved against the base of the matcher. Fragments make no difference.
            assert_eq!(Base::parse(input_base.as_str().unwrap()).ok(), base(arguments), "case {number}");
        }
        let topic = ParsedTopic::new(inputs[0].as_str().unwrap());
        let expected = !case["expected_match"].is_null();
        assert_eq!(matcher.matches(&topic), expected, "case {number}: {topic:?} by {arguments:?}");
        if expected {
            matched += 1
        } else {
            unmatched += 1
        }

        let mut index = MatcherIndex::new();
        index.insert(number, &matcher);
        let mut hits = Vec::new();
        index.lookup(&[topic], &mut hits);
        assert_eq!(!hits.is_empty(), expected, "case {number} through the index");
    }
    assert_eq!(excluded, EXCLUDED);
    assert_eq!((refused, matched, unmatched), (6, 37, 8));
}
