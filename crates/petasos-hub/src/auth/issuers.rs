//! The configured issuers, made ready: keys parsed, key sets known, everything that is wrong with them said at once
//! (A10, A17).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Algorithm, AuthConfig, AuthConfigError, JwksLocation, KeySource, Role,
    algorithm::list,
    finding::shown,
    jwks::{KeySet, Timing},
    keys::VerifyingKey,
    verify::MAX_KEYS_TRIED,
};

/// The secret in published examples of docker-compose files and framework recipes.
const EXAMPLE_SECRET: &[u8] = b"!ChangeThisMercureHubJWTSecretKey!";

/// All issuers. Replaced as a whole when keys are configured anew.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    /// In an order, so that the same keys are tried for the same token in every process.
    by_id: BTreeMap<String, Issuer>,
    /// Keys of the 0.x generation that no issuer has; `None` where old tokens are not read.
    old: Option<Issuer>,
    sets: Vec<Arc<KeySet>>,
    warnings: Vec<String>,
    /// Which configuration this is, counted up.
    pub(super) epoch: u64,
}

#[derive(Debug)]
struct Issuer {
    publisher: Option<Source>,
    subscriber: Option<Source>,
}

impl Issuer {
    fn keys(&self, role: Role) -> Option<&Source> {
        match role {
            Role::Publisher => self.publisher.as_ref(),
            Role::Subscriber => self.subscriber.as_ref(),
        }
    }
}

/// Keys that old tokens may be signed with.
#[derive(Debug)]
pub(super) struct OldKeys<'a> {
    pub(super) source: &'a Source,
    /// Whether an issuer has them, and signs other things with them.
    pub(super) of_issuer: bool,
}

/// The keys of one issuer for one role.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// One key with one algorithm.
    Static { key: VerifyingKey, algorithm: Algorithm },
    /// The keys of a set that fit an algorithm of the list.
    Set { set: Arc<KeySet>, algorithms: Arc<[Algorithm]> },
}

impl Issuers {
    /// Parses all keys. Key sets whose location `previous` knows keep what they have loaded.
    ///
    /// # Errors
    /// All that is wrong, one line each.
    pub(super) fn build(
        config: &AuthConfig,
        timing: &Timing,
        previous: Option<&Self>,
    ) -> Result<Self, AuthConfigError> {
        let mut built = Self { epoch: previous.map_or(0, |previous| previous.epoch + 1), ..Self::default() };
        let mut errors = Vec::new();
        for config in &config.issuers {
            let name = shown(&config.id);
            if config.id.is_empty() {
                errors.push("an issuer has an empty id; it must be what its tokens have as iss".to_owned());
            }
            if config.publisher.is_none() && config.subscriber.is_none() {
                errors.push(format!("issuer {name} has no keys, neither for publishers nor for subscribers"));
            }
            let mut source = |role: Role, keys: &Option<KeySource>| {
                let place = format!("issuer {name}, keys of {role}s");
                keys.as_ref().and_then(|keys| {
                    built
                        .source(&place, keys, timing, previous)
                        .map_err(|AuthConfigError(error)| errors.push(format!("{place}: {error}")))
                        .ok()
                })
            };
            let issuer = Issuer {
                publisher: source(Role::Publisher, &config.publisher),
                subscriber: source(Role::Subscriber, &config.subscriber),
            };
            if built.by_id.insert(config.id.clone(), issuer).is_some() {
                errors
                    .push(format!("issuer {name} is configured twice; put its keys for both roles into one"));
            }
        }
        if let Some(old) = &config.compatibility {
            let mut source = |role: Role, keys: &Option<KeySource>| {
                let place = format!("keys of {role}s without an issuer");
                keys.as_ref().and_then(|keys| {
                    built
                        .source(&place, keys, timing, previous)
                        .map_err(|AuthConfigError(error)| errors.push(format!("{place}: {error}")))
                        .ok()
                })
            };
            built.old = Some(Issuer {
                publisher: source(Role::Publisher, &old.publisher),
                subscriber: source(Role::Subscriber, &old.subscriber),
            });
        }
        if errors.is_empty() {
            built.warn_of_many_keys();
            Ok(built)
        } else {
            Err(AuthConfigError(errors.join("\n")))
        }
    }

    /// Old tokens need not name their issuer, and then not all keys are tried.
    fn warn_of_many_keys(&mut self) {
        for role in [Role::Publisher, Role::Subscriber] {
            for algorithm in Algorithm::ALL {
                let keys = self.old_keys(None, role);
                let count = keys.iter().filter(|keys| keys.source.allows(algorithm)).count();
                if count > MAX_KEYS_TRIED {
                    self.warn(format!(
                        "{count} keys of {role}s come into question for tokens of version 0.x with {algorithm} that name \
                         no issuer, and the first {MAX_KEYS_TRIED} are tried, by the ids of their issuers: let such tokens \
                         have an iss"
                    ));
                }
            }
        }
    }

    fn source(
        &mut self,
        place: &str,
        keys: &KeySource,
        timing: &Timing,
        previous: Option<&Self>,
    ) -> Result<Source, AuthConfigError> {
        match keys {
            KeySource::Static { key, algorithm } => {
                self.warn_of_secret(place, key.expose(), *algorithm);
                let key = VerifyingKey::from_config(key.expose(), *algorithm)
                    .map_err(|error| AuthConfigError(error.to_string()))?;
                Ok(Source::Static { key, algorithm: *algorithm })
            }
            KeySource::Jwks { location, algorithms } => {
                self.warn_of_location(place, location);
                let known = self.sets.iter().chain(previous.iter().flat_map(|previous| &previous.sets));
                let set = match known.into_iter().find(|set| set.location() == location) {
                    Some(set) => Arc::clone(set),
                    None => KeySet::new(location.clone(), timing.clone())?,
                };
                if !self.sets.iter().any(|kept| Arc::ptr_eq(kept, &set)) {
                    self.sets.push(Arc::clone(&set));
                }
                Ok(Source::Set { set, algorithms: allowlist(algorithms) })
            }
        }
    }

    fn warn_of_secret(&mut self, place: &str, secret: &[u8], algorithm: Algorithm) {
        if !algorithm.is_symmetric() {
            return;
        }
        if secret == EXAMPLE_SECRET {
            self.warn(format!(
                "{place}: the secret is the one of published examples, which everybody knows; change it"
            ));
        } else if secret.len() < algorithm.hash_bytes() {
            self.warn(format!(
                "{place}: the secret has {} bytes, {algorithm} needs {} to be as strong as its hash (RFC 7518, 3.2)",
                secret.len(),
                algorithm.hash_bytes()
            ));
        }
        if secret.last().is_some_and(u8::is_ascii_whitespace) {
            self.warn(format!(
                "{place}: the secret ends with white space, which counts; is a line break from a file left?"
            ));
        }
    }

    fn warn_of_location(&mut self, place: &str, location: &JwksLocation) {
        let JwksLocation::Url(url) = location else { return };
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() == "http" && !loopback {
            self.warn(format!(
                "{place}: {location} is fetched without encryption: who sits between can put in a key of their own"
            ));
        }
    }

    fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// Whether old tokens are read.
    pub(super) fn reads_old_tokens(&self) -> bool {
        self.old.is_some()
    }

    /// The keys that old tokens of `role` may be signed with: those without an issuer, and the static ones of issuers. Of
    /// the latter only those of the issuer that the token names, if it names one; old tokens need not. Always in the same
    /// order.
    pub(super) fn old_keys(&self, named: Option<&str>, role: Role) -> Vec<OldKeys<'_>> {
        let Some(old) = &self.old else { return Vec::new() };
        let without_issuer = old.keys(role).map(|source| OldKeys { source, of_issuer: false });
        let is_static = |source: &&Source| matches!(source, Source::Static { .. });
        let all = match named.and_then(|id| self.by_id.get(id)) {
            Some(issuer) => vec![issuer],
            None => self.by_id.values().collect(),
        };
        let of_issuers = all.into_iter().filter_map(|issuer| issuer.keys(role)).filter(is_static);
        without_issuer
            .into_iter()
            .chain(of_issuers.map(|source| OldKeys { source, of_issuer: true }))
            .collect()
    }

    /// The keys of `issuer` for `role`; the outer option tells whether it is configured at all (A10).
    pub(super) fn keys(&self, issuer: &str, role: Role) -> Option<Option<&Source>> {
        Some(self.by_id.get(issuer)?.keys(role))
    }

    /// The ids, for the operator.
    pub(super) fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<_> = self.by_id.keys().map(String::as_str).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn sets(&self) -> &[Arc<KeySet>] {
        &self.sets
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// An empty list means the asymmetric algorithms (A17).
fn allowlist(algorithms: &[Algorithm]) -> Arc<[Algorithm]> {
    if algorithms.is_empty() {
        Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()).collect()
    } else {
        algorithms.into()
    }
}

impl Source {
    /// Whether a token with this algorithm may be signed with one of them.
    pub(super) fn allows(&self, wanted: Algorithm) -> bool {
        match self {
            Self::Static { algorithm, .. } => *algorithm == wanted,
            Self::Set { algorithms, .. } => algorithms.contains(&wanted),
        }
    }

    /// What it takes, for the operator.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Static { algorithm, .. } => format!("one key for {algorithm}"),
            Self::Set { set, algorithms } => format!("key set {} for {}", set.location(), list(algorithms)),
        }
    }
}
