//! Verified tokens, so that a signature is verified once and not for every request. Bounded in bytes.
//!
//! Whole tokens are compared and not hashes of them, so that nobody can construct two that look the same; the hash that
//! finds them is keyed with a secret of the process. Only tokens that passed every check are kept.

use std::{
    hash::{Hash, Hasher, RandomState},
    sync::Arc,
};

use quick_cache::{Equivalent, Weighter, sync};
use zeroize::Zeroizing;

use super::{Role, claims::Validity, grant::Rights, jwks::KeySet};
use crate::topic::Base;

/// All entries together. A token of 1 KiB with its grant takes about 1.5 KiB, so that the tokens of ten thousand
/// clients fit.
const CACHE_BYTES: u64 = 16 << 20;

/// A low estimate: the cache is split into parts of at least 32 expected entries, and each part must have room for the
/// largest token there can be.
const EXPECTED_ENTRIES: usize = 1_000;

/// What an entry costs beside what it points to: its place in the table, the hash, headers of allocations.
const ENTRY_BYTES: usize = 200;

/// What a token is verified for: the same token may be good for one use and not for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Use<'a> {
    pub(super) role: Role,
    pub(super) audience: &'a str,
    pub(super) base: &'a Base,
    pub(super) token: &'a str,
}

struct Key {
    role: Role,
    audience: Box<str>,
    base: Base,
    token: Zeroizing<String>,
}

impl Key {
    fn as_use(&self) -> Use<'_> {
        Use { role: self.role, audience: &self.audience, base: &self.base, token: &self.token }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_use() == other.as_use()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_use().hash(state);
    }
}

impl Equivalent<Key> for Use<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.as_use()
    }
}

/// A token that passed every check.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) rights: Arc<Rights>,
    /// Checked again at every use.
    pub(super) validity: Validity,
    /// With which keys it was verified; other keys, and it must be verified again.
    pub(super) keys: KeyVersion,
}

/// Which keys a token was verified with.
#[derive(Clone, Debug)]
pub(super) struct KeyVersion {
    /// Of the configuration.
    pub(super) epoch: u64,
    /// The key set and its generation, if the key was in one.
    pub(super) set: Option<(Arc<KeySet>, u64)>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Verified> for ByBytes {
    fn weight(&self, key: &Key, verified: &Verified) -> u64 {
        let bytes = ENTRY_BYTES
            + size_of::<Key>()
            + size_of::<Verified>()
            + key.token.len()
            + key.audience.len()
            + verified.rights.weight_bytes();
        bytes as u64
    }
}

type Lifecycle = sync::DefaultLifecycle<Key, Verified>;

/// The cache. Shared by all requests.
pub(super) struct GrantCache(sync::Cache<Key, Verified, ByBytes, RandomState, Lifecycle>);

impl GrantCache {
    pub(super) fn new() -> Self {
        Self(sync::Cache::with(
            EXPECTED_ENTRIES,
            CACHE_BYTES,
            ByBytes,
            RandomState::new(),
            Lifecycle::default(),
        ))
    }

    pub(super) fn get(&self, wanted: &Use<'_>) -> Option<Verified> {
        self.0.get(wanted)
    }

    pub(super) fn insert(&self, wanted: &Use<'_>, verified: Verified) {
        let key = Key {
            role: wanted.role,
            audience: wanted.audience.into(),
            base: wanted.base.clone(),
            token: Zeroizing::new(wanted.token.to_owned()),
        };
        self.0.insert(key, verified);
    }

    pub(super) fn remove(&self, wanted: &Use<'_>) {
        self.0.remove(wanted);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for GrantCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("GrantCache").field("entries", &self.0.len()).finish_non_exhaustive()
    }
}
