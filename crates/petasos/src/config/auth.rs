//! Issuers and keys: the simple ones from options, those with blocks of their own, and whether together they make sense.

use std::{cmp::Ordering, collections::BTreeMap};

use petasos_hub::auth::{
    Algorithm, AuthConfig, Authenticator, Compatibility, IssuerConfig, JwksLocation, KeySource,
};

use super::{
    DevMode,
    issuers::{jwks, static_key},
    origin::Origin,
    reader::Reader,
    surroundings::Files,
};

/// The issuer that keys without one are for where tokens of version 1.0 come all the same (decided as the reference hub's
/// image does).
pub(super) const UNNAMED_ISSUER: &str = "https://localhost";

const NO_ISSUER: &str = "keys without an issuer are a 0.x configuration, and protocol_version_compatibility is off: set \
    MERCURE_TRUSTED_ISSUERS to the iss of your tokens, or leave protocol_version_compatibility out";

const OLD_KEYS_UNUSED: &str = "this key verifies tokens of version 0.x only, and with issuers named those are not read unless \
    asked for: set protocol_version_compatibility 8, or leave the key out";

const MODE_BY_ITSELF: &str = "version 0.x of the protocol is served beside 1.0, because keys are given and no issuer is named; \
    once all clients speak 1.0, set MERCURE_TRUSTED_ISSUERS to the iss of your tokens, and 0.x is off";

const MODE_ASKED_FOR: &str = "version 0.x of the protocol is served beside 1.0 (protocol_version_compatibility); once all \
    clients speak 1.0, leave that out";

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
    let mode = Mode::read(reader);
    let keys = Keys::read(reader);
    let is_named = has_blocks || !reader.list("auth.issuer").is_empty();
    let compatibility = keys.compatibility(reader, mode, is_named, has_blocks);
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

/// What is said about the compatibility mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing: it depends on the rest.
    Unsaid,
    Off,
    On,
}

impl Mode {
    fn read(reader: &mut Reader<'_>) -> Self {
        match reader.choice("protocol_version_compatibility", &["off", "7", "8"]) {
            "" => Self::Unsaid,
            "off" => Self::Off,
            _ => Self::On,
        }
    }
}

/// The keys of one role among the options, and where they come from. No keys where they are wrong.
type RoleKeys = Option<(Option<KeySource>, Origin)>;

/// All keys that stand in no issuer's block.
struct Keys {
    /// `auth.*`, which the issuers of `auth.issuer` share.
    publisher: RoleKeys,
    subscriber: RoleKeys,
    /// `legacy.*`
    old_publisher: RoleKeys,
    old_subscriber: RoleKeys,
}

impl Keys {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            publisher: role_keys(
                reader,
                [
                    "auth.publisher_jwt_key",
                    "auth.publisher_jwt_alg",
                    "auth.publisher_jwks",
                    "auth.publisher_jwks_algs",
                ],
            ),
            subscriber: role_keys(
                reader,
                [
                    "auth.subscriber_jwt_key",
                    "auth.subscriber_jwt_alg",
                    "auth.subscriber_jwks",
                    "auth.subscriber_jwks_algs",
                ],
            ),
            old_publisher: role_keys(
                reader,
                [
                    "legacy.publisher_jwt_key",
                    "legacy.publisher_jwt_alg",
                    "legacy.publisher_jwks",
                    "legacy.publisher_jwks_algs",
                ],
            ),
            old_subscriber: role_keys(
                reader,
                [
                    "legacy.subscriber_jwt_key",
                    "legacy.subscriber_jwt_alg",
                    "legacy.subscriber_jwks",
                    "legacy.subscriber_jwks_algs",
                ],
            ),
        }
    }

    /// Where the keys for issuers come from.
    fn simple(&self) -> impl Iterator<Item = &Origin> {
        [&self.publisher, &self.subscriber].into_iter().flatten().map(|(_, origin)| origin)
    }

    /// Where the keys for tokens of version 0.x come from.
    fn old(&self) -> impl Iterator<Item = &Origin> {
        [&self.old_publisher, &self.old_subscriber].into_iter().flatten().map(|(_, origin)| origin)
    }

    fn any(&self) -> impl Iterator<Item = &Origin> {
        self.simple().chain(self.old())
    }

    /// Whether version 0.x is served, and with which keys that no issuer has; the operator is told.
    fn compatibility(
        &self,
        reader: &mut Reader<'_>,
        mode: Mode,
        is_named: bool,
        has_blocks: bool,
    ) -> Option<Compatibility> {
        let by_itself = !is_named && self.any().next().is_some();
        match mode {
            Mode::Off => {
                self.old().for_each(|origin| reader.problems.at(origin, OLD_KEYS_UNUSED));
                if by_itself {
                    self.simple().for_each(|origin| reader.problems.at(origin, NO_ISSUER));
                }
                return None;
            }
            Mode::Unsaid if !by_itself => {
                self.old().for_each(|origin| reader.problems.at(origin, OLD_KEYS_UNUSED));
                return None;
            }
            Mode::Unsaid => reader.problems.note(MODE_BY_ITSELF),
            Mode::On => reader.problems.note(MODE_ASKED_FOR),
        }
        // Keys that the issuers share are theirs; where those have blocks, or there are none, they are nobody's.
        let are_shared = is_named && !has_blocks;
        let of = |old: &RoleKeys, simple: &RoleKeys| {
            let simple = simple.as_ref().filter(|_| !are_shared);
            old.as_ref().or(simple).and_then(|(keys, _)| keys.clone())
        };
        Some(Compatibility {
            publisher: of(&self.old_publisher, &self.publisher),
            subscriber: of(&self.old_subscriber, &self.subscriber),
        })
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
            let text =
                "this issuer has no keys: set MERCURE_PUBLISHER_JWT_KEY, MERCURE_SUBSCRIBER_JWT_KEY, or both";
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

/// The keys that four options give: a key, its algorithm, a set, its algorithms.
fn role_keys(
    reader: &mut Reader<'_>,
    [key_option, algorithm_option, set_option, algorithms_option]: [&str; 4],
) -> RoleKeys {
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
    // What the unnamed issuer and version 0.x have in common is told once.
    if parsable.issuers.iter().any(|issuer| issuer.id == UNNAMED_ISSUER) {
        parsable.compatibility = None;
    }
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
    let unnamed = config.issuers.iter().any(|issuer| issuer.id == UNNAMED_ISSUER);
    for (place, keys) in of_issuers.chain(without_issuer.into_iter().filter(|_| !unnamed)) {
        let Some(KeySource::Jwks { location: JwksLocation::File(path), .. }) = keys else { continue };
        if !files.is_file(path) {
            reader.problems.warn(format!("{place}: there is no file {}", path.display()));
        }
    }
}
