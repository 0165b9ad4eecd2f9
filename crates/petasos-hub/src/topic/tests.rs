//! The rules about matchers (M01 to M06, S06), as one matcher meets one topic.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{Base, MatchType, Matcher, MatcherError, ParsedTopic};

fn hub() -> Base {
    Base::parse("https://hub.example/.well-known/mercure").unwrap()
}

fn pattern_on(value: &str, base: &Base) -> Matcher {
    Matcher::new(MatchType::UrlPattern, value, base).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn exact(value: &str) -> Matcher {
    Matcher::new(MatchType::Exact, value, &hub()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[track_caller]
fn assert_selects(value: &str, topics: &[&str], others: &[&str]) {
    let matcher = pattern_on(value, &hub());
    for topic in topics {
        assert!(matcher.matches(&ParsedTopic::new(topic)), "{value} should select {topic}");
    }
    for topic in others {
        assert!(!matcher.matches(&ParsedTopic::new(topic)), "{value} should not select {topic}");
    }
}

fn refusal(match_type: MatchType, value: &str) -> Option<MatcherError> {
    Matcher::new(match_type, value, &hub()).err()
}

#[test]
fn m01_exact_is_byte_for_byte() {
    let topics = [
        "https://example.com/a",
        "https://EXAMPLE.com/a",
        "https://example.com:443/a",
        "https://example.com/./a",
        "https://example.com/%61",
        "https://example.com/:id",
        "caf\u{e9}",
        "cafe\u{301}",
        "/relative",
        "relative",
        "",
        " ",
        "https://[",
        "(",
    ];
    for value in topics {
        let matcher = exact(value);
        assert_eq!(matcher.exact_topic(), Some(value));
        for topic in topics {
            assert_eq!(matcher.matches(&ParsedTopic::new(topic)), value == topic, "{value} {topic}");
        }
    }
}

#[test]
fn m02_hosts_are_canonical_and_the_rest_is_case_sensitive() {
    assert_selects(
        "HTTPS://Example.COM/a/../Books/:id",
        &[
            "https://example.com/Books/1",
            "https://EXAMPLE.com:443/Books/1",
            "https:\\\\example.com\\Books\\1",
        ],
        &["https://example.com/books/1", "http://example.com/Books/1", "https://example.com:444/Books/1"],
    );
    assert_selects(
        "https://example.com:443/x",
        &["https://example.com/x", "https://example.com:443/x", "HTTPS://EXAMPLE.COM:0443/x"],
        &["https://example.com:8443/x", "https://example.com/X"],
    );
    assert_selects(
        "http{s}?://*.b\u{fc}cher.example/caf\u{e9}/*",
        &["http://a.xn--bcher-kva.example/caf%C3%A9/", "https://A.B\u{dc}CHER.example/caf\u{e9}/x/y?z"],
        &["https://xn--bcher-kva.example/caf%C3%A9/", "https://a.xn--bcher-kva.example/caf%c3%a9/x"],
    );
}

#[test]
fn m02_groups_wildcards_and_modifiers() {
    assert_selects(
        "https://example.com/users/:user/books{/:book}?",
        &[
            "https://example.com/users/1/books",
            "https://example.com/users/1/books/2",
            "https://example.com/users/1/books?x#y",
        ],
        &[
            "https://example.com/users//books",
            "https://example.com/users/1/2/books",
            "https://example.com/users/1/books/",
        ],
    );
    assert_selects(
        "https://example.com/a/*/z",
        &["https://example.com/a//z", "https://example.com/a/b/c/z"],
        &["https://example.com/a/z", "https://example.com/a/b/z/"],
    );
    assert_selects(
        "https://example.com/:id(\\d+)/:name([a-z-]+).json",
        &["https://example.com/12/a-b.json"],
        &["https://example.com/x/a.json", "https://example.com/12/A.json", "https://example.com/12/a_json"],
    );
    assert_selects(
        "https://example.com/a{/b}+{/c}*",
        &["https://example.com/a/b", "https://example.com/a/b/b/c/c"],
        &["https://example.com/a", "https://example.com/a/b/d"],
    );
    assert_selects(
        "https://example.com/x\\?q=:q&*",
        &["https://example.com/x?q=1&r=2", "https://example.com/x?q=1&#f"],
        &["https://example.com/x?q=1", "https://example.com/x?q=&r"],
    );
    assert_selects(
        "https://example.com/x#f",
        &["https://example.com/x#f"],
        &["https://example.com/x", "https://example.com/x?q#f"],
    );
    assert_selects("https://*:*/x", &["https://a/x", "https://a:8443/x"], &["http://a/x"]);
    assert_selects("https://u\\:p@example.com/", &["https://u:p@example.com/"], &["https://example.com/"]);
}

#[test]
fn m02_an_assertion_of_the_author_sees_the_text_around_its_group() {
    assert_selects("https://example.com/a(\\bb)", &[], &["https://example.com/ab"]);
    assert_selects("https://example.com/a(\\Bb)c", &["https://example.com/abc"], &[]);
    assert_selects("https://example.com/a(^b)", &[], &["https://example.com/ab", "https://example.com/b"]);
}

/// With the hub as its base, the crate would resolve the path of such a pattern.
#[test]
fn m02_an_absolute_pattern_is_not_resolved() {
    assert_selects(
        "data\\:*",
        &["data:text/plain,x", "data:"],
        &["https://hub.example/.well-known/x", "plain"],
    );
    assert_selects("data:*", &["data:text/plain,x"], &["plain"]);
    assert_selects("urn\\:uuid\\:*", &["urn:uuid:1"], &["urn:oid:1", "uuid:1"]);
    assert_selects("custom\\:a/:id", &["custom:a/b", "custom:a/b/c"], &["custom:a/", "custom:/a/b"]);
    assert_selects("custom://host/:id", &["custom://host/x"], &["custom://other/x"]);
}

#[test]
fn m02_what_is_no_pattern_is_refused() {
    for value in [
        "(",
        "/(",
        "/(?R)",
        "/((?R))",
        "/(?:a)",
        "/((?i)a)",
        "/{a",
        "/a}",
        "/{{a}}",
        "/:a/:a",
        "https://exa mple/",
        "/(\\m)",
        "/([)",
        "/(caf\u{e9})",
        "https://[g]/",
        "https://example.com:{x}/",
        "/(*)",
        "/(+)",
        "/\\",
        "/:",
        "https://example.com:65536/",
        "/(\\p{NoSuch})",
        "/(a{2,1})",
    ] {
        assert_eq!(refusal(MatchType::UrlPattern, value), Some(MatcherError::Malformed), "{value}");
    }
    for value in ["/a(?=b)", "/((?=b).)", "/((?<!b)a)", "/(a)(\\1)"] {
        let error = refusal(MatchType::UrlPattern, value);
        assert!(
            matches!(error, Some(MatcherError::TooComplex | MatcherError::Malformed)),
            "{value}: {error:?}"
        );
    }
    assert_eq!(refusal(MatchType::UrlPattern, "/((?=b).)"), Some(MatcherError::TooComplex));
    assert_eq!(refusal(MatchType::UrlPattern, "/(a)(\\1)"), Some(MatcherError::TooComplex));
}

#[test]
fn m03_a_topic_that_does_not_parse_is_selected_by_the_wildcard_only() {
    for topic in ["https://[", "https://a b/", "https://exa%zzmple/", "//h:99999/"] {
        let topic = ParsedTopic::new(topic);
        for value in ["*://*:*/*", "**", "/*", "https://*", "*\\:*", ":x", "{*}"] {
            assert!(!pattern_on(value, &hub()).matches(&topic), "{value} {topic:?}");
        }
        assert!(pattern_on("*", &hub()).matches(&topic));
        assert!(exact(topic.as_str()).matches(&topic));
    }
}

#[test]
fn m04_pathological_patterns_cost_little() {
    let nested = format!("/({}a{})", "(?:".repeat(1_500), ")".repeat(1_500));
    let many_names: String = (0..1_500).map(|n| format!("/:n{n}")).collect();
    let unclosed = format!("/{}", "(a(?:a".repeat(1_300));
    let optional = format!("/{}", "{a}?".repeat(1_600));
    let stars = format!("/{}x", "*a".repeat(2_000));
    let some_stars = format!("/{}x", "*a".repeat(120));
    let long_text = format!("/{}", "a".repeat(8_000));
    let values = [
        nested.as_str(),
        &many_names,
        &unclosed,
        &optional,
        &stars,
        &some_stars,
        &long_text,
        "/((?:a?){500}a{500})",
        "/((?:(?:(?:a{1000}){1000}){1000}){1000})",
        "/((?:a*)*b)",
        "/((?:(?:a|a)*)*)x",
        "/(.*.*.*.*.*.*.*.*.*.*.*.*.*)x",
        "/((?:a|aa|aaa|aaaa)*)b",
        "*([^]{999})*([^]{999})*",
        "(ht{1000}tp)\\:x",
    ];
    let topic = format!("https://hub.example/{}", "a".repeat(8_000));
    let topic = ParsedTopic::new(&topic);
    let mut accepted = 0;
    for value in values {
        let begin = Instant::now();
        match Matcher::new(MatchType::UrlPattern, value, &hub()) {
            Ok(matcher) => {
                accepted += 1;
                matcher.matches(&topic);
                let bytes = matcher.weight_bytes();
                assert!(bytes < 20_000 + 8 * value.len(), "{} takes {bytes} bytes", &value[..12]);
            }
            Err(error) => {
                assert!(matches!(error, MatcherError::TooComplex | MatcherError::TooLong { .. }), "{error}")
            }
        }
        // Milliseconds in an optimized build. The bound is for a slow build on a busy machine.
        assert!(begin.elapsed() < Duration::from_secs(2), "{} took {:?}", &value[..12], begin.elapsed());
    }
    assert!(accepted >= 6, "only {accepted} of them were tried");
    let too_long = "/".repeat(9_000);
    assert_eq!(refusal(MatchType::UrlPattern, &too_long), Some(MatcherError::TooLong { limit: 8 << 10 }));
    assert_eq!(refusal(MatchType::Exact, &too_long), None);
    assert_eq!(
        refusal(MatchType::Exact, &"/".repeat(70_000)),
        Some(MatcherError::TooLong { limit: 64 << 10 })
    );
}

#[test]
fn m04_no_template_takes_much_memory() {
    let values = [
        "{a}b".repeat(256),
        "\u{e9}a".repeat(2_000) + "{x}",
        "\u{e9}{x}a".repeat(256),
        format!("{{{}}}", ["a"; 256].join(",")),
        format!("{{?{}}}", ["a*"; 256].join(",")),
        "{+a:9999}".repeat(256),
        format!("/{}{{x}}", "a/".repeat(4_000)),
    ];
    for value in values {
        let matcher = Matcher::new(MatchType::Topic, &value, &hub()).unwrap();
        assert!(matcher.variables() > 0, "{} is no template", &value[..12]);
        let bytes = matcher.weight_bytes();
        assert!(bytes < 20_000 + 8 * value.len(), "{} takes {bytes} bytes", &value[..12]);
    }
}

#[test]
fn m05_the_wildcard_selects_everything_whatever_its_type() {
    for match_type in [MatchType::Exact, MatchType::UrlPattern] {
        let matcher = Matcher::new(match_type, "*", &hub()).unwrap();
        assert!(matcher.is_wildcard());
        assert_eq!(matcher.exact_topic(), None);
        for topic in ["", "*", "https://[", "x", "https://example.com/", "\u{7f}"] {
            assert!(matcher.matches(&ParsedTopic::new(topic)), "{topic}");
        }
    }
    assert!(!exact("**").is_wildcard());
    assert!(!pattern_on("/*", &hub()).is_wildcard());
    assert_eq!(pattern_on("/*", &hub()).exact_topic(), None);
}

#[test]
fn m06_relative_patterns_and_topics_meet_on_the_url_of_the_hub() {
    assert_selects(
        "plain-name",
        &["plain-name", "/.well-known/plain-name", "https://hub.example/.well-known/plain-name"],
        &["/plain-name", "https://other.example/.well-known/plain-name", "mercure"],
    );
    assert_selects(
        "/books/:id",
        &["/books/1", "../books/1?q", "https://hub.example/books/1"],
        &["books/1", "http://hub.example/books/1"],
    );
    assert_selects(":a/:b", &["x/y"], &["x", "/x/y"]);
    assert_selects("?q=*", &["?q=1", "https://hub.example/.well-known/mercure?q="], &["x?q=1", ""]);
    assert_selects("#f", &["#f"], &["#g", "?q#f"]);
    assert_selects("", &["/.well-known/"], &["", "x"]);
    assert_selects("https://hub.example/x", &["/x", "../x", "https:/x"], &["x"]);
}

/// A pinned resource identifier may have any path; it is no pattern itself.
#[test]
fn m06_the_path_of_the_base_is_taken_literally() {
    let base = Base::parse("https://hub.example/a+b/(c)/:d*/hub").unwrap();
    let matcher = pattern_on("x/:id", &base);
    assert!(matcher.matches(&ParsedTopic::new("x/1")));
    assert!(matcher.matches(&ParsedTopic::new("https://hub.example/a+b/(c)/:d*/x/1")));
    assert!(!matcher.matches(&ParsedTopic::new("https://hub.example/ab/(c)/:d*/x/1")));
}

#[test]
fn m06_subscription_topics_are_matched_on_any_origin() {
    let topic =
        "/.well-known/mercure/subscriptions/urlpattern/https%3A%2F%2Fexample.com%2F%3Aid/urn%3Auuid%3A1";
    let topic = ParsedTopic::new(topic);
    for origin in ["https://hub.example", "http://localhost:3000", "https://[::1]:8443", "https://10.0.0.1"] {
        let base = Base::parse(&format!("{origin}/.well-known/mercure")).unwrap();
        for value in [
            "/.well-known/mercure/subscriptions/*",
            "/.well-known/mercure/subscriptions/:type/:match/:subscriber",
            "mercure/subscriptions/urlpattern/*",
            "/.well-known/mercure/subscriptions{/:type}?{/:match}?{/:subscriber}?",
        ] {
            assert!(pattern_on(value, &base).matches(&topic), "{value} on {origin}");
        }
        for value in
            ["/.well-known/mercure/subscriptions/:type/:match", "https://elsewhere.example/.well-known/*"]
        {
            assert!(!pattern_on(value, &base).matches(&topic), "{value} on {origin}");
        }
        let absolute = origin.replace("[::1]", "[\\:\\:1]") + "/.well-known/mercure/subscriptions/*";
        assert!(pattern_on(&absolute, &base).matches(&topic));
    }
}

#[test]
fn s06_forbidden_characters_are_refused_in_either_type() {
    for match_type in [MatchType::Exact, MatchType::UrlPattern] {
        for character in ['\0', '\t', '\n', '\u{7f}', '\u{9f}', '\u{ad}', '\u{200b}', '\u{202e}', '\u{e0041}']
        {
            assert_eq!(
                refusal(match_type, &format!("/a{character}b")),
                Some(MatcherError::ForbiddenCharacter { character: character.into() })
            );
        }
    }
}

#[test]
fn s06_errors_carry_no_internals() {
    for value in ["/(", "/:a/:a", "https://[g]/", "/((?=b).)"] {
        let text = refusal(MatchType::UrlPattern, value).unwrap().to_string();
        assert!(text.ends_with("URL pattern") || text.ends_with("for this hub"), "{text}");
    }
}

#[test]
fn m02_equality_is_type_value_and_for_patterns_base() {
    let other = Base::parse("https://other.example/.well-known/mercure").unwrap();
    assert_eq!(pattern_on("/x/:a", &hub()), pattern_on("/x/:a", &hub()));
    assert_ne!(pattern_on("/x/:a", &hub()), pattern_on("/x/:a", &other));
    assert_ne!(pattern_on("/x/:a", &hub()), pattern_on("/x/:b", &hub()));
    assert_ne!(pattern_on("/x", &hub()), exact("/x"));
    assert_eq!(exact("/x"), Matcher::new(MatchType::Exact, "/x", &other).unwrap());
    assert_ne!(exact("*"), pattern_on("*", &hub()));
    let set: HashSet<Matcher> = [
        pattern_on("/x/:a", &hub()),
        pattern_on("/x/:a", &hub()),
        pattern_on("/x/:a", &other),
        exact("/x/:a"),
    ]
    .into();
    assert_eq!(set.len(), 3);
}

/// Texts made of what means something in patterns and URLs.
pub(super) fn patternlike() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        3 => r"[a-c/?#:@\[\]{}()*+\\.%!|^$&=<> é-]{1,3}",
        3 => "[a-c]{1,3}",
        2 => prop_oneof![Just("https://"), Just("http{s}?://"), Just("data\\:"), Just("//"), Just("[::1]"), Just("..")]
            .prop_map(str::to_owned),
        2 => prop_oneof![Just(":id"), Just("(a|b)"), Just("{/x}?"), Just("(?:"), Just(":80"), Just("\u{1f6b2}"), Just("([^/]+)")]
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(token, 0..8).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn m04_no_text_makes_a_matcher_panic(value in any::<String>(), topic in any::<String>()) {
        for match_type in [MatchType::Exact, MatchType::UrlPattern] {
            if let Ok(matcher) = Matcher::new(match_type, &value, &hub()) {
                matcher.matches(&ParsedTopic::new(&topic));
            }
        }
    }

    #[test]
    fn m04_no_pattern_makes_a_matcher_panic(value in patternlike(), topic in patternlike()) {
        if let Ok(matcher) = Matcher::new(MatchType::UrlPattern, &value, &hub()) {
            matcher.matches(&ParsedTopic::new(&topic));
            matcher.matches(&ParsedTopic::new(&value));
        }
    }

    #[test]
    fn p05_no_text_makes_the_reserved_test_panic(topic in patternlike(), path in "(/|\\\\|%2e|%6d|.well-known|mercure){0,8}") {
        super::is_reserved(&topic, &hub());
        super::is_reserved(&path, &hub());
    }
}
