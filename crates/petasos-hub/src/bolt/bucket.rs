//! Finds the named buckets in the root bucket.

use super::cursor::{Cursor, Entry};
use super::error::BoltError;
use super::page::{Page, PageFile, Span, field};

/// How many buckets are listed. The reference hub makes one.
const MAX_LISTED: usize = 64;

/// The head of a bucket in bytes: the page of its tree, and a counter.
const BUCKET_BYTES: usize = 16;

/// How long the value of a bucket may be: bbolt keeps a tree inline up to a quarter of a page.
const MAX_BUCKET_BYTES: u64 = 64 << 10;

/// The tree of a bucket.
#[derive(Debug)]
pub(super) enum Tree {
    /// From this page on.
    Page(u64),
    /// One leaf, which stood in the value of the bucket.
    Inline(Page),
}

impl Tree {
    /// At the first entry.
    pub(super) fn cursor<'f>(&self, file: &'f PageFile) -> Result<Cursor<'f>, BoltError> {
        match self {
            Self::Page(number) => Cursor::at_page(file, *number),
            Self::Inline(leaf) => Ok(Cursor::in_leaf(file, leaf.clone())),
        }
    }
}

/// The tree of the bucket `name`.
pub(super) fn find(file: &PageFile, root: &Tree, name: &str) -> Result<Tree, BoltError> {
    let mut cursor = root.cursor(file)?;
    let mut found = Vec::new();
    let mut damage = None;
    while let Some(entry) = cursor.next() {
        match entry {
            Ok(Entry::Bucket(value)) if cursor.key() == name.as_bytes() => return tree(&cursor, value),
            Ok(Entry::Bucket(_)) => list(&mut found, &cursor),
            Ok(Entry::Value(_)) => {}
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    // A bucket that is not found in a damaged tree may well have been there.
    Err(damage.unwrap_or_else(|| BoltError::NoBucket { bucket: name.to_owned(), found }))
}

/// The names of the first buckets.
pub(super) fn names(file: &PageFile, root: &Tree) -> Result<Vec<String>, BoltError> {
    let mut cursor = root.cursor(file)?;
    let mut found = Vec::new();
    while let Some(entry) = cursor.next() {
        if let Entry::Bucket(_) = entry? {
            list(&mut found, &cursor);
        }
    }
    Ok(found)
}

fn list(found: &mut Vec<String>, cursor: &Cursor<'_>) {
    if found.len() < MAX_LISTED {
        found.push(String::from_utf8_lossy(cursor.key()).into_owned());
    }
}

fn tree(cursor: &Cursor<'_>, value: Span) -> Result<Tree, BoltError> {
    let corrupt = |problem| BoltError::Corrupt { page: cursor.page(), problem };
    if value.bytes > MAX_BUCKET_BYTES {
        return Err(corrupt("has a bucket that is too long"));
    }
    let value = cursor.read(value)?;
    let number = field(&value, 0).map(u64::from_le_bytes).ok_or(corrupt("has a bucket that is cut off"))?;
    if number != 0 {
        return Ok(Tree::Page(number));
    }
    let leaf = value.get(BUCKET_BYTES..).ok_or(corrupt("has a bucket that is cut off"))?;
    Ok(Tree::Inline(Page::inline(cursor.page(), leaf)?))
}
