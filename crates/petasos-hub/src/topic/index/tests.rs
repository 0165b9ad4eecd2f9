//! The index against brute force, and what it costs.

use proptest::prelude::*;

use super::{super::MatchType, *};

fn base(host: &str) -> Base {
    Base::parse(&format!("https://{host}/.well-known/mercure")).unwrap()
}

fn pattern_on(value: &str, base: &Base) -> Matcher {
    Matcher::new(MatchType::UrlPattern, value, base).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn pattern(value: &str) -> Matcher {
    pattern_on(value, &base("hub.example"))
}

fn exact(value: &str) -> Matcher {
    Matcher::new(MatchType::Exact, value, &base("hub.example")).unwrap()
}

fn selector(value: &str) -> Matcher {
    Matcher::new(MatchType::Topic, value, &base("hub.example")).unwrap()
}

fn hits(index: &MatcherIndex<u32>, topics: &[&str]) -> Vec<u32> {
    let topics: Vec<_> = topics.iter().map(|topic| ParsedTopic::new(topic)).collect();
    let mut hits = Vec::new();
    index.lookup(&topics, &mut hits);
    hits
}

/// Capacity of every table, and how many places of trees there are.
fn is_bare(index: &MatcherIndex<u32>) -> bool {
    index.exact.capacity() == 0
        && index.patterns.capacity() == 0
        && index.exact_wildcards.is_empty()
        && index.pattern_wildcards.is_empty()
        && index.selectors.is_bare()
}

#[test]
fn s03_a_subscriber_is_hit_once_whatever_hits_it() {
    let mut index = MatcherIndex::new();
    for matcher in
        [exact("/a"), exact("*"), pattern("*"), pattern("/:x"), pattern("/a"), exact("/a"), pattern("/:x")]
    {
        index.insert(7, &matcher);
    }
    for matcher in [selector("/a"), selector("{/x}"), selector("/{+x}")] {
        index.insert(7, &matcher);
    }
    index.insert(3, &pattern("/:x"));
    index.insert(9, &exact("/b"));
    assert_eq!(hits(&index, &["/a"]), [3, 7]);
    assert_eq!(hits(&index, &["/a", "/b", "/a"]), [3, 7, 9]);
    assert_eq!(hits(&index, &["https://["]), [7]);
    assert_eq!(hits(&index, &[]), [0; 0]);
    let mut hits = vec![9, 9, 1];
    index.lookup(&[ParsedTopic::new("/b")], &mut hits);
    assert_eq!(hits, [1, 3, 7, 9]);
}

#[test]
fn s03_equal_pairs_count_once() {
    let mut index = MatcherIndex::new();
    for matcher in [
        exact("/a"),
        pattern("/a"),
        exact("*"),
        pattern("*"),
        selector("/a"),
        selector("{/x}"),
        selector("*"),
    ] {
        index.insert(1, &matcher);
        index.insert(1, &matcher);
        index.insert(2, &matcher);
        index.remove(1, &matcher);
        index.remove(1, &matcher);
        index.remove(3, &matcher);
        assert_eq!(hits(&index, &["/a"]), [2], "{matcher:?}");
        index.remove(2, &matcher);
        assert!(is_bare(&index), "{matcher:?}");
        index.remove(2, &matcher);
    }
}

#[test]
fn m06_each_base_has_its_own_patterns() {
    let mut index = MatcherIndex::new();
    for n in 0..100 {
        index.insert(n, &pattern_on("/rooms/:id", &base(&format!("hub{n}.example"))));
        index.insert(
            100 + n,
            &pattern_on("https://hub1.example/rooms/:id", &base(&format!("hub{n}.example"))),
        );
    }
    let relative: Vec<u32> = (0..100).chain([101]).collect();
    assert_eq!(hits(&index, &["/rooms/1"]), relative);
    let absolute: Vec<u32> = [1].into_iter().chain(100..200).collect();
    assert_eq!(hits(&index, &["https://hub1.example/rooms/1"]), absolute);
}

/// Families of patterns of which a topic selects one. Each must be told apart without asking more than a few.
#[test]
fn m04_distinct_patterns_are_told_apart_by_what_is_literal() {
    let families: &[(&str, &str)] = &[
        ("https://example.com/{}/:id", "https://example.com/{}/x"),
        ("https://example.com/rooms/{}/*", "https://EXAMPLE.com:443/rooms/{}/x/y"),
        ("https://example.com/rooms/{}", "https://example.com/rooms/{}"),
        ("https://example.com/rooms/{}{/:x}?", "https://example.com/rooms/{}"),
        ("https://example.com/rooms/{}*", "https://example.com/rooms/{}/x"),
        ("https://example.com/rooms/{}-*", "https://example.com/rooms/{}-x/y"),
        ("https://example.com/room-{}-:x/y", "https://example.com/room-{}-1/y"),
        ("https://example.com/:a/rooms/{}", "https://example.com/x/rooms/{}"),
        ("https://example.com/:a/:b/rooms/{}/:id(\\d+)", "https://example.com/x/y/rooms/{}/1"),
        ("https://example.com/*/room-{}", "https://example.com/a/b/room-{}"),
        ("https://example.com/:x-{}", "https://example.com/a-{}"),
        ("https://example.com/*\\?room={}", "https://example.com/a/b?room={}"),
        ("https://example.com/rooms\\?room={}&*", "https://example.com/rooms?room={}&x"),
        ("https://example.com/rooms#{}", "https://example.com/rooms#{}"),
        ("https://tenant{}.example.com/*", "https://TENANT{}.example.com/x"),
        ("https://*.tenant{}.example.com/x", "https://a.tenant{}.example.com/x"),
        ("https://tenant{}.*/x", "https://tenant{}.example/x"),
        ("http{s}?://example.com/rooms/{}/:id", "http://example.com/rooms/{}/1"),
        ("*://*/rooms/{}/*", "ftp://example.org/rooms/{}/1"),
        ("/rooms/{}/:id", "/rooms/{}/1"),
        ("room-{}*", "room-{}/x"),
        ("urn\\:room\\:{}-*", "urn:room:{}-x"),
        ("https://example.com:1{}/rooms/:id", "https://example.com:1{}/rooms/1"),
        ("https://example.com/:lang(en|fr)/rooms/{}", "https://example.com/en/rooms/{}"),
    ];
    let number = |family: &str, n: u32| family.replace("{}", &format!("{n:03}"));
    for (value, topic) in families {
        let mut index = MatcherIndex::new();
        for n in 0..1_000 {
            index.insert(n, &pattern(&number(value, n)));
        }
        for n in [0, 10, 999] {
            let topic = number(topic, n);
            let mut hits = Vec::new();
            let candidates = index.lookup_counting(&[ParsedTopic::new(&topic)], &mut hits);
            assert_eq!(hits, [n], "{value} {topic}");
            assert_eq!(candidates, 1, "{value} {topic}");
        }
        for n in 0..1_000 {
            index.remove(n, &pattern(&number(value, n)));
        }
        assert!(is_bare(&index), "{value}");
    }
}

/// The same for templates: of a thousand that differ in what is literal, one is asked.
#[test]
fn l01_m04_distinct_templates_are_told_apart_by_what_is_literal() {
    let families: &[(&str, &str)] = &[
        ("https://example.com/users/{}/books/{id}", "https://example.com/users/{}/books/1"),
        ("https://example.com/users/{}{/id}", "https://example.com/users/{}/1"),
        ("https://example.com/{tenant}/users/{}/books/{id}", "https://example.com/acme/users/{}/books/1"),
        ("https://{tenant}.example.com/users/{}", "https://acme.example.com/users/{}"),
        ("https://example.com/{+any}/{}", "https://example.com/a/b/c/{}"),
        ("https://example.com/users-{}-{id}/x", "https://example.com/users-{}-1/x"),
        ("urn:user:{}:{id}", "urn:user:{}:1"),
        ("user-{}{?x,y}", "user-{}?x=1"),
        ("/caf\u{e9}/{}/{id}", "/caf\u{e9}/{}/1"),
        ("{+base}/users/{}", "https://example.com/users/{}"),
    ];
    let number = |family: &str, n: u32| family.replace("{}", &format!("{n:04}"));
    for (value, topic) in families {
        let mut index = MatcherIndex::new();
        for n in 0..4_000 {
            index.insert(n, &selector(&number(value, n)));
        }
        for n in [0, 10, 3_999] {
            let topic = number(topic, n);
            let mut hits = Vec::new();
            let candidates = index.lookup_counting(&[ParsedTopic::new(&topic)], &mut hits);
            assert_eq!(hits, [n], "{value} {topic}");
            assert_eq!(candidates, 1, "{value} {topic}");
        }
        let mut hits = Vec::new();
        assert_eq!(
            index.lookup_counting(&[ParsedTopic::new("https://other.example/")], &mut hits),
            0,
            "{value}"
        );
        for n in 0..4_000 {
            index.remove(n, &selector(&number(value, n)));
        }
        assert!(is_bare(&index), "{value}");
    }
}

#[test]
fn l01_a_template_selects_the_topic_that_is_equal_to_it() {
    let mut index = MatcherIndex::new();
    for (key, value) in (0..).zip(["/a/{id}", "/a/{", "/a/\u{e9}", "*"]) {
        index.insert(key, &selector(value));
    }
    assert_eq!(hits(&index, &["/a/{id}"]), [0, 3]);
    assert_eq!(hits(&index, &["/a/{"]), [1, 3]);
    assert_eq!(hits(&index, &["/a/1"]), [0, 3]);
    assert_eq!(hits(&index, &["/a/\u{e9}"]), [2, 3]);
}

#[test]
fn m04_a_churn_of_subscribers_leaves_nothing_behind() {
    let mut index = MatcherIndex::new();
    for n in 0..2_000 {
        index.insert(n, &exact(&format!("/stays/{n}")));
        index.insert(n, &pattern(&format!("/stays/{n}/:id")));
    }
    let capacity = |index: &MatcherIndex<u32>| (index.exact.capacity(), index.patterns.capacity());
    let before = capacity(&index);
    for round in 0..20 {
        let comes: Vec<_> = (0..500)
            .flat_map(|n| {
                [
                    exact(&format!("/comes/{round}/{n}")),
                    pattern(&format!("/comes/{round}/{n}/:id")),
                    pattern("*"),
                ]
            })
            .collect();
        for (n, matcher) in (10_000..).zip(&comes) {
            index.insert(n, matcher);
        }
        assert_eq!(hits(&index, &[&format!("/comes/{round}/499/x")]).len(), 501);
        for (n, matcher) in (10_000..).zip(&comes) {
            index.remove(n, matcher);
        }
    }
    assert!(capacity(&index).0 <= before.0 * 2, "{before:?} {:?}", capacity(&index));
    assert_eq!(hits(&index, &["/stays/1999/x", "/stays/0"]), [0, 1999]);
    for n in 0..2_000 {
        index.remove(n, &exact(&format!("/stays/{n}")));
        index.remove(n, &pattern(&format!("/stays/{n}/:id")));
    }
    assert!(is_bare(&index));
}

/// The stack bounds the depth of the tree, the tree is made by patterns.
#[test]
fn m04_patterns_with_thousands_of_segments_are_no_danger() {
    let mut index = MatcherIndex::new();
    let deep = "/a".repeat(4_000);
    let wild: String = (0..200).map(|n| format!("/:n{n}")).collect();
    let values = [deep.clone(), deep.clone() + "/b", deep.clone() + "/*", wild, "/".repeat(8_000)];
    for (key, value) in (0..).zip(&values) {
        index.insert(key, &pattern(value));
    }
    assert_eq!(hits(&index, &[&deep]), [0]);
    assert_eq!(hits(&index, &[&(deep + "/b")]), [1, 2]);
    assert_eq!(hits(&index, &[&"/z".repeat(200)]), [3]);
    assert_eq!(hits(&index, &[&format!("https://hub.example{}", "/".repeat(8_000))]), [4]);
}

/// Values and topics over a small alphabet, so that they meet often.
fn value() -> impl Strategy<Value = String> {
    let origin = prop_oneof![
        4 => Just(""),
        3 => Just("https://hub.example"),
        2 => Just("http{s}?://hub.example"),
        1 => Just("HTTPS://Hub.Example"),
        1 => Just("https://hub.example:443"),
        1 => Just("https://hub.example:8443"),
        1 => Just("https://*.example"),
        1 => Just("https://hub.*"),
        1 => Just("https://{:sub.}?hub.example"),
        1 => Just("*://*:*"),
        1 => Just("custom://hub.example"),
        1 => Just("custom\\:"),
    ];
    let segment = prop_oneof![
        4 => "/[ab]",
        2 => Just("/:n".to_owned()),
        1 => Just("/*".to_owned()),
        1 => Just("{/:n}?".to_owned()),
        1 => Just("{/a}?".to_owned()),
        1 => Just("{/b}*".to_owned()),
        1 => Just("/a:n".to_owned()),
        1 => Just("/*b".to_owned()),
        1 => Just("/(a|b|a/b)".to_owned()),
        1 => Just("/([^/]+)".to_owned()),
        1 => Just("/(a\\b)".to_owned()),
        1 => Just("/%61".to_owned()),
        1 => Just("/..".to_owned()),
        1 => Just("*".to_owned()),
        1 => Just("/".to_owned()),
        1 => Just("a".to_owned()),
    ];
    let end = prop_oneof![
        6 => Just(""), 1 => Just("\\?q"), 1 => Just("\\?q*"), 1 => Just("#a"), 1 => Just("\\?*#:a"), 1 => Just("\\?"),
    ];
    (origin, proptest::collection::vec(segment, 0..5), end).prop_map(|(origin, segments, end)| {
        // Names must differ within a pattern.
        let path: String = segments
            .iter()
            .enumerate()
            .map(|(n, segment)| segment.replace(":n", &format!(":n{n}")))
            .collect();
        format!("{origin}{path}{end}")
    })
}

fn topic() -> impl Strategy<Value = String> {
    let origin = prop_oneof![
        4 => Just(""),
        4 => Just("https://hub.example"),
        1 => Just("HTTPS://HUB.example:443"),
        1 => Just("http://hub.example"),
        1 => Just("https://hub.example:8443"),
        1 => Just("https://a.hub.example"),
        1 => Just("https://user@hub.example"),
        1 => Just("https:"),
        1 => Just("custom://hub.example"),
        1 => Just("custom:"),
        1 => Just("https://["),
    ];
    let path = r"(/(a|b|ab|aa|x|%61|\.\.|))*(a|\\b|)";
    let end =
        prop_oneof![5 => Just(""), 1 => Just("?q"), 1 => Just("?qa"), 1 => Just("#a"), 1 => Just("?q#a")];
    (origin, path, end).prop_map(|(origin, path, end)| format!("{origin}{path}{end}"))
}

fn matcher() -> impl Strategy<Value = Option<Matcher>> {
    let bases = [base("hub.example"), base("other.example"), Base::parse("http://hub.example/a/b").unwrap()];
    let template = super::super::template::tests::template_and_expansion();
    (value(), topic(), template, 0usize..3, 0u8..16).prop_map(move |(value, topic, template, at, kind)| {
        let (match_type, value) = match kind {
            12 => (MatchType::Topic, topic),
            13 => (MatchType::Topic, "*".to_owned()),
            14 => (MatchType::Topic, template.0),
            15 => (MatchType::Topic, topic.replace('b', "{x}").replace("aa", "{/x*}")),
            0 => (MatchType::Exact, topic),
            1 => (MatchType::Exact, "*".to_owned()),
            2 => (MatchType::UrlPattern, "*".to_owned()),
            _ => (MatchType::UrlPattern, value),
        };
        Matcher::new(match_type, &value, &bases[at]).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn m02_the_index_finds_what_brute_force_finds(
        matchers in proptest::collection::vec((0u32..8, matcher(), any::<bool>()), 0..40),
        topics in proptest::collection::vec(proptest::collection::vec(topic(), 1..3), 8),
    ) {
        let mut index = MatcherIndex::new();
        let mut kept: Vec<(u32, Matcher)> = Vec::new();
        for (key, matcher, _) in &matchers {
            if let Some(matcher) = matcher {
                index.insert(*key, matcher);
                if !kept.iter().any(|pair| pair == &(*key, matcher.clone())) {
                    kept.push((*key, matcher.clone()));
                }
            }
        }
        for (key, matcher, removed) in &matchers {
            if let (Some(matcher), true) = (matcher, removed) {
                index.remove(*key, matcher);
                kept.retain(|pair| pair != &(*key, matcher.clone()));
            }
        }
        for topics in &topics {
            let topics: Vec<_> = topics.iter().map(|topic| ParsedTopic::new(topic)).collect();
            let mut expected: Vec<u32> = kept
                .iter()
                .filter(|(_, matcher)| topics.iter().any(|topic| matcher.matches(topic)))
                .map(|(key, _)| *key)
                .collect();
            expected.sort_unstable();
            expected.dedup();
            let mut hits = Vec::new();
            index.lookup(&topics, &mut hits);
            prop_assert_eq!(hits, expected, "{:?} among {:?}", topics, kept);
        }
        for (key, matcher) in &kept {
            index.remove(*key, matcher);
        }
        prop_assert!(is_bare(&index));
    }

    #[test]
    fn l01_the_index_finds_the_templates_that_brute_force_finds(
        matchers in proptest::collection::vec((0u32..6, super::super::template::tests::template_and_expansion(), any::<bool>()), 1..30),
        others in proptest::collection::vec("[a/?=%,;&. é]{0,8}", 4),
    ) {
        let mut index = MatcherIndex::new();
        let mut kept: Vec<(u32, Matcher)> = Vec::new();
        for (key, (template, _), _) in &matchers {
            let selector = selector(template);
            index.insert(*key, &selector);
            if !kept.iter().any(|pair| pair == &(*key, selector.clone())) {
                kept.push((*key, selector));
            }
        }
        for (key, (template, _), removed) in &matchers {
            if *removed {
                let selector = selector(template);
                index.remove(*key, &selector);
                kept.retain(|pair| pair != &(*key, selector.clone()));
            }
        }
        let texts = matchers.iter().flat_map(|(_, (template, expansion), _)| [template, expansion]).chain(&others);
        for text in texts {
            let topic = ParsedTopic::new(text);
            let mut expected: Vec<u32> =
                kept.iter().filter(|(_, selector)| selector.matches(&topic)).map(|(key, _)| *key).collect();
            expected.sort_unstable();
            expected.dedup();
            let mut hits = Vec::new();
            index.lookup(std::slice::from_ref(&topic), &mut hits);
            prop_assert_eq!(hits, expected, "{:?} among {:?}", text, kept);
        }
        for (key, selector) in &kept {
            index.remove(*key, selector);
        }
        prop_assert!(is_bare(&index));
    }

    /// Without structure: whatever the parser takes, the index finds.
    #[test]
    fn m02_the_index_finds_arbitrary_patterns(
        values in proptest::collection::vec(super::super::tests::patternlike(), 1..12),
        topic in super::super::tests::patternlike(),
    ) {
        let base = base("hub.example");
        let matchers: Vec<_> =
            values.iter().filter_map(|value| Matcher::new(MatchType::UrlPattern, value, &base).ok()).collect();
        let mut index = MatcherIndex::new();
        for (key, matcher) in (0..).zip(&matchers) {
            index.insert(key, matcher);
        }
        for topic in values.iter().chain([&topic]) {
            let topic = ParsedTopic::new(topic);
            let expected: Vec<u32> =
                (0..).zip(&matchers).filter(|(_, matcher)| matcher.matches(&topic)).map(|(key, _)| key).collect();
            let mut hits = Vec::new();
            index.lookup(std::slice::from_ref(&topic), &mut hits);
            prop_assert_eq!(hits, expected);
        }
    }
}
