//! Issuers and keys: the simple ones from options, those with blocks of their own, and whether together they make sense.

use std::{cmp::Ordering, collections::BTreeMap};

use petasos_hub::auth::{Algorithm, AuthConfig, Authenticator, IssuerConfig, JwksLocation, KeySource, Role};

use super::{
    DevMode,
    issuers::{jwks, static_key},
    origin::Origin,
    reader::Reader,
    surroundings::Files,
};

const NO_ISSUER: &str = "keys without an issuer are a 0.x configuration, whose compatibility mode does not exist yet: set \
    MERCURE_TRUSTED_ISSUERS to the iss of your tokens";

const UNUSED_KEY: &str =
    "no issuer uses this key: name its issuer in MERCURE_TRUSTED_ISSUERS, or use it in an issuer block";

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
    for (issuer, origin) in simple_issuers(reader, has_blocks) {
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
    };
    tell_about_roles(reader, &config);
    tell_about_keys(reader, &config);
    tell_about_missing_sets(reader, &config, files);
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
fn simple_issuers(reader: &mut Reader<'_>, has_blocks: bool) -> Vec<(IssuerConfig, Origin)> {
    let ids = reader.list("auth.issuer");
    let publisher = simple_keys(reader, Role::Publisher);
    let subscriber = simple_keys(reader, Role::Subscriber);
    let authorization_server = reader.switch("auth.authorization_server");
    let origin = reader.origin("auth.issuer");
    let given: Vec<_> = [&publisher, &subscriber].into_iter().flatten().map(|(_, origin)| origin).collect();
    match (ids.as_slice(), given.first()) {
        ([], Some(_)) if has_blocks => {
            // A key that directives took up by a placeholder is in use there.
            let is_placed = |origin: &Origin| matches!(origin, Origin::Variable(name) if reader.layers.placed.contains(name));
            for origin in given.into_iter().filter(|origin| !is_placed(origin)) {
                reader.problems.at(origin, UNUSED_KEY);
            }
        }
        ([], Some(origin)) => reader.problems.at(origin, NO_ISSUER),
        ([_, ..], None) if !has_blocks => {
            let text =
                "this issuer has no keys: set MERCURE_PUBLISHER_JWT_KEY, MERCURE_SUBSCRIBER_JWT_KEY, or both";
            reader.problems.at(&origin, text);
        }
        // The issuers have blocks with their keys; naming them once more is what an image's environment does.
        ([_, ..], None) => return Vec::new(),
        _ => {}
    }
    let keys = |role: &Option<(Option<KeySource>, Origin)>| role.as_ref().and_then(|(keys, _)| keys.clone());
    ids.into_iter()
        .map(|id| IssuerConfig {
            id,
            authorization_server,
            publisher: keys(&publisher),
            subscriber: keys(&subscriber),
        })
        .map(|issuer| (issuer, origin.clone()))
        .collect()
}

/// The keys of one role among the `auth.*` options. `None` where none are given, no keys where they are wrong.
fn simple_keys(reader: &mut Reader<'_>, role: Role) -> Option<(Option<KeySource>, Origin)> {
    let [key_option, algorithm_option, set_option, algorithms_option] = match role {
        Role::Publisher => [
            "auth.publisher_jwt_key",
            "auth.publisher_jwt_alg",
            "auth.publisher_jwks",
            "auth.publisher_jwks_algs",
        ],
        Role::Subscriber => [
            "auth.subscriber_jwt_key",
            "auth.subscriber_jwt_alg",
            "auth.subscriber_jwks",
            "auth.subscriber_jwks_algs",
        ],
    };
    let key = reader.text(key_option).map(|text| (text, reader.origin(key_option)));
    let set = reader.text(set_option).map(|text| (text, reader.origin(set_option)));
    let order = match (&key, &set) {
        (Some((_, key)), Some((_, set))) => key.rank().cmp(&set.rank()),
        (Some(_), None) => Ordering::Greater,
        (None, _) => Ordering::Less,
    };
    // As everywhere, the later layer wins.
    let (result, origin) = match (key, set) {
        (Some((_, origin)), Some((_, other))) if order == Ordering::Equal => {
            (Err(format!("{other} is given as well: a key or a JWK set, not both")), origin)
        }
        (Some((key, origin)), _) if order == Ordering::Greater => {
            let stated = reader.origin(algorithm_option).is_explicit().then(|| reader.text(algorithm_option));
            (static_key(&key, stated.flatten().as_deref()), origin)
        }
        (_, Some((location, origin))) => {
            let algorithms = reader.list(algorithms_option);
            (jwks(&location, algorithms.iter().map(String::as_str)), origin)
        }
        (_, None) => return None,
    };
    let keys = reader.problems.check(&origin, result);
    Some((keys, origin))
}

/// Says so where nobody could publish (an error) or subscribe (a warning).
fn tell_about_roles(reader: &mut Reader<'_>, config: &AuthConfig) {
    if reader.problems.has_errors() {
        // A role may lack keys only because what was given is wrong.
        return;
    }
    if !config.anonymous_publish && config.issuers.iter().all(|issuer| issuer.publisher.is_none()) {
        reader.problems.error(NO_PUBLISHER);
    }
    if !config.anonymous && config.issuers.iter().all(|issuer| issuer.subscriber.is_none()) {
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
    for issuer in &config.issuers {
        for (role, keys) in [("publishers", &issuer.publisher), ("subscribers", &issuer.subscriber)] {
            let Some(KeySource::Jwks { location: JwksLocation::File(path), .. }) = keys else { continue };
            if !files.is_file(path) {
                let (id, path) = (&issuer.id, path.display());
                reader.problems.warn(format!("issuer {id}, keys of {role}: there is no file {path}"));
            }
        }
    }
}
