//! The two generations of the protocol: what their clients ask for and show, and how their hubs are configured.

use std::path::Path;

use petasos_testkit::{
    HUB_PATH, TestHub, Token, form,
    hub::{ISSUER, PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    keys::SigningKey,
    process::{ProcessOptions, text},
};
use serde_json::{Value, json};

use crate::common::process_options;

/// Short, so that every client sees many (C02, S09).
const HEARTBEAT: &str = "100ms";

/// Streams of a hub that stops end within this time; a test need not wait longer.
const DRAIN_TIMEOUT: &str = "300ms";

/// The issuer of new tokens where the configuration names none.
const UNNAMED_ISSUER: &str = "https://localhost";

/// The generation of the protocol that a client speaks, and whose configuration its hub has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// 1.0.
    New,
    /// 0.x: the hub is started with the environment of a 0.x image.
    Old,
    /// 0.x on the way to 1.0: the same hub with the issuer of new tokens named, as the guide says.
    Moving,
}

impl Generation {
    /// The query that subscribes to this topic.
    pub(crate) fn query(self, topic: &str) -> String {
        match self {
            Self::New => form::encode([("match", topic)]),
            Self::Old | Self::Moving => form::encode([("topic", topic)]),
        }
    }

    /// The cookie of a browser.
    pub(crate) fn cookie_name(self) -> &'static str {
        match self {
            Self::New => "__Secure-mercure_access_token",
            Self::Old | Self::Moving => "mercureAuthorization",
        }
    }

    /// A token that publishes everything.
    pub(crate) fn publisher_token(self, hub: &TestHub) -> String {
        match self {
            Self::New => hub.publisher().may_publish(&["*"]).mint(),
            Self::Old | Self::Moving => old_publisher_token(&["*"]),
        }
    }

    /// A token that reads private updates on these topics.
    pub(crate) fn subscriber_token(self, hub: &TestHub, topics: &[&str]) -> String {
        match self {
            Self::New => hub.subscriber().may_subscribe(topics).mint(),
            Self::Old | Self::Moving => old_token(SUBSCRIBER_SECRET, &json!({ "subscribe": topics })),
        }
    }

    /// A token of the new form that the hub takes, whichever its configuration.
    pub(crate) fn new_token(self, hub: &TestHub, secret: &str) -> Token {
        let issuer = match self {
            Self::New | Self::Moving => ISSUER,
            Self::Old => UNNAMED_ISSUER,
        };
        Token::new(issuer, hub.resource(), &SigningKey::secret(secret))
    }

    /// What a process is started with on the store of this directory.
    pub(crate) fn options(self, directory: &Path, origins: &[&str]) -> ProcessOptions {
        let mut options = process_options(directory);
        match self {
            Self::New => options.environment.extend(
                [
                    ("PETASOS_HEARTBEAT", HEARTBEAT),
                    ("PETASOS_DRAIN_TIMEOUT", DRAIN_TIMEOUT),
                    ("PETASOS_CORS_ORIGINS", &origins.join(",")),
                    ("PETASOS_PUBLISH_ORIGINS", &origins.join(",")),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
            Self::Old => options.environment = drop_in(directory, &options, origins),
            Self::Moving => {
                options.environment = drop_in(directory, &options, origins);
                name_the_issuer(&mut options);
            }
        }
        // Nothing that an image sets: for rolling restarts on one port.
        options.environment.push(("PETASOS_REUSE_PORT".into(), "true".into()));
        options
    }
}

/// Changes a variable where it is set.
pub(crate) fn set(environment: &mut [(String, String)], name: &str, value: impl ToString) {
    for (_, old) in environment.iter_mut().filter(|(each, _)| each == name) {
        *old = value.to_string();
    }
}

/// The environment of a 0.x image, as it is deployed.
fn drop_in(directory: &Path, options: &ProcessOptions, origins: &[&str]) -> Vec<(String, String)> {
    let bolt = directory.join("mercure.db");
    let listed = origins.join(" ");
    let origins = match origins {
        [] => String::new(),
        _ => format!("cors_origins {listed}\npublish_origins {listed}\n"),
    };
    let directives =
        format!("anonymous\nsubscriptions\nheartbeat {HEARTBEAT}\ndrain_timeout {DRAIN_TIMEOUT}\n{origins}");
    [
        ("SERVER_NAME", format!(":{}", options.address.port())),
        ("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_SECRET.to_owned()),
        ("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_SECRET.to_owned()),
        ("MERCURE_TRANSPORT_URL", format!("bolt://{}?size=1000&cleanup_frequency=0.5", text(&bolt))),
        ("MERCURE_EXTRA_DIRECTIVES", directives),
        ("MERCURE_ADMIN_ADDRESS", options.admin.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Step 1 of the guide.
fn name_the_issuer(options: &mut ProcessOptions) {
    for (name, value) in &mut options.environment {
        if name == "MERCURE_EXTRA_DIRECTIVES" {
            value.push_str("protocol_version_compatibility 8\n");
        }
    }
    let resource = format!("http://{}{HUB_PATH}", options.address);
    options.environment.push(("MERCURE_TRUSTED_ISSUERS".into(), ISSUER.into()));
    options.environment.push(("MERCURE_RESOURCE_IDENTIFIER".into(), resource));
}

/// A publisher's token of the 0.x form.
pub(crate) fn old_publisher_token(topics: &[&str]) -> String {
    old_token(PUBLISHER_SECRET, &json!({ "publish": topics }))
}

/// A token of the 0.x form, as libraries make them: no issuer, no audience, often no expiry (L03).
fn old_token(secret: &str, rights: &Value) -> String {
    let token = Token::new("", "", &SigningKey::secret(secret)).header("typ", "JWT");
    let token = ["iss", "aud", "sub", "exp"].iter().fold(token, |token, name| token.without(name));
    token.claim("mercure", rights.clone()).mint()
}
