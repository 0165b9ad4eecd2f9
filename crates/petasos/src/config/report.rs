//! The effective configuration as `check --print` shows it: every value in force, secrets redacted, and where it is from.

use std::fmt::Write;

use petasos_hub::auth::{KeySource, Role};

use super::{
    Config, TransportConfig,
    auth::UNNAMED_ISSUER,
    layers::Layers,
    listen,
    options::{Kind, OPTIONS, OptionSpec},
    origin::Origin,
};

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// The option's path in the configuration file.
    pub option: String,
    /// Its value, or a placeholder where it is a secret. Empty: there is none.
    pub value: String,
    /// Where it comes from: `default`, a line of a file, a variable, a directive, a flag.
    pub source: String,
}

/// All values in force.
pub(super) fn entries(layers: &Layers, config: &Config) -> Vec<Entry> {
    let mut entries: Vec<Entry> = OPTIONS.iter().filter_map(|option| entry(option, layers, config)).collect();
    for (index, draft) in layers.issuers().into_iter().enumerate() {
        let mut push = |key: &str, value: String| {
            let option = format!("issuers[{index}].{key}");
            entries.push(Entry { option, value, source: draft.origin.to_string() });
        };
        push("id", draft.config.id.clone());
        push("authorization_server", draft.config.authorization_server.to_string());
        for (role, keys) in
            [(Role::Publisher, &draft.config.publisher), (Role::Subscriber, &draft.config.subscriber)]
        {
            if let Some(keys) = keys {
                push(if role == Role::Publisher { "publisher" } else { "subscriber" }, shown_keys(keys));
            }
        }
    }
    entries
}

fn entry(option: &OptionSpec, layers: &Layers, config: &Config) -> Option<Entry> {
    if option.kind == Kind::Issuers {
        return None;
    }
    let setting = layers.get(option.path);
    let given = setting.map_or_else(|| option.default.to_owned(), |setting| setting.value.shown());
    let value = match option.path {
        "listen" => listen::shown(&config.listeners),
        "transport.url" => config.transport.url(),
        "history.max_bytes" => match &config.transport {
            // Without a bound where a Bolt URL says that everything is kept.
            TransportConfig::Sqlite(store) if store.retention.bytes == 0 => "0".to_owned(),
            _ => given,
        },
        "auth.publisher_jwks"
        | "auth.subscriber_jwks"
        | "legacy.publisher_jwks"
        | "legacy.subscriber_jwks" => without_credentials(&given),
        "protocol_version_compatibility" if given.is_empty() => {
            if config.auth.compatibility.is_some() { "8" } else { "off" }.to_owned()
        }
        "auth.issuer" if given.is_empty() => match config.auth.issuers.as_slice() {
            [only] if only.id == UNNAMED_ISSUER => UNNAMED_ISSUER.to_owned(),
            _ => given,
        },
        _ if option.secret && !given.is_empty() => REDACTED.to_owned(),
        _ => given,
    };
    let source = setting.map_or(Origin::Default, |setting| setting.origin.clone()).to_string();
    Some(Entry { option: option.path.to_owned(), value, source })
}

fn shown_keys(keys: &KeySource) -> String {
    match keys {
        KeySource::Static { algorithm, .. } => format!("key {REDACTED} {algorithm:?}"),
        KeySource::Jwks { location, algorithms } if algorithms.is_empty() => format!("jwks {location}"),
        KeySource::Jwks { location, algorithms } => format!("jwks {location} {algorithms:?}"),
    }
}

fn without_credentials(location: &str) -> String {
    match super::issuers::jwks(location, []) {
        Ok(KeySource::Jwks { location, .. }) => location.to_string(),
        _ => String::new(),
    }
}

/// The entries as text: one line each, with the source as a comment.
pub fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    let shown = |entry: &Entry| format!("{} = {:?}", entry.option, entry.value);
    let width = entries.iter().map(|entry| shown(entry).chars().count()).filter(|width| *width <= 60).max();
    for entry in entries {
        let (shown, width) = (shown(entry), width.unwrap_or_default());
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{shown:width$}  # {}", entry.source);
    }
    text
}
