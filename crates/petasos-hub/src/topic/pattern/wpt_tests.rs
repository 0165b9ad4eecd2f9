//! The web platform tests for URL patterns, component by component: patterns and inputs that are dictionaries too,
//! which no matcher has but which say most about groups, wildcards and encoding. Whole strings, through the public
//! interface, run in `tests/urlpattern_wpt.rs`.

use serde_json::Value;
use urlpattern::{
    UrlPatternInit,
    quirks::{self, StringOrInit},
};

use super::*;

const DATA: &str = include_str!("../../../testdata/urlpattern/urlpatterntestdata.json");

/// Cases of the data set that do not run, by their place in it.
const EXCLUDED: &[(usize, &str)] = &[
    (277, "a base beside a dictionary is an error of the JavaScript interface, which does not exist here"),
    (337, IGNORE_CASE),
    (338, IGNORE_CASE),
    (339, IGNORE_CASE),
    (340, IGNORE_CASE),
    (341, IGNORE_CASE),
];

const IGNORE_CASE: &str = "the option ignoreCase, which is off for matchers (M02)";

fn init_of(value: &Value) -> Result<UrlPatternInit, MatcherError> {
    let member = |name: &str| value.get(name).map(|member| member.as_str().unwrap().to_owned());
    let base_url =
        member("baseURL").map(|text| Url::parse(&text)).transpose().map_err(|_| MatcherError::Malformed)?;
    Ok(UrlPatternInit {
        protocol: member("protocol"),
        username: member("username"),
        password: member("password"),
        hostname: member("hostname"),
        port: member("port"),
        pathname: member("pathname"),
        search: member("search"),
        hash: member("hash"),
        base_url,
    })
}

fn pattern_of(arguments: &[Value]) -> Result<Components, MatcherError> {
    let base = arguments.get(1).map(|base| Url::parse(base.as_str().unwrap()));
    let base = base.transpose().map_err(|_| MatcherError::Malformed)?;
    let init = match arguments.first() {
        Some(Value::String(text)) => UrlPatternInit::parse_constructor_string::<RegexText>(text, base)
            .map_err(|_| MatcherError::Malformed)?,
        Some(dictionary) => init_of(dictionary)?,
        None => UrlPatternInit::default(),
    };
    Components::compile(&upstream::parse_init(init)?, 2_000)
}

/// `None` where the input is no URL; `Err` where the interface refuses it.
fn matches(pattern: &Components, arguments: &[Value]) -> Result<bool, ()> {
    let input: StringOrInit<'_> = match arguments.first() {
        Some(input) => serde_json::from_value(input.clone()).unwrap(),
        None => StringOrInit::Init(quirks::UrlPatternInit::default()),
    };
    let base = arguments.get(1).map(|base| base.as_str().unwrap());
    let Some((input, _)) = quirks::process_match_input(input, base).map_err(|_| ())? else {
        return Ok(false);
    };
    let Some(input) = quirks::parse_match_input(input) else {
        return Ok(false);
    };
    Ok(pattern.matches(&Parts {
        protocol: &input.protocol,
        username: &input.username,
        password: &input.password,
        hostname: &input.hostname,
        port: &input.port,
        pathname: &input.pathname,
        search: &input.search,
        hash: &input.hash,
    }))
}

#[test]
fn m02_web_platform_tests_by_component() {
    let cases: Vec<Value> = serde_json::from_str(DATA).unwrap();
    let (mut refused, mut matched, mut unmatched) = (0, 0, 0);
    let mut failures = Vec::new();
    let none = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        if EXCLUDED.iter().any(|(excluded, _)| *excluded == number) {
            continue;
        }
        let arguments = case["pattern"].as_array().unwrap();
        let inputs = case["inputs"].as_array().unwrap_or(&none);
        let pattern = pattern_of(arguments);
        if case["expected_obj"] == "error" {
            refused += 1;
            if pattern.is_ok() {
                failures.push(format!("{number}: accepted {arguments:?}"));
            }
            continue;
        }
        let pattern = match pattern {
            Ok(pattern) => pattern,
            Err(error) => {
                failures.push(format!("{number}: {error}: {arguments:?}"));
                continue;
            }
        };
        let expected = match &case["expected_match"] {
            Value::String(_) => Err(()),
            Value::Null => Ok(false),
            _ => Ok(true),
        };
        if expected == Ok(true) {
            matched += 1
        } else {
            unmatched += 1
        }
        let result = matches(&pattern, inputs);
        if result != expected {
            failures.push(format!("{number}: {result:?} for {inputs:?} by {arguments:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!((refused, matched, unmatched), (37, 222, 87));
    assert_eq!(refused + matched + unmatched + EXCLUDED.len(), cases.len());
}
