//! The lock of the hub that writes the file.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use petasos_hub::bolt::{BoltError, BoltFile};
use rustix::fs::{FlockOperation, flock};

use crate::support::{Scratch, all, generated, testdata};

/// Tells the other process which file to lock.
const HOLD: &str = "BOLT_TEST_HOLD";

/// Not a test by itself: the other process of the one below, which locks the file until its input ends.
#[test]
#[ignore = "run by another test as a process of its own"]
fn hold_the_exclusive_lock() {
    let path = std::env::var_os(HOLD).expect("the other test says which file");
    let file = File::options().read(true).write(true).open(path).expect("open");
    flock(&file, FlockOperation::LockExclusive).expect("lock");
    // A line of its own, whatever the harness has written before.
    println!("\nlocked");
    std::io::stdin().read_line(&mut String::new()).expect("read");
}

#[test]
fn a_file_is_locked_while_another_process_writes_it_and_readable_when_it_has_left() {
    let scratch = Scratch::with(&testdata("inline.db"));
    let mut holder = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "lock::hold_the_exclusive_lock", "--ignored", "--nocapture"])
        .env(HOLD, &scratch.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut lines = BufReader::new(holder.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("read") == "locked"), "the other process locks the file");

    for _ in 0..3 {
        assert!(matches!(scratch.open(), Err(BoltError::Locked)));
    }

    holder.stdin.take().expect("piped").write_all(b"\n").expect("write");
    assert!(holder.wait().expect("wait").success());
    let file = scratch.open().expect("the lock is free");
    assert_eq!(all(&file, "updates"), [1, 2, 3].map(|n| generated(n, 10)));
}

#[test]
#[ignore = "builds a program with Go, which fetches the library"]
fn fifty_thousand_updates_are_readable_when_the_library_lets_go_of_its_lock() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (program, path) = (directory.path().join("gen"), directory.path().join("history.db"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/bolt/gen");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).current_dir(source).status();
    assert!(built.expect("start").success());

    let mut holder = Command::new(&program)
        .arg("hold")
        .arg(&path)
        .arg("50000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut ready = String::new();
    BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut ready).expect("read");
    assert_eq!(ready, "ready\n");
    assert!(matches!(BoltFile::open(&path), Err(BoltError::Locked)));

    drop(holder.stdin.take());
    assert!(holder.wait().expect("wait").success());
    let file = BoltFile::open(&path).expect("the lock is free");
    let updates = all(&file, "updates");
    assert_eq!(updates.len(), 50_000);
    for (n, update) in (1..).zip(&updates) {
        assert_eq!(*update, generated(n, 100));
    }
}

#[test]
fn readers_share_the_lock_and_keep_a_writer_out_until_they_are_dropped() {
    let scratch = Scratch::with(&testdata("inline.db"));
    let first = scratch.open().expect("sound");
    let second = scratch.open().expect("the lock is shared");
    let writer = File::options().read(true).write(true).open(&scratch.path).expect("open");
    drop(first);
    let busy = flock(&writer, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(busy, Err(rustix::io::Errno::WOULDBLOCK));
    drop(second);
    flock(&writer, FlockOperation::NonBlockingLockExclusive).expect("the lock is free");
}

#[test]
fn reading_changes_nothing() {
    let content = testdata("churned.db");
    let scratch = Scratch::with(&content);
    let mut permissions = fs::metadata(&scratch.path).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&scratch.path, permissions).expect("set");
    let modified = |path| fs::metadata(path).expect("metadata").modified().expect("known");
    let before = modified(&scratch.path);
    let file = scratch.open().expect("reading is enough");
    assert_eq!(all(&file, "updates").len(), 500);
    drop(file);
    assert_eq!(fs::read(&scratch.path).expect("read"), content);
    assert_eq!(modified(&scratch.path), before);
    let directory = scratch.path.parent().expect("it has one");
    assert_eq!(fs::read_dir(directory).expect("read").count(), 1, "nothing is left beside it");
}
