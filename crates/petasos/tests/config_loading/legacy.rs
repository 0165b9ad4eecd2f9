//! The compatibility mode (section L): when it is on, with which keys, and what is said about it.

use petasos_hub::auth::{Algorithm, Compatibility};

use crate::{
    auth::{Expected, PEM, secret, seen, url},
    support::{Given, ISSUER, SECRET, directives, keys, nothing},
};

const OLD: &str = "an-old-secret-of-more-than-thirty-two-bytes";

/// The environment of a 0.x image: keys, and no issuer.
fn old_environment() -> Given {
    nothing().variable("MERCURE_PUBLISHER_JWT_KEY", SECRET).variable("MERCURE_SUBSCRIBER_JWT_KEY", OLD)
}

/// The keys that no issuer has: of publishers, of subscribers. `None` where version 0.x is not served.
#[track_caller]
fn old_keys(given: &Given) -> Option<(Expected, Expected)> {
    let Compatibility { publisher, subscriber } = given.config().auth.compatibility?;
    Some((seen(&publisher), seen(&subscriber)))
}

fn hs256(key: &str) -> Expected {
    secret(key, Algorithm::HS256)
}

#[test]
fn l08_keys_without_an_issuer_are_a_0x_configuration() {
    let given = old_environment();
    assert_eq!(old_keys(&given), Some((hs256(SECRET), hs256(OLD))));
    let [issuer] = &given.config().auth.issuers[..] else { panic!("one issuer, for tokens of version 1.0") };
    assert_eq!(issuer.id, "https://localhost");
    assert_eq!((seen(&issuer.publisher), seen(&issuer.subscriber)), (hs256(SECRET), hs256(OLD)));
    insta::assert_snapshot!(given.notices(), @"note: version 0.x of the protocol is served beside 1.0, because keys are given and no issuer is named; once all clients speak 1.0, set MERCURE_TRUSTED_ISSUERS to the iss of your tokens, and 0.x is off");
    assert_eq!(given.printed("protocol_version_compatibility"), ("8".to_owned(), "default".to_owned()));
    assert_eq!(given.printed("auth.issuer"), ("https://localhost".to_owned(), "default".to_owned()));
}

#[test]
fn l08_every_form_of_a_key_may_lack_an_issuer() {
    let pem = nothing()
        .variable("MERCURE_PUBLISHER_JWT_KEY", PEM)
        .variable("MERCURE_PUBLISHER_JWT_ALG", "EdDSA")
        .variable("PETASOS_SUBSCRIBER_JWKS", "https://a.example/jwks");
    let set = url("https://a.example/jwks", &[]);
    assert_eq!(old_keys(&pem), Some((secret(PEM, Algorithm::EdDSA), set)));
    let file = nothing().toml(&format!("[auth]\npublisher_jwt_key = '{SECRET}'"));
    assert_eq!(old_keys(&file), Some((hs256(SECRET), Expected::None)));
}

#[test]
fn the_environment_and_the_directives_of_a_0_24_image_are_taken_as_they_are() {
    let given = old_environment()
        .variable("SERVER_NAME", ":80")
        .variable("MERCURE_PUBLISHER_JWT_ALG", "HS256")
        .variable("MERCURE_SUBSCRIBER_JWT_ALG", "HS512")
        .variable("MERCURE_TRANSPORT_URL", "bolt:///data/mercure.db?size=1000&cleanup_frequency=0.5&bucket_name=old")
        .variable(
            "MERCURE_EXTRA_DIRECTIVES",
            "publisher_jwt {env.MERCURE_PUBLISHER_JWT_KEY} {env.MERCURE_PUBLISHER_JWT_ALG}\n\
             subscriber_jwt {env.MERCURE_SUBSCRIBER_JWT_KEY} {env.MERCURE_SUBSCRIBER_JWT_ALG}\n\
             anonymous\nsubscriptions\ncors_origins http://localhost:9000 *\npublish_origins http://localhost:9000\nui\ndemo\n\
             heartbeat 40s",
        );
    assert_eq!(old_keys(&given), Some((hs256(SECRET), secret(OLD, Algorithm::HS512))));
    let config = given.config();
    assert!(config.auth.anonymous && config.hub.subscriptions);
    assert_eq!(given.store().retention.events, 1_000);
    assert_eq!(given.store().bolt.map(|source| source.bucket), Some("old".to_owned()));
    let by_url =
        old_environment().variable("MERCURE_EXTRA_DIRECTIVES", "transport_url bolt://mercure.db?size=5");
    assert_eq!(by_url.store().retention.events, 5);
}

#[test]
fn with_an_issuer_named_the_mode_is_off_unless_asked_for() {
    assert_eq!(old_keys(&keys()), None);
    assert_eq!(keys().notices(), "");
    assert_eq!(keys().printed("protocol_version_compatibility"), ("off".to_owned(), "default".to_owned()));
    for version in ["7", "8"] {
        let asked = [
            directives(&format!("protocol_version_compatibility {version}")),
            keys().variable("PETASOS_PROTOCOL_VERSION_COMPATIBILITY", version),
            keys().toml(&format!("protocol_version_compatibility = {version}")),
            keys().flag("protocol_version_compatibility", version),
        ];
        for given in asked {
            // The keys are the issuer's, and as its static keys they verify old tokens as well.
            assert_eq!(old_keys(&given), Some((Expected::None, Expected::None)));
            assert_eq!(given.config().auth.issuers.len(), 1);
            assert_eq!(given.config().auth.issuers[0].id, ISSUER);
            insta::allow_duplicates! {
                insta::assert_snapshot!(given.notices(), @"note: version 0.x of the protocol is served beside 1.0 (protocol_version_compatibility); once all clients speak 1.0, leave that out");
            }
        }
    }
    assert_eq!(old_keys(&directives("protocol_version_compatibility off")), None);
}

#[test]
fn l08_the_directives_of_0x_give_keys_for_old_tokens_only() {
    let text = format!(
        "protocol_version_compatibility 8\npublisher_jwt {OLD} HS384\nsubscriber_jwks_url https://a.example/jwks"
    );
    let given = directives(&text);
    let set = url("https://a.example/jwks", &[]);
    assert_eq!(old_keys(&given), Some((secret(OLD, Algorithm::HS384), set)));
    let issuers = given.config().auth.issuers;
    assert_eq!(issuers.len(), 1);
    assert_eq!((seen(&issuers[0].publisher), seen(&issuers[0].subscriber)), (hs256(SECRET), hs256(SECRET)));
    let file = keys().toml(&format!(
        "protocol_version_compatibility = 8\n[legacy]\npublisher_jwks = 'https://a.example/jwks'\n\
         publisher_jwks_algs = ['RS256']\nsubscriber_jwt_key = '{OLD}'"
    ));
    let set = url("https://a.example/jwks", &[Algorithm::RS256]);
    assert_eq!(old_keys(&file), Some((set, hs256(OLD))));
}

#[test]
fn l08_without_an_issuer_the_directives_are_a_0x_configuration_too() {
    let given = nothing().variable("MERCURE_EXTRA_DIRECTIVES", &format!("publisher_jwt {OLD}\nanonymous"));
    assert_eq!(old_keys(&given), Some((hs256(OLD), Expected::None)));
    assert_eq!(given.config().auth.issuers[0].id, "https://localhost");
    let both = old_environment().variable("MERCURE_EXTRA_DIRECTIVES", &format!("publisher_jwt {OLD}"));
    assert_eq!(old_keys(&both), Some((hs256(OLD), hs256(OLD))), "the directive wins, as over any variable");
}

#[test]
fn l08_keys_of_the_image_stay_for_old_tokens_where_issuers_have_blocks() {
    let block = format!(
        "issuer {ISSUER} {{\n publisher {{\n jwt {SECRET}\n }}\n}}\nprotocol_version_compatibility 8"
    );
    let given = nothing()
        .variable("MERCURE_PUBLISHER_JWT_KEY", OLD)
        .variable("MERCURE_SUBSCRIBER_JWT_KEY", OLD)
        .variable("MERCURE_EXTRA_DIRECTIVES", &block);
    assert_eq!(old_keys(&given), Some((hs256(OLD), hs256(OLD))));
    assert_eq!(given.config().auth.issuers.len(), 1);
}

/// A token without the claim is refused where an issuer's key signed it, and read as one of the 0.x generation where nobody's
/// did: so a key must not be both.
#[test]
fn l08_keys_that_named_issuers_share_are_theirs_beside_issuers_with_blocks() {
    let block = format!(
        "issuer {ISSUER} {{\n publisher {{\n jwt {SECRET}\n }}\n}}\nprotocol_version_compatibility 8"
    );
    let given = nothing()
        .variable("MERCURE_TRUSTED_ISSUERS", "https://app")
        .variable("MERCURE_SUBSCRIBER_JWT_KEY", OLD)
        .variable("MERCURE_EXTRA_DIRECTIVES", &block);
    assert_eq!(old_keys(&given), Some((Expected::None, Expected::None)));
    let issuers = given.config().auth.issuers;
    let app = issuers.iter().find(|issuer| issuer.id == "https://app").expect("an issuer");
    assert_eq!(seen(&app.subscriber), hs256(OLD));
}

#[test]
fn l08_an_issuer_is_not_given_the_keys_of_old_tokens_and_the_way_out_is_told() {
    for key in [format!("publisher_jwt {OLD}"), "publisher_jwks_url https://a.example/jwks".to_owned()] {
        let text = format!("protocol_version_compatibility 8\n{key}");
        let given = nothing()
            .variable("MERCURE_TRUSTED_ISSUERS", "https://app")
            .variable("MERCURE_EXTRA_DIRECTIVES", &text);
        let errors = given.errors();
        assert!(errors.contains("tokens of version 0.x only"), "{errors}");
        assert!(errors.contains("MERCURE_PUBLISHER_JWT_KEY") && errors.contains("PETASOS_PUBLISHER_JWKS"));
        // The way out.
        let with_key = given.variable("MERCURE_PUBLISHER_JWT_KEY", SECRET);
        assert_eq!(with_key.config().auth.issuers[0].id, "https://app");
    }
}

/// Only the issuer that nobody named has the same keys, of which is told once.
#[test]
fn keys_of_old_tokens_are_checked_also_where_an_issuer_is_called_localhost() {
    let named = |legacy: &str| {
        let text = format!("protocol_version_compatibility 8\n{legacy}");
        nothing()
            .variable("MERCURE_TRUSTED_ISSUERS", "https://localhost")
            .variable("MERCURE_PUBLISHER_JWT_KEY", SECRET)
            .variable("MERCURE_SUBSCRIBER_JWT_KEY", SECRET)
            .variable("MERCURE_EXTRA_DIRECTIVES", &text)
    };
    let example = named("publisher_jwt !ChangeThisMercureHubJWTSecretKey!").notices();
    assert_eq!(example.matches("the secret is the one of published examples").count(), 1, "{example}");
    let broken = named("publisher_jwt \"-----BEGIN PUBLIC KEY-----\" RS256").errors();
    assert!(broken.contains("keys of publishers without an issuer"), "{broken}");
    let missing = named("publisher_jwks_url /no/such/file").notices();
    assert!(missing.contains("there is no file /no/such/file"), "{missing}");
}

#[test]
fn what_contradicts_itself_is_refused_with_the_way_out() {
    let off = old_environment().variable("PETASOS_PROTOCOL_VERSION_COMPATIBILITY", "off").errors();
    insta::assert_snapshot!(off, @r"
    MERCURE_PUBLISHER_JWT_KEY: keys without an issuer are a 0.x configuration, and protocol_version_compatibility is off: set MERCURE_TRUSTED_ISSUERS to the iss of your tokens, or leave protocol_version_compatibility out
    MERCURE_SUBSCRIBER_JWT_KEY: keys without an issuer are a 0.x configuration, and protocol_version_compatibility is off: set MERCURE_TRUSTED_ISSUERS to the iss of your tokens, or leave protocol_version_compatibility out
    ");
    let unused =
        directives(&format!("publisher_jwt {OLD}\nsubscriber_jwks_url https://a.example/jwks")).errors();
    insta::assert_snapshot!(unused, @r"
    MERCURE_EXTRA_DIRECTIVES, line 1: publisher_jwt: this key verifies tokens of version 0.x only, and those are not read here: set protocol_version_compatibility 8, or leave the key out
    MERCURE_EXTRA_DIRECTIVES, line 2: subscriber_jwks_url: this key verifies tokens of version 0.x only, and those are not read here: set protocol_version_compatibility 8, or leave the key out
    ");
    for (text, part) in [
        ("protocol_version_compatibility", "an argument is missing"),
        ("protocol_version_compatibility 6", "write off, 7 or 8"),
        ("publisher_jwt", "an argument is missing"),
        ("publisher_jwt a HS256 b", "a key and an algorithm"),
        ("protocol_version_compatibility 8\npublisher_jwt a none", "no signature algorithm"),
    ] {
        let errors = directives(text).errors();
        assert!(errors.contains(part), "{text}: {errors}");
    }
}

#[test]
fn in_demo_mode_version_0x_is_off_unless_asked_for() {
    assert_eq!(old_keys(&nothing().flag("dev", "true")), None);
    let given = nothing().flag("dev", "true").flag("protocol_version_compatibility", "8");
    assert_eq!(old_keys(&given), Some((Expected::None, Expected::None)));
    let with_keys = old_environment().flag("dev", "true");
    assert_eq!(old_keys(&with_keys), Some((hs256(SECRET), hs256(OLD))));
}

#[test]
fn weak_keys_are_told_of_once() {
    let given =
        nothing().variable("MERCURE_PUBLISHER_JWT_KEY", "short").variable("PETASOS_ANONYMOUS", "true");
    assert_eq!(given.notices().matches("the secret has 5 bytes").count(), 1, "{}", given.notices());
    let given = directives("protocol_version_compatibility 8\npublisher_jwt short");
    assert!(
        given.notices().contains("keys of publishers without an issuer: the secret has 5 bytes"),
        "{}",
        given.notices()
    );
}
