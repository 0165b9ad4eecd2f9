//! Files that are no history, or no longer.

use petasos_hub::bolt::{BoltError, BoltFile};

use crate::support::{Scratch, all, generated, testdata};

fn refusal(content: &[u8]) -> BoltError {
    Scratch::with(content).open().expect_err("it is refused")
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    assert!(matches!(BoltFile::open(directory.path()), Err(BoltError::NotAFile)));

    let missing = BoltFile::open(directory.path().join("missing.db"));
    assert!(
        matches!(missing, Err(BoltError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound)
    );

    // Nobody writes to it: opening it must not wait for that.
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("start");
    assert!(made.success());
    assert!(matches!(BoltFile::open(&pipe), Err(BoltError::NotAFile)));
}

#[test]
fn what_is_no_bolt_file_is_refused() {
    assert!(matches!(refusal(b""), BoltError::Empty));
    assert!(matches!(refusal(b"short"), BoltError::NotBolt));
    assert!(matches!(refusal(&[0; 100_000]), BoltError::NotBolt));
    assert!(matches!(refusal(&b"SQLite format 3\0".repeat(1_000)), BoltError::NotBolt));

    let mut newer = testdata("inline.db");
    newer[20] = 3;
    newer[4096 + 20] = 3;
    assert!(matches!(refusal(&newer), BoltError::Version { found: 3 }));
}

#[test]
fn one_damaged_meta_page_is_survived_by_the_other() {
    for name in ["inline", "deep", "pages-16k", "pages-64k"] {
        let content = testdata(&format!("{name}.db"));
        let page_bytes = u32::from_le_bytes(content[24..28].try_into().expect("4 bytes")) as usize;
        let transaction = |page: usize| {
            let at = page * page_bytes + 64;
            u64::from_le_bytes(content[at..at + 8].try_into().expect("8 bytes"))
        };
        let older = usize::from(transaction(0) > transaction(1));
        let expected = all(&Scratch::with(&content).open().expect("sound"), "updates");

        // The older one does not matter, not even for the page size that is read from the first.
        for damage in [0..16, 16..20, 24..28, 48..56, 72..80] {
            let mut damaged = content.clone();
            for byte in &mut damaged[older * page_bytes..][damage.clone()] {
                *byte ^= 0xa5;
            }
            let file = Scratch::with(&damaged).open().expect("the other one is sound");
            assert_eq!(all(&file, "updates"), expected, "{name} {damage:?}");
        }

        // Without the newer one the transaction before it is what there is.
        let mut damaged = content.clone();
        damaged[(1 - older) * page_bytes + 40] ^= 1;
        let file = Scratch::with(&damaged).open().expect("the other one is sound");
        match file.stats("updates") {
            Ok(stats) => assert!(stats.updates < expected.len() as u64, "{name}"),
            Err(error) => assert!(matches!(error, BoltError::NoBucket { .. }), "{name}: {error}"),
        }

        let mut damaged = content.clone();
        damaged[40] ^= 1;
        damaged[page_bytes + 40] ^= 1;
        assert!(matches!(refusal(&damaged), BoltError::DamagedMeta), "{name}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let content = testdata("churned.db");
    // What is behind the last page in use is not missed.
    let pages = u64::from_le_bytes(content[56..64].try_into().expect("8 bytes"));
    let used_bytes = (pages * 4096) as usize;
    let file = Scratch::with(&content[..used_bytes]).open().expect("whole");
    assert_eq!(all(&file, "updates").len(), 500);

    for kept_bytes in [used_bytes - 1, used_bytes / 2, 3 * 4096, 4096, 100] {
        let error = refusal(&content[..kept_bytes]);
        let BoltError::Truncated { wanted_bytes, found_bytes } = error else { panic!("{error}") };
        assert_eq!(found_bytes, kept_bytes as u64);
        assert!(wanted_bytes > found_bytes);
    }
}

#[test]
fn a_damaged_page_loses_what_is_on_it_and_nothing_else() {
    let mut content = testdata("deep.db");
    // Some of these pages are in use and some are free; all are made something that is no page of a tree.
    let clean = all(&Scratch::with(&content).open().expect("sound"), "updates").len();
    let mut in_use = 0;
    for page in (100..400).step_by(50) {
        let at = page * 1024 + 8;
        let flags = std::mem::replace(&mut content[at], 0x20);
        let scratch = Scratch::with(&content);
        let file = scratch.open().expect("the meta pages are sound");
        let (good, bad): (Vec<_>, Vec<_>) = file.updates("updates").expect("there").partition(Result::is_ok);
        let good: Vec<_> = good.into_iter().flatten().collect();
        assert!(good.is_sorted_by(|a, b| a.sequence < b.sequence));
        assert!(good.iter().all(|update| *update == generated(update.sequence, 20)));
        assert_eq!(bad.is_empty(), good.len() == clean, "page {page}");
        if let [Err(error)] = &bad[..] {
            assert!(matches!(error, BoltError::Corrupt { page: damaged, .. } if *damaged == page as u64));
            assert!(file.stats("updates").is_err(), "never counted as if it were whole");
            in_use += 1;
        }
        content[at] = flags;
    }
    assert!(in_use >= 2, "{in_use} of the pages were in use");
}
