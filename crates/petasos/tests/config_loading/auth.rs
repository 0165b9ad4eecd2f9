//! Issuers and keys from every source (A17).

use std::path::PathBuf;

use petasos_hub::auth::{Algorithm, IssuerConfig, JwksLocation, KeySource};

use crate::support::{Given, ISSUER, SECRET, directives, keys, nothing};

pub(crate) const PEM: &str = "-----BEGIN PUBLIC KEY-----\\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\\n-----END PUBLIC KEY-----\\n";

pub(crate) fn secret(key: &str, algorithm: Algorithm) -> Expected {
    Expected::Static(key.as_bytes().to_vec(), algorithm)
}

pub(crate) fn url(location: &str, algorithms: &[Algorithm]) -> Expected {
    let location = JwksLocation::Url(url::Url::parse(location).expect("a URL"));
    Expected::Jwks(format!("{location:?}"), algorithms.to_vec())
}

fn path(location: &str) -> Expected {
    Expected::Jwks(format!("{:?}", JwksLocation::File(PathBuf::from(location))), Vec::new())
}

/// Keys that can be compared.
#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    None,
    Static(Vec<u8>, Algorithm),
    Jwks(String, Vec<Algorithm>),
}

pub(crate) fn seen(keys: &Option<KeySource>) -> Expected {
    match keys {
        None => Expected::None,
        Some(KeySource::Static { key, algorithm }) => Expected::Static(key.expose().to_vec(), *algorithm),
        Some(KeySource::Jwks { location, algorithms }) => {
            Expected::Jwks(format!("{location:?}"), algorithms.clone())
        }
    }
}

#[track_caller]
fn assert_issuers(given: &Given, expected: &[(&str, Expected, Expected)]) {
    let issuers = given.config().auth.issuers;
    let seen: Vec<_> = issuers
        .iter()
        .map(|IssuerConfig { id, publisher, subscriber, .. }| {
            (id.as_str(), seen(publisher), seen(subscriber))
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_environment_of_the_image_names_issuers_that_share_keys() {
    let both = || secret(SECRET, Algorithm::HS256);
    assert_issuers(&keys(), &[(ISSUER, both(), both())]);
    let given = nothing()
        .variable("MERCURE_TRUSTED_ISSUERS", "https://a.example, https://b.example")
        .variable("MERCURE_PUBLISHER_JWT_KEY", SECRET)
        .variable("MERCURE_PUBLISHER_JWT_ALG", "HS384")
        .variable("MERCURE_SUBSCRIBER_JWT_KEY", PEM)
        .variable("MERCURE_SUBSCRIBER_JWT_ALG", "EdDSA");
    let publisher = || secret(SECRET, Algorithm::HS384);
    let subscriber = || secret(PEM, Algorithm::EdDSA);
    assert_issuers(
        &given,
        &[("https://a.example", publisher(), subscriber()), ("https://b.example", publisher(), subscriber())],
    );
}

#[test]
fn our_own_variables_say_the_same_and_more() {
    let given = nothing()
        .variable("PETASOS_ISSUER", ISSUER)
        .variable("PETASOS_AUTHORIZATION_SERVER", "true")
        .variable("PETASOS_PUBLISHER_JWT_KEY", SECRET)
        .variable("PETASOS_SUBSCRIBER_JWKS", "https://app.example.com/jwks")
        .variable("PETASOS_SUBSCRIBER_JWKS_ALGS", "RS256 ES256");
    let set = url("https://app.example.com/jwks", &[Algorithm::RS256, Algorithm::ES256]);
    assert_issuers(&given, &[(ISSUER, secret(SECRET, Algorithm::HS256), set)]);
    assert!(given.config().auth.issuers[0].authorization_server);
}

#[test]
fn keys_are_read_from_files_without_the_line_break_at_their_end() {
    for variable in ["MERCURE_PUBLISHER_JWT_KEY_FILE", "PETASOS_PUBLISHER_JWT_KEY_FILE"] {
        let given = nothing()
            .variable("MERCURE_TRUSTED_ISSUERS", ISSUER)
            .variable(variable, "/run/secrets/key")
            .variable("PETASOS_ANONYMOUS", "true")
            .file("/run/secrets/key", &format!(" {SECRET} \r\n"));
        let key = secret(&format!(" {SECRET} "), Algorithm::HS256);
        let issuers = given.config().auth.issuers;
        assert_eq!(seen(&issuers[0].publisher), key);
        assert_eq!(given.printed("auth.publisher_jwt_key"), ("[redacted]".to_owned(), variable.to_owned()));
    }
    let errors = keys().variable("PETASOS_PUBLISHER_JWT_KEY_FILE", "/nowhere").errors();
    insta::assert_snapshot!(errors, @"PETASOS_PUBLISHER_JWT_KEY_FILE: /nowhere cannot be read: entity not found");
    let errors = keys().variable("MERCURE_PUBLISHER_JWT_KEY_FILE", "/run/key").file("/run/key", "x").errors();
    insta::assert_snapshot!(errors, @"MERCURE_PUBLISHER_JWT_KEY and MERCURE_PUBLISHER_JWT_KEY_FILE are both set: which of them is meant?");
    let errors =
        nothing().variable("MERCURE_PUBLISHER_JWT_KEY_FILE", "/run/key").file("/run/key", "\n").errors();
    insta::assert_snapshot!(errors, @"MERCURE_PUBLISHER_JWT_KEY_FILE: /run/key is empty");
}

#[test]
fn a_key_and_a_set_exclude_one_another_within_a_layer_only() {
    let errors = keys()
        .variable("PETASOS_PUBLISHER_JWKS", "/run/jwks")
        .variable("PETASOS_PUBLISHER_JWT_KEY", SECRET)
        .errors();
    insta::assert_snapshot!(errors, @"PETASOS_PUBLISHER_JWT_KEY: PETASOS_PUBLISHER_JWKS is given as well: a key or a JWK set, not both");
    let given = keys().variable("PETASOS_PUBLISHER_JWKS", "/run/jwks");
    assert_issuers(&given, &[(ISSUER, path("/run/jwks"), secret(SECRET, Algorithm::HS256))]);
}

#[test]
fn an_issuer_without_keys_is_refused() {
    insta::assert_snapshot!(nothing().variable("MERCURE_TRUSTED_ISSUERS", ISSUER).errors(), @"MERCURE_TRUSTED_ISSUERS: this issuer has no keys: set MERCURE_PUBLISHER_JWT_KEY, MERCURE_SUBSCRIBER_JWT_KEY, or both");
}

#[test]
fn a_hub_that_nobody_could_publish_to_is_refused_with_the_way_out() {
    insta::assert_snapshot!(nothing().errors(), @"nobody could publish, as no key of a publisher is configured: set MERCURE_PUBLISHER_JWT_KEY and MERCURE_TRUSTED_ISSUERS, or add [[issuers]] to petasos.toml; to try things out on this machine, start with --dev; to take updates without a token in a closed network, set PETASOS_ANONYMOUS_PUBLISH=true");
    let given = nothing().variable("PETASOS_ANONYMOUS_PUBLISH", "true").variable("PETASOS_ANONYMOUS", "true");
    assert!(given.config().auth.anonymous_publish && given.config().auth.issuers.is_empty());
    insta::assert_snapshot!(given.notices(), @"warning: updates are taken without a token from whoever can reach this hub");
    let given = nothing().variable("PETASOS_ISSUER", ISSUER).variable("PETASOS_PUBLISHER_JWT_KEY", SECRET);
    insta::assert_snapshot!(given.notices(), @"warning: nobody can subscribe: no key of a subscriber is configured, and anonymous subscribers are not allowed; set MERCURE_SUBSCRIBER_JWT_KEY or PETASOS_ANONYMOUS=true");
}

#[test]
fn issuers_of_the_file_have_keys_of_their_own() {
    let given = nothing().file("/run/key", "a-secret-in-a-file-that-is-long-enough\n").toml(&format!(
        r#"
        [[issuers]]
        id = "https://a.example"
        authorization_server = true
        publisher = {{ jwt_key = "{SECRET}", jwt_alg = "HS256" }}
        [issuers.subscriber]
        jwks = "https://a.example/jwks"
        jwks_algs = ["RS256", "EdDSA"]

        [[issuers]]
        id = "https://b.example"
        publisher.jwt_key_file = "/run/key"
        subscriber.jwks = "file:///run/jwks.json"
        "#
    ));
    assert_issuers(
        &given,
        &[
            (
                "https://a.example",
                secret(SECRET, Algorithm::HS256),
                url("https://a.example/jwks", &[Algorithm::RS256, Algorithm::EdDSA]),
            ),
            (
                "https://b.example",
                secret("a-secret-in-a-file-that-is-long-enough", Algorithm::HS256),
                path("/run/jwks.json"),
            ),
        ],
    );
    let flags: Vec<bool> =
        given.config().auth.issuers.iter().map(|issuer| issuer.authorization_server).collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn issuers_fit_into_one_variable() {
    let json = r#"[{"id": "https://a.example", "publisher": {"jwks": "/run/jwks"}, "subscriber": {"jwks": "/run/jwks"}}]"#;
    let expected = || [("https://a.example", path("/run/jwks"), path("/run/jwks"))];
    assert_issuers(&nothing().variable("PETASOS_ISSUERS", json), &expected());
    let from_file =
        nothing().variable("PETASOS_ISSUERS_FILE", "/run/issuers.json").file("/run/issuers.json", json);
    assert_issuers(&from_file, &expected());
    // As every list, that of a later layer replaces that of an earlier one; keys in the simple form go beside it.
    let replaced = keys()
        .toml("[[issuers]]\nid = 'https://old.example'\npublisher.jwks = '/x'")
        .variable("PETASOS_ISSUERS", json);
    let ids: Vec<_> = replaced.config().auth.issuers.into_iter().map(|issuer| issuer.id).collect();
    assert_eq!(ids, ["https://a.example", ISSUER]);
}

#[test]
fn issuer_directives_have_keys_of_their_own() {
    let text = format!(
        "issuer https://a.example {{
            authorization_server
            publisher {{
                jwt {{env.MY_KEY}} {{env.MY_ALG}}
            }}
            subscriber {{
                jwks_uri https://a.example/jwks RS256 ES384
            }}
        }}
        issuer https://b.example {{
            publisher {{
                jwt \"{SECRET}\" HS512
            }}
        }}
        issuer https://c.example {{
            subscriber {{
                jwt `{}` EdDSA
            }}
        }}",
        PEM.replace("\\n", "\n")
    );
    let given = nothing()
        .variable("MERCURE_EXTRA_DIRECTIVES", &text)
        .variable("MY_KEY", "spaces and {braces} are part of a secret");
    assert_issuers(
        &given,
        &[
            (
                "https://a.example",
                secret("spaces and {braces} are part of a secret", Algorithm::HS256),
                url("https://a.example/jwks", &[Algorithm::RS256, Algorithm::ES384]),
            ),
            ("https://b.example", secret(SECRET, Algorithm::HS512), Expected::None),
            ("https://c.example", Expected::None, secret(&PEM.replace("\\n", "\n"), Algorithm::EdDSA)),
        ],
    );
    assert!(given.config().auth.issuers[0].authorization_server);
}

#[test]
fn keys_of_the_image_may_be_placed_into_issuer_directives() {
    let text = "issuer https://a.example {\n publisher {\n jwt {env.MERCURE_PUBLISHER_JWT_KEY}\n }\n}";
    let given =
        nothing().variable("MERCURE_EXTRA_DIRECTIVES", text).variable("MERCURE_PUBLISHER_JWT_KEY", SECRET);
    assert_issuers(&given, &[("https://a.example", secret(SECRET, Algorithm::HS256), Expected::None)]);
    let errors = given.variable("MERCURE_SUBSCRIBER_JWT_KEY", SECRET).errors();
    insta::assert_snapshot!(errors, @"MERCURE_SUBSCRIBER_JWT_KEY: no issuer uses this key: name its issuer in MERCURE_TRUSTED_ISSUERS, or use it in an issuer block");
}

#[test]
fn an_issuer_stands_once() {
    let errors = directives(&format!("issuer {ISSUER} {{\n publisher {{\n jwt {SECRET}\n }}\n}}")).errors();
    insta::assert_snapshot!(errors, @"MERCURE_TRUSTED_ISSUERS: the issuer https://app.example.com has keys already, from MERCURE_EXTRA_DIRECTIVES, line 1: issuer");
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    for (algorithm, expected) in
        [("", "must state its algorithm"), ("HS256", "cannot be used with an HS algorithm")]
    {
        let errors = nothing()
            .variable("PETASOS_ISSUER", ISSUER)
            .variable("PETASOS_PUBLISHER_JWT_KEY", PEM)
            .variable("PETASOS_PUBLISHER_JWT_ALG", algorithm)
            .errors();
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn weak_and_public_secrets_are_warned_of() {
    let warned = |key: &str| {
        nothing()
            .variable("PETASOS_ISSUER", ISSUER)
            .variable("PETASOS_PUBLISHER_JWT_KEY", key)
            .variable("PETASOS_ANONYMOUS", "true")
            .notices()
    };
    assert_eq!(warned(SECRET), "");
    assert_eq!(warned("short").lines().count(), 1);
    assert_eq!(warned("!ChangeThisMercureHubJWTSecretKey!").lines().count(), 1);
}

#[test]
fn a_key_set_whose_file_is_not_there_is_warned_of() {
    let given = keys().variable("PETASOS_PUBLISHER_JWKS", "id.example.com/jwks");
    insta::assert_snapshot!(
        given.notices(),
        @"warning: issuer https://app.example.com, keys of publishers: there is no file id.example.com/jwks"
    );
    assert!(!given.file("id.example.com/jwks", "{}").notices().contains("no file"));
}

#[test]
fn no_error_repeats_a_secret() {
    let hidden = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let cases = [
        nothing()
            .variable("PETASOS_PUBLISHER_JWT_KEY", hidden)
            .variable("PETASOS_PROTOCOL_VERSION_COMPATIBILITY", "off"),
        nothing().variable("PETASOS_ISSUERS", &format!("[{{\"id\": \"{hidden}")),
        nothing().variable("PETASOS_ISSUERS", &format!("\"{hidden}\"")),
        nothing().variable("PETASOS_ISSUERS", &format!("[{{\"id\": \"a\", \"publisher\": \"{hidden}\"}}]")),
        directives(&format!("issuer a {{\n publisher {{\n {hidden}\n }}\n}}")),
        directives(&format!("issuer a {{\n publisher {{\n jwt {hidden} none\n }}\n}}")),
        directives(&format!("issuer a {{\n publisher {{\n jwt a HS256 {hidden}\n }}\n}}")),
        directives(&format!("issuer a {{\n publisher {{\n jwks_uri ftp://u:{hidden}@h\n }}\n}}")),
        directives(&format!("publisher_jwt {hidden}")),
        keys().variable("PETASOS_PUBLISHER_JWKS", &format!("https://u:{hidden}@[")),
        keys().variable("MERCURE_RESOURCE_IDENTIFIER", &format!("https://u:{hidden}@host/")),
        keys().variable("PETASOS_TRANSPORT_URL", &format!("u:{hidden}@host")),
    ];
    for given in cases {
        let errors = given.errors();
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    let loaded =
        keys().variable("PETASOS_PUBLISHER_JWKS", &format!("https://u:{hidden}@host/?k={hidden}")).load();
    assert!(!format!("{loaded:?}").contains("hunter2"));
}
