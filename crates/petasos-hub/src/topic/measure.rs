//! What matchers and the index cost, in numbers. Not a test: run it with
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test -p petasos-hub --lib topic::measure -- --ignored --nocapture`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{Base, MatchType, Matcher, MatcherIndex, ParsedTopic};

/// Name, pattern and topic; `{}` is a number.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("one wildcard", "https://example.com/users/{}/*", "https://example.com/users/{}/x"),
    ("one segment", "https://example.com/users/{}/books/:id", "https://example.com/users/{}/books/1"),
    (
        "two segments",
        "https://example.com/:lang/users/{}/books/:id",
        "https://example.com/en/users/{}/books/1",
    ),
    ("optional group", "https://example.com/users/{}{/:id}?", "https://example.com/users/{}"),
    ("regular expression", "https://example.com/users/{}/:id(\\d+)", "https://example.com/users/{}/12"),
    (
        "uuid",
        "https://example.com/users/{}/:id([0-9a-f-]{36})",
        "https://example.com/users/{}/6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    ),
    ("wildcard host", "http{s}?://*.tenant{}.example.com/feed/*", "https://a.tenant{}.example.com/feed/1"),
    ("relative", "/users/{}/:id", "/users/{}/1"),
];

/// Templates of the 0.x generation and topics, likewise.
const TEMPLATES: &[(&str, &str)] = &[
    ("https://example.com/users/{}/books/{id}", "https://example.com/users/{}/books/1"),
    ("https://example.com/{lang}/users/{}/{id}", "https://example.com/en/users/{}/1"),
    ("https://example.com/users/{}{/id}{?x,y*}", "https://example.com/users/{}/1?x=1"),
    ("https://example.com/{+any}/users/{}", "https://example.com/a/b/users/{}"),
];

fn base() -> Base {
    Base::parse("https://hub.example/.well-known/mercure").unwrap()
}

fn number(text: &str, n: u32) -> String {
    text.replace("{}", &n.to_string())
}

fn pattern(value: &str) -> Matcher {
    Matcher::new(MatchType::UrlPattern, value, &base()).unwrap()
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default();
    pages * 4096
}

/// The fastest of several rounds, which is the one that nothing disturbed.
fn best(rounds: u32, per_round: u32, mut work: impl FnMut()) -> Duration {
    let one_round = |_| {
        let begin = Instant::now();
        for _ in 0..per_round {
            work();
        }
        begin.elapsed() / per_round
    };
    (0..rounds).map(one_round).min().unwrap_or_default()
}

fn look_up(index: &MatcherIndex<u32>, topic: &str, hits: &mut Vec<u32>) {
    hits.clear();
    index.lookup(&[ParsedTopic::new(black_box(topic))], hits);
    assert_eq!(black_box(&*hits).len(), 1);
}

#[test]
#[ignore = "prints figures"]
fn compilation_and_memory() {
    println!(
        "{:20} {:>10} {:>12} {:>12} {:>12}",
        "pattern", "compile", "counted B", "resident B", "in index B"
    );
    for (name, value, _) in FAMILIES {
        let values: Vec<String> = (0..20_000).map(|n| number(value, n + 100_000)).collect();
        let before = resident_bytes();
        let begin = Instant::now();
        let matchers: Vec<Matcher> = values.iter().map(|value| pattern(value)).collect();
        let compile = begin.elapsed() / 20_000;
        let compiled = resident_bytes();
        let mut index = MatcherIndex::new();
        (0..).zip(&matchers).for_each(|(key, matcher)| index.insert(key, matcher));
        let indexed = resident_bytes();
        let counted = matchers.iter().map(Matcher::weight_bytes).sum::<usize>() / 20_000;
        let resident = compiled.saturating_sub(before) / 20_000;
        let in_index = indexed.saturating_sub(compiled) / 20_000;
        println!("{name:20} {compile:>10.1?} {counted:>12} {resident:>12} {in_index:>12}");
        // Memory that is free but not given back would make the next figure too small.
        std::mem::forget((matchers, index));
    }
    let value = number(FAMILIES[0].1, 7);
    let kept = pattern(&value);
    println!("interned again: {:.1?}", best(10, 10_000, || drop(black_box(pattern(&value)))));
    drop(kept);
}

#[test]
#[ignore = "prints figures"]
fn look_ups() {
    let mut hits = Vec::new();
    println!("{:20} {:>10} {:>10} {:>7}", "URL patterns", "10", "4,000", "ratio");
    for (name, value, topic) in FAMILIES {
        let times = [10, 4_000].map(|count| {
            let mut index = MatcherIndex::new();
            (0..count).for_each(|n| index.insert(n, &pattern(&number(value, n))));
            let topic = number(topic, 7);
            best(20, 2_000, || look_up(&index, &topic, &mut hits))
        });
        let ratio = times[1].as_secs_f64() / times[0].as_secs_f64();
        println!("{name:20} {:>10.1?} {:>10.1?} {ratio:>7.2}", times[0], times[1]);
    }
    println!("URI templates");
    for (value, topic) in TEMPLATES {
        let times = [10, 4_000].map(|count| {
            let mut index = MatcherIndex::new();
            for n in 0..count {
                index.insert(n, &Matcher::new(MatchType::Topic, &number(value, n), &base()).unwrap());
            }
            let topic = number(topic, 7);
            best(20, 2_000, || look_up(&index, &topic, &mut hits))
        });
        let ratio = times[1].as_secs_f64() / times[0].as_secs_f64();
        println!("{value:45} {:>10.1?} {:>10.1?} {ratio:>7.2}", times[0], times[1]);
    }
    let mut topic = 0;
    for (name, count) in [("all in turn, 10", 10), ("all in turn, 4,000", 4_000)] {
        let mut index = MatcherIndex::new();
        (0..count).for_each(|n| index.insert(n, &pattern(&number(FAMILIES[1].1, n))));
        let topics: Vec<String> = (0..count).map(|n| number(FAMILIES[1].2, n)).collect();
        let time = best(10, 8_000, || {
            topic = (topic + 7) % topics.len();
            look_up(&index, &topics[topic], &mut hits);
        });
        println!("{name:20} {time:>10.1?}");
    }
    let times = [10, 5_000].map(|count| {
        let mut index = MatcherIndex::new();
        for n in 0..count {
            index.insert(
                n,
                &Matcher::new(MatchType::Exact, &format!("https://example.com/rooms/{n}"), &base()).unwrap(),
            );
        }
        best(20, 10_000, || look_up(&index, "https://example.com/rooms/7", &mut hits))
    });
    println!("exact topics: 10 {:.1?}, 5,000 {:.1?}", times[0], times[1]);
}

#[test]
#[ignore = "prints figures"]
fn churn_and_popular_topics() {
    let mut index = MatcherIndex::new();
    for n in 0..10_000 {
        index.insert(n, &pattern(&number(FAMILIES[1].1, n)));
        index.insert(n, &Matcher::new(MatchType::Exact, "https://example.com/popular", &base()).unwrap());
    }
    let mut next = 10_000;
    let come_and_go = best(10, 1_000, || {
        next += 1;
        let matchers = [pattern(&number(FAMILIES[1].1, next)), pattern(&number(FAMILIES[2].1, next))];
        matchers.iter().for_each(|matcher| index.insert(next, matcher));
        matchers.iter().for_each(|matcher| index.remove(next, matcher));
    });
    println!("a subscriber with two patterns comes and goes among 10,000: {come_and_go:.1?}");
    let mut hits = Vec::new();
    let popular = best(10, 100, || {
        hits.clear();
        index.lookup(&[ParsedTopic::new("https://example.com/popular")], &mut hits);
    });
    println!("a topic of {} subscribers: {popular:.1?}", hits.len());
    let heavy = pattern("/((?:a?){300}a{300})x");
    let topic = format!("/{}x", "a".repeat(8_000));
    println!(
        "a hostile pattern on a long topic: {:.1?}",
        best(5, 5, || {
            black_box(heavy.matches(&ParsedTopic::new(&topic)));
        })
    );
}
