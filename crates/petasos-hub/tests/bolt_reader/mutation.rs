//! Sound files with bytes changed or cut off at random: whatever comes of it, it is an update or an error, and it ends.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::image::checksum;
use crate::support::{Scratch, testdata};

/// How long the reading of one changed file may take. A sound one of this size takes a tenth of a second here.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// The files, from small to real, with how many cases each gets.
const FILES: [(&str, u32); 5] =
    [("inline", 256), ("buckets", 128), ("overflow", 64), ("deep", 64), ("reference-0.24.2", 48)];

/// One change of a file.
#[derive(Clone, Debug)]
enum Change {
    /// A byte anywhere.
    Byte(Index, u8),
    /// A byte in the head or the first elements of a page, where it matters.
    Head(Index, usize, u8),
    /// A page over another one.
    Copy(Index, Index),
    /// A number of the meta pages, with a checksum that is right.
    Meta(usize, u8),
    /// The end is missing.
    CutOff(Index),
}

fn change() -> impl Strategy<Value = Change> {
    // The checksum of the meta pages covers 56 bytes, the first 8 of which say what the file is.
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        8 => (any::<Index>(), 0..96_usize, head_byte()).prop_map(|(page, at, byte)| Change::Head(page, at, byte)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Copy(from, to)),
        1 => (8..56_usize, head_byte()).prop_map(|(at, byte)| Change::Meta(at, byte)),
        1 => any::<Index>().prop_map(Change::CutOff),
    ]
}

/// Mostly the bytes that numbers in a head consist of.
fn head_byte() -> impl Strategy<Value = u8> {
    prop_oneof![select(vec![0, 1, 2, 3, 4, 16, 0x7f, 0x80, 0xff]), any::<u8>()]
}

fn apply(content: &mut Vec<u8>, page_bytes: usize, change: &Change) {
    let pages = content.len() / page_bytes;
    if pages < 2 {
        return;
    }
    match change {
        Change::Byte(at, byte) => {
            let at = at.index(content.len());
            content[at] = *byte;
        }
        Change::Head(page, at, byte) => content[page.index(pages) * page_bytes + at] = *byte,
        Change::Copy(from, to) => {
            let (from, to) = (from.index(pages) * page_bytes, to.index(pages) * page_bytes);
            content.copy_within(from..from + page_bytes, to);
            // Its number is what is looked at first.
            let number = (to / page_bytes) as u64;
            content[to..to + 8].copy_from_slice(&number.to_le_bytes());
        }
        Change::Meta(at, byte) => {
            for page in 0..2 {
                let meta = &mut content[page * page_bytes + 16..][..64];
                meta[*at] = *byte;
                let sum = checksum(&meta[..56]);
                meta[56..].copy_from_slice(&sum.to_le_bytes());
            }
        }
        Change::CutOff(at) => content.truncate(at.index(content.len())),
    }
}

/// Reads everything there is to read; fails if that takes too many steps or too long.
fn read_all(content: &[u8]) -> Result<(), TestCaseError> {
    let started = Instant::now();
    let scratch = Scratch::with(content);
    let Ok(file) = scratch.open() else { return Ok(()) };
    // An element takes 16 bytes, and every page is read once at most. A page that is referred to and cannot be read
    // costs an element too.
    let bound = content.len() / 16;
    let names = file.buckets().unwrap_or_default();
    for name in names.iter().map(String::as_str).chain(["updates"]) {
        let Ok(updates) = file.updates(name) else { continue };
        let mut last = 0;
        let mut steps = 0;
        for result in updates {
            steps += 1;
            prop_assert!(steps <= bound, "{name}: {bound} steps were not enough");
            if let Ok(update) = result {
                prop_assert!(update.sequence >= last, "{name}: {} after {last}", update.sequence);
                last = update.sequence;
                prop_assert!(!update.update.topics().is_empty());
            }
        }
        let _ = file.stats(name);
        let timed = file.timed_updates(name);
        prop_assert!(timed.into_iter().flatten().count() <= bound);
    }
    prop_assert!(started.elapsed() < READ_TIMEOUT, "it took {:?}", started.elapsed());
    Ok(())
}

#[test]
fn a_changed_file_is_read_to_its_end_or_refused() {
    for (name, cases) in FILES {
        let sound = testdata(&format!("{name}.db"));
        let page_bytes = u32::from_le_bytes(sound[24..28].try_into().expect("4 bytes")) as usize;
        let config = ProptestConfig { cases, max_shrink_time: 30_000, ..ProptestConfig::default() };
        proptest!(config, |(changes in vec(change(), 1..6))| {
            let mut content = sound.clone();
            for change in &changes {
                apply(&mut content, page_bytes, change);
            }
            read_all(&content)?;
        });
    }
}

#[test]
fn a_file_of_noise_behind_sound_meta_pages_is_read_to_its_end_or_refused() {
    let config = ProptestConfig { cases: 128, ..ProptestConfig::default() };
    proptest!(config, |(noise in vec(any::<u8>(), 4096..20_000))| {
        let mut content = testdata("inline.db")[..8192].to_vec();
        content.extend(noise);
        content.resize(content.len().next_multiple_of(4096), 0);
        let pages = (content.len() / 4096) as u64;
        for number in 0..2 {
            let meta = crate::image::meta(number, pages, 2);
            content[number as usize * 4096..][..meta.len()].copy_from_slice(&meta);
        }
        // The noise would be refused by its first byte otherwise.
        content[8192..8200].copy_from_slice(&2_u64.to_le_bytes());
        content[8200..8204].copy_from_slice(&[2, 0, 4, 0]);
        content[8204..8208].copy_from_slice(&[0; 4]);
        read_all(&content)?;
    });
}
