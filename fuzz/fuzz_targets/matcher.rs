//! M01 to M05: any pattern compiles or is refused, matches in bounded time, and is not changed by the index.

#![no_main]

use libfuzzer_sys::fuzz_target;
use petasos_hub::topic::{Base, MatchType, Matcher, MatcherIndex, ParsedTopic};

fuzz_target!(|input: (&str, &str)| {
    let (pattern, topic) = input;
    let base = Base::parse("https://hub.example/.well-known/mercure").expect("a fixed URL");
    let topic = ParsedTopic::new(topic);
    for match_type in [MatchType::Exact, MatchType::Topic, MatchType::UrlPattern] {
        let Ok(matcher) = Matcher::new(match_type, pattern, &base) else { continue };
        let matches = matcher.matches(&topic);
        if match_type == MatchType::Exact {
            assert_eq!(matches, pattern == topic.as_str() || pattern == "*");
        }
        let mut index = MatcherIndex::new();
        index.insert(7, &matcher);
        let mut hits = Vec::new();
        index.lookup(std::slice::from_ref(&topic), &mut hits);
        assert_eq!(hits, if matches { vec![7] } else { Vec::new() }, "the index and the matcher disagree");
        index.remove(7, &matcher);
        hits.clear();
        index.lookup(std::slice::from_ref(&topic), &mut hits);
        assert!(hits.is_empty(), "a matcher that was taken back still matches");
    }
});
