//! Which topics a template selects, beyond the examples of the RFC, against an expander written for the tests.

use proptest::prelude::*;

use super::*;

fn is_template(value: &str) -> bool {
    intern(value).unwrap().is_some()
}

#[track_caller]
fn assert_selects(value: &str, topics: &[&str], others: &[&str]) {
    let template = intern(value).unwrap().unwrap_or_else(|| panic!("{value} is a template"));
    for topic in topics {
        assert!(template.matches(topic), "{value} should select {topic}");
    }
    for topic in others {
        assert!(!template.matches(topic), "{value} should not select {topic}");
    }
}

#[test]
fn l01_a_simple_variable_is_one_segment() {
    assert_selects(
        "https://example.com/books/{id}",
        &[
            "https://example.com/books/1",
            "https://example.com/books/",
            "https://example.com/books/a-b._~%C3%A9",
            "https://example.com/books/a,b",
        ],
        &[
            "https://example.com/books",
            "https://example.com/books/1/reviews",
            "https://example.com/books/1?x",
            "https://example.com/books/a b",
            "https://EXAMPLE.com/books/1",
            "http://example.com/books/1",
            "xhttps://example.com/books/1",
        ],
    );
    assert_selects(
        "/users/{id}/books/{book}",
        &["/users/1/books/2", "/users//books/"],
        &["/users/1/2/books/3", "/users/1/books/2/"],
    );
    assert_selects("{a}{b}", &["", "ab", "a,b"], &["a/b"]);
}

#[test]
fn l01_c07_a_reserved_variable_is_anything_an_url_may_have() {
    assert_selects(
        "https://example.com/{+any}",
        &[
            "https://example.com/",
            "https://example.com/a/b?c=d#e",
            "https://example.com/%20",
            "https://example.com/;,!$&'()*[]@",
        ],
        &["https://example.org/a", "https://example.com/a b", "https://example.com/%2"],
    );
    assert_selects("{+any}", &["", "x", "https://example.com/a?b#c"], &["a b", "\u{e9}"]);
    assert_selects("/a{#f}", &["/a", "/a#", "/a#b/c"], &["/ab", "/a/b"]);
}

#[test]
fn l01_the_selector_of_presence_selects_subscriptions_of_the_0x_form_only() {
    assert_selects(
        "/.well-known/mercure/subscriptions{/topic}{/subscriber}",
        &[
            "/.well-known/mercure/subscriptions",
            "/.well-known/mercure/subscriptions/https%3A%2F%2Fa.example%2F%7Bid%7D",
            "/.well-known/mercure/subscriptions/a/urn%3Auuid%3A1",
        ],
        &["/.well-known/mercure/subscriptions/exact/a/urn%3Auuid%3A1", "/.well-known/mercure/subscriptionsx"],
    );
}

#[test]
fn l01_separators_are_there_for_defined_variables_only() {
    assert_selects(
        "/m{?x,y}",
        &["/m", "/m?x=1", "/m?y=2", "/m?x=1&y=2", "/m?x=", "/m?x=1,2"],
        &["/m?", "/m?x", "/m?y=2&x=1", "/m?z=1", "/m?x=1&", "/m&x=1", "/m?x=1&x=2"],
    );
    assert_selects("/m{;x,y}", &["/m", "/m;x", "/m;x=1;y", "/m;y=2"], &["/m;", "/m;x=", "/m;y;x", "/m;xy"]);
    assert_selects("/m{.x,y}", &["/m", "/m.", "/m.a.b", "/m.a.b.c"], &["/ma", "/m/a"]);
    assert_selects("{/x,y}", &["", "/", "/a", "/a/b", "//"], &["a", "/a/b/c"]);
    assert_selects("{/x*}", &["", "/a", "/a/b/c", "/a=b/c=d"], &["a", "/a?b"]);
    assert_selects("{?x*}", &["", "?a=b", "?a=b&c="], &["?", "?a", "?=b", "?a=b&"]);
}

#[test]
fn l01_a_prefix_counts_characters() {
    assert_selects(
        "/{x:3}",
        &["/", "/a", "/abc", "/%C3%A9%E2%82%AC%F0%9F%98%80"],
        &["/abcd", "/a,b", "/%C3%A9%C3%A9%C3%A9%C3%A9"],
    );
    assert_selects("/{x:3}/{x}", &["/abc/abcdef", "//"], &["/abcd/abcd"]);
    // Where the value of one ends and that of the next begins nobody can tell, but how long they can be together.
    assert_selects("/{x:2}{y:3}", &["/", "/abcde", "/%C3%A9bcde"], &["/abcdef", "/abc/"]);
    assert_selects("/{x:1}a{y:2}", &["/a", "/aaaa", "/babc", "/aabc"], &["/babcd", "/bbabc", "/aaaaa"]);
    assert_selects("{+x}/{y:1}", &["/", "a/b/c", "a/b/"], &["a/bc", "a"]);
    let long = "x".repeat(9_999);
    assert_selects("/{x:9999}", &[&format!("/{long}")], &[&format!("/{long}x")]);
    assert_selects("{?x:2}", &["?x=ab", "?x="], &["?x=abc"]);
    assert_selects("{;x:2}", &[";x=ab", ";x"], &[";x=abc", ";x="]);
}

#[test]
fn l01_characters_beyond_ascii_match_as_they_stand_and_encoded() {
    assert_selects("/caf\u{e9}/{id}", &["/caf\u{e9}/1", "/caf%C3%A9/1"], &["/cafe/1", "/caf\u{e9}/\u{e9}"]);
    assert_selects(
        "\u{e9}\u{20ac}{x}\u{e9}",
        &["\u{e9}\u{20ac}1\u{e9}", "%C3%A9%E2%82%AC1%C3%A9"],
        &["\u{e9}1\u{e9}"],
    );
    assert_selects(
        "\u{e9}a\u{20ac}b{x}c\u{e9}d",
        &["\u{e9}a\u{20ac}b1c\u{e9}d", "%C3%A9a%E2%82%ACbc%C3%A9d", "\u{e9}a%E2%82%ACbc\u{e9}d"],
        &["%c3%a9a\u{20ac}bc\u{e9}d", "%C3%A9a\u{20ac}bc\u{e9}", "%C3%A9a\u{20ac}bc\u{e8}d", "%C3"],
    );
    assert_selects("/it's/{x}", &["/it's/1"], &["/its/1"]);
}

#[test]
fn l01_what_is_malformed_is_no_template() {
    for value in [
        "{",
        "}",
        "{}",
        "a{b",
        "a}b{c}",
        "{a}}",
        "{{a}}",
        "{a b}",
        "{a-b}",
        "{=a}",
        "{,a}",
        "{!a}",
        "{@a}",
        "{|a}",
        "{a,}",
        "{a,,b}",
        "{a:}",
        "{a:0}",
        "{a:01}",
        "{a:10000}",
        "{a:-1}",
        "{a:x}",
        "{a:3*}",
        "{a*:3}",
        "{a**}",
        "{*}",
        "{+}",
        "{?}",
        "{a..b}",
        "{.a.}",
        "{%4}",
        "a b{c}",
        "a\"{c}",
        "a%{c}",
        "a%zz{c}",
        "a<{c}",
        "a\\{c}",
        "a^{c}",
        "a`{c}",
        "a|{c}",
        "no braces",
        "",
    ] {
        assert!(!is_template(value), "{value}");
    }
    for value in
        ["{a}", "{a.b}", "{_}", "{%41b}", "{a:1}", "{a:9999}", "{a*}", "%41{a}", "{+a,b:2,c*}", "{a}{a}"]
    {
        assert!(is_template(value), "{value}");
    }
}

#[test]
fn m04_a_template_is_bounded_as_a_pattern_is() {
    let long = format!("{}{{a}}", "x".repeat(MAX_TEMPLATE_BYTES));
    assert_eq!(intern(&long).err(), Some(MatcherError::TooLong { limit: MAX_TEMPLATE_BYTES }));
    assert!(intern(&"{a}".repeat(MAX_VARIABLES)).unwrap().is_some());
    assert_eq!(intern(&"{a}".repeat(MAX_VARIABLES + 1)).err(), Some(MatcherError::TooComplex));
    assert!(intern("/books/{id:9999}").unwrap().unwrap().weight_bytes() < 300);
}

/// One look at each place of the topic for each variable, and a little more.
#[test]
fn m04_no_template_takes_long() {
    let topic = "a,a=a/".repeat(1_300);
    let topics = ["a".repeat(8_000), ",".repeat(8_000), topic, "%41".repeat(2_700), "?a=b&".repeat(1_600)];
    let all: Vec<String> = ["", "+", "#", ".", "/", ";", "?", "&"]
        .iter()
        .flat_map(|operator| {
            ["a", "a:9999", "a:5000", "a:3", "a*", "a,b:7,c*"]
                .map(|variables| format!("{{{operator}{variables}}}").repeat(60))
        })
        .flat_map(|template| [template.clone(), format!("{template}!"), template.replace('}', "}a")])
        .chain([format!("{{+a001:9999}}{}", "{+a:9999}".repeat(89))])
        .collect();
    for template in &all {
        let compiled = intern(template).unwrap().unwrap();
        for topic in &topics {
            let steps = run::steps(&compiled.pieces, topic);
            let looks = compiled.variables() + compiled.pieces.len();
            assert!(steps <= 4 * looks * (topic.len() + 1), "{template}: {steps} steps");
        }
    }
}

#[test]
fn l01_equal_templates_are_one_object_and_leave_nothing_behind() {
    let first = intern("/interned/{id}").unwrap().unwrap();
    let second = intern("/interned/{id}").unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    drop(first);
    assert!(TEMPLATES.knows(&"/interned/{id}".into()));
    drop(second);
    assert!(!TEMPLATES.knows(&"/interned/{id}".into()));
    assert!(!is_template("/interned/{"));
    assert!(!TEMPLATES.knows(&"/interned/{".into()));
}

/// A value of a variable, as RFC 6570 knows them.
#[derive(Clone, Debug)]
enum Value {
    Undefined,
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// Expands one expression, by the words of RFC 6570, section 3.2.1.
fn expand(operator: &str, variables: &[(String, String, Value)]) -> String {
    let (first, separator, named, empty, reserved) = match operator {
        "+" => ("", ",", false, "", true),
        "#" => ("#", ",", false, "", true),
        "." => (".", ".", false, "", false),
        "/" => ("/", "/", false, "", false),
        ";" => (";", ";", true, "", false),
        "?" => ("?", "&", true, "=", false),
        "&" => ("&", "&", true, "=", false),
        _ => ("", ",", false, "", false),
    };
    let encode = |text: &str| -> String {
        text.chars()
            .map(|character| {
                let keep = character.is_ascii_alphanumeric()
                    || "-._~".contains(character)
                    || reserved && ":/?#[]@!$&'()*+,;=".contains(character);
                if keep {
                    character.to_string()
                } else {
                    utf8_percent_encode(&character.to_string(), NON_ALPHANUMERIC).to_string()
                }
            })
            .collect()
    };
    let pair = |name: &str, value: &str| {
        if !named {
            value.to_owned()
        } else if value.is_empty() {
            format!("{name}{empty}")
        } else {
            format!("{name}={value}")
        }
    };
    let mut parts = Vec::new();
    for (name, modifier, value) in variables {
        match (value, modifier.as_str()) {
            (Value::Undefined, _) => {}
            (Value::List(list), _) if list.is_empty() => {}
            (Value::Pairs(pairs), _) if pairs.is_empty() => {}
            (Value::Text(text), "*" | "") => parts.push(pair(name, &encode(text))),
            (Value::Text(text), prefix) => {
                let length = prefix[1..].parse().unwrap();
                parts.push(pair(name, &encode(&text.chars().take(length).collect::<String>())));
            }
            (Value::List(list), "*") => parts.extend(list.iter().map(|value| pair(name, &encode(value)))),
            (Value::Pairs(pairs), "*") => parts.extend(pairs.iter().map(|(key, value)| {
                if named {
                    pair(&encode(key), &encode(value))
                } else {
                    format!("{}={}", encode(key), encode(value))
                }
            })),
            (Value::List(list), _) => {
                parts.push(pair(name, &list.iter().map(|value| encode(value)).collect::<Vec<_>>().join(",")));
            }
            (Value::Pairs(pairs), _) => {
                let flat: Vec<_> =
                    pairs.iter().flat_map(|(key, value)| [encode(key), encode(value)]).collect();
                parts.push(pair(name, &flat.join(",")));
            }
        }
    }
    if parts.is_empty() { String::new() } else { format!("{first}{}", parts.join(separator)) }
}

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

fn variable() -> impl Strategy<Value = (String, String, Value)> {
    let text = || r"[ab/%,=;&. é€😀-]{0,6}";
    let key = "[abé. -]{1,4}";
    let any = prop_oneof![
        1 => Just(Value::Undefined),
        4 => text().prop_map(Value::Text),
        2 => proptest::collection::vec(text(), 0..4).prop_map(Value::List),
        2 => proptest::collection::vec((key, text()), 0..4).prop_map(Value::Pairs),
    ];
    let modifier = prop_oneof![3 => Just(String::new()), 2 => Just("*".to_owned()), 1 => (1..5u8).prop_map(|n| format!(":{n}"))];
    ("[a-c]{1,2}", modifier, any).prop_map(|(name, modifier, value)| {
        // A prefix is for texts only.
        let value = match (modifier.starts_with(':'), value) {
            (true, Value::List(_) | Value::Pairs(_)) => Value::Undefined,
            (_, value) => value,
        };
        (name, modifier, value)
    })
}

fn expression() -> impl Strategy<Value = (String, String)> {
    let operator = proptest::sample::select(vec!["", "+", "#", ".", "/", ";", "?", "&"]);
    (operator, proptest::collection::vec(variable(), 1..4)).prop_map(|(operator, variables)| {
        let names: Vec<_> = variables.iter().map(|(name, modifier, _)| format!("{name}{modifier}")).collect();
        (format!("{{{operator}{}}}", names.join(",")), expand(operator, &variables))
    })
}

/// A template with one of its expansions.
pub(in crate::topic) fn template_and_expansion() -> impl Strategy<Value = (String, String)> {
    let literal = "[a/?=%é]{0,3}".prop_map(|text| text.replace('%', "%41"));
    proptest::collection::vec((literal, expression()), 1..4).prop_map(|parts| {
        parts.into_iter().fold(
            Default::default(),
            |(template, expansion): (String, String), (literal, expression)| {
                let encoded: String = literal
                    .chars()
                    .map(|character| {
                        if character.is_ascii() {
                            character.to_string()
                        } else {
                            utf8_percent_encode(&character.to_string(), NON_ALPHANUMERIC).to_string()
                        }
                    })
                    .collect();
                (template + &literal + &expression.0, expansion + &encoded + &expression.1)
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn l01_every_expansion_of_any_template_is_selected((template, expansion) in template_and_expansion()) {
        let compiled = intern(&template).unwrap().unwrap();
        prop_assert!(compiled.matches(&expansion), "{template} should select {expansion}");
    }

    #[test]
    fn l01_any_text_is_a_selector(value in r"([{}+#./;?&,:*=%a-c0-9é ]|\{[+#./;?&]?[a-c]{1,2}(\*|:[0-9])?\}){0,12}", topic in any::<String>()) {
        if let Some(template) = intern(&value).unwrap() {
            template.matches(&topic);
            template.matches(&value);
        }
    }
}
