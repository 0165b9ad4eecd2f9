//! The marker at the beginning of each update's data, and the finder that counts markers in what a subscriber reads.
//!
//! A marker has a fixed layout, so that finding one is a comparison of eight bytes and reading it needs no parser:
//! `pb` and six characters of the run, then stream (6), number (10) and time (16) as hexadecimal digits. The letter `p`
//! stands only at its beginning, neither in the run's name nor in a digit, which makes markers that are torn apart by
//! the network easy to put together again.

use memchr::memmem;

/// How long a marker is.
pub(crate) const MARKER_BYTES: usize = 40;
/// How long its first part is, which is the same for all updates of a run.
const MAGIC_BYTES: usize = 8;
const STREAM_DIGITS: usize = 6;
const NUMBER_DIGITS: usize = 10;
/// What the name of a run is made of: no `p`.
const ALPHABET: &[u8] = b"0123456789abcdefghijklmnoqrstuvwxyz";
/// The least that an event has beside its data: `data:` and two line feeds.
const LEAST_EVENT_OVERHEAD_BYTES: usize = 7;

/// The name of a run, as it stands in its markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunId([u8; MAGIC_BYTES]);

impl RunId {
    /// One that no other run has, as far as chance goes: two billion names.
    pub(crate) fn random() -> Self {
        let mut magic = *b"pb000000";
        for byte in &mut magic[2..] {
            *byte = ALPHABET[rand::random_range(0..ALPHABET.len())];
        }
        Self(magic)
    }

    /// The one of this name: a later bench finds again what an earlier one has published.
    pub(crate) fn named(name: &str) -> Self {
        // FNV-1a: stable for all time, which the standard library's hashes are not.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        let mut magic = *b"pb000000";
        for byte in &mut magic[2..] {
            #[allow(clippy::cast_possible_truncation)] // Below the length of the alphabet.
            let index = (hash % ALPHABET.len() as u64) as usize;
            *byte = ALPHABET[index];
            hash /= ALPHABET.len() as u64;
        }
        Self(magic)
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Which update this is, and when it was, or should have been, sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Updates of a stream are numbered, and published one after the other.
    pub(crate) stream: u32,
    /// 0, 1, 2 …
    pub(crate) number: u64,
    /// Nanoseconds of the monotonic clock.
    pub(crate) sent_ns: u64,
}

impl Marker {
    /// Writes it.
    pub(crate) fn write(&self, run: RunId, to: &mut [u8; MARKER_BYTES]) {
        to[..MAGIC_BYTES].copy_from_slice(&run.0);
        self.write_id(&mut to[MAGIC_BYTES..MAGIC_BYTES + STREAM_DIGITS + NUMBER_DIGITS]);
        hex(self.sent_ns, &mut to[MAGIC_BYTES + STREAM_DIGITS + NUMBER_DIGITS..]);
    }

    /// Writes stream and number alone: sixteen digits that tell the update from all others of the run.
    pub(crate) fn write_id(&self, to: &mut [u8]) {
        let (stream, number) = to.split_at_mut(STREAM_DIGITS);
        hex(u64::from(self.stream), stream);
        hex(self.number, number);
    }

    /// Reads stream and number, which every event needs.
    #[inline]
    pub(crate) fn identity(bytes: &[u8; MARKER_BYTES]) -> (u32, u64) {
        let both = hex16(bytes, MAGIC_BYTES);
        // Six digits fit.
        #[allow(clippy::cast_possible_truncation)]
        let stream = (both >> (4 * NUMBER_DIGITS)) as u32;
        (stream, both & ((1 << (4 * NUMBER_DIGITS)) - 1))
    }

    /// Reads the time, which only events that are sampled need.
    #[inline]
    pub(crate) fn sent_ns(bytes: &[u8; MARKER_BYTES]) -> u64 {
        hex16(bytes, MAGIC_BYTES + STREAM_DIGITS + NUMBER_DIGITS)
    }
}

/// Writes the lowest digits of `value`, as many as there is room for.
fn hex(mut value: u64, to: &mut [u8]) {
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// Reads sixteen digits without a branch. Other characters give some number, which no sequence of updates expects.
#[inline]
fn hex16(bytes: &[u8; MARKER_BYTES], at: usize) -> u64 {
    u64::from(hex8(bytes, at)) << 32 | u64::from(hex8(bytes, at + 8))
}

#[inline]
fn hex8(bytes: &[u8; MARKER_BYTES], at: usize) -> u32 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    let word = u64::from_be_bytes(word);
    // '0'..'9' are 0x30.., 'a'..'f' 0x61..: the low four bits, and nine more where bit 6 is set.
    let digits = (word & 0x0f0f_0f0f_0f0f_0f0f) + 9 * ((word >> 6) & 0x0101_0101_0101_0101);
    let pairs = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    #[allow(clippy::cast_possible_truncation)] // The upper half is cut off on purpose.
    let eight = (fours | fours >> 16) as u32;
    eight
}

/// The beginning of a marker whose end has not come yet. One per connection.
#[derive(Clone, Debug)]
pub(crate) struct Carry {
    bytes: [u8; MARKER_BYTES],
    length: u8,
}

impl Default for Carry {
    fn default() -> Self {
        Self { bytes: [0; MARKER_BYTES], length: 0 }
    }
}

/// Finds the markers of a run. One per thread: it learns how far apart events are and looks there first.
#[derive(Debug)]
pub(crate) struct Finder {
    magic: [u8; MAGIC_BYTES],
    search: memmem::Finder<'static>,
    /// From the beginning of one marker to the next, if it is below [`Self::stride_limit`], else 0.
    stride: usize,
    /// Two events cannot stand between two markers that are closer than this, so nothing is jumped over.
    stride_limit: usize,
}

impl Finder {
    /// For updates with so many bytes of data.
    pub(crate) fn new(run: RunId, data_bytes: usize) -> Self {
        Self {
            magic: run.0,
            search: memmem::Finder::new(&run.0).into_owned(),
            stride: 0,
            stride_limit: 2 * (data_bytes + LEAST_EVENT_OVERHEAD_BYTES),
        }
    }

    /// Calls `found` for each marker that ends in `bytes`, which continue what `carry` is from.
    #[inline]
    pub(crate) fn scan(
        &mut self,
        carry: &mut Carry,
        bytes: &[u8],
        mut found: impl FnMut(&[u8; MARKER_BYTES]),
    ) {
        let mut at = if carry.length == 0 { 0 } else { self.complete(carry, bytes, &mut found) };
        // Where the next marker is if events are as far apart as the last two were.
        let mut expected = usize::MAX;
        loop {
            let start = match bytes.get(expected..expected.saturating_add(MAGIC_BYTES)) {
                Some(magic) if *magic == self.magic => expected,
                _ => match self.search.find(bytes.get(at..).unwrap_or_default()) {
                    Some(offset) => {
                        let start = at + offset;
                        // The first one of a piece follows on nothing.
                        if at >= MARKER_BYTES {
                            self.learn(start - (at - MARKER_BYTES));
                        }
                        start
                    }
                    None => return self.keep_beginning(carry, bytes.get(at..).unwrap_or_default()),
                },
            };
            let Some(marker) = bytes[start..].first_chunk::<MARKER_BYTES>() else {
                return keep(carry, &bytes[start..]);
            };
            found(marker);
            at = start + MARKER_BYTES;
            expected = if self.stride == 0 { usize::MAX } else { start + self.stride };
        }
    }

    fn learn(&mut self, stride: usize) {
        self.stride = if stride < self.stride_limit { stride } else { 0 };
    }

    /// Goes on with a marker that has begun; returns how many bytes belonged to it.
    #[cold]
    fn complete(
        &self,
        carry: &mut Carry,
        bytes: &[u8],
        found: &mut impl FnMut(&[u8; MARKER_BYTES]),
    ) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            let length = usize::from(carry.length);
            if length < MAGIC_BYTES && *byte != self.magic[length] {
                // It only looked like one. Its first letter does not come again in it, so nothing is to be undone.
                carry.length = 0;
                return index;
            }
            carry.bytes[length] = *byte;
            carry.length += 1;
            if length + 1 == MARKER_BYTES {
                found(&carry.bytes);
                carry.length = 0;
                return index + 1;
            }
        }
        bytes.len()
    }

    /// Keeps the end of what was read if a marker may begin there.
    fn keep_beginning(&self, carry: &mut Carry, rest: &[u8]) {
        let last = &rest[rest.len().saturating_sub(MAGIC_BYTES - 1)..];
        if let Some(start) = memchr::memrchr(self.magic[0], last)
            && self.magic.starts_with(&last[start..])
        {
            keep(carry, &last[start..]);
        }
    }
}

/// `beginning` is shorter than a marker.
fn keep(carry: &mut Carry, beginning: &[u8]) {
    carry.bytes[..beginning.len()].copy_from_slice(beginning);
    #[allow(clippy::cast_possible_truncation)] // Less than MARKER_BYTES.
    let length = beginning.len() as u8;
    carry.length = length;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> RunId {
        RunId(*b"pb0oabcd")
    }

    fn written(marker: &Marker) -> [u8; MARKER_BYTES] {
        let mut bytes = [0; MARKER_BYTES];
        marker.write(run(), &mut bytes);
        bytes
    }

    /// A stream of events with these markers; `fillers` are what stands around them.
    fn events(markers: &[Marker], fillers: &[Vec<u8>], data_bytes: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for (marker, filler) in markers.iter().zip(fillers.iter().cycle()) {
            text.extend(b"id: ");
            text.extend(filler);
            text.extend(b"\ndata: ");
            text.extend(written(marker));
            text.extend(std::iter::repeat_n(b'x', data_bytes - MARKER_BYTES));
            text.extend(b"\n\n");
        }
        text
    }

    fn found_in(pieces: &[&[u8]], data_bytes: usize) -> Vec<Marker> {
        let (mut finder, mut carry) = (Finder::new(run(), data_bytes), Carry::default());
        let mut found = Vec::new();
        for piece in pieces {
            finder.scan(&mut carry, piece, |bytes| {
                let (stream, number) = Marker::identity(bytes);
                found.push(Marker { stream, number, sent_ns: Marker::sent_ns(bytes) });
            });
        }
        found
    }

    fn marker() -> impl Strategy<Value = Marker> {
        (0_u32..1 << 24, 0_u64..1 << 40, any::<u64>()).prop_map(|(stream, number, sent_ns)| Marker {
            stream,
            number,
            sent_ns,
        })
    }

    proptest! {
        #[test]
        fn every_marker_is_found_once_and_in_order_however_the_stream_is_split(
            markers in proptest::collection::vec(marker(), 0..20),
            // Letters of the magic, so that there is much that looks like a beginning.
            fillers in proptest::collection::vec(
                proptest::collection::vec(prop::sample::select(b"pb0oabcdx".to_vec()), 0..60), 1..4),
            data_bytes in MARKER_BYTES..200_usize,
            splits in proptest::collection::vec(0..10_000_usize, 0..60),
        ) {
            let fillers: Vec<Vec<u8>> = fillers
                .into_iter()
                .filter(|filler| memmem::find(filler, &run().0).is_none())
                .chain([b"urn:uuid".to_vec()])
                .collect();
            let text = events(&markers, &fillers, data_bytes);
            let mut cuts: Vec<usize> = splits.iter().map(|cut| cut % (text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(found_in(&pieces, data_bytes), markers);
        }
    }

    #[test]
    fn a_stream_that_comes_byte_by_byte_is_read() {
        let markers: Vec<Marker> =
            (0..3).map(|number| Marker { stream: 1, number, sent_ns: u64::MAX - number }).collect();
        let text = events(&markers, &[b"x".to_vec()], 50);
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(found_in(&pieces, 50), markers);
    }

    #[test]
    fn an_event_between_two_that_are_as_far_apart_as_before_is_not_jumped_over() {
        let data_bytes = MARKER_BYTES;
        let mark = |number| Marker { stream: 0, number, sent_ns: 0 };
        // Long ids, then two short events in the room of one long one.
        let short = |number: u64| [b"data:".as_slice(), &written(&mark(number)), b"\n\n"].concat();
        let long = |number: u64| [b"id:".as_slice(), &[b'i'; 90], b"\n", &short(number)].concat();
        let text = [long(0), long(1), long(2), short(3), short(4), short(5), long(6)].concat();
        assert_eq!(found_in(&[&text], data_bytes).len(), 7);
    }

    #[test]
    fn names_of_runs_keep_the_first_letter_to_the_beginning() {
        let named = ["", "a", "b", "fill"].map(RunId::named);
        assert!(named[1] != named[2] && named[1] == RunId::named("a"));
        for run in std::iter::repeat_with(RunId::random).take(200).chain(named) {
            assert_eq!(run.as_str().matches('p').count(), 1, "{run:?}");
            assert!(run.as_str().starts_with("pb"));
        }
    }
}
