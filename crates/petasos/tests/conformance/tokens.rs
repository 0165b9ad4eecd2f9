//! A07 to A12 and C08: what a token must be, signature and claims. Most of RFC 8725's list is here.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use petasos_hub::auth::{AuthConfig, IssuerConfig, KeySource, Secret};
use petasos_testkit::{
    TestHub, Token,
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    jwks::KeyServer,
    keys::{self, RSA_PUBLIC, SigningKey, all_algorithms},
    token::now,
};
use serde_json::{Value, json};

use crate::{
    common::Engine,
    support::{bare_get, bare_post},
};

async fn is_taken(hub: &TestHub, token: &str, what: &str) {
    let answer = bare_get(hub).bearer(token).send().await;
    assert_eq!(answer.status, 200, "{what} was refused: {answer:?}");
}

async fn is_refused(hub: &TestHub, token: &str, what: &str) {
    let answer = bare_get(hub).bearer(token).send().await;
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    answer.expect_refusal(401, "invalid_token");
}

fn subscriber_key() -> SigningKey {
    SigningKey::secret(SUBSCRIBER_SECRET)
}

pub(crate) async fn a07_the_type_is_an_access_tokens(engine: Engine) {
    let hub = engine.hub().await;
    for kind in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"] {
        is_taken(&hub, &hub.subscriber().header("typ", kind).mint(), kind).await;
    }
    for kind in ["JWT", "jwt", "at+jwt ", " at+jwt", "at-jwt", "application/jwt", "x/at+jwt", ""] {
        is_refused(&hub, &hub.subscriber().header("typ", kind).mint(), kind).await;
    }
    is_refused(&hub, &hub.subscriber().without_header("typ").mint(), "no typ").await;
    for kind in [json!(null), json!(1), json!(["at+jwt"])] {
        is_refused(&hub, &hub.subscriber().header("typ", kind.clone()).mint(), &kind.to_string()).await;
    }
}

pub(crate) async fn a07_a_token_is_three_parts_of_base64url(engine: Engine) {
    let hub = engine.hub().await;
    let good = hub.subscriber().mint();
    is_taken(&hub, &good, "the good one").await;
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for (what, token) in [
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{good}.")),
        ("five parts, as of an encrypted token", format!("{good}.{claims}.{signature}")),
        ("an empty signature", format!("{header}.{claims}.")),
        ("an empty header", format!(".{claims}.{signature}")),
        ("an empty payload", format!("{header}..{signature}")),
        ("padding", format!("{header}.{claims}.{signature}=")),
        ("another alphabet", format!("{header}.{claims}.{}+/", &signature[..signature.len() - 2])),
        ("a part of another token", format!("{header}.{header}.{signature}")),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("a changed last bit", flip_last_bit(&good)),
    ] {
        is_refused(&hub, &token, what).await;
    }
}

/// Changes an unused bit of the last base64 digit: lax decoders take both spellings for one signature.
fn flip_last_bit(token: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = token.as_bytes().to_vec();
    let last = bytes.last_mut().unwrap();
    let value = ALPHABET.iter().position(|digit| digit == last).unwrap();
    *last = ALPHABET[value ^ 1];
    String::from_utf8(bytes).unwrap()
}

pub(crate) async fn a08_the_algorithm_is_the_keys_own(engine: Engine) {
    let hub = engine.hub().await;
    for algorithm in [jsonwebtoken::Algorithm::HS384, jsonwebtoken::Algorithm::HS512] {
        let key = SigningKey::hmac(algorithm, SUBSCRIBER_SECRET);
        let token = Token::new(ISSUER, hub.resource(), &key).mint();
        is_refused(&hub, &token, "another hash of the same family").await;
    }
    for name in ["none", "None", "NONE", "nOnE", "hs256", "", "HS1", "RS256", "ES256"] {
        let token = hub.subscriber().header("alg", name);
        is_refused(&hub, &token.mint_unsigned(), &format!("alg {name:?}, unsigned")).await;
        is_refused(&hub, &token.mint(), &format!("alg {name:?}, signed")).await;
    }
    is_refused(&hub, &hub.subscriber().mint_unsigned(), "HS256, unsigned").await;
    is_refused(&hub, &hub.subscriber().without_header("alg").mint(), "no alg").await;
    is_refused(&hub, &hub.subscriber().header("alg", json!(["HS256"])).mint(), "a list of alg").await;
}

pub(crate) async fn a08_a_public_key_is_never_a_secret(engine: Engine) {
    let hub = engine
        .hub_with(|config| config.auth = with_key(keys::RSA_PUBLIC, petasos_hub::auth::Algorithm::RS256))
        .await;
    let good = Token::new(ISSUER, hub.resource(), &SigningKey::private(jsonwebtoken::Algorithm::RS256));
    is_taken(&hub, &good.mint(), "a signature of the private key").await;
    for public in [RSA_PUBLIC, RSA_PUBLIC.trim_end(), &RSA_PUBLIC.replace('\n', "\r\n")] {
        let token = good.clone().header("alg", "HS256").signed_by(&SigningKey::secret(public)).mint();
        is_refused(&hub, &token, "an HMAC with the public key as its secret").await;
    }
}

fn with_key(key: &str, algorithm: petasos_hub::auth::Algorithm) -> AuthConfig {
    let source = KeySource::Static { key: Secret::new(key), algorithm };
    let issuer = IssuerConfig {
        id: ISSUER.into(),
        authorization_server: false,
        publisher: Some(source.clone()),
        subscriber: Some(source),
    };
    AuthConfig { issuers: vec![issuer], ..AuthConfig::default() }
}

pub(crate) async fn a08_unknown_critical_members_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    for (what, token) in [
        ("an unknown member", hub.subscriber().header("crit", json!(["x"])).header("x", 1)),
        (
            "a known name as critical",
            hub.subscriber().header("crit", json!(["exp"])).header("exp", now() + 60),
        ),
        ("an empty list", hub.subscriber().header("crit", json!([]))),
        ("no list", hub.subscriber().header("crit", "x")),
        ("an unencoded payload", hub.subscriber().header("b64", false).header("crit", json!(["b64"]))),
        ("b64 that is not critical", hub.subscriber().header("b64", false)),
        ("compression", hub.subscriber().header("zip", "DEF")),
    ] {
        is_refused(&hub, &token.mint(), what).await;
    }
    is_taken(&hub, &hub.subscriber().header("x-unknown", 1).mint(), "an unknown member that is not critical")
        .await;
}

pub(crate) async fn a08_keys_never_come_from_the_token(engine: Engine) {
    let hub = engine.hub().await;
    let attackers = KeyServer::start(keys::JWKS).await;
    let set: Value = serde_json::from_str(keys::JWKS).unwrap();
    let attackers_key = SigningKey::private(jsonwebtoken::Algorithm::ES256);
    let forged = Token::new(ISSUER, hub.resource(), &attackers_key);
    for (name, value) in [
        ("jwk", set["keys"][1].clone()),
        ("jku", json!(attackers.url().as_str())),
        ("x5u", json!(attackers.url().as_str())),
        ("x5c", json!([URL_SAFE_NO_PAD.encode("certificate")])),
    ] {
        is_refused(&hub, &forged.clone().header(name, value.clone()).header("kid", "p256").mint(), name)
            .await;
        // In a good token they are ignored.
        is_taken(&hub, &hub.subscriber().header(name, value).mint(), name).await;
    }
    assert_eq!(attackers.asked(), 0, "a URL of a token was fetched");
}

pub(crate) async fn a08_the_key_id_is_a_hint(engine: Engine) {
    let hub = engine.hub().await;
    is_taken(&hub, &hub.subscriber().header("kid", "whatever").mint(), "a static key has no id").await;
    let secret = SigningKey::secret("a secret that nobody configured, of 32 bytes or more");
    is_refused(&hub, &hub.subscriber().signed_by(&secret).header("kid", "../../dev/null").mint(), "a path")
        .await;
}

pub(crate) async fn a09_every_algorithm_is_verified(engine: Engine) {
    let cases = all_algorithms();
    let issuer = |index: usize| format!("https://issuer-{index}.example");
    let issuers = cases.iter().enumerate().map(|(index, case)| {
        let key = Secret::new(case.verification_key.as_bytes());
        let source = KeySource::Static { key, algorithm: case.algorithm };
        IssuerConfig {
            id: issuer(index),
            authorization_server: false,
            publisher: Some(source.clone()),
            subscriber: Some(source),
        }
    });
    let issuers = issuers.collect();
    let hub = engine.hub_with(|config| config.auth.issuers = issuers).await;
    for (index, case) in cases.iter().enumerate() {
        let name = case.signing_key.algorithm_name();
        let token = Token::new(&issuer(index), hub.resource(), &case.signing_key);
        is_taken(&hub, &token.mint(), &name).await;
        bare_post(&hub).bearer(&token.clone().may_publish(&["a"]).mint()).send().await.expect(200);
        let forged = token.mint();
        let (signed, signature) = forged.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[0] ^= 1;
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        is_refused(&hub, &forged, &format!("{name} with one bit changed")).await;
        is_refused(&hub, &format!("{signed}."), &format!("{name} without signature")).await;
    }
}

pub(crate) async fn a10_the_issuer_is_one_that_is_configured(engine: Engine) {
    let hub = engine.hub().await;
    is_refused(&hub, &hub.subscriber().without("iss").mint(), "no issuer").await;
    for issuer in [
        json!("https://other.example"),
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!(format!(" {ISSUER}")),
        json!([ISSUER]),
        json!(1),
        json!(null),
        json!(""),
    ] {
        is_refused(&hub, &hub.subscriber().claim("iss", issuer.clone()).mint(), &issuer.to_string()).await;
    }
}

pub(crate) async fn a10_keys_belong_to_one_role(engine: Engine) {
    let hub = engine.hub().await;
    let by = |secret: &str| {
        Token::new(ISSUER, hub.resource(), &SigningKey::secret(secret))
            .may_publish(&["*"])
            .may_subscribe(&["*"])
            .mint()
    };
    is_taken(&hub, &by(SUBSCRIBER_SECRET), "the subscribers' key").await;
    is_refused(&hub, &by(PUBLISHER_SECRET), "a publisher's token that subscribes").await;
    bare_post(&hub).bearer(&by(PUBLISHER_SECRET)).send().await.expect(200);
    let answer = bare_post(&hub).bearer(&by(SUBSCRIBER_SECRET)).send().await;
    answer.expect_refusal(401, "invalid_token");
}

pub(crate) async fn a10_keys_belong_to_one_issuer(engine: Engine) {
    const OTHER: &str = "https://other.example";
    const OTHER_SECRET: &str = "the secret of the other issuer, 32 bytes or more";
    let hub = engine
        .hub_with(|config| {
            let mut other = config.auth.issuers[0].clone();
            other.id = OTHER.into();
            other.subscriber = Some(KeySource::Static {
                key: Secret::new(OTHER_SECRET),
                algorithm: petasos_hub::auth::Algorithm::HS256,
            });
            config.auth.issuers.push(other);
        })
        .await;
    let token =
        |issuer: &str, secret: &str| Token::new(issuer, hub.resource(), &SigningKey::secret(secret)).mint();
    is_taken(&hub, &token(ISSUER, SUBSCRIBER_SECRET), "the first issuer").await;
    is_taken(&hub, &token(OTHER, OTHER_SECRET), "the second issuer").await;
    is_refused(&hub, &token(ISSUER, OTHER_SECRET), "the second issuer as the first").await;
    is_refused(&hub, &token(OTHER, SUBSCRIBER_SECRET), "the first issuer as the second").await;
}

pub(crate) async fn a11_the_audience_contains_the_hub(engine: Engine) {
    let hub = engine.hub().await;
    let own = hub.resource();
    for audience in [json!(own), json!([own]), json!(["https://other.example", own])] {
        is_taken(&hub, &hub.subscriber().claim("aud", audience.clone()).mint(), &audience.to_string()).await;
    }
    is_refused(&hub, &hub.subscriber().without("aud").mint(), "no audience").await;
    for audience in [
        json!("https://other.example/.well-known/mercure"),
        json!(format!("{own}/")),
        json!(hub.origin()),
        json!(own.to_uppercase()),
        json!(format!("{own} https://other.example")),
        json!([]),
        json!(["https://other.example"]),
        json!([[own]]),
        json!(1),
        json!(null),
        json!({ own: true }),
    ] {
        is_refused(&hub, &hub.subscriber().claim("aud", audience.clone()).mint(), &audience.to_string())
            .await;
    }
}

pub(crate) async fn a11_the_audience_follows_the_host(engine: Engine) {
    let hub = engine.hub().await;
    let audience = "http://other.example/.well-known/mercure";
    let token = Token::new(ISSUER, audience, &subscriber_key()).mint();
    bare_get(&hub).host("other.example").bearer(&token).send().await.expect(200);
    is_refused(&hub, &token, "the token of another name of this hub").await;
}

pub(crate) async fn a12_the_expiry_is_required_and_enforced(engine: Engine) {
    let hub = engine.hub().await;
    let soon = now() + 60;
    for expiry in [json!(soon), json!(soon as f64 + 0.5), json!(4_102_444_800_u64)] {
        is_taken(&hub, &hub.subscriber().claim("exp", expiry.clone()).mint(), &expiry.to_string()).await;
    }
    is_refused(&hub, &hub.subscriber().without("exp").mint(), "no exp").await;
    is_refused(&hub, &hub.subscriber().without("exp").claim("EXP", soon).mint(), "EXP is not exp").await;
    for expiry in [
        json!(now() - 1),
        json!(now() as f64 - 0.5),
        json!(0),
        json!(-1),
        json!(soon.to_string()),
        json!(null),
        json!([soon]),
        json!(true),
    ] {
        is_refused(&hub, &hub.subscriber().claim("exp", expiry.clone()).mint(), &expiry.to_string()).await;
    }
}

pub(crate) async fn a12_not_before_is_enforced_if_present(engine: Engine) {
    let hub = engine.hub().await;
    for start in [json!(now()), json!(0), json!(now() as f64 - 0.5)] {
        is_taken(&hub, &hub.subscriber().claim("nbf", start.clone()).mint(), &start.to_string()).await;
    }
    for start in [
        json!(now() + 60),
        json!(now() as f64 + 60.5),
        json!(u64::MAX),
        json!(1e300),
        json!("0"),
        json!(null),
        json!([0]),
    ] {
        is_refused(&hub, &hub.subscriber().claim("nbf", start.clone()).mint(), &start.to_string()).await;
    }
}

pub(crate) async fn c08_what_a_json_parser_may_skip_is_checked(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.subscriber();
    let open = token.open_claims();
    let with = |more: &str| token.mint_with_claims(format!("{open},{more}}}"));
    is_taken(&hub, &with(r#""x": {"y": ["z"]}"#), "an unknown claim").await;
    for (what, more) in [
        ("a doubled exp", r#""exp": 4102444800"#),
        ("a doubled aud", r#""aud": "x""#),
        ("a doubled iss, escaped", r#""\u0069ss": "x""#),
        ("a doubled member of no meaning", r#""x": 1, "x": 2"#),
        ("an overflowing nbf", r#""nbf": 1e400"#),
        ("an nbf of many digits", r#""nbf": 100000000000000000000000000000"#),
        ("a number that is none", r#""x": 01"#),
        ("a comma too many", r#""x": 1,"#),
        ("an unpaired surrogate", r#""x": "\ud800""#),
    ] {
        is_refused(&hub, &with(more), what).await;
    }
    let not_utf8 = |text: &str| [text.as_bytes(), b"\"\xFF\"}"].concat();
    is_refused(
        &hub,
        &token.mint_with_claims(not_utf8(&format!("{open},\"x\":"))),
        "a claim that is no UTF-8",
    )
    .await;
    let header = r#"{"alg":"HS256","typ":"at+jwt""#;
    is_taken(&hub, &token.mint_with_header(format!("{header}}}")), "a header by hand").await;
    is_refused(
        &hub,
        &token.mint_with_header(not_utf8(&format!("{header},\"x\":"))),
        "a header that is no UTF-8",
    )
    .await;
    for (what, header) in [
        ("a doubled alg", format!(r#"{header},"alg":"none"}}"#)),
        ("a doubled typ", format!(r#"{header},"typ":"JWT"}}"#)),
        ("ALG is not alg", r#"{"ALG":"HS256","typ":"at+jwt"}"#.to_owned()),
        ("no object", r#"["HS256"]"#.to_owned()),
        ("something behind the object", format!("{header}}} x")),
    ] {
        is_refused(&hub, &token.mint_with_header(header), what).await;
    }
    for (what, claims) in [("no object", "[]"), ("nothing", ""), ("a text", "\"x\""), ("a cut object", &open)]
    {
        is_refused(&hub, &token.mint_with_claims(claims), what).await;
    }
}
