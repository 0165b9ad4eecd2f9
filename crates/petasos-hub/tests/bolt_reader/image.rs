//! Builds files of this format page by page, as wrong as a test wants them.

use crate::support::Scratch;

pub(crate) const PAGE_BYTES: usize = 4096;

/// An element of a leaf that is a bucket.
pub(crate) const BUCKET: u32 = 1;

const BRANCH_PAGE: u16 = 1;
const LEAF_PAGE: u16 = 2;

/// A file whose root bucket is page 2, with one bucket, `updates`, whose tree begins at page 3.
pub(crate) struct Image {
    content: Vec<u8>,
}

impl Image {
    pub(crate) fn new(pages: u64) -> Self {
        let content = vec![0; pages as usize * PAGE_BYTES];
        let mut image = Self { content };
        image.leaf(2, &[(BUCKET, b"updates", &bucket(3))]);
        image
    }

    pub(crate) fn branch(&mut self, number: u64, children: &[(&[u8], u64)]) {
        let mut page = head(number, BRANCH_PAGE, children.len(), 0);
        let mut data = Vec::new();
        for (index, (key, child)) in children.iter().enumerate() {
            let distance = (children.len() - index) * 16 + data.len();
            page.extend((distance as u32).to_le_bytes());
            page.extend((key.len() as u32).to_le_bytes());
            page.extend(child.to_le_bytes());
            data.extend_from_slice(key);
        }
        page.extend(data);
        self.put(number, &page);
    }

    pub(crate) fn leaf(&mut self, number: u64, entries: &[(u32, &[u8], &[u8])]) {
        let page = leaf(number, entries);
        self.put(number, &page);
    }

    /// Writes into a page and, if it is long, those behind it.
    pub(crate) fn put(&mut self, number: u64, page: &[u8]) {
        let at = number as usize * PAGE_BYTES;
        self.content[at..at + page.len()].copy_from_slice(page);
    }

    /// Overwrites 4 bytes of a page.
    pub(crate) fn patch(&mut self, number: u64, at: usize, value: u32) {
        let at = number as usize * PAGE_BYTES + at;
        self.content[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// The file, with sound meta pages.
    pub(crate) fn finish(mut self) -> Scratch {
        let pages = (self.content.len() / PAGE_BYTES) as u64;
        for number in 0..2 {
            self.put(number, &meta(number, pages, 2));
        }
        Scratch::with(&self.content)
    }
}

/// A meta page with this many pages and this root, whose checksum is right.
pub(crate) fn meta(number: u64, pages: u64, root: u64) -> Vec<u8> {
    let mut page = head(number, 4, 0, 0);
    for value in [0xED0C_DAED, 2, PAGE_BYTES as u32, 0] {
        page.extend(value.to_le_bytes());
    }
    for value in [root, 0, u64::MAX, pages, number] {
        page.extend(value.to_le_bytes());
    }
    page.extend(checksum(&page[16..]).to_le_bytes());
    page
}

/// FNV-1a with 64 bits.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        sum ^= u64::from(*byte);
        sum = sum.wrapping_mul(0x0000_0100_0000_01b3);
    }
    sum
}

pub(crate) fn leaf(number: u64, entries: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    let mut page = head(number, LEAF_PAGE, entries.len(), 0);
    let mut data = Vec::new();
    for (index, (flags, key, value)) in entries.iter().enumerate() {
        let distance = (entries.len() - index) * 16 + data.len();
        for number in [*flags, distance as u32, key.len() as u32, value.len() as u32] {
            page.extend(number.to_le_bytes());
        }
        data.extend_from_slice(key);
        data.extend_from_slice(value);
    }
    page.extend(data);
    page
}

fn head(number: u64, flags: u16, count: usize, overflow: u32) -> Vec<u8> {
    let mut page = number.to_le_bytes().to_vec();
    page.extend(flags.to_le_bytes());
    page.extend((count as u16).to_le_bytes());
    page.extend(overflow.to_le_bytes());
    page
}

/// The value of a bucket whose tree begins at `root`.
pub(crate) fn bucket(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), [0; 8]].concat()
}

/// The key and the value of the update with this sequence.
pub(crate) fn update(sequence: u64) -> (Vec<u8>, Vec<u8>) {
    let mut key = sequence.to_be_bytes().to_vec();
    key.extend(format!("urn:x:{sequence}").bytes());
    (key, br#"{"Topics":["a"]}"#.to_vec())
}
