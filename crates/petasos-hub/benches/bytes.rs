//! Bytes in and out: the form of a publish, and an event as it goes to subscribers.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use petasos_hub::{Update, bench_internals::form_bytes, sse};

/// More fields than a publish has.
const MAX_PAIRS: usize = 1_000;

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode an event");
    let line = "x".repeat(128);
    let cases = [
        ("128 bytes", line.clone()),
        ("64 KiB", "x".repeat(64 << 10)),
        ("500 lines", format!("{line}\n").repeat(500)),
    ];
    for (name, data) in cases {
        group.throughput(Throughput::Bytes(data.len() as u64));
        let id = "urn:uuid:00000000-0000-4000-8000-000000000000".to_owned();
        let topics = vec!["https://example.com/books/1".to_owned()];
        let update = Update::from_stored(id, topics, data, false, None, None);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| sse::encode(black_box(&update)));
        });
    }
    group.finish();
}

fn form(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read a form");
    let topic = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1";
    let cases = [
        ("128 bytes", format!("{topic}&data={}", "x".repeat(128))),
        ("64 KiB", format!("{topic}&data={}", "x".repeat(64 << 10))),
        ("64 KiB, all escaped", format!("{topic}&data={}", "%7B".repeat((64 << 10) / 3))),
        ("500 topics", [topic; 500].join("&")),
    ];
    for (name, text) in cases {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| form_bytes(black_box(text.as_bytes()), MAX_PAIRS).expect("a form"));
        });
    }
    group.finish();
}

criterion_group!(benches, encode, form);
criterion_main!(benches);
