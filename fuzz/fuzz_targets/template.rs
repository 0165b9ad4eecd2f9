//! L01: any selector compiles or is refused, matches in bounded time, never selects what its literal beginning forbids, and
//! is not changed by the index.

#![no_main]

use libfuzzer_sys::fuzz_target;
use petasos_hub::topic::{Base, MatchType, Matcher, MatcherIndex, ParsedTopic};

fuzz_target!(|input: (&str, &str)| {
    let (selector, text) = input;
    let base = Base::parse("https://hub.example/.well-known/mercure").expect("a fixed URL");
    let Ok(matcher) = Matcher::new(MatchType::Topic, selector, &base) else { return };
    for text in [text, selector] {
        let topic = ParsedTopic::new(text);
        let matches = matcher.matches(&topic);
        if text == selector {
            assert!(matches, "a selector selects what is equal to it");
        } else if selector != "*" {
            let literal = selector.split('{').next().unwrap_or_default();
            assert!(!matches || selector.contains('{'), "only a template selects anything else");
            assert!(!matches || !literal.is_ascii() || text.starts_with(literal), "the beginning differs");
        }
        let mut index = MatcherIndex::new();
        index.insert(7, &matcher);
        let mut hits = Vec::new();
        index.lookup(std::slice::from_ref(&topic), &mut hits);
        assert_eq!(hits, if matches { vec![7] } else { Vec::new() }, "the index and the selector disagree");
        index.remove(7, &matcher);
        hits.clear();
        index.lookup(std::slice::from_ref(&topic), &mut hits);
        assert!(hits.is_empty(), "a selector that was taken back still selects");
    }
});
