//! A17, seen from the configuration: keys that could be misused are refused before any token comes.

#![allow(clippy::unwrap_used)]

use petasos_hub::auth::{Algorithm, AuthConfig, Authenticator, IssuerConfig, KeySource, Secret};
use petasos_testkit::keys::{ED25519_PUBLIC, P256_PUBLIC, P384_PUBLIC, RSA_PUBLIC, all_algorithms};

fn config(issuers: &[(&str, &str, Algorithm)]) -> AuthConfig {
    let issuers = issuers.iter().map(|&(id, key, algorithm)| IssuerConfig {
        id: id.to_owned(),
        authorization_server: false,
        publisher: Some(KeySource::Static { key: Secret::new(key), algorithm }),
        subscriber: None,
    });
    AuthConfig { issuers: issuers.collect(), ..AuthConfig::default() }
}

const ISSUER: &str = "https://issuer.example";

#[test]
fn a17_a_public_key_is_refused_as_a_shared_secret() {
    for key in [RSA_PUBLIC, P256_PUBLIC, P384_PUBLIC, ED25519_PUBLIC] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let refused = Authenticator::new(config(&[(ISSUER, key, algorithm)]));
            assert!(refused.is_err(), "{algorithm:?} with a public key");
        }
    }
}

#[test]
fn a17_a_key_must_fit_its_algorithm() {
    for (key, algorithm) in [
        (RSA_PUBLIC, Algorithm::ES256),
        (RSA_PUBLIC, Algorithm::EdDSA),
        (P256_PUBLIC, Algorithm::RS256),
        (P256_PUBLIC, Algorithm::ES384),
        (P384_PUBLIC, Algorithm::ES256),
        (ED25519_PUBLIC, Algorithm::PS256),
        ("a shared secret of thirty-two bytes or more", Algorithm::RS256),
        ("-----BEGIN PUBLIC KEY-----\nbroken\n-----END PUBLIC KEY-----\n", Algorithm::RS256),
    ] {
        assert!(
            Authenticator::new(config(&[(ISSUER, key, algorithm)])).is_err(),
            "{algorithm:?} with {key:.30}"
        );
    }
}

#[test]
fn a17_every_algorithm_takes_its_key() {
    for case in all_algorithms() {
        let taken = Authenticator::new(config(&[(ISSUER, &case.verification_key, case.algorithm)]));
        assert!(taken.is_ok(), "{:?}: {:?}", case.algorithm, taken.err());
    }
}

#[test]
fn a17_issuers_differ_and_have_keys() {
    let secret = "a shared secret of thirty-two bytes or more";
    let twice = config(&[(ISSUER, secret, Algorithm::HS256), (ISSUER, secret, Algorithm::HS256)]);
    assert!(Authenticator::new(twice).is_err(), "two issuers with one id");
    let mut without = config(&[(ISSUER, secret, Algorithm::HS256)]);
    without.issuers[0].publisher = None;
    assert!(Authenticator::new(without).is_err(), "an issuer without keys");
    assert!(
        Authenticator::new(config(&[("", secret, Algorithm::HS256)])).is_err(),
        "an issuer without an id"
    );
}

#[test]
fn a17_errors_and_debug_texts_show_no_secret() {
    let secret = "a shared secret that nobody may ever see in a log";
    let config = config(&[(ISSUER, secret, Algorithm::RS256)]);
    assert!(!format!("{config:?}").contains("nobody may ever see"));
    let error = Authenticator::new(config).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("nobody may ever see"));
}
