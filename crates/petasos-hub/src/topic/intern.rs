//! One compiled object for all matchers with the same value, process-wide.
//!
//! A table holds weak references: an object lives as long as a matcher has it and takes its entry along when it goes, so
//! that a table is bounded by the matchers that are alive. Each shard has its own lock, held for one look-up or one
//! insertion, never while something compiles, and never while one is dropped: dropping takes the lock.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

/// Enough that the cores of a large machine seldom meet.
const SHARDS: usize = 16;

type Shard<K, V> = Mutex<HashMap<K, Weak<V>>>;

/// The objects of one kind that are alive, by what they were made from.
pub(super) struct Interner<K, V> {
    hasher: RandomState,
    shards: [Shard<K, V>; SHARDS],
}

impl<K: Eq + Hash, V> Interner<K, V> {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Shard::default()) }
    }

    fn shard(&self, hash: u64) -> &Shard<K, V> {
        &self.shards[hash as usize % SHARDS]
    }

    /// An existing object, or a new one. `compile` is given the key and its hash.
    ///
    /// # Errors
    /// Those of `compile`. Failures are not kept.
    pub(super) fn intern<E>(
        &self,
        key: K,
        compile: impl FnOnce(&K, u64) -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let hash = self.hasher.hash_one(&key);
        let shard = self.shard(hash);
        if let Some(known) = shard.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let compiled = Arc::new(compile(&key, hash)?);
        let mut objects = shard.lock();
        match objects.entry(key) {
            Entry::Occupied(mut entry) => {
                if let Some(earlier) = entry.get().upgrade() {
                    // Somebody was faster. Ours is dropped after the lock: the guard was declared later.
                    return Ok(earlier);
                }
                entry.insert(Arc::downgrade(&compiled));
            }
            Entry::Vacant(entry) => {
                entry.insert(Arc::downgrade(&compiled));
            }
        }
        drop(objects);
        Ok(compiled)
    }

    /// To be called when an object is dropped.
    pub(super) fn forget(&self, key: K) {
        let mut objects = self.shard(self.hasher.hash_one(&key)).lock();
        // Between the last reference and this point another one may have been compiled under the same key.
        if let Entry::Occupied(entry) = objects.entry(key)
            && entry.get().strong_count() == 0
        {
            entry.remove();
            if objects.capacity() > 64 && objects.len() < objects.capacity() / 4 {
                let room = objects.len() * 2;
                objects.shrink_to(room);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn knows(&self, key: &K) -> bool {
        self.shards.iter().any(|shard| shard.lock().contains_key(key))
    }
}
