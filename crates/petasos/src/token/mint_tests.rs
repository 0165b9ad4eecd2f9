//! Minted tokens against the hub's own verification, and what cannot be minted.

use petasos_hub::auth::{AuthConfig, Authenticator, IssuerConfig, KeySource, Role};

use super::*;

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "https://hub.test/.well-known/mercure";
const SECRET: &str = "a secret of more than sixty-four bytes, so that it is good for all three of them";

fn request() -> MintRequest {
    MintRequest {
        issuer: ISSUER.into(),
        audience: vec![AUDIENCE.into()],
        subject: Some("ada".into()),
        key_id: None,
        lifetime: Duration::from_secs(60),
        publish: vec![Grant::exact("https://a.test/1"), Grant::pattern("https://a.test/:id")],
        subscribe: vec![Grant::pattern("/books/:id")],
        payload: Some(json!({ "name": "Ada" })),
    }
}

/// What the hub says about the token: whether it is accepted, and what it grants.
async fn judged(
    role: Role,
    token: &str,
    key: &str,
    algorithm: Algorithm,
) -> (bool, Vec<(MatchType, String)>) {
    let source = KeySource::Static { key: Secret::new(key), algorithm };
    let issuer = IssuerConfig {
        id: ISSUER.into(),
        authorization_server: false,
        publisher: Some(source.clone()),
        subscriber: Some(source),
    };
    let config = AuthConfig { issuers: vec![issuer], ..AuthConfig::default() };
    let base = Base::parse(AUDIENCE).expect("a base");
    let explanation =
        Authenticator::new(config).expect("good keys").explain(role, token, AUDIENCE, &base).await;
    (explanation.is_accepted(), explanation.granted)
}

fn part(token: &str, index: usize) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn a09_secrets_sign_with_all_hmac_algorithms_and_the_hub_accepts_the_tokens() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = mint(&request(), &Secret::new(SECRET), algorithm).expect("a token");
        let (accepted, granted) = judged(Role::Publisher, &token, SECRET, algorithm).await;
        assert!(accepted, "{algorithm:?}");
        assert_eq!(
            granted,
            [
                (MatchType::Exact, "https://a.test/1".to_owned()),
                (MatchType::UrlPattern, "https://a.test/:id".to_owned())
            ]
        );
        let (accepted, granted) = judged(Role::Subscriber, &token, SECRET, algorithm).await;
        assert!(accepted);
        assert_eq!(granted, [(MatchType::UrlPattern, "/books/:id".to_owned())]);
    }
}

#[tokio::test]
async fn a09_private_keys_sign_and_their_kind_is_known() {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    for (kind, algorithm) in [
        (&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
        (&PKCS_ED25519, Algorithm::EdDSA),
    ] {
        let pair = KeyPair::generate_for(kind).expect("a key");
        let private = Secret::new(pair.serialize_pem());
        assert_eq!(algorithm_for(&private), algorithm);
        let token = mint(&request(), &private, algorithm).expect("a token");
        let (accepted, _) = judged(Role::Publisher, &token, &pair.public_key_pem(), algorithm).await;
        assert!(accepted, "{algorithm:?}");
        let error =
            mint(&request(), &Secret::new(pair.public_key_pem()), algorithm).expect_err("a public key");
        assert!(error.to_string().contains("this is the public key"), "{error}");
    }
}

#[tokio::test]
async fn a09_rsa_keys_sign_in_both_spellings_with_all_their_algorithms() {
    let public = include_str!("test_keys/rsa.public.pem");
    for private in [include_str!("test_keys/rsa.pkcs8.pem"), include_str!("test_keys/rsa.pkcs1.pem")] {
        let private = Secret::new(private);
        assert_eq!(algorithm_for(&private), Algorithm::RS256);
        for algorithm in [
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ] {
            let token = mint(&request(), &private, algorithm).expect("a token");
            let (accepted, _) = judged(Role::Subscriber, &token, public, algorithm).await;
            assert!(accepted, "{algorithm:?}");
        }
        assert!(matches!(mint(&request(), &private, Algorithm::ES256), Err(MintError::Key { .. })));
    }
}

#[tokio::test]
async fn a_demo_token_is_accepted_for_both_roles() {
    let token = demo_token(&Secret::new(SECRET), ISSUER, AUDIENCE).expect("a token");
    for role in [Role::Publisher, Role::Subscriber] {
        let judged = judged(role, &token, SECRET, Algorithm::HS256).await;
        assert_eq!(judged, (true, vec![(MatchType::Exact, "*".to_owned())]));
    }
}

#[test]
fn a07_to_a13_the_form_of_header_and_claims() {
    let request = MintRequest { key_id: Some("k1".into()), ..request() };
    let token = mint(&request, &Secret::new(SECRET), Algorithm::HS256).expect("a token");
    assert_eq!(part(&token, 0), json!({ "alg": "HS256", "typ": "at+jwt", "kid": "k1" }));
    let claims = part(&token, 1);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], AUDIENCE);
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|issued| issued + 60));
    assert!(claims["jti"].is_string());
    assert_eq!(
        claims["authorization_details"],
        json!([
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["publish"],
                "topics": [
                    { "match": "https://a.test/1" },
                    { "match": "https://a.test/:id", "match_type": "urlpattern" }
                ]
            },
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["subscribe"],
                "topics": [{ "match": "/books/:id", "match_type": "urlpattern" }],
                "payload": { "name": "Ada" }
            }
        ])
    );
}

#[test]
fn a13_what_a_hub_would_refuse_is_not_minted() {
    let minted = |request: MintRequest| mint(&request, &Secret::new(SECRET), Algorithm::HS256);
    for grant in [Grant::exact("a\u{200b}b"), Grant::pattern("https://a.test/:id(")] {
        let error = minted(MintRequest { publish: vec![grant], ..request() });
        assert!(matches!(error, Err(MintError::Grant { .. })));
    }
    assert!(matches!(
        minted(MintRequest { payload: Some(json!([1])), ..request() }),
        Err(MintError::Payload)
    ));
    let lifetime = Duration::from_secs(u64::MAX);
    assert!(matches!(minted(MintRequest { lifetime, ..request() }), Err(MintError::Time)));
}

#[test]
fn a17_a_pem_key_is_never_a_secret_and_no_error_shows_a_key() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHush\n-----END PRIVATE KEY-----\n";
    for (key, algorithm) in [
        (pem, Algorithm::HS256),
        (pem, Algorithm::EdDSA),
        ("hush", Algorithm::RS256),
        ("", Algorithm::HS256),
        ("-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY-----", Algorithm::ES256),
    ] {
        let error = mint(&request(), &Secret::new(key), algorithm).expect_err("no token");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    assert!(matches!(mint(&request(), &Secret::new(pem), Algorithm::HS256), Err(MintError::PemAsSecret(_))));
}
