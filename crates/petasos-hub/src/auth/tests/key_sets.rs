//! A17: JWK sets from files and URLs, with all that can happen to them on the way.

use std::{path::Path, time::Duration};

use super::*;
use crate::auth::{JwksLocation, jwks::Timing};

const HOUR: Duration = Duration::from_secs(3600);

/// Nothing happens by itself.
fn still() -> Timing {
    Timing {
        timeout: Duration::from_secs(10),
        default_age: HOUR,
        min_age: HOUR,
        max_age: HOUR,
        grace: HOUR,
        retry: HOUR,
        retry_without_keys: HOUR,
        miss_interval: HOUR,
        file_interval: HOUR,
    }
}

/// Every use finds the set expired and waits for it.
fn always_expired() -> Timing {
    Timing {
        min_age: Duration::ZERO,
        max_age: Duration::ZERO,
        grace: Duration::ZERO,
        retry: Duration::ZERO,
        retry_without_keys: Duration::ZERO,
        file_interval: Duration::ZERO,
        ..still()
    }
}

fn hub_for(location: JwksLocation, algorithms: &[Algorithm], timing: Timing) -> Authenticator {
    Authenticator::with_timing(config(KeySource::Jwks { location, algorithms: algorithms.into() }), timing)
        .unwrap()
}

fn hub_in(file: &Path, algorithms: &[Algorithm], timing: Timing) -> Authenticator {
    hub_for(JwksLocation::File(file.into()), algorithms, timing)
}

/// A hub with these keys, read from a file.
async fn hub_with_keys(keys: Value, algorithms: &[Algorithm]) -> Authenticator {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    let hub = hub_in(file.path(), algorithms, still());
    hub.reload().await.unwrap();
    hub
}

fn set(keys: &[(&str, &Signer)]) -> String {
    let keys: Value = keys.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
    json!({ "keys": keys }).to_string()
}

fn signed(kid: &str, signer: &Signer) -> String {
    token().header("kid", json!(kid)).signed_by(signer)
}

fn rsa() -> Signer {
    key_for(Algorithm::RS256)
}

fn other_rsa() -> Signer {
    Signer::pem(Algorithm::RS256, OTHER_RSA)
}

fn ec() -> Signer {
    key_for(Algorithm::ES256)
}

/// How the hub answers a publisher's token, without the report, which would look at the set once more.
async fn ask(hub: &Authenticator, token: &str) -> Result<(), Reason> {
    hub.publisher(Some(token), HUB, &base()).await.map(drop).map_err(|refusal| refusal.reason())
}

#[tokio::test]
async fn a17_every_kind_of_key_is_read_from_a_set() {
    let mut keys = Vec::new();
    let asymmetric = || Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric());
    for algorithm in asymmetric() {
        keys.push(key_for(algorithm).jwk(algorithm.as_str()));
    }
    let hub = hub_with_keys(json!(keys), &[]).await;
    assert_eq!(hub.key_sets()[0].keys, Some(keys.len()), "{:?}", hub.key_sets());
    for algorithm in asymmetric() {
        let signer = key_for(algorithm);
        accepted(&hub, &signed(algorithm.as_str(), &signer)).await;
        accepted(&hub, &token().signed_by(&signer)).await;
    }
}

#[tokio::test]
async fn a17_secrets_in_a_set_need_an_hmac_algorithm_on_the_list() {
    let signer = key_for(Algorithm::HS256);
    let keys = json!([signer.jwk("secret")]);
    let hub = hub_with_keys(keys.clone(), &[]).await;
    refused(&hub, &signed("secret", &signer), Reason::AlgorithmNotAllowed).await;
    let hub = hub_with_keys(keys, &[Algorithm::HS256, Algorithm::RS256]).await;
    accepted(&hub, &signed("secret", &signer)).await;
}

#[tokio::test]
async fn a08_the_list_of_a_set_is_what_counts() {
    let mut keys = [rsa().jwk("rsa"), ec().jwk("ec")];
    keys[0].as_object_mut().unwrap().remove("alg");
    let hub = hub_with_keys(json!(keys), &[Algorithm::RS256]).await;
    accepted(&hub, &signed("rsa", &rsa())).await;
    refused(&hub, &signed("rsa", &key_for(Algorithm::RS512)), Reason::AlgorithmNotAllowed).await;
    refused(&hub, &signed("ec", &ec()), Reason::AlgorithmNotAllowed).await;
}

#[tokio::test]
async fn a08_a_key_that_names_its_algorithm_takes_no_other() {
    let hub = hub_with_keys(json!([rsa().jwk("k")]), &[]).await;
    accepted(&hub, &signed("k", &rsa())).await;
    for algorithm in [Algorithm::RS384, Algorithm::PS256] {
        refused(&hub, &signed("k", &key_for(algorithm)), Reason::AlgorithmNotAllowed).await;
        refused(&hub, &token().signed_by(&key_for(algorithm)), Reason::NoKey).await;
    }
    let mut free = rsa().jwk("k");
    free.as_object_mut().unwrap().remove("alg");
    let hub = hub_with_keys(json!([free]), &[]).await;
    for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::PS256] {
        accepted(&hub, &signed("k", &key_for(algorithm))).await;
    }
    refused(&hub, &signed("k", &ec()), Reason::AlgorithmNotAllowed).await;
}

#[tokio::test]
async fn a08_the_kid_selects_among_the_keys() {
    let hub = hub_with_keys(json!([rsa().jwk("one"), other_rsa().jwk("two")]), &[]).await;
    accepted(&hub, &signed("one", &rsa())).await;
    accepted(&hub, &signed("two", &other_rsa())).await;
    accepted(&hub, &token().signed_by(&other_rsa())).await;
    refused(&hub, &signed("one", &other_rsa()), Reason::BadSignature).await;
    refused(&hub, &signed("three", &rsa()), Reason::NoKey).await;
    refused(&hub, &signed("ONE", &rsa()), Reason::NoKey).await;
    // Two keys of one name, and a key without a name for a token with one.
    let hub = hub_with_keys(json!([rsa().jwk("same"), other_rsa().jwk("same")]), &[]).await;
    accepted(&hub, &signed("same", &other_rsa())).await;
    let mut nameless = rsa().jwk("");
    nameless.as_object_mut().unwrap().remove("kid");
    let hub = hub_with_keys(json!([nameless, other_rsa().jwk("named")]), &[]).await;
    accepted(&hub, &signed("whatever", &rsa())).await;
    refused(&hub, &signed("named", &rsa()), Reason::BadSignature).await;
}

#[tokio::test]
async fn a17_keys_for_other_purposes_and_broken_ones_are_skipped_with_a_note() {
    let changed = |signer: Signer, name: &str, value: Value| {
        let mut jwk = signer.jwk(&format!("with {name}"));
        jwk[name] = value;
        jwk
    };
    let short = json!({"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"});
    let bad = [
        changed(rsa(), "use", json!("enc")),
        changed(rsa(), "use", json!(1)),
        changed(rsa(), "key_ops", json!(["encrypt"])),
        changed(rsa(), "key_ops", json!("verify")),
        changed(rsa(), "alg", json!("RSA-OAEP")),
        changed(rsa(), "alg", json!("ES256")),
        changed(rsa(), "alg", json!("HS256")),
        changed(rsa(), "alg", json!("none")),
        changed(rsa(), "kty", json!("rsa")),
        changed(rsa(), "kty", json!("EC")),
        changed(rsa(), "kid", json!(1)),
        changed(rsa(), "n", json!("not base64!")),
        changed(ec(), "crv", json!("P-384")),
        changed(ec(), "crv", json!("P-521")),
        changed(ec(), "crv", json!("secp256k1")),
        changed(ec(), "x", json!("AA")),
        changed(key_for(Algorithm::EdDSA), "crv", json!("X25519")),
        changed(key_for(Algorithm::EdDSA), "x", json!("AA")),
        json!({"kty": "oct", "kid": "empty", "k": ""}),
        short,
        json!({}),
        json!("x"),
    ];
    let count = bad.len();
    let mut keys = Vec::from(bad);
    keys.push(changed(rsa(), "key_ops", json!(["verify", "sign"])));
    keys.push(changed(rsa(), "use", json!("sig")));
    let hub = hub_with_keys(json!(keys), &[]).await;
    let status = &hub.key_sets()[0];
    assert_eq!(status.keys, Some(2), "{status:#?}");
    assert_eq!(status.notes.len(), count, "{status:#?}");
    assert_eq!(status.error, None);
    accepted(&hub, &token().signed_by(&rsa())).await;
}

#[tokio::test]
async fn a17_a_private_key_in_a_set_is_told() {
    let mut leaked = rsa().jwk("leaked");
    leaked["d"] = json!("AQAB");
    let hub = hub_with_keys(json!([leaked]), &[]).await;
    assert!(hub.key_sets()[0].notes[0].contains("private"));
}

#[tokio::test]
async fn a17_what_is_no_set_is_no_set() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in
        ["", "{}", "[]", "null", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"keys":[],"keys":[]}"#, "<html>"]
    {
        std::fs::write(file.path(), text).unwrap();
        let hub = hub_in(file.path(), &[], still());
        let error = hub.reload().await.unwrap_err().to_string();
        assert!(error.contains("not a JWK set"), "{text}: {error}");
        refused(&hub, &token().signed_by(&rsa()), Reason::KeysUnavailable).await;
    }
    // No keys are a set, too: the issuer has withdrawn all.
    std::fs::write(file.path(), r#"{"keys":[]}"#).unwrap();
    let hub = hub_in(file.path(), &[], still());
    hub.reload().await.unwrap();
    refused(&hub, &token().signed_by(&rsa()), Reason::NoKey).await;
}

#[tokio::test]
async fn a17_a_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, set(&[("one", &rsa())])).unwrap();
    let hub = hub_in(&file, &[], always_expired());
    assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
    // Replaced as Kubernetes and careful people do it.
    std::fs::write(folder.path().join("new"), set(&[("two", &ec())])).unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    assert_eq!(ask(&hub, &signed("two", &ec())).await, Ok(()));
    assert_eq!(
        ask(&hub, &signed("one", &rsa())).await,
        Err(Reason::NoKey),
        "a token that was verified before"
    );
    // What cannot be read changes nothing.
    std::fs::write(&file, "{").unwrap();
    assert_eq!(ask(&hub, &signed("two", &ec())).await, Ok(()));
    assert!(hub.key_sets()[0].error.is_some());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ask(&hub, &signed("two", &ec())).await, Ok(()));
    assert!(hub.reload().await.unwrap_err().to_string().contains("jwks.json"));
    std::fs::write(&file, set(&[("one", &rsa())])).unwrap();
    assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
    assert_eq!(hub.key_sets()[0].error, None);
}

#[tokio::test]
async fn a17_only_a_bounded_regular_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let error = hub_in(folder.path(), &[], still()).reload().await.unwrap_err().to_string();
    assert!(error.contains("regular file"), "{error}");
    let file = folder.path().join("large");
    std::fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap();
    let error = hub_in(&file, &[], still()).reload().await.unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a17_reload_puts_a_changed_set_into_force() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set(&[("one", &rsa())])).unwrap();
    let hub = hub_in(file.path(), &[], still());
    accepted(&hub, &signed("one", &rsa())).await;
    std::fs::write(file.path(), set(&[("two", &ec())])).unwrap();
    hub.reload().await.unwrap();
    accepted(&hub, &signed("two", &ec())).await;
    refused(&hub, &signed("one", &rsa()), Reason::NoKey).await;
}

#[cfg(feature = "jwks-http")]
mod over_http {
    use super::{
        server::{Reply, Server},
        *,
    };

    fn hub_on(server: &Server, timing: Timing) -> Authenticator {
        hub_for(JwksLocation::Url(server.url()), &[], timing)
    }

    #[tokio::test]
    async fn a17_a_set_is_fetched_once_for_both_roles_and_all_tokens() {
        let server = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let hub = hub_on(&server, still());
        assert_eq!(server.requests(), 0, "not before it is needed");
        for n in 0..3 {
            accepted(&hub, &token().claim("n", json!(n)).signed_by(&rsa())).await;
        }
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn a17_concurrent_requests_share_one_fetch() {
        let server = Server::start(Reply::Held(set(&[("one", &rsa())]))).await;
        let hub = std::sync::Arc::new(hub_on(&server, still()));
        let asking: Vec<_> = (0..20)
            .map(|n| {
                let (hub, token) = (hub.clone(), token().claim("n", json!(n)).signed_by(&rsa()));
                tokio::spawn(async move { ask(&hub, &token).await })
            })
            .collect();
        server.request_arrived().await;
        server.release();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), Ok(()));
        }
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn a17_a_client_that_gives_up_does_not_end_the_fetch() {
        let server = Server::start(Reply::Held(set(&[("one", &rsa())]))).await;
        let hub = std::sync::Arc::new(hub_on(&server, still()));
        let impatient = tokio::spawn({
            let hub = hub.clone();
            async move { ask(&hub, &signed("one", &rsa())).await }
        });
        server.request_arrived().await;
        impatient.abort();
        assert!(impatient.await.unwrap_err().is_cancelled());
        server.release();
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn a17_an_unknown_kid_fetches_the_set_again_but_not_often() {
        let server = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let hub = hub_on(&server, still());
        accepted(&hub, &signed("one", &rsa())).await;
        server.now_answers(Reply::Json(set(&[("one", &rsa()), ("two", &ec())]), ""));
        accepted(&hub, &signed("two", &ec())).await;
        assert_eq!(server.requests(), 2);
        for n in 0..100 {
            assert_eq!(ask(&hub, &signed(&format!("made up {n}"), &other_rsa())).await, Err(Reason::NoKey));
        }
        assert_eq!(server.requests(), 2, "strangers do not make the hub fetch");
        // A wrong signature under a known name is no reason to fetch, either.
        let hub = hub_on(&server, Timing { miss_interval: Duration::ZERO, ..still() });
        refused(&hub, &signed("one", &other_rsa()), Reason::BadSignature).await;
        assert_eq!(server.requests(), 3);
    }

    #[tokio::test]
    async fn a17_a_new_key_is_found_for_tokens_that_name_none() {
        let server = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let hub = hub_on(&server, still());
        accepted(&hub, &token().signed_by(&rsa())).await;
        server.now_answers(Reply::Json(set(&[("two", &other_rsa())]), ""));
        accepted(&hub, &token().signed_by(&other_rsa())).await;
        // The old one is gone, for remembered tokens as well.
        refused(&hub, &token().signed_by(&rsa()), Reason::BadSignature).await;
        assert_eq!(server.requests(), 2);
    }

    #[tokio::test]
    async fn a17_an_expired_set_is_fetched_again_also_where_all_tokens_are_remembered() {
        let server =
            Server::start(Reply::Json(set(&[("one", &rsa())]), "cache-control: max-age=1\r\n")).await;
        let hub = hub_on(&server, always_expired());
        let token = signed("one", &rsa());
        assert_eq!(ask(&hub, &token).await, Ok(()));
        assert_eq!(ask(&hub, &token).await, Ok(()));
        assert_eq!(server.requests(), 2);
        server.now_answers(Reply::Json(set(&[("two", &ec())]), ""));
        assert_eq!(ask(&hub, &token).await, Err(Reason::NoKey));
    }

    #[tokio::test]
    async fn a17_freshness_keeps_within_its_bounds() {
        for (fields, timing, requests) in [
            ("cache-control: no-store\r\n", Timing { min_age: HOUR, ..always_expired() }, 1),
            ("cache-control: max-age=31536000\r\n", always_expired(), 3),
            ("cache-control: max-age=31536000\r\n", Timing { max_age: HOUR, ..always_expired() }, 1),
            ("", Timing { max_age: HOUR, default_age: Duration::ZERO, ..always_expired() }, 3),
        ] {
            let timing = Timing { max_age: timing.max_age.max(timing.min_age), ..timing };
            let server = Server::start(Reply::Json(set(&[("one", &rsa())]), fields)).await;
            let hub = hub_on(&server, timing);
            for _ in 0..3 {
                assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
            }
            assert_eq!(server.requests(), requests, "{fields}");
        }
    }

    #[tokio::test]
    async fn a17_an_expired_set_goes_on_serving_while_it_is_fetched() {
        let server = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let hub = hub_on(&server, Timing { grace: HOUR, ..always_expired() });
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        server.request_arrived().await;
        server.now_answers(Reply::Held(set(&[("two", &ec())])));
        // The server hangs; nobody waits for it.
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        server.request_arrived().await;
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        assert_eq!(server.requests(), 2);
        // A token that needs the new key waits for the same fetch.
        let waiting = async { ask(&hub, &signed("two", &ec())).await };
        let released = async { server.release() };
        assert_eq!(tokio::join!(waiting, released).0, Ok(()));
    }

    #[tokio::test]
    async fn a17_a_failing_fetch_keeps_the_old_keys() {
        let server = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let hub = hub_on(&server, always_expired());
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        for failure in [
            Reply::Head("500 Internal Server Error\r\n".into()),
            Reply::Head("404 Not Found\r\n".into()),
            Reply::Head("204 No Content\r\n".into()),
            Reply::Json("<html>".into(), ""),
            Reply::Json("{}".into(), ""),
            Reply::Endless { with_length: true },
            Reply::Endless { with_length: false },
            Reply::Head(format!("302 Found\r\nlocation: {}\r\n", server.url())),
        ] {
            server.now_answers(failure);
            let before = server.requests();
            assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
            assert!(server.requests() > before);
            let error = hub.reload().await.unwrap_err().to_string();
            assert_eq!(hub.key_sets()[0].keys, Some(1), "{error}");
        }
        server.now_answers(Reply::Json(set(&[("two", &ec())]), ""));
        hub.reload().await.unwrap();
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Err(Reason::NoKey));
    }

    #[tokio::test]
    async fn a17_without_keys_nothing_verifies_until_they_come() {
        let server = Server::start(Reply::Head("503 Service Unavailable\r\n".into())).await;
        let hub = hub_on(&server, Timing { retry_without_keys: Duration::ZERO, ..still() });
        let refusal = hub.publisher(Some(&signed("one", &rsa())), HUB, &base()).await.unwrap_err();
        assert_eq!(refusal.reason(), Reason::KeysUnavailable);
        assert!(refusal.detail().contains("503"), "{refusal}");
        server.now_answers(Reply::Json(set(&[("one", &rsa())]), ""));
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        // Failures are not repeated for every request.
        let server = Server::start(Reply::Head("503 Service Unavailable\r\n".into())).await;
        let hub = hub_on(&server, still());
        for _ in 0..20 {
            assert_eq!(ask(&hub, &signed("one", &rsa())).await, Err(Reason::KeysUnavailable));
        }
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn a17_an_answer_is_bounded_in_size() {
        for with_length in [true, false] {
            let server = Server::start(Reply::Endless { with_length }).await;
            let error = hub_on(&server, still()).reload().await.unwrap_err().to_string();
            assert!(error.contains("more than 1048576 bytes"), "{error}");
        }
    }

    #[tokio::test]
    async fn a17_an_answer_is_bounded_in_time() {
        let server = Server::start(Reply::Held(String::new())).await;
        let hub = hub_on(&server, Timing { timeout: Duration::from_millis(50), ..still() });
        let error = hub.reload().await.unwrap_err().to_string();
        assert!(error.contains("no answer within 50ms"), "{error}");
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Err(Reason::KeysUnavailable));
    }

    #[tokio::test]
    async fn a17_redirects_are_followed_a_few_times() {
        let target = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let server =
            Server::start(Reply::Head(format!("307 Temporary Redirect\r\nlocation: {}\r\n", target.url())))
                .await;
        assert_eq!(ask(&hub_on(&server, still()), &signed("one", &rsa())).await, Ok(()));
        server.now_answers(Reply::Head(format!("302 Found\r\nlocation: {}\r\n", server.url())));
        let before = server.requests();
        let error = hub_on(&server, still()).reload().await.unwrap_err().to_string();
        assert!(error.contains("redirect"), "{error}");
        assert_eq!(server.requests() - before, 4);
    }

    #[tokio::test]
    async fn a17_nobody_there_is_an_error_that_names_no_secret() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:hunter2@{}/jwks?key=hunter2", listener.local_addr().unwrap());
        drop(listener);
        let hub = hub_for(JwksLocation::Url(url.parse().unwrap()), &[], still());
        let error = hub.reload().await.unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("/jwks"), "{error}");
        let status = format!("{:?} {hub:?}", hub.key_sets());
        assert!(!status.contains("hunter2"), "{status}");
    }

    #[tokio::test]
    async fn a17_replaced_issuers_keep_the_sets_they_share() {
        let server = Server::start(Reply::Json(set(&[("one", &rsa())]), "")).await;
        let hub = hub_on(&server, still());
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        hub.replace_keys(&hub.config().clone()).unwrap();
        assert_eq!(ask(&hub, &signed("one", &rsa())).await, Ok(()));
        assert_eq!(server.requests(), 1);
    }
}
