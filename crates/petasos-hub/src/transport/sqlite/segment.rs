//! The index of one run of positions: which hashes of ids and topics occur at which offsets. Pure.
//!
//! A closed segment is a sorted block, searched in halves, with a Bloom filter in front of it; the open one is a short
//! list in memory. Hashes collide, so that whoever finds a position compares the row.

use xxhash_rust::xxh3::xxh3_64;

/// Positions per segment: a block is then some tens of kilobytes, and a million events need 245 filters.
pub(super) const SEGMENT_POSITIONS: u64 = 4_096;

/// Bits of a filter per entry: less than one look-up in a thousand goes to a block for nothing, which costs as much as
/// asking a hundred filters. Two megabytes for a million entries.
const FILTER_BITS_PER_ENTRY: usize = 16;

/// Probes per look-up; the best number for sixteen bits per entry is eleven, eight is nearly as good and cheaper.
const FILTER_PROBES: u64 = 8;

/// Bytes of an entry in a block: the hash, then the offset, big-endian, so that entries sort as bytes.
const ENTRY_BYTES: usize = 10;

/// The segment that covers a position.
pub(super) fn segment_of(position: u64) -> u64 {
    position / SEGMENT_POSITIONS
}

/// The hash of an id or a topic.
pub(super) fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Hashes with the offsets at which they occur, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<(u64, u16)>);

impl Entries {
    pub(super) fn push(&mut self, hash: u64, offset: u16) {
        self.0.push((hash, offset));
    }

    /// The offsets of `hash`, ascending.
    pub(super) fn offsets(&self, hash: u64) -> impl Iterator<Item = u16> {
        self.0.iter().filter(move |entry| entry.0 == hash).map(|entry| entry.1)
    }

    /// The sorted block and its filter.
    pub(super) fn close(&self) -> (Vec<u8>, Filter) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let mut block = Vec::with_capacity(sorted.len() * ENTRY_BYTES);
        let mut filter = Filter::for_entries(sorted.len());
        for (hash, offset) in sorted {
            block.extend_from_slice(&hash.to_be_bytes());
            block.extend_from_slice(&offset.to_be_bytes());
            filter.insert(hash);
        }
        (block, filter)
    }
}

/// The offsets of `hash` in a closed block, ascending.
pub(super) fn offsets_in_block(block: &[u8], hash: u64) -> Vec<u16> {
    let (entries, _) = block.as_chunks::<ENTRY_BYTES>();
    let wanted = hash.to_be_bytes();
    let first = entries.partition_point(|entry| entry[..8] < wanted[..]);
    entries[first..]
        .iter()
        .take_while(|entry| entry[..8] == wanted[..])
        .map(|entry| u16::from_be_bytes([entry[8], entry[9]]))
        .collect()
}

/// A Bloom filter: says for certain that a hash does not occur.
#[derive(Clone, Debug)]
pub(super) struct Filter(Box<[u8]>);

impl Filter {
    fn for_entries(entries: usize) -> Self {
        Self(vec![0; (entries * FILTER_BITS_PER_ENTRY).div_ceil(8).max(1)].into_boxed_slice())
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes.into_boxed_slice())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn insert(&mut self, hash: u64) {
        for bit in self.bits(hash) {
            self.0[bit / 8] |= 1 << (bit % 8);
        }
    }

    pub(super) fn may_contain(&self, hash: u64) -> bool {
        !self.0.is_empty() && self.bits(hash).all(|bit| self.0[bit / 8] & (1 << (bit % 8)) != 0)
    }

    fn bits(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.0.len() as u64 * 8;
        // Two halves of the hash stand for as many independent ones as are needed (Kirsch and Mitzenmacher, 2006).
        let step = hash.rotate_left(32) | 1;
        (0..FILTER_PROBES).map(move |probe| (hash.wrapping_add(probe.wrapping_mul(step)) % count) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_block_finds_what_the_open_list_finds() {
        let mut entries = Entries::default();
        for offset in 0..4_096_u16 {
            entries.push(hash(&format!("topic-{}", offset % 1_000)), offset);
        }
        let (block, filter) = entries.close();
        for name in (0..1_100).map(|number| format!("topic-{number}")) {
            let open: Vec<_> = entries.offsets(hash(&name)).collect();
            assert_eq!(offsets_in_block(&block, hash(&name)), open, "{name}");
            assert!(open.is_empty() || filter.may_contain(hash(&name)), "{name}");
        }
    }

    #[test]
    fn a_filter_rarely_sends_a_look_up_to_the_block_for_nothing() {
        let mut entries = Entries::default();
        for offset in 0..4_096_u16 {
            entries.push(hash(&format!("id-{offset}")), offset);
        }
        let (_, filter) = entries.close();
        let wrong = (0..10_000).filter(|number| filter.may_contain(hash(&format!("other-{number}")))).count();
        assert!(wrong < 30, "{wrong} of 10,000");
    }
}
