//! The real program in the environment of a 0.x image: it is swapped, and everything goes on.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::PROGRAM;
use jsonwebtoken::Algorithm;
use petasos_testkit::{
    HUB_PATH, Protocol, Request, SUBSCRIPTIONS, Token,
    keys::{RSA_PUBLIC, SigningKey},
    matching_topic,
    process::{HubProcess, ProcessOptions, free_address, scratch},
};

/// The secret in published examples of that time.
const SECRET: &str = "!ChangeThisMercureHubJWTSecretKey!";

/// The environment that such an image is run with, and these variables.
fn old_image(directory: &Path, more: &[(&str, &str)]) -> ProcessOptions {
    let (address, admin) = (free_address(), free_address());
    let mut environment = vec![
        // Without TLS, as behind a proxy.
        ("SERVER_NAME".to_owned(), format!("http://{address}")),
        ("MERCURE_ADMIN_ADDRESS".to_owned(), admin.to_string()),
        (
            "MERCURE_TRANSPORT_URL".to_owned(),
            format!("bolt://{}/mercure.db?size=1000&cleanup_frequency=0.5&bucket_name=updates", directory.display()),
        ),
        (
            "MERCURE_EXTRA_DIRECTIVES".to_owned(),
            "cors_origins http://localhost:9000\npublish_origins http://localhost:9000\nsubscriptions\nui\ndemo".to_owned(),
        ),
    ];
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    ProcessOptions {
        program: PROGRAM.into(),
        arguments: Vec::new(),
        environment,
        directory: directory.to_owned(),
        address,
        admin,
    }
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("hub.log")).unwrap()
}

#[tokio::test]
async fn l08_the_image_of_a_0x_hub_is_swapped_and_everything_goes_on() {
    let directory = scratch();
    let keys = [
        ("MERCURE_PUBLISHER_JWT_KEY", SECRET),
        ("MERCURE_PUBLISHER_JWT_ALG", "HS256"),
        ("MERCURE_SUBSCRIBER_JWT_KEY", SECRET),
    ];
    let process = HubProcess::start(&old_image(directory.path(), &keys)).await;
    let hub = process.hub();
    let token = Token::old(&SigningKey::secret(SECRET)).old_publish(&["*"]).old_subscribe(&["*"]).mint();
    let mut stream = hub.subscribe(matching_topic("https://example.com/books/{id}")).with_token(&token).await;
    let id = hub.publish("https://example.com/books/1", "1").private().with_token(&token).await;
    assert_eq!(stream.next_data().await, "1");
    let list = hub.get(SUBSCRIPTIONS).bearer(&token).send().await.expect(200).json();
    assert_eq!(list["type"], "Subscriptions");
    hub.publish("https://example.com/books/2", "2").with_token(&token).await;
    let resumed = hub.subscribe(matching_topic("*")).with_token(&token).parameter("lastEventID", &id);
    assert_eq!(resumed.await.next_data().await, "2");
    // Decision: the same keys are those of the issuer that nobody has named, for tokens of version 1.0.
    let new = Token::new("https://localhost", hub.resource(), &SigningKey::secret(SECRET))
        .may_publish(&["*"])
        .mint();
    hub.publish("https://example.com/books/3", "3").with_token(&new).await;
    assert_eq!(stream.next_data_of(2).await, ["2", "3"]);
    let told = log(directory.path());
    let lines: Vec<_> =
        told.lines().filter(|line| line.contains("version 0.x of the protocol is served")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].contains("set MERCURE_TRUSTED_ISSUERS"), "{told}");
    drop(stream);
    assert!(process.terminate().await.success());
}

#[tokio::test]
async fn l08_a_public_key_on_one_line_verifies_old_tokens() {
    let directory = scratch();
    let key = RSA_PUBLIC.replace('\n', "\\n");
    let keys = [("MERCURE_PUBLISHER_JWT_KEY", key.as_str()), ("MERCURE_PUBLISHER_JWT_ALG", "RS256")];
    let process = HubProcess::start(&old_image(directory.path(), &keys)).await;
    let token = Token::old(&SigningKey::private(Algorithm::RS256)).old_publish(&["a"]).mint();
    process.hub().publish("a", "1").with_token(&token).await;
    let forged = Token::old(&SigningKey::hmac(Algorithm::HS256, RSA_PUBLIC)).old_publish(&["a"]).mint();
    process.hub().publish("a", "1").with_token(&forged).answer().await.expect_refusal(401, "invalid_token");
}

#[tokio::test]
async fn l05_a_token_in_the_url_is_in_no_line_of_the_log_however_much_is_logged() {
    let directory = scratch();
    let keys = [
        ("MERCURE_PUBLISHER_JWT_KEY", SECRET),
        ("MERCURE_SUBSCRIBER_JWT_KEY", SECRET),
        ("PETASOS_LOG_FILTER", "trace"),
    ];
    let process = HubProcess::start(&old_image(directory.path(), &keys)).await;
    let hub = process.hub();
    let token = Token::old(&SigningKey::secret(SECRET)).old_publish(&["*"]).old_subscribe(&["*"]).mint();
    let wrong = format!("{}x", &token[..token.len() - 1]);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for token in [&token, &wrong] {
            for target in [
                format!("{HUB_PATH}?topic=a&authorization={token}"),
                format!("{HUB_PATH}?Match=a&authorization={token}"),
                format!("{SUBSCRIPTIONS}?authorization={token}"),
                format!("/elsewhere?authorization={token}"),
            ] {
                hub.get(&target).over(protocol).send().await;
            }
            let target = format!("{HUB_PATH}?authorization={token}");
            hub.request("POST", &target).form("topic=a").over(protocol).send().await;
        }
    }
    Request::new(hub.admin(), "GET", &format!("/metrics?authorization={token}")).send().await.expect(200);
    assert!(process.terminate().await.success());
    let told = log(directory.path());
    assert!(told.lines().filter(|line| line.contains("request{")).count() >= 20, "{told}");
    let parts: Vec<_> = token.split('.').collect();
    for line in told.lines() {
        assert!(!parts.iter().any(|part| line.contains(part)), "{line}");
    }
}
