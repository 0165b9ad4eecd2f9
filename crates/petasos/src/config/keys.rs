//! The keys that stand in no issuer's block, and whether they make a 0.x configuration: whether that version of the protocol is
//! served (section L), and with which keys.

use std::cmp::Ordering;

use petasos_hub::auth::{Compatibility, KeySource};

use super::{
    issuers::{jwks, static_key},
    origin::Origin,
    reader::Reader,
};

const NO_ISSUER: &str = "keys without an issuer are a 0.x configuration, and protocol_version_compatibility is off: set \
    MERCURE_TRUSTED_ISSUERS to the iss of your tokens, or leave protocol_version_compatibility out";

const OLD_KEYS_UNUSED: &str = "this key verifies tokens of version 0.x only, and those are not read here: set \
    protocol_version_compatibility 8, or leave the key out";

const MODE_BY_ITSELF: &str = "version 0.x of the protocol is served beside 1.0, because keys are given and no issuer is named; \
    once all clients speak 1.0, set MERCURE_TRUSTED_ISSUERS to the iss of your tokens, and 0.x is off";

const MODE_ASKED_FOR: &str = "version 0.x of the protocol is served beside 1.0 (protocol_version_compatibility); once all \
    clients speak 1.0, leave that out";

/// What is said about the compatibility mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing: it depends on the rest.
    Unsaid,
    Off,
    On,
}

impl Mode {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        match reader.choice("protocol_version_compatibility", &["off", "7", "8"]) {
            "" => Self::Unsaid,
            "off" => Self::Off,
            _ => Self::On,
        }
    }
}

/// The keys of one role among the options, and where they come from. No keys where they are wrong.
pub(super) type RoleKeys = Option<(Option<KeySource>, Origin)>;

/// All keys that stand in no issuer's block.
pub(super) struct Keys {
    /// `auth.*`, which the issuers of `auth.issuer` share.
    pub(super) publisher: RoleKeys,
    pub(super) subscriber: RoleKeys,
    /// `legacy.*`
    old_publisher: RoleKeys,
    old_subscriber: RoleKeys,
}

impl Keys {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
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
    pub(super) fn simple(&self) -> impl Iterator<Item = &Origin> {
        [&self.publisher, &self.subscriber].into_iter().flatten().map(|(_, origin)| origin)
    }

    /// Where the keys for tokens of version 0.x come from.
    pub(super) fn old(&self) -> impl Iterator<Item = &Origin> {
        [&self.old_publisher, &self.old_subscriber].into_iter().flatten().map(|(_, origin)| origin)
    }

    pub(super) fn any(&self) -> impl Iterator<Item = &Origin> {
        self.simple().chain(self.old())
    }

    /// Whether version 0.x is served, and with which keys that no issuer has; the operator is told.
    pub(super) fn compatibility(
        &self,
        reader: &mut Reader<'_>,
        mode: Mode,
        is_named: bool,
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
        // Keys that the issuers of this list share are theirs, and are told from those that no issuer has (L08): a token
        // without a claim is nothing where an issuer's key signed it. Where all issuers have blocks, or there are none,
        // they are nobody's.
        let are_shared = !reader.list("auth.issuer").is_empty();
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
