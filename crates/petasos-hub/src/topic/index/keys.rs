//! Small containers that give back what they do not need: an index lives through millions of subscribers.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hash},
};

/// Maps below this capacity are left alone.
const SMALL: usize = 64;

/// Gives back memory of a map that has become sparse. Called after each removal it costs constant time on average, as
/// the map halves at least.
pub(super) fn shrink<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.is_empty() {
        map.shrink_to(0);
    } else if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

/// A set of subscribers that is never empty. Most matchers have one subscriber, some have all of them; the latter come
/// out in order, so that the hits of a popular topic need no sorting.
#[derive(Clone, Debug)]
pub(super) enum KeySet<K> {
    One(K),
    Many(BTreeSet<K>),
}

impl<K: Copy + Ord> KeySet<K> {
    pub(super) fn insert(&mut self, key: K) {
        match self {
            Self::One(only) if *only == key => {}
            Self::One(only) => *self = Self::Many([*only, key].into()),
            Self::Many(keys) => {
                keys.insert(key);
            }
        }
    }

    /// Takes `key` out; `false` where that would leave the set empty, and the whole set has to go.
    #[must_use]
    pub(super) fn remove(&mut self, key: K) -> bool {
        match self {
            Self::One(only) => *only != key,
            Self::Many(keys) => {
                keys.remove(&key);
                if let (1, Some(&only)) = (keys.len(), keys.first()) {
                    *self = Self::One(only);
                }
                true
            }
        }
    }

    pub(super) fn append_to(&self, hits: &mut Vec<K>) {
        match self {
            Self::One(only) => hits.push(*only),
            Self::Many(keys) => hits.extend(keys),
        }
    }
}

/// Adds `key` to the set under `of`.
pub(super) fn add<M: Eq + Hash, K: Copy + Ord>(sets: &mut HashMap<M, KeySet<K>>, of: M, key: K) {
    sets.entry(of).and_modify(|keys| keys.insert(key)).or_insert(KeySet::One(key));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys(set: &KeySet<u32>) -> Vec<u32> {
        let mut hits = Vec::new();
        set.append_to(&mut hits);
        hits
    }

    #[test]
    fn a_set_grows_and_shrinks() {
        let mut set = KeySet::One(2);
        set.insert(2);
        assert_eq!(keys(&set), [2]);
        set.insert(1);
        set.insert(3);
        assert_eq!(keys(&set), [1, 2, 3]);
        assert!(set.remove(9));
        assert!(set.remove(1));
        assert!(set.remove(3));
        assert!(matches!(set, KeySet::One(2)));
        assert!(set.remove(9));
        assert!(!set.remove(2));
    }

    #[test]
    fn a_sparse_map_gives_memory_back() {
        let mut map: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        for n in 0..9_990 {
            map.remove(&n);
            shrink(&mut map);
        }
        assert!(map.capacity() <= SMALL, "{}", map.capacity());
        map.clear();
        shrink(&mut map);
        assert_eq!(map.capacity(), 0);
    }
}
