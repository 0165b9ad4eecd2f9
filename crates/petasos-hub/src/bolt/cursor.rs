//! Walks a tree from its first entry to its last, holding the pages on the way down and nothing else.
//!
//! Keys have to ascend and to lie where the branches say. That is the order that is promised, and it is also why no
//! page can be entered twice by two ways at one depth: its first key would lie outside one of them.

use std::borrow::Cow;

use super::error::BoltError;
use super::page::{Content, Element, Kind, Page, PageFile, Span};

/// How deep a tree may be. A branch of bbolt has two children at least, so that this is enough for 2^32 pages.
const MAX_DEPTH: usize = 32;

/// A walk through one tree.
#[derive(Debug)]
pub(super) struct Cursor<'f> {
    file: &'f PageFile,
    /// The pages from the root to the leaf that is being read.
    way: Vec<Step>,
    /// How many pages may still be read: in a sound file no page is read twice.
    pages_left: u64,
}

/// A page on the way.
#[derive(Debug)]
struct Step {
    page: Page,
    /// The element that comes next.
    next: u16,
    /// Where the bytes of the next element may begin.
    floor: u64,
    /// The key of the last element, or of this page in its parent; empty for the root.
    key: Vec<u8>,
    /// The key of the page that follows this one, if there is one: every key here is lower.
    below: Option<Vec<u8>>,
}

/// An entry of a leaf. Its key is [`Cursor::key`] until the cursor goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Value(Span),
    Bucket(Span),
}

impl<'f> Cursor<'f> {
    /// At the first entry of the tree whose root is the page `number`.
    pub(super) fn at_page(file: &'f PageFile, number: u64) -> Result<Self, BoltError> {
        let mut cursor = Self { file, way: Vec::new(), pages_left: file.pages() };
        cursor.enter(number, Vec::new(), None)?;
        Ok(cursor)
    }

    /// At the first entry of a tree that is one leaf.
    pub(super) fn in_leaf(file: &'f PageFile, leaf: Page) -> Self {
        Self { file, way: vec![Step::new(leaf, Vec::new(), None)], pages_left: 0 }
    }

    /// The next entry. After an error, what follows the part that cannot be read; after an I/O error, nothing.
    pub(super) fn next(&mut self) -> Option<Result<Entry, BoltError>> {
        let result = self.advance().transpose()?;
        if matches!(result, Err(BoltError::Io { .. })) {
            self.way.clear();
        }
        Some(result)
    }

    /// The key of the entry that came last.
    pub(super) fn key(&self) -> &[u8] {
        self.way.last().map_or(&[], |step| &step.key)
    }

    /// The page of the entry that came last.
    pub(super) fn page(&self) -> u64 {
        self.way.last().map_or(0, |step| step.page.number)
    }

    /// The bytes at `span`, which must be of the entry that came last. The caller bounds how many.
    pub(super) fn read(&self, span: Span) -> Result<Cow<'_, [u8]>, BoltError> {
        match self.way.last() {
            Some(step) => self.file.slice(&step.page, span),
            None => Ok(Cow::Borrowed(&[])),
        }
    }

    fn advance(&mut self) -> Result<Option<Entry>, BoltError> {
        while let Some(step) = self.way.last_mut() {
            let Some(element) = step.advance(self.file) else {
                self.way.pop();
                continue;
            };
            match element?.content {
                Content::Value(span) => return Ok(Some(Entry::Value(span))),
                Content::Bucket(span) => return Ok(Some(Entry::Bucket(span))),
                Content::Child(number) => {
                    let (key, below) = (step.key.clone(), step.peek(self.file)?);
                    self.enter(number, key, below)?;
                }
            }
        }
        Ok(None)
    }

    fn enter(&mut self, number: u64, key: Vec<u8>, below: Option<Vec<u8>>) -> Result<(), BoltError> {
        let corrupt = |problem| BoltError::Corrupt { page: number, problem };
        if self.way.len() >= MAX_DEPTH {
            return Err(corrupt("lies too deep in its tree"));
        }
        // A page that cannot be read counts too: trying again and again is what must end.
        self.spend(1).ok_or(corrupt("belongs to a tree with more pages than the file"))?;
        let page = self.file.page(number)?;
        self.spend(page.run_pages - 1).ok_or(corrupt("belongs to a tree with more pages than the file"))?;
        // Only the root may be empty, and then it is a leaf.
        if page.count == 0 && (page.kind == Kind::Branch || !self.way.is_empty()) {
            return Err(corrupt("has no elements"));
        }
        self.way.push(Step::new(page, key, below));
        Ok(())
    }

    /// Counts pages that are read; where they are too many, the walk is over.
    fn spend(&mut self, pages: u64) -> Option<()> {
        match self.pages_left.checked_sub(pages) {
            Some(left) => {
                self.pages_left = left;
                Some(())
            }
            None => {
                self.way.clear();
                None
            }
        }
    }
}

impl Step {
    fn new(page: Page, key: Vec<u8>, below: Option<Vec<u8>>) -> Self {
        Self { floor: page.data_at(), page, next: 0, key, below }
    }

    /// The next element, with its key in `key`.
    fn advance(&mut self, file: &PageFile) -> Option<Result<Element, BoltError>> {
        let index = self.next;
        let element = self.page.element(index, self.floor)?;
        // No overflow: there are fewer elements than that.
        self.next += 1;
        Some(element.and_then(|element| self.accept(file, index == 0, element)))
    }

    fn accept(&mut self, file: &PageFile, is_first: bool, element: Element) -> Result<Element, BoltError> {
        let key = file.key(&self.page, &element)?;
        let ascends = if is_first { *key >= *self.key } else { *key > *self.key };
        if !ascends || self.below.as_ref().is_some_and(|below| *key >= **below) {
            return Err(self.page.corrupt("has a key out of its order"));
        }
        self.key = key.into_owned();
        self.floor = element.end();
        Ok(element)
    }

    /// The key of the element that comes next, or what follows this page. What is wrong with that element is said when
    /// its turn comes.
    fn peek(&self, file: &PageFile) -> Result<Option<Vec<u8>>, BoltError> {
        let next = self.page.element(self.next, self.floor).and_then(Result::ok);
        match next.map(|element| file.key(&self.page, &element)) {
            Some(Ok(key)) => Ok(Some(key.into_owned())),
            Some(Err(error @ BoltError::Io { .. })) => Err(error),
            Some(Err(_)) | None => Ok(self.below.clone()),
        }
    }
}
