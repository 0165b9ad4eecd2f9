//! The machine against JavaScript's grammar, against the `regex` crate, and against its own bounds.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Budget, Node, Program, RegexError, parse, run::MAX_STEPS};

fn compile(pattern: &str) -> Result<Program, RegexError> {
    Program::compile(&parse(pattern)?, &mut Budget::new(2_000))
}

#[track_caller]
fn assert_matches(pattern: &str, matching: &[&str], other: &[&str]) {
    let program = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
    for text in matching {
        assert!(program.is_match(text), "{pattern} should match {text:?}");
    }
    for text in other {
        assert!(!program.is_match(text), "{pattern} should not match {text:?}");
    }
}

#[test]
fn m02_plain_syntax() {
    assert_matches("", &[""], &["a"]);
    assert_matches("abc", &["abc"], &["", "ab", "abcd", "Abc"]);
    assert_matches("a|bc|", &["a", "bc", ""], &["b", "abc"]);
    assert_matches("a*b+c?", &["b", "aabbc"], &["", "a", "bcc"]);
    assert_matches("a*?b+?c??", &["b", "aabbc"], &["", "a", "bcc"]);
    assert_matches("(?:ab){2,3}", &["abab", "ababab"], &["ab", "abababab", ""]);
    assert_matches("a{2}b{1,}c{0,1}", &["aab", "aabbc"], &["ab", "aac", "aabcc"]);
    assert_matches("a{0}b", &["b"], &["ab"]);
    assert_matches("(x)(?<name>y)", &["xy"], &["x"]);
    assert_matches("^a$|^b$", &["a", "b"], &["ab"]);
    assert_matches("a^b", &[], &["ab", "a"]);
    assert_matches("a$b", &[], &["ab"]);
    assert_matches(".+", &["a/b?c#d~ "], &["", "a\nb"]);
    assert_matches("(a*)*", &["", "aaaa"], &["b"]);
    assert_matches("(a*)+b", &["b", "aaab"], &["aaa"]);
    assert_matches("(?:|a)+", &["", "aaa"], &["b"]);
}

#[test]
fn m02_word_boundaries() {
    assert_matches(r"a\b-b", &["a-b"], &["ab"]);
    assert_matches(r"a\bb", &[], &["ab"]);
    assert_matches(r"a\Bb", &["ab"], &[]);
    assert_matches(r"\ba\b", &["a"], &["-"]);
    assert_matches(r"\B-\B", &["-"], &["a"]);
    assert_matches(r"(?:\b){5}a", &["a"], &[]);
}

#[test]
fn m02_escapes() {
    assert_matches(r"\d\D\w\W\s\S", &["1a_- x"], &["a1_- x"]);
    assert_matches(r"\/\.\*\\\{\}\[\]\(\)\|\^\$\+\?", &["/.*\\{}[]()|^$+?"], &[]);
    assert_matches(r"\x41\u0042\u{43}\cJ\0\t", &["ABC\n\0\t"], &[]);
    assert_matches(r"\u{1F6B2}?\uD83D?a", &["a"], &["b"]);
    assert_matches(r"\p{L}\p{Lu}\P{L}\p{ASCII_Hex_Digit}\p{Script=Latin}\p{gc=Nd}", &["aA1fz0"], &["aa1fz0"]);
    assert_matches(r"\p{Lowercase}[\p{Lu}\d]", &["aA", "z0"], &["AA"]);
}

#[test]
fn m02_classes() {
    assert_matches("[abc]", &["a", "c"], &["d", ""]);
    assert_matches("[^abc]", &["d", "/"], &["a", ""]);
    assert_matches("[a-cx-z]+", &["abcxyz"], &["d"]);
    assert_matches("[]", &[], &["", "a"]);
    assert_matches("[^]", &["a", "\n"], &[""]);
    assert_matches("[[a-z]--a]", &["z"], &["a"]);
    assert_matches("[[a-z]--[aeiou]--z]", &["b"], &["a", "z"]);
    assert_matches(r"[\d&&[0-1]]", &["0"], &["3"]);
    assert_matches("[a[b-d]e]", &["a", "c", "e"], &["f"]);
    assert_matches("[^[a-y]]", &["z"], &["a"]);
    assert_matches(r"[\w\-\.\b\&]", &["a", "-", ".", "\u{8}", "&"], &["/", "b-"]);
    assert_matches(r"[\x41-\u0043]", &["A", "C"], &["D"]);
    assert_matches(r"[a-\u{10FFFF}]", &["a", "z", "~"], &["A"]);
    assert_matches(r"[.*+?$]", &[".", "*", "+", "?", "$"], &["a"]);
}

/// Not well-formed in `v` mode, but common, and of one meaning only: see the head of the parser.
#[test]
fn m02_classes_as_authors_write_them() {
    assert_matches("[^/]+", &["a"], &["a/b", ""]);
    assert_matches(r"[\w-]+", &["a-b_c"], &["a/b"]);
    assert_matches("[a-z0-9-]+", &["a-9"], &["A"]);
    assert_matches("[-a]", &["-", "a"], &["b"]);
    assert_matches("[^-a]", &["b"], &["-", "a"]);
    assert_matches("[(){}|/]", &["(", ")", "{", "}", "|", "/"], &["a"]);
    assert_matches("[-]", &["-"], &["a"]);
}

#[test]
fn m02_modifiers() {
    assert_matches("(?i:aB[c-d])e", &["Abce", "ABDe"], &["ABDE"]);
    assert_matches("(?i:a(?-i:b))", &["Ab", "ab"], &["AB"]);
    assert_matches("(?ms:a.)(?i-m:b)", &["axB"], &["Axb"]);
    assert_matches("(?i:[^a])", &["b"], &["a", "A"]);
    assert_matches("(?i:[[a-z]--A])", &["b"], &["a", "A"]);
}

#[test]
fn m02_what_javascript_refuses_is_malformed() {
    for pattern in [
        "*a",
        "+",
        "?",
        "a**",
        "a{2}{3}",
        "a+*",
        "{",
        "}",
        "{1}",
        "a{",
        "a{1",
        "a{1,",
        "a{,1}",
        "a{2,1}",
        "a{x}",
        "]",
        "[",
        "[a",
        "(",
        ")",
        "a)",
        "(a",
        "(?a)",
        "(?R)",
        "(?",
        "(?:",
        "(?P<n>a)",
        "(?<1>a)",
        "(?<>a)",
        "(?<n",
        "(?<n>a)(?<n>b)",
        "(?ii:a)",
        "(?i-i:a)",
        "(?-:a)",
        "(?x:a)",
        "(?i)",
        r"\",
        r"\a",
        r"\e",
        r"\m",
        r"\-",
        r"\_",
        r"\A",
        r"\z",
        r"\Z",
        r"\c",
        r"\c1",
        r"\00",
        r"\01",
        r"\x4",
        r"\xg0",
        r"\u41",
        r"\u{}",
        r"\u{110000}",
        r"\u{x}",
        r"\p",
        r"\pL",
        r"\p{",
        r"\p{}",
        r"\p{NoSuchThing}",
        r"\p{L",
        r"\k",
        r"\k<",
        r"\k<n>",
        r"\1",
        r"(a)\2",
        "^*",
        "$+",
        r"\b?",
        "(?=a)*",
        "[b-a]",
        r"[\d-z]",
        "[a--",
        "[a&&",
        "[a--b&&c]",
        "[a-c--b]",
        "[a&&&b]",
        "[!!]",
        "[..]",
        "[--]",
        "[a--]",
        r"[\m]",
        r"[\B]",
        r"[\1]",
        "[[a]",
        "a|*",
        "(?:a",
        "caf\u{e9}",
    ] {
        assert_eq!(parse(pattern).err(), Some(RegexError::Malformed), "{pattern}");
    }
}

#[test]
fn m04_what_an_automaton_cannot_do_is_too_complex() {
    for pattern in [
        "(?=a)",
        "a(?!b)",
        "(?<=a)b",
        "(?<!a)b",
        r"(a)\1",
        r"(?<n>a)\k<n>",
        r"\1(a)",
        r"[\q{abc}]",
        "a{3000}",
        "(?:a{99}){99}",
    ] {
        assert_eq!(compile(pattern).err(), Some(RegexError::TooComplex), "{pattern}");
    }
}

#[test]
fn m04_pathological_patterns_are_refused_or_bounded() {
    let deep = format!("{}a{}", "(?:".repeat(5_000), ")".repeat(5_000));
    let deep_classes = format!("{}a{}", "[".repeat(5_000), "]".repeat(5_000));
    let hollow = format!("(?:(?:{}){{0,1}}){{900}}", "a{0}".repeat(1_000));
    let hollow_groups = format!("(?:(?:{}|b){{0,1}}){{900}}", "(?:)*".repeat(1_000));
    let wide = "(?:a|".repeat(40) + "b" + &")".repeat(40);
    for pattern in [
        deep.as_str(),
        &deep_classes,
        &wide,
        &hollow,
        &hollow_groups,
        "(?:(?:(?:(?:a{1000}){1000}){1000}){1000}){1000}",
        "a{99999999999999999999}",
        "(?:a{0}){4000000000}",
        "(?:){4000000000}",
        "(?:){0,4000000000}",
        "(?:(?:(?:(?:){0,4000000000}){4000000000}){4000000000}){4000000000}",
        "(?:a?){4000000000}",
        "[]{4000000000}",
        "(?:(?:a*)*)*b",
        "(?:a|a)*b",
        "(?:a?){500}a{500}",
        "(?:.*){300}x",
    ] {
        let begin = Instant::now();
        if let Ok(program) = compile(pattern) {
            assert!(program.heap_bytes() < 20_000, "{pattern}");
            program.is_match(&"a".repeat(100_000));
        }
        // Some milliseconds in an optimized build; unoptimized and on a busy machine still nowhere near this.
        assert!(begin.elapsed() < Duration::from_secs(2), "{} took {:?}", &pattern[..5], begin.elapsed());
    }
}

#[test]
fn m04_a_match_that_costs_too_much_is_none() {
    let program = compile("(?:a?){200}a{200}").unwrap();
    let text = "a".repeat(300);
    assert!(program.is_match(&text));
    assert_eq!(program.run(text.as_bytes(), 10_000), None);
    assert_eq!(compile("(?:a*b?)*(?:a*c?)*x").unwrap().run("a".repeat(100_000).as_bytes(), MAX_STEPS), None);
    assert!(compile("a*").unwrap().is_match(&"a".repeat(MAX_STEPS / 4)));
    // The memory of an abandoned run does not leak into the next one.
    assert!(!program.is_match(""));
    assert!(compile("b").unwrap().is_match("b"));
}

/// Expressions of the part of the syntax that both engines share.
fn shared_syntax() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-c/-]",
        Just(r"\.".to_owned()),
        Just(".".to_owned()),
        Just(r"\d".to_owned()),
        Just(r"\w".to_owned()),
        Just(r"\W".to_owned()),
        Just("[^/]".to_owned()),
        Just("[a-c]".to_owned()),
        Just(String::new()),
        Just(r"\b".to_owned()),
        Just(r"\B".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|parts| parts.concat()),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("(?:{left}|{right})")),
            (inner.clone(), "[*+?]|\\{[0-2]\\}|\\{[0-2],\\}|\\{1,3\\}")
                .prop_map(|(node, quantifier)| format!("(?:{node}){quantifier}")),
            inner.prop_map(|node| format!("({node})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn m02_the_machine_agrees_with_the_regex_crate(pattern in shared_syntax(), texts in proptest::collection::vec("[a-c/. 1-]{0,8}", 8)) {
        let reference = ::regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$")).unicode(false).build().unwrap();
        let program = match compile(&pattern) {
            Ok(program) => program,
            Err(RegexError::TooComplex) => return Ok(()),
            Err(error) => panic!("{pattern}: {error:?}"),
        };
        for text in texts {
            prop_assert_eq!(program.is_match(&text), reference.is_match(text.as_bytes()), "{} on {:?}", pattern, text);
        }
    }

    #[test]
    fn m04_no_text_makes_the_parser_panic(text in any::<String>()) {
        let _: Result<Node, _> = parse(&text);
    }

    #[test]
    fn m04_no_syntax_makes_it_panic(text in r"[\[\](){}|?*+^$.\\a-d:<>=!&\-,0-9pPuxk]{0,24}", input in "[a-d0-9-]{0,8}") {
        if let Ok(program) = compile(&text) {
            program.is_match(&input);
        }
    }
}
