//! Issuers and keys: the simple ones from options, those with blocks of their own, and whether together they make sense.

use std::collections::BTreeMap;

use petasos_hub::auth::{Algorithm, AuthConfig, Authenticator, IssuerConfig, JwksLocation, KeySource};

use super::{
    DevMode,
    keys::{Keys, Mode, RoleKeys},
    origin::Origin,
    reader::Reader,
    surroundings::Files,
};

/// The issuer that keys without one are for where tokens of version 1.0 come all the same (decided as the reference hub's
/// image does).
pub(super) const UNNAMED_ISSUER: &str = "https://localhost";

const UNUSED_KEY: &str =
    "no issuer uses this key: name its issuer in MERCURE_TRUSTED_ISSUERS, or use it in an issuer block";

const NO_KEYS: &str =
    "this issuer has no keys: set MERCURE_PUBLISHER_JWT_KEY, MERCURE_SUBSCRIBER_JWT_KEY, or both";

const OLD_KEYS_ONLY: &str = "this issuer has no keys: those of publisher_jwt, subscriber_jwt, publisher_jwks_url, \
    subscriber_jwks_url and legacy.* are for tokens of version 0.x only; give the same keys in place of them as \
    MERCURE_PUBLISHER_JWT_KEY and MERCURE_SUBSCRIBER_JWT_KEY (key sets as PETASOS_PUBLISHER_JWKS and \
    PETASOS_SUBSCRIBER_JWKS), which are for both versions";

const NO_PUBLISHER: &str = "nobody could publish, as no key of a publisher is configured: set MERCURE_PUBLISHER_JWT_KEY and \
    MERCURE_TRUSTED_ISSUERS, or add [[issuers]] to petasos.toml; to try things out on this machine, start with --dev; to \
    take updates without a token in a closed network, set PETASOS_ANONYMOUS_PUBLISH=true";

/// Makes the configuration of tokens and keys.
pub(super) fn build(reader: &mut Reader<'_>, dev: Option<&DevMode>, files: &dyn Files) -> AuthConfig {
    let mut all = Issuers::default();
    for draft in reader.layers.issuers() {
        all.add(reader, draft.config.clone(), &draft.origin);
    }
    let has_blocks = !all.by_id.is_empty();
    let mode = Mode::read(reader);
    let keys = Keys::read(reader);
    let is_named = has_blocks || !reader.list("auth.issuer").is_empty();
    let compatibility = keys.compatibility(reader, mode, is_named);
    let issuers = match &compatibility {
        // Nobody else can have them; tokens of version 1.0 come from here.
        Some(old) if !is_named && keys.any().next().is_some() => {
            let issuer = IssuerConfig {
                id: UNNAMED_ISSUER.to_owned(),
                authorization_server: false,
                publisher: old.publisher.clone(),
                subscriber: old.subscriber.clone(),
            };
            vec![(issuer, Origin::Default)]
        }
        _ => simple_issuers(reader, &keys, compatibility.is_some(), has_blocks),
    };
    for (issuer, origin) in issuers {
        all.add(reader, issuer, &origin);
    }
    if let Some(dev) = dev {
        let keys = KeySource::Static { key: dev.secret.clone(), algorithm: Algorithm::HS256 };
        let issuer = IssuerConfig {
            id: dev.issuer.clone(),
            authorization_server: false,
            publisher: Some(keys.clone()),
            subscriber: Some(keys),
        };
        all.add(reader, issuer, &Origin::Dev);
    }
    let config = AuthConfig {
        issuers: all.issuers,
        anonymous: reader.switch("auth.anonymous"),
        anonymous_publish: reader.switch("auth.anonymous_publish"),
        compatibility,
    };
    tell_about_roles(reader, &config);
    // What it and version 0.x have in common is told once. An issuer that somebody called so has keys of its own.
    let is_unnamed = matches!(all.by_id.get(UNNAMED_ISSUER), Some(Origin::Default));
    let mut told = config.clone();
    if is_unnamed {
        told.compatibility = None;
    }
    tell_about_keys(reader, &told);
    tell_about_missing_sets(reader, &told, files);
    config
}

/// Issuers whose ids differ.
#[derive(Default)]
struct Issuers {
    issuers: Vec<IssuerConfig>,
    by_id: BTreeMap<String, Origin>,
}

impl Issuers {
    fn add(&mut self, reader: &mut Reader<'_>, issuer: IssuerConfig, origin: &Origin) {
        match self.by_id.get(&issuer.id) {
            Some(other) => {
                let text = format!("the issuer {} has keys already, from {other}", issuer.id);
                reader.problems.at(origin, text);
            }
            None => {
                self.by_id.insert(issuer.id.clone(), origin.clone());
                self.issuers.push(issuer);
            }
        }
    }
}

/// The issuers of `auth.issuer`, which share the keys of the `auth.*` options.
fn simple_issuers(
    reader: &mut Reader<'_>,
    keys: &Keys,
    compatible: bool,
    has_blocks: bool,
) -> Vec<(IssuerConfig, Origin)> {
    let ids = reader.list("auth.issuer");
    let authorization_server = reader.switch("auth.authorization_server");
    let origin = reader.origin("auth.issuer");
    match (ids.as_slice(), keys.simple().next()) {
        ([], Some(_)) if has_blocks && !compatible => {
            // A key that directives took up by a placeholder is in use there.
            let is_placed = |origin: &Origin| matches!(origin, Origin::Variable(name) if reader.layers.placed.contains(name));
            for origin in keys.simple().filter(|origin| !is_placed(origin)) {
                reader.problems.at(origin, UNUSED_KEY);
            }
        }
        ([_, ..], None) if !has_blocks => {
            let text = if keys.old().next().is_some() { OLD_KEYS_ONLY } else { NO_KEYS };
            reader.problems.at(&origin, text);
        }
        // The issuers have blocks with their keys; naming them once more is what an image's environment does.
        ([_, ..], None) => return Vec::new(),
        _ => {}
    }
    let of = |role: &RoleKeys| role.as_ref().and_then(|(keys, _)| keys.clone());
    ids.into_iter()
        .map(|id| IssuerConfig {
            id,
            authorization_server,
            publisher: of(&keys.publisher),
            subscriber: of(&keys.subscriber),
        })
        .map(|issuer| (issuer, origin.clone()))
        .collect()
}

/// Says so where nobody could publish (an error) or subscribe (a warning).
fn tell_about_roles(reader: &mut Reader<'_>, config: &AuthConfig) {
    if reader.problems.has_errors() {
        // A role may lack keys only because what was given is wrong.
        return;
    }
    let old = config.compatibility.clone().unwrap_or_default();
    let nobody_publishes =
        old.publisher.is_none() && config.issuers.iter().all(|issuer| issuer.publisher.is_none());
    let nobody_subscribes =
        old.subscriber.is_none() && config.issuers.iter().all(|issuer| issuer.subscriber.is_none());
    if !config.anonymous_publish && nobody_publishes {
        reader.problems.error(NO_PUBLISHER);
    }
    if !config.anonymous && nobody_subscribes {
        reader.problems.warn(
            "nobody can subscribe: no key of a subscriber is configured, and anonymous subscribers are not allowed; set \
             MERCURE_SUBSCRIBER_JWT_KEY or PETASOS_ANONYMOUS=true",
        );
    }
    if config.anonymous_publish {
        reader.problems.warn("updates are taken without a token from whoever can reach this hub");
    }
}

/// Parses all keys, and passes on what is to be said about those that protect little.
fn tell_about_keys(reader: &mut Reader<'_>, config: &AuthConfig) {
    let mut parsable = config.clone();
    // Where the keys are wrong, that has been said.
    parsable.issuers.retain(|issuer| issuer.publisher.is_some() || issuer.subscriber.is_some());
    match Authenticator::new(parsable) {
        Ok(authenticator) => {
            for warning in authenticator.warnings() {
                reader.problems.warn(warning);
            }
        }
        Err(error) => {
            for line in error.0.lines() {
                reader.problems.error(line);
            }
        }
    }
}

/// A key set whose file is not there verifies nothing until it comes: a mistyped path, or a URL without its scheme.
fn tell_about_missing_sets(reader: &mut Reader<'_>, config: &AuthConfig, files: &dyn Files) {
    let old = config.compatibility.clone().unwrap_or_default();
    let of_issuers = config.issuers.iter().flat_map(|issuer| {
        let place = |role: &str| format!("issuer {}, keys of {role}", issuer.id);
        [(place("publishers"), &issuer.publisher), (place("subscribers"), &issuer.subscriber)]
    });
    let without_issuer = [
        ("keys of publishers without an issuer".to_owned(), &old.publisher),
        ("keys of subscribers without an issuer".to_owned(), &old.subscriber),
    ];
    for (place, keys) in of_issuers.chain(without_issuer) {
        let Some(KeySource::Jwks { location: JwksLocation::File(path), .. }) = keys else { continue };
        if !files.is_file(path) {
            reader.problems.warn(format!("{place}: there is no file {}", path.display()));
        }
    }
}
