//! A hub whose store lies in a directory of its own, and the commands that look at that store.

use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use petasos_testkit::{
    TestHub, follower::log_of, process::ProcessOptions, process::command, process::text, within,
};

use crate::common::{PROGRAM, process_options};

/// The topic of all updates.
pub(crate) const TOPIC: &str = "https://example.com/ledger";

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// What the program is started with: the store in one directory, its log in another, which may be on another disk.
pub(crate) fn store_in(store: &Path, directory: &Path) -> ProcessOptions {
    let mut options = process_options(directory);
    let url = format!("sqlite://{}", text(&database(store)));
    options.environment.push(("PETASOS_TRANSPORT_URL".into(), url));
    options
}

/// The database in this directory.
pub(crate) fn database(store: &Path) -> PathBuf {
    store.join("petasos.db")
}

/// Its write-ahead log.
pub(crate) fn write_ahead_log(store: &Path) -> PathBuf {
    store.join("petasos.db-wal")
}

/// `petasos history` with this command on the store.
pub(crate) async fn history(name: &str, store: &Path) -> Output {
    let store = database(store);
    let output = command(PROGRAM).args(["history", name, "--store", text(&store)]).output();
    within(COMMAND_LIMIT, "the end of the command", output).await.unwrap()
}

/// `petasos serve` where it is expected to end by itself: what it said, and its exit code.
pub(crate) async fn refused_start(options: &ProcessOptions) -> (String, Option<i32>) {
    let output = command(&options.program)
        .args(&options.arguments)
        .envs(options.environment.iter().cloned())
        .current_dir(&options.directory)
        .output();
    let output = within(COMMAND_LIMIT, "the end of a hub that cannot start", output).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

/// The ids of everything that a hub keeps. Publishes the marker that ends the replay.
pub(crate) async fn whole_log(hub: &TestHub, marker: &str) -> Vec<String> {
    hub.publish(TOPIC, marker).id(marker).await;
    let log = log_of(hub, TOPIC, marker).await;
    log.into_iter().filter(|id| id.contains(':')).collect()
}

/// Asserts that `history verify` finds nothing.
pub(crate) async fn assert_sound(store: &Path) {
    let verified = history("verify", store).await;
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(0), "{said}");
    assert!(said.contains(" 0 damages"), "{said}");
}
