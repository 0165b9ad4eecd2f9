//! `petasos health --round-trip`, which is what `helm test` runs.

use std::{process::Output, time::Duration};

use petasos_testkit::{
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    process::command,
    within,
};

use crate::common::{Engine, PROGRAM};

/// Longer than the command takes to give up.
const LIMIT: Duration = Duration::from_secs(60);

async fn round_trip(url: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = command(PROGRAM);
    command.args(["health", "--round-trip", "--url", url]).envs(variables.iter().copied());
    within(LIMIT, "the end of the command", command.output()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const KEYS: [(&str, &str); 3] = [
    ("MERCURE_TRUSTED_ISSUERS", ISSUER),
    ("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_SECRET),
    ("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_SECRET),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_comes_back_on_every_engine_with_tokens_from_the_configuration() {
    for engine in [Engine::Local, Engine::Sqlite] {
        let hub = engine.hub().await;
        let output = round_trip(&hub.origin(), &KEYS).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("published and received"), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_with_a_public_url_is_asked_as_by_its_proxy() {
    let public = "https://hub.example.com";
    let hub = Engine::Sqlite
        .hub_with(|config| {
            config.http.public_urls = vec![public.parse().unwrap()];
            config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        })
        .await;
    let mut variables = KEYS.to_vec();
    let output = round_trip(&hub.origin(), &variables).await;
    assert_eq!(output.status.code(), Some(1), "without the public URL: {}", said(&output));
    assert!(said(&output).contains("misdirected_request"), "{}", said(&output));
    variables.push(("PETASOS_PUBLIC_URLS", public));
    let output = round_trip(&hub.origin(), &variables).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains(public), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_given_is_used_for_both_sides() {
    let hub = Engine::Sqlite.hub().await;
    // What the publishers' key signs is refused to subscribers: the update is published, and the stream does not open.
    let token = hub.publisher().may_publish(&["*"]).may_subscribe(&["*"]).mint();
    let output = round_trip(&hub.origin(), &[("PETASOS_TOKEN", &token)]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("bad_signature"), "{}", said(&output));
    assert!(!said(&output).contains(&token), "a token was shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let hub = Engine::Sqlite.hub().await;
    let mut wrong = KEYS;
    wrong[1].1 = "another secret, of more than 32 bytes as well";
    let output = round_trip(&hub.origin(), &wrong).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("not authorized"), "{}", said(&output));
    assert!(!said(&output).contains(wrong[1].1), "a key was shown");

    let output = round_trip("http://127.0.0.1:9", &[]).await;
    assert_eq!(output.status.code(), Some(2), "without keys there is no token: {}", said(&output));
}
