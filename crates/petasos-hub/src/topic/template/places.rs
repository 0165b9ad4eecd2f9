//! A set of places in a topic, one bit for each, so that none is in it twice.

const WORD_BITS: usize = u64::BITS as usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    words: Box<[u64]>,
}

impl Places {
    /// No place of a topic of so many bytes; the one behind its last byte is one of them.
    pub(super) fn none(topic_bytes: usize) -> Self {
        Self { words: vec![0; topic_bytes / WORD_BITS + 1].into() }
    }

    /// How many words a set of places in such a topic has, which is what it costs to make one.
    pub(super) fn words(topic_bytes: usize) -> usize {
        topic_bytes / WORD_BITS + 1
    }

    pub(super) fn insert(&mut self, place: usize) {
        self.words[place / WORD_BITS] |= 1 << (place % WORD_BITS);
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.words[place / WORD_BITS] & 1 << (place % WORD_BITS) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Adds all places of `other`, a set for the same topic.
    pub(super) fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// The first of them that is not before `place`.
    pub(super) fn first_from(&self, place: usize) -> Option<usize> {
        let mut index = place / WORD_BITS;
        let mut word = self.words.get(index)? & (u64::MAX << (place % WORD_BITS));
        while word == 0 {
            index += 1;
            word = *self.words.get(index)?;
        }
        Some(index * WORD_BITS + word.trailing_zeros() as usize)
    }

    /// All, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let place = self.first_from(from)?;
            from = place + 1;
            Some(place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_once_and_come_ascending() {
        for topic_bytes in [0, 63, 64, 65, 200] {
            let mut places = Places::none(topic_bytes);
            assert!(places.is_empty());
            assert_eq!(places.first_from(0), None);
            for place in [topic_bytes, topic_bytes / 2, topic_bytes / 2, 0] {
                places.insert(place);
            }
            let mut expected = vec![0, topic_bytes / 2, topic_bytes];
            expected.dedup();
            assert_eq!(places.iter().collect::<Vec<_>>(), expected);
            assert_eq!(places.first_from(topic_bytes + 1), None);
            assert!(places.contains(topic_bytes) && !places.is_empty());
            let mut both = Places::none(topic_bytes);
            both.unite(&places);
            assert_eq!(both, places);
        }
    }
}
