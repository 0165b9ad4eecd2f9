//! The two meta pages: which of them counts, and whether the file is as long as it says.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;

use super::error::BoltError;
use super::page::{HEAD_BYTES, field};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// The bytes of a meta page behind its head, the checksum included.
const META_BYTES: usize = 64;

/// The bytes that the checksum covers.
const SUMMED_BYTES: usize = 56;

/// The binary logarithms of the page sizes that are looked for: 1 KiB to 64 KiB. Machines have 4, 16 or 64 KiB.
const PAGE_SIZES_LOG2: RangeInclusive<u32> = 10..=16;

/// What is needed of a meta page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: u32,
    /// The page of the root bucket's tree.
    pub(super) root: u64,
    /// How many pages are in use or free; those behind them do not exist.
    pub(super) pages: u64,
    transaction: u64,
}

/// Reads the newer of the valid meta pages of `file`, which is `file_bytes` long.
pub(super) fn read(file: &File, file_bytes: u64) -> Result<Meta, BoltError> {
    if file_bytes == 0 {
        return Err(BoltError::Empty);
    }
    let first = read_at(file, 0)?;
    let second = match &first {
        Ok(meta) => {
            let second = read_at(file, meta.page_bytes.into())?;
            second.ok().filter(|second| second.page_bytes == meta.page_bytes)
        }
        // The page size stood in the page that is damaged: look where the second one may be.
        Err(_) => find_second(file)?,
    };
    let meta = match (first, second) {
        (Ok(first), Some(second)) if second.transaction > first.transaction => second,
        (Ok(first), _) => first,
        (Err(_), Some(second)) => second,
        (Err(flaw), None) => return Err(flaw.into()),
    };
    match meta.pages.checked_mul(meta.page_bytes.into()) {
        Some(wanted_bytes) if wanted_bytes <= file_bytes => Ok(meta),
        wanted_bytes => {
            let wanted_bytes = wanted_bytes.unwrap_or(u64::MAX);
            Err(BoltError::Truncated { wanted_bytes, found_bytes: file_bytes })
        }
    }
}

fn find_second(file: &File) -> Result<Option<Meta>, BoltError> {
    for page_bytes in PAGE_SIZES_LOG2.map(|log2| 1_u32 << log2) {
        if let Ok(meta) = read_at(file, page_bytes.into())?
            && meta.page_bytes == page_bytes
        {
            return Ok(Some(meta));
        }
    }
    Ok(None)
}

fn read_at(file: &File, offset: u64) -> Result<Result<Meta, Flaw>, BoltError> {
    let mut page = [0; HEAD_BYTES + META_BYTES];
    match file.read_exact_at(&mut page, offset) {
        Ok(()) => Ok(parse(&page)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Err(Flaw::Magic)),
        Err(error) => Err(BoltError::io("read")(error)),
    }
}

/// What is wrong with a meta page, which matters only if the other one is no better.
#[derive(Debug, PartialEq, Eq)]
enum Flaw {
    Magic,
    Version(u32),
    Damaged,
}

impl From<Flaw> for BoltError {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Magic => Self::NotBolt,
            Flaw::Version(found) => Self::Version { found },
            Flaw::Damaged => Self::DamagedMeta,
        }
    }
}

fn parse(page: &[u8; HEAD_BYTES + META_BYTES]) -> Result<Meta, Flaw> {
    let meta = &page[HEAD_BYTES..];
    let short = |at| field(meta, at).map(u32::from_le_bytes).ok_or(Flaw::Damaged);
    let long = |at| field(meta, at).map(u64::from_le_bytes).ok_or(Flaw::Damaged);
    if short(0)? != MAGIC {
        return Err(Flaw::Magic);
    }
    let version = short(4)?;
    if version != VERSION {
        return Err(Flaw::Version(version));
    }
    let page_bytes = short(8)?;
    let is_size = page_bytes.is_power_of_two() && PAGE_SIZES_LOG2.contains(&page_bytes.trailing_zeros());
    if !is_size || long(SUMMED_BYTES)? != fnv1a(&meta[..SUMMED_BYTES]) {
        return Err(Flaw::Damaged);
    }
    Ok(Meta { page_bytes, root: long(16)?, pages: long(40)?, transaction: long(48)? })
}

/// FNV-1a with 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_page_of_zeros_has_no_magic() {
        assert_eq!(parse(&[0; HEAD_BYTES + META_BYTES]), Err(Flaw::Magic));
    }
}
