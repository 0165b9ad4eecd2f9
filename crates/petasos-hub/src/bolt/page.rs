//! Pages and their elements, every number checked against the page that holds it.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::error::BoltError;

/// The bytes in front of every page.
pub(super) const HEAD_BYTES: usize = 16;

/// The bytes of an element, in branches and leaves alike.
const ELEMENT_BYTES: u64 = 16;

/// The longest key that bbolt takes, in bytes.
const MAX_KEY_BYTES: u64 = 32_768;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;

/// An entry with this flag is a bucket.
const BUCKET: u32 = 0x01;

/// The first page that is no meta page.
const FIRST_PAGE: u64 = 2;

/// The `N` bytes at `at`, if there are as many.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The file as a row of pages.
#[derive(Debug)]
pub(super) struct PageFile {
    file: File,
    page_bytes: u64,
    pages: u64,
}

/// What a page of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
}

/// A page with those that belong to it, or the leaf inside the value of a bucket. Holds the first page in memory, with
/// all elements; keys and values behind it are read when they are asked for.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Its number; for the leaf inside a bucket, that of the page with the bucket.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// How many elements it has.
    pub(super) count: u16,
    /// How many pages of the file it takes; none if it is inside a bucket.
    pub(super) run_pages: u64,
    /// Where it begins in the file.
    offset: u64,
    /// How long it is with the pages that belong to it.
    bytes: u64,
    /// Its beginning, elements included.
    head: Vec<u8>,
}

/// A place in a page. Only [`Page::element`] makes one, within the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    at: u64,
    pub(super) bytes: u64,
}

/// An element of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) key: Span,
    pub(super) content: Content,
}

/// What the key of an element leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// In a branch: the page of a child.
    Child(u64),
    /// In a leaf: a value.
    Value(Span),
    /// In a leaf: the head of a bucket.
    Bucket(Span),
}

impl Element {
    /// Where the bytes of this element end in its page; those of the next begin there.
    pub(super) fn end(&self) -> u64 {
        let last = match self.content {
            Content::Child(_) => self.key,
            Content::Value(value) | Content::Bucket(value) => value,
        };
        last.at + last.bytes
    }
}

impl PageFile {
    /// `pages` of `page_bytes` each must lie within the file.
    pub(super) fn new(file: File, page_bytes: u32, pages: u64) -> Self {
        Self { file, page_bytes: page_bytes.into(), pages }
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Reads a page of the tree.
    pub(super) fn page(&self, number: u64) -> Result<Page, BoltError> {
        let corrupt = |problem| BoltError::Corrupt { page: number, problem };
        if !(FIRST_PAGE..self.pages).contains(&number) {
            return Err(corrupt("is referred to but does not exist"));
        }
        let offset = number * self.page_bytes;
        let head = self.read(number, offset, self.page_bytes)?;
        let header = Header::parse(&head).ok_or(corrupt("is too short"))?;
        if header.number != number {
            return Err(corrupt("bears another number"));
        }
        let kind = header.kind().ok_or(corrupt("is neither a branch nor a leaf"))?;
        let run_pages = u64::from(header.overflow) + 1;
        if run_pages > self.pages - number {
            return Err(corrupt("reaches beyond the last page"));
        }
        let bytes = run_pages * self.page_bytes;
        let mut page = Page { number, kind, count: header.count, run_pages, offset, bytes, head };
        if page.data_at() > page.bytes {
            return Err(corrupt("has more elements than it has space for"));
        }
        if page.data_at() > self.page_bytes {
            page.head = self.read(number, offset, page.data_at())?;
        }
        Ok(page)
    }

    /// The key of `element`, which must be one of `page`.
    pub(super) fn key<'p>(&self, page: &'p Page, element: &Element) -> Result<Cow<'p, [u8]>, BoltError> {
        if element.key.bytes > MAX_KEY_BYTES {
            return Err(page.corrupt("has a key that is too long"));
        }
        self.slice(page, element.key)
    }

    /// The bytes at `span`, which must be one of `page`. The caller bounds how many.
    pub(super) fn slice<'p>(&self, page: &'p Page, span: Span) -> Result<Cow<'p, [u8]>, BoltError> {
        if let Some(bytes) = page.in_head(span) {
            return Ok(Cow::Borrowed(bytes));
        }
        self.read(page.number, page.offset + span.at, span.bytes).map(Cow::Owned)
    }

    fn read(&self, page: u64, offset: u64, bytes: u64) -> Result<Vec<u8>, BoltError> {
        let too_long = BoltError::Corrupt { page, problem: "does not fit the memory of this machine" };
        let mut buffer = vec![0; usize::try_from(bytes).map_err(|_| too_long)?];
        match self.file.read_exact_at(&mut buffer, offset) {
            Ok(()) => Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(BoltError::Corrupt { page, problem: "was cut off while it was read" })
            }
            Err(error) => Err(BoltError::io("read")(error)),
        }
    }
}

impl Page {
    /// The leaf that follows the head of a bucket in its value, on the page `number`.
    pub(super) fn inline(number: u64, leaf: &[u8]) -> Result<Self, BoltError> {
        let corrupt = |problem| BoltError::Corrupt { page: number, problem };
        let header = Header::parse(leaf).ok_or(corrupt("has a bucket that is cut off"))?;
        if header.kind() != Some(Kind::Leaf) || header.overflow != 0 {
            return Err(corrupt("has a bucket without a leaf"));
        }
        let page = Self {
            number,
            kind: Kind::Leaf,
            count: header.count,
            run_pages: 0,
            offset: 0,
            bytes: leaf.len() as u64,
            head: leaf.to_vec(),
        };
        if page.data_at() > page.bytes {
            return Err(corrupt("has a bucket with more elements than it has space for"));
        }
        Ok(page)
    }

    /// Where the elements end and keys and values begin.
    pub(super) fn data_at(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.count) * ELEMENT_BYTES
    }

    /// The element `index`, if there are as many.
    ///
    /// Its bytes must not begin before `floor`, which is where those of the element before it end: otherwise many
    /// elements could share one long value, and a small file would take hours to read.
    pub(super) fn element(&self, index: u16, floor: u64) -> Option<Result<Element, BoltError>> {
        (index < self.count).then(|| {
            let element = self.parse(index).ok_or(self.corrupt("has an element that leads out of it"))?;
            if element.key.at < floor || element.end() > self.bytes {
                return Err(self.corrupt("has an element that leads out of its place"));
            }
            Ok(element)
        })
    }

    fn parse(&self, index: u16) -> Option<Element> {
        let place = HEAD_BYTES as u64 + u64::from(index) * ELEMENT_BYTES;
        let bytes: [u8; ELEMENT_BYTES as usize] = field(&self.head, usize::try_from(place).ok()?)?;
        let short = |at| field(&bytes, at).map(u32::from_le_bytes);
        // Sums of a place in a page and a few numbers of 32 bits: they cannot overflow.
        match self.kind {
            Kind::Branch => {
                let key = Span { at: place + u64::from(short(0)?), bytes: short(4)?.into() };
                Some(Element { key, content: Content::Child(u64::from_le_bytes(field(&bytes, 8)?)) })
            }
            Kind::Leaf => {
                let key = Span { at: place + u64::from(short(4)?), bytes: short(8)?.into() };
                let value = Span { at: key.at + key.bytes, bytes: short(12)?.into() };
                let is_bucket = short(0)? & BUCKET != 0;
                let content = if is_bucket { Content::Bucket(value) } else { Content::Value(value) };
                Some(Element { key, content })
            }
        }
    }

    fn in_head(&self, span: Span) -> Option<&[u8]> {
        let at = usize::try_from(span.at).ok()?;
        self.head.get(at..)?.get(..usize::try_from(span.bytes).ok()?)
    }

    /// The error that this page is damaged.
    pub(super) fn corrupt(&self, problem: &'static str) -> BoltError {
        BoltError::Corrupt { page: self.number, problem }
    }
}

/// The bytes in front of a page.
struct Header {
    number: u64,
    flags: u16,
    count: u16,
    overflow: u32,
}

impl Header {
    fn parse(page: &[u8]) -> Option<Self> {
        Some(Self {
            number: u64::from_le_bytes(field(page, 0)?),
            flags: u16::from_le_bytes(field(page, 8)?),
            count: u16::from_le_bytes(field(page, 10)?),
            overflow: u32::from_le_bytes(field(page, 12)?),
        })
    }

    fn kind(&self) -> Option<Kind> {
        match self.flags {
            BRANCH => Some(Kind::Branch),
            LEAF => Some(Kind::Leaf),
            _ => None,
        }
    }
}
