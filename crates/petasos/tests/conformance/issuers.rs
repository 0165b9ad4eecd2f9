//! A17: where keys come from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use petasos_hub::auth::{AuthConfig, IssuerConfig, JwksLocation, KeySource};
use petasos_testkit::{
    TestHub, Token,
    hub::ISSUER,
    jwks::{KeyServer, only},
    keys::{JWKS, SigningKey},
    process::scratch,
};

use crate::{
    common::Engine,
    support::{bare_get, bare_post, eventually},
};

fn from_set(location: JwksLocation) -> AuthConfig {
    let source = KeySource::Jwks { location, algorithms: Vec::new() };
    let issuer = IssuerConfig {
        id: ISSUER.into(),
        authorization_server: true,
        publisher: Some(source.clone()),
        subscriber: Some(source),
    };
    AuthConfig { issuers: vec![issuer], ..AuthConfig::default() }
}

fn token(hub: &TestHub, algorithm: jsonwebtoken::Algorithm, key_id: Option<&str>) -> String {
    let token = Token::new(ISSUER, hub.resource(), &SigningKey::private(algorithm)).may_publish(&["*"]);
    match key_id {
        Some(id) => token.header("kid", id).mint(),
        None => token.mint(),
    }
}

/// The algorithms of a set's keys, and their ids.
const PAIRS: [(jsonwebtoken::Algorithm, &str); 8] = [
    (jsonwebtoken::Algorithm::RS256, "rsa"),
    (jsonwebtoken::Algorithm::RS384, "rsa"),
    (jsonwebtoken::Algorithm::RS512, "rsa"),
    (jsonwebtoken::Algorithm::PS256, "rsa"),
    (jsonwebtoken::Algorithm::PS512, "rsa"),
    (jsonwebtoken::Algorithm::ES256, "p256"),
    (jsonwebtoken::Algorithm::ES384, "p384"),
    (jsonwebtoken::Algorithm::EdDSA, "ed25519"),
];

pub(crate) async fn a17_keys_come_from_a_file(engine: Engine) {
    let directory = scratch();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, JWKS).unwrap();
    let hub = engine.hub_with(|config| config.auth = from_set(JwksLocation::File(path))).await;
    for (algorithm, id) in PAIRS {
        for key_id in [Some(id), None] {
            let answer = bare_get(&hub).bearer(&token(&hub, algorithm, key_id)).send().await;
            assert_eq!(answer.status, 200, "{algorithm:?} with kid {key_id:?}: {answer:?}");
        }
    }
    bare_post(&hub)
        .bearer(&token(&hub, jsonwebtoken::Algorithm::ES256, Some("p256")))
        .send()
        .await
        .expect(200);
}

pub(crate) async fn a17_keys_come_from_a_url(engine: Engine) {
    let server = KeyServer::start(JWKS).await;
    let hub = engine.hub_with(|config| config.auth = from_set(JwksLocation::Url(server.url()))).await;
    for (algorithm, id) in PAIRS {
        bare_get(&hub).bearer(&token(&hub, algorithm, Some(id))).send().await.expect(200);
    }
    assert!(server.asked() <= 2, "a set is cached, it was asked for {} times", server.asked());
}

pub(crate) async fn a17_an_unknown_key_id_makes_the_set_be_fetched_again(engine: Engine) {
    let server = KeyServer::start(&only(&["p256"])).await;
    let hub = engine.hub_with(|config| config.auth = from_set(JwksLocation::Url(server.url()))).await;
    bare_get(&hub)
        .bearer(&token(&hub, jsonwebtoken::Algorithm::ES256, Some("p256")))
        .send()
        .await
        .expect(200);
    server.serve(&only(&["p256", "rsa"]));
    let new = token(&hub, jsonwebtoken::Algorithm::RS256, Some("rsa"));
    eventually(200, || bare_get(&hub).bearer(&new).send()).await;
}

pub(crate) async fn a17_unknown_key_ids_cannot_be_used_to_flood_the_issuer(engine: Engine) {
    let server = KeyServer::start(&only(&["p256"])).await;
    let hub = engine.hub_with(|config| config.auth = from_set(JwksLocation::Url(server.url()))).await;
    for index in 0..50 {
        let unknown = token(&hub, jsonwebtoken::Algorithm::RS256, Some(&format!("unknown-{index}")));
        bare_get(&hub).bearer(&unknown).send().await.expect_refusal(401, "invalid_token");
    }
    assert!(server.asked() <= 5, "50 unknown ids made {} requests", server.asked());
}

pub(crate) async fn a17_a_failing_fetch_keeps_the_old_keys(engine: Engine) {
    let server = KeyServer::start(&only(&["p256"])).await;
    let hub = engine.hub_with(|config| config.auth = from_set(JwksLocation::Url(server.url()))).await;
    let good = token(&hub, jsonwebtoken::Algorithm::ES256, Some("p256"));
    bare_get(&hub).bearer(&good).send().await.expect(200);
    server.fail();
    let unknown = token(&hub, jsonwebtoken::Algorithm::RS256, Some("rsa"));
    bare_get(&hub).bearer(&unknown).send().await.expect_refusal(401, "invalid_token");
    // Another token than the first, so that no cache of verified tokens can answer.
    let another = Token::new(ISSUER, hub.resource(), &SigningKey::private(jsonwebtoken::Algorithm::ES256));
    bare_get(&hub).bearer(&another.header("kid", "p256").claim("x", 1).mint()).send().await.expect(200);
}

pub(crate) async fn a17_a_set_of_keys_has_no_shared_secrets_by_default(engine: Engine) {
    let secret = "a secret of thirty-two bytes or more";
    let shared =
        format!(r#"{{"kty":"oct","kid":"s","alg":"HS256","k":"{}"}}"#, URL_SAFE_NO_PAD.encode(secret));
    let mixed = only(&["p256"]).replacen('[', &format!("[{shared},"), 1);
    let server = KeyServer::start(&mixed).await;
    let hub = engine.hub_with(|config| config.auth = from_set(JwksLocation::Url(server.url()))).await;
    bare_get(&hub)
        .bearer(&token(&hub, jsonwebtoken::Algorithm::ES256, Some("p256")))
        .send()
        .await
        .expect(200);
    let key = SigningKey::secret(secret);
    let forged = Token::new(ISSUER, hub.resource(), &key).header("kid", "s").mint();
    bare_get(&hub).bearer(&forged).send().await.expect_refusal(401, "invalid_token");
}

pub(crate) async fn a17_a_role_without_keys_takes_no_token(engine: Engine) {
    let hub = engine.hub_with(|config| config.auth.issuers[0].subscriber = None).await;
    bare_get(&hub).bearer(&hub.subscriber().mint()).send().await.expect_refusal(401, "invalid_token");
    hub.publish("a", "").await;
}
