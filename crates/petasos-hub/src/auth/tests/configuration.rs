//! A17: which keys a configuration may hold, and what is said about those it may not.

use super::*;
use crate::auth::JwksLocation;

fn static_key(key: impl Into<Vec<u8>>, algorithm: Algorithm) -> KeySource {
    KeySource::Static { key: Secret::new(key.into()), algorithm }
}

fn error(keys: KeySource) -> String {
    Authenticator::new(config(keys)).unwrap_err().to_string()
}

#[test]
fn a17_a_public_key_is_never_a_secret() {
    let public = RSA.public;
    let body: String = public.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(&body).unwrap();
    for key in [
        public.as_bytes().to_vec(),
        public.replace('\n', "\\n").into(),
        public.replace('\n', " ").into(),
        format!("\u{feff}  {public}").into(),
        include_bytes!("keys/rsa2048.pkcs1.pem").to_vec(),
        include_bytes!("keys/rsa2048.certificate.pem").to_vec(),
        P256.public.into(),
        ED25519.public.into(),
        body.into(),
        der,
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let error = error(static_key(key.clone(), algorithm));
            assert!(error.contains("public key"), "{error}");
        }
    }
}

#[tokio::test]
async fn a17_pem_is_read_as_it_survives_environment_variables() {
    let signer = key_for(Algorithm::RS256);
    let public = RSA.public;
    for pem in [
        public.to_owned(),
        public.replace('\n', "\r\n"),
        public.replace('\n', "\\n"),
        public.replace('\n', "\\r\\n"),
        public.replace('\n', " "),
        public.replace('\n', ""),
        format!("\n some text\n{public}\n more text"),
        include_str!("keys/rsa2048.pkcs1.pem").to_owned(),
        include_str!("keys/rsa2048.certificate.pem").to_owned(),
    ] {
        accepted(&hub_with(static_key(pem, Algorithm::RS256)), &token().signed_by(&signer)).await;
    }
    let certificate = include_str!("keys/p256.certificate.pem");
    accepted(
        &hub_with(static_key(certificate, Algorithm::ES256)),
        &token().signed_by(&key_for(Algorithm::ES256)),
    )
    .await;
}

#[test]
fn a17_a_key_must_fit_its_algorithm() {
    let keys = [
        (RSA.public, [Algorithm::RS256, Algorithm::PS512].as_slice()),
        (P256.public, &[Algorithm::ES256]),
        (P384.public, &[Algorithm::ES384]),
        (ED25519.public, &[Algorithm::EdDSA]),
        (include_str!("keys/secp256k1.public.pem"), &[]),
    ];
    for (key, fitting) in keys {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()) {
            let result = Authenticator::new(config(static_key(key, algorithm)));
            let is_rsa = key == RSA.public && algorithm.key_kind() == Algorithm::RS256.key_kind();
            assert_eq!(result.is_ok(), is_rsa || fitting.contains(&algorithm), "{algorithm} {key}");
        }
    }
}

#[test]
fn a17_unusable_keys_are_refused_with_the_reason() {
    let short = error(static_key(include_str!("keys/rsa1024.public.pem"), Algorithm::RS256));
    assert!(short.contains("1024 bits"), "{short}");
    let private = error(static_key(RSA.private, Algorithm::RS256));
    assert!(private.contains("private key"), "{private}");
    let secret = error(static_key("just a secret", Algorithm::RS256));
    assert!(secret.contains("HS256"), "{secret}");
    let torn = error(static_key(&RSA.public[..200], Algorithm::RS256));
    assert!(torn.contains("last line"), "{torn}");
    let cut = error(static_key(RSA.public.replacen("MIIB", "MI", 1), Algorithm::RS256));
    assert!(cut.contains("RSA") || cut.contains("base64"), "{cut}");
    let other = error(static_key(RSA.public.replace("PUBLIC KEY", "PGP PUBLIC KEY BLOCK"), Algorithm::RS256));
    assert!(other.contains("PGP PUBLIC KEY BLOCK"), "{other}");
    let empty = error(static_key("", Algorithm::HS256));
    assert!(empty.contains("empty"), "{empty}");
}

#[test]
fn a17_all_faults_are_told_at_once() {
    let good = || Some(key_for(Algorithm::HS256).source());
    let config = AuthConfig {
        issuers: vec![
            issuer("https://one.example", good(), None),
            issuer("https://one.example", None, good()),
            issuer("https://none.example", None, None),
            issuer("", good(), None),
            issuer(
                "https://bad.example",
                Some(static_key("x", Algorithm::EdDSA)),
                Some(static_key("", Algorithm::HS256)),
            ),
        ],
        ..AuthConfig::default()
    };
    let error = Authenticator::new(config).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 5, "{error}");
    assert!(error.contains("\"https://bad.example\", keys of subscribers: the key is empty"), "{error}");
}

#[test]
fn d5_weak_secrets_are_accepted_with_a_warning() {
    let warnings = |keys| hub_with(keys).warnings();
    assert_eq!(warnings(static_key(SECRET, Algorithm::HS512)), Vec::<String>::new());
    let short = warnings(static_key("0123456789abcdef", Algorithm::HS256));
    // One for each role.
    assert_eq!(short.len(), 2);
    assert!(short[0].contains("16 bytes") && short[0].contains("needs 32"), "{short:?}");
    assert!(!short[0].contains("0123456789abcdef"), "a warning shows the secret");
    assert!(
        warnings(static_key("!ChangeThisMercureHubJWTSecretKey!", Algorithm::HS256))[0].contains("examples")
    );
    assert!(warnings(static_key([SECRET, b"\n"].concat(), Algorithm::HS256))[0].contains("white space"));
}

#[cfg(feature = "jwks-http")]
#[test]
fn a17_plain_http_to_another_host_is_warned_of() {
    let hub = |url: &str| {
        let location = JwksLocation::Url(url::Url::parse(url).unwrap());
        Authenticator::new(config(KeySource::Jwks { location, algorithms: vec![] }))
    };
    assert_eq!(hub("http://id.example/jwks").unwrap().warnings().len(), 2, "one for each role");
    assert_eq!(hub("http://127.0.0.1:8080/jwks").unwrap().warnings().len(), 0);
    assert_eq!(hub("http://[::1]/jwks").unwrap().warnings().len(), 0);
    match hub("https://id.example/jwks") {
        Ok(hub) => assert_eq!(hub.warnings().len(), 0),
        // A machine without certificates of authorities, as some containers are.
        Err(error) => assert!(error.to_string().contains("CA certificates"), "{error}"),
    }
}

#[cfg(feature = "jwks-http")]
#[test]
fn a17_other_schemes_are_refused() {
    let location = JwksLocation::Url(url::Url::parse("ftp://id.example/jwks").unwrap());
    assert!(error(KeySource::Jwks { location, algorithms: vec![] }).contains("ftp"));
}

#[tokio::test]
async fn a01_without_a_token_a_hub_asks_for_one() {
    let refusal = hub().publisher(None, HUB, &base()).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.reason()), (RefusalKind::MissingToken, Reason::MissingToken));
    let refusal = hub().subscriber(None, HUB, &base()).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::MissingToken);
}

#[tokio::test]
async fn a01_p13_without_a_token_where_that_is_allowed() {
    use crate::topic::ParsedTopic;
    let open = Authenticator::new(AuthConfig { anonymous_publish: true, ..AuthConfig::default() }).unwrap();
    let grant = open.publisher(None, HUB, &base()).await.unwrap();
    assert!(grant.allows(&[ParsedTopic::new("any"), ParsedTopic::new("thing")]));
    assert_eq!(grant.subject(), None);
    assert!(open.subscriber(None, HUB, &base()).await.is_err());

    let readable = Authenticator::new(AuthConfig { anonymous: true, ..AuthConfig::default() }).unwrap();
    let grant = readable.subscriber(None, HUB, &base()).await.unwrap();
    assert!(grant.is_anonymous() && grant.is_public_only());
    assert!(!grant.allows_private(&[ParsedTopic::new("any")]));
    assert_eq!(grant.expires_at(), None);
    assert!(readable.publisher(None, HUB, &base()).await.is_err());
}

#[tokio::test]
async fn a05_a_bad_token_is_refused_also_where_none_is_needed() {
    let config =
        AuthConfig { anonymous: true, anonymous_publish: true, ..config(key_for(Algorithm::HS256).source()) };
    let hub = Authenticator::new(config).unwrap();
    for bad in ["", ".", "..", "a.b.c", &token().signed_by(&Signer::secret(Algorithm::HS256, OTHER_SECRET))] {
        assert!(outcome(&hub, bad).await.is_err());
    }
}

#[cfg(not(feature = "jwks-http"))]
#[test]
fn a17_a_build_without_http_says_so() {
    let location = JwksLocation::Url(url::Url::parse("https://id.example/jwks").unwrap());
    assert!(error(KeySource::Jwks { location, algorithms: vec![] }).contains("jwks-http"));
}
