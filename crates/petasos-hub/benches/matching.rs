//! Finding whom an update reaches, with few matchers and with many, and keeping the index while subscribers come and go.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use petasos_hub::topic::{Base, MatchType, Matcher, MatcherIndex, ParsedTopic};

const BASE: &str = "https://hub.example/.well-known/mercure";

fn base() -> Base {
    Base::parse(BASE).expect("a base")
}

fn topic(number: u32) -> String {
    format!("https://example.com/books/{number}/title")
}

fn exact(number: u32, base: &Base) -> Matcher {
    Matcher::new(MatchType::Exact, &topic(number), base).expect("a topic")
}

fn pattern(number: u32, base: &Base) -> Matcher {
    let value = format!("https://example.com/books/{number}/:field");
    Matcher::new(MatchType::UrlPattern, &value, base).expect("a pattern")
}

fn index(count: u32, matcher: impl Fn(u32, &Base) -> Matcher) -> MatcherIndex<u32> {
    let (mut index, base) = (MatcherIndex::new(), base());
    for key in 0..count {
        index.insert(key, &matcher(key, &base));
    }
    index
}

/// One hit among few and among many: the two should cost the same.
fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    let indexes = [
        ("exact", 10, index(10, exact)),
        ("exact", 5_000, index(5_000, exact)),
        ("pattern", 10, index(10, pattern)),
        ("pattern", 4_000, index(4_000, pattern)),
    ];
    for (kind, count, index) in &indexes {
        let wanted = topic(7);
        group.bench_function(BenchmarkId::new(*kind, count), |bencher| {
            let mut hits = Vec::new();
            bencher.iter(|| {
                hits.clear();
                index.lookup(&[ParsedTopic::new(black_box(&wanted))], &mut hits);
                assert_eq!(hits, [7]);
            });
        });
    }
    group.finish();
}

/// A thousand subscribers come and go while ten thousand stay.
fn churn(criterion: &mut Criterion) {
    const STAY: u32 = 10_000;
    const COME: u32 = 1_000;
    let mut group = criterion.benchmark_group("churn of 1,000 among 10,000");
    for (kind, matcher) in [("exact", exact as fn(u32, &Base) -> Matcher), ("pattern", pattern)] {
        let (mut index, base) = (index(STAY, matcher), base());
        // Compiling is not what is measured: patterns are shared by those who ask for the same.
        let matchers: Vec<Matcher> = (STAY..STAY + COME).map(|number| matcher(number, &base)).collect();
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                for (key, matcher) in (STAY..).zip(&matchers) {
                    index.insert(key, matcher);
                }
                for (key, matcher) in (STAY..).zip(&matchers) {
                    index.remove(key, matcher);
                }
            });
        });
    }
    group.finish();
}

/// What a new subscriber with a pattern of its own costs before it is in the index.
fn compile(criterion: &mut Criterion) {
    let base = base();
    criterion.bench_function("compile a pattern", |bencher| {
        let mut number = 0;
        bencher.iter_batched(
            || {
                number += 1;
                format!("https://example.com/new/{number}/:field")
            },
            |value| Matcher::new(MatchType::UrlPattern, &value, &base).expect("a pattern"),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, lookup, churn, compile);
criterion_main!(benches);
