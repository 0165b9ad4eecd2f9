//! Files that were made to mislead the reader: each ends in a typed error, soon, and with little memory.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use petasos_hub::bolt::{BoltError, ValueProblem};

use crate::image::{BUCKET, Image, PAGE_BYTES, bucket, leaf, update};
use crate::support::Scratch;

/// The sequences that can be read, and what is wrong.
fn read(scratch: &Scratch) -> (Vec<u64>, Vec<BoltError>) {
    let file = scratch.open().expect("its meta pages are sound");
    let mut good = Vec::new();
    let mut bad = Vec::new();
    match file.updates("updates") {
        Ok(updates) => {
            for result in updates {
                match result {
                    Ok(update) => good.push(update.sequence),
                    Err(error) => bad.push(error),
                }
            }
        }
        Err(error) => bad.push(error),
    }
    (good, bad)
}

/// The pages and the problems that are reported for damaged pages.
fn problems(errors: &[BoltError]) -> Vec<(u64, &'static str)> {
    errors
        .iter()
        .map(|error| match error {
            BoltError::Corrupt { page, problem } => (*page, *problem),
            other => panic!("{other}"),
        })
        .collect()
}

/// An image with one leaf of the updates 1 to `count` at page 3.
fn one_leaf(count: u64) -> Image {
    let updates: Vec<_> = (1..=count).map(update).collect();
    let entries: Vec<_> = updates.iter().map(|(key, value)| (0, &key[..], &value[..])).collect();
    let mut image = Image::new(8);
    image.leaf(3, &entries);
    image
}

#[test]
fn the_image_without_a_fault_is_read() {
    let (good, bad) = read(&one_leaf(3).finish());
    assert_eq!(good, [1, 2, 3]);
    assert!(bad.is_empty());
}

#[test]
fn a_page_that_is_its_own_child_is_not_followed_for_ever() {
    let mut image = Image::new(8);
    image.branch(3, &[(b"", 3)]);
    let (good, bad) = read(&image.finish());
    assert!(good.is_empty());
    assert_eq!(problems(&bad), [(3, "belongs to a tree with more pages than the file")]);
}

#[test]
fn a_tree_that_is_too_deep_is_not_followed_to_its_end() {
    let mut image = Image::new(60);
    for number in 3..59 {
        image.branch(number, &[(b"", number + 1)]);
    }
    let (good, bad) = read(&image.finish());
    assert!(good.is_empty());
    assert_eq!(problems(&bad), [(35, "lies too deep in its tree")]);
}

#[test]
fn pages_with_several_parents_are_not_read_by_every_way() {
    // 25 levels of two ways each: 33 million ways to the leaf.
    let mut image = Image::new(40);
    for number in 3..28 {
        image.branch(number, &[(b"", number + 1), (b"\x01", number + 1)]);
    }
    let (key, value) = update(1);
    image.leaf(28, &[(0, &key, &value)]);
    let (good, bad) = read(&image.finish());
    assert_eq!(good, [1], "by the first way");
    assert!((1..100).contains(&bad.len()), "{}", bad.len());
}

#[test]
fn a_leaf_that_is_listed_many_times_is_read_once() {
    let mut image = Image::new(40);
    let keys: Vec<_> = (1..=30).map(|sequence| update(sequence).0).collect();
    let children: Vec<_> = keys.iter().map(|key| (&key[..], 4)).collect();
    image.branch(3, &children);
    let (key, value) = update(1);
    image.leaf(4, &[(0, &key, &value)]);
    let (good, bad) = read(&image.finish());
    assert_eq!(good, [1]);
    assert_eq!(problems(&bad), [(4, "has a key out of its order"); 29]);
}

#[test]
fn elements_that_share_their_bytes_are_read_once() {
    let mut image = one_leaf(2);
    // The second element leads to the bytes of the first.
    image.patch(3, 16 + 16 + 4, 16);
    let (good, bad) = read(&image.finish());
    assert_eq!(good, [1]);
    assert_eq!(problems(&bad), [(3, "has an element that leads out of its place")]);
}

#[test]
fn numbers_that_lead_out_of_a_page_are_refused() {
    let element = |field: usize| 16 + 16 * 2 + field;
    let out = "has an element that leads out of its place";
    for (at, value, good, problem) in [
        (element(4), u32::MAX, vec![1, 2], out),
        (element(8), u32::MAX, vec![1, 2], out),
        (element(12), u32::MAX, vec![1, 2], out),
        (element(12), 1 << 20, vec![1, 2], out),
        // Among its own elements.
        (element(4), 0, vec![1, 2], out),
        // 65,535 elements; the kind is kept.
        (8, 0xffff_0002, vec![], "has more elements than it has space for"),
        (12, u32::MAX, vec![], "reaches beyond the last page"),
        (12, 5, vec![], "reaches beyond the last page"),
        (0, 4, vec![], "bears another number"),
        (8, 3 << 16, vec![], "is neither a branch nor a leaf"),
        (8, (3 << 16) | 3, vec![], "is neither a branch nor a leaf"),
    ] {
        let mut image = one_leaf(3);
        image.patch(3, at, value);
        let (read, bad) = read(&image.finish());
        assert_eq!((read, problems(&bad)), (good, vec![(3, problem)]), "{value} at {at}");
    }
}

#[test]
fn children_that_do_not_exist_are_refused_one_by_one() {
    let mut image = Image::new(8);
    let (first, last) = (update(1), update(9));
    image.branch(3, &[(b"", 4), (b"\0\0\0\0\0\0\0\x02", 99), (b"\0\0\0\0\0\0\0\x03", 0), (&last.0, 5)]);
    image.leaf(4, &[(0, &first.0, &first.1)]);
    image.leaf(5, &[(0, &last.0, &last.1)]);
    let (good, bad) = read(&image.finish());
    assert_eq!(good, [1, 9]);
    assert_eq!(problems(&bad), [99, 0].map(|page| (page, "is referred to but does not exist")));
}

#[test]
fn pages_without_elements_are_refused_below_the_root() {
    let mut image = Image::new(8);
    image.branch(3, &[(b"", 4), (b"\x01", 5)]);
    image.leaf(4, &[]);
    image.branch(5, &[]);
    let (good, bad) = read(&image.finish());
    assert!(good.is_empty());
    assert_eq!(problems(&bad), [4, 5].map(|page| (page, "has no elements")));
}

#[test]
fn a_key_longer_than_any_is_refused() {
    let mut page = leaf(3, &[(0, &[7; 40_000], b"")]);
    // It takes nine pages more.
    page[12] = 9;
    let mut image = Image::new(16);
    image.put(3, &page);
    assert_eq!(problems(&read(&image.finish()).1), [(3, "has a key that is too long")]);
}

#[test]
fn a_value_longer_than_any_is_not_read_into_memory() {
    const VALUE_BYTES: u32 = 3 << 30;
    let pages = u64::from(VALUE_BYTES) / PAGE_BYTES as u64 + 8;
    let (key, _) = update(1);
    let (late_key, late_value) = update(2);
    let mut page = leaf(3, &[(0, &key, b""), (0, &late_key, &late_value)]);
    page[12..16].copy_from_slice(&(pages as u32 - 4).to_le_bytes());
    // The first value is as long as the rest of the file, nearly; the second entry would begin within it.
    page[16 + 12..16 + 16].copy_from_slice(&VALUE_BYTES.to_le_bytes());
    let mut image = Image::new(8);
    image.put(3, &page);
    let scratch = image.finish();
    // A hole: the file has 3 GiB and takes 32 KiB.
    let file = File::options().write(true).open(&scratch.path).expect("open");
    file.set_len(pages * PAGE_BYTES as u64).expect("make it longer");
    for number in 0..2 {
        let meta = crate::image::meta(number, pages, 2);
        file.write_all_at(&meta, number * PAGE_BYTES as u64).expect("write");
    }

    let (good, bad) = read(&scratch);
    assert!(good.is_empty());
    let problem = ValueProblem::TooLong { bytes: VALUE_BYTES.into() };
    assert!(
        matches!(&bad[0], BoltError::Value { sequence: 1, problem: found } if *found == problem),
        "{}",
        bad[0]
    );
    assert_eq!(problems(&bad[1..]), [(3, "has an element that leads out of its place")]);
}

#[test]
fn buckets_that_are_cut_off_are_refused() {
    let no_leaf = [&bucket(0)[..], &[0; 16]].concat();
    let mut crowded = [&bucket(0)[..], &leaf(0, &[])].concat();
    crowded[16 + 10] = 200;
    for (value, problem) in [
        (&b""[..], "has a bucket that is cut off"),
        (&bucket(3)[..7], "has a bucket that is cut off"),
        (&bucket(0)[..12], "has a bucket that is cut off"),
        (&bucket(0), "has a bucket that is cut off"),
        (&no_leaf, "has a bucket without a leaf"),
        (&crowded, "has a bucket with more elements than it has space for"),
    ] {
        let mut image = Image::new(8);
        image.leaf(2, &[(BUCKET, b"updates", value)]);
        assert_eq!(problems(&read(&image.finish()).1), [(2, problem)]);
    }
}

#[test]
fn elements_of_a_bucket_inside_a_value_cannot_lead_out_of_it() {
    let (key, value) = update(1);
    let mut inside = leaf(0, &[(0, &key, &value)]);
    // What follows the bucket in its page must not become part of the value.
    inside[16 + 12] += 40;
    let mut image = Image::new(8);
    image.leaf(2, &[(BUCKET, b"updates", &[&bucket(0)[..], &inside].concat()), (0, b"z", &[b' '; 100])]);
    let (good, bad) = read(&image.finish());
    assert!(good.is_empty());
    assert_eq!(problems(&bad), [(2, "has an element that leads out of its place")]);
}

#[test]
fn an_entry_with_the_name_that_is_no_bucket_is_not_taken_for_one() {
    let mut image = Image::new(8);
    image.leaf(2, &[(0, b"updates", &bucket(3))]);
    let error = image.finish().open().expect("sound").stats("updates").expect_err("it is none");
    assert!(matches!(error, BoltError::NoBucket { found, .. } if found.is_empty()));
}

#[test]
fn many_buckets_are_listed_up_to_a_bound() {
    let names: Vec<_> = (0..100).map(|number| format!("b{number:03}")).collect();
    let head = bucket(3);
    let entries: Vec<_> = names.iter().map(|name| (BUCKET, name.as_bytes(), &head[..])).collect();
    let mut image = Image::new(8);
    image.leaf(2, &entries[..90]);
    let error = image.finish().open().expect("sound").stats("updates").expect_err("it is none of them");
    assert!(matches!(error, BoltError::NoBucket { found, .. } if found == names[..64]));
}
