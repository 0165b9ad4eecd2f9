//! Verifying tokens: cold, by algorithm, and when the token is known already.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use petasos_hub::{
    auth::{AuthConfig, Authenticator, IssuerConfig, KeySource, Secret},
    topic::Base,
};
use petasos_testkit::{Token, hub::ISSUER, keys};
use tokio::runtime::{Builder, Runtime};

const HUB: &str = "https://hub.example/.well-known/mercure";

/// Verification does not wait for anything where keys are static.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn issuers(case: &keys::AlgorithmCase) -> Vec<IssuerConfig> {
    let key =
        KeySource::Static { key: Secret::new(case.verification_key.clone()), algorithm: case.algorithm };
    vec![IssuerConfig {
        id: ISSUER.to_owned(),
        authorization_server: false,
        publisher: Some(key),
        subscriber: None,
    }]
}

fn verify(criterion: &mut Criterion) {
    let (runtime, base) = (runtime(), Base::parse(HUB).expect("a base"));
    let mut group = criterion.benchmark_group("verify a token");
    for case in keys::all_algorithms() {
        let name = case.algorithm.as_str();
        let config = AuthConfig { issuers: issuers(&case), ..AuthConfig::default() };
        let hub = Authenticator::new(config.clone()).expect("keys");
        let token = Token::new(ISSUER, HUB, &case.signing_key).may_publish(&["*"]).mint();
        let check = || runtime.block_on(hub.publisher(Some(&token), HUB, &base)).expect("accepted");
        group.bench_function(format!("cold, {name}"), |bencher| {
            bencher.iter_batched(
                // A hub that gets its keys anew forgets all tokens.
                || hub.replace_keys(&config).expect("keys"),
                |()| check(),
                BatchSize::PerIteration,
            );
        });
        // Which algorithm it was no longer matters.
        if name == "HS256" {
            group.bench_function("known", |bencher| bencher.iter(check));
        }
    }
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
