//! One compiled object for all matchers with the same value and base, process-wide.
//!
//! The table holds weak references: a pattern lives as long as a matcher has it and takes its entry along when it
//! goes, so the table is bounded by the matchers that are alive. Each shard has its own lock, held for one look-up or
//! one insertion, never while a pattern compiles, and never while one is dropped: dropping takes the lock.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Weak},
};

use parking_lot::Mutex;

use super::{
    super::{Base, MatcherError},
    Pattern,
};

/// Enough that the cores of a large machine seldom meet.
const SHARDS: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    value: Arc<str>,
    base: Base,
}

type Shard = Mutex<HashMap<Key, Weak<Pattern>>>;

struct Table {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table { hasher: RandomState::new(), shards: std::array::from_fn(|_| Shard::default()) });

impl Table {
    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[hash as usize % SHARDS]
    }
}

/// The compiled form of a pattern: an existing one, or a new one.
///
/// # Errors
/// Where `value` is no pattern. Failures are not kept.
pub(in crate::topic) fn intern(value: &str, base: &Base) -> Result<Arc<Pattern>, MatcherError> {
    let table = &*TABLE;
    let hash = table.hasher.hash_one((value, base));
    let key = Key { value: value.into(), base: base.clone() };
    let shard = table.shard(hash);
    if let Some(pattern) = shard.lock().get(&key).and_then(Weak::upgrade) {
        return Ok(pattern);
    }
    let compiled = Arc::new(Pattern::compile(key.value.clone(), key.base.clone(), hash)?);
    let mut patterns = shard.lock();
    match patterns.entry(key) {
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
    drop(patterns);
    Ok(compiled)
}

impl Drop for Pattern {
    fn drop(&mut self) {
        let key = Key { value: self.value.clone(), base: self.base.clone() };
        let mut patterns = TABLE.shard(self.hash).lock();
        // Between the last reference and this point another one may have been compiled under the same key.
        if let Entry::Occupied(entry) = patterns.entry(key)
            && entry.get().strong_count() == 0
        {
            entry.remove();
            if patterns.capacity() > 64 && patterns.len() < patterns.capacity() / 4 {
                let room = patterns.len() * 2;
                patterns.shrink_to(room);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_interned(value: &str, base: &Base) -> bool {
        let key = Key { value: value.into(), base: base.clone() };
        TABLE.shards.iter().any(|shard| shard.lock().contains_key(&key))
    }

    #[test]
    fn m02_equal_patterns_are_one_object_and_leave_nothing_behind() {
        let base = Base::parse("https://intern.example/.well-known/mercure").unwrap();
        let other_base = Base::parse("https://other.intern.example/.well-known/mercure").unwrap();
        let first = intern("/interned/:id", &base).unwrap();
        let second = intern("/interned/:id", &base).unwrap();
        let third = intern("/interned/:id", &other_base).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &third));
        assert_ne!(first, third);
        drop(first);
        assert!(is_interned("/interned/:id", &base));
        drop(second);
        assert!(!is_interned("/interned/:id", &base));
        assert!(is_interned("/interned/:id", &other_base));
        assert!(intern("/interned/:id", &base).is_ok());
    }

    #[test]
    fn m02_a_failure_is_not_kept() {
        let base = Base::parse("https://intern.example/.well-known/mercure").unwrap();
        assert_eq!(intern("/interned/(", &base).err(), Some(MatcherError::Malformed));
        assert!(!is_interned("/interned/(", &base));
    }

    #[test]
    fn m02_threads_share_one_object() {
        let base = Base::parse("https://threads.example/.well-known/mercure").unwrap();
        let kept: Vec<Arc<Pattern>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            drop(intern("/threads/:id", &base).unwrap());
                        }
                        intern("/threads/:id", &base).unwrap()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(kept.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])));
        let again = intern("/threads/:id", &base).unwrap();
        assert!(Arc::ptr_eq(&again, kept.last().unwrap()));
    }
}
