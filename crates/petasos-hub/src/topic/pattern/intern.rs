//! One compiled object for all URL patterns with the same value and base.

use std::sync::{Arc, LazyLock};

use super::{
    super::{Base, MatcherError, intern::Interner},
    Pattern,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    value: Arc<str>,
    base: Base,
}

static PATTERNS: LazyLock<Interner<Key, Pattern>> = LazyLock::new(Interner::new);

/// The compiled form of a pattern: an existing one, or a new one.
///
/// # Errors
/// Where `value` is no pattern. Failures are not kept.
pub(in crate::topic) fn intern(value: &str, base: &Base) -> Result<Arc<Pattern>, MatcherError> {
    let key = Key { value: value.into(), base: base.clone() };
    PATTERNS.intern(key, |key, hash| Pattern::compile(key.value.clone(), key.base.clone(), hash))
}

impl Drop for Pattern {
    fn drop(&mut self) {
        PATTERNS.forget(Key { value: self.value.clone(), base: self.base.clone() });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::*, *};

    fn is_interned(value: &str, base: &Base) -> bool {
        PATTERNS.knows(&Key { value: value.into(), base: base.clone() })
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
