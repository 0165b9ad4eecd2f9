//! A hub that is started in place of another one, and the export of its history.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use petasos_testkit::{
    process::{ProcessOptions, command, text},
    within,
};
use serde::Deserialize;

use crate::common::{PROGRAM, process_options};

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) topics: Vec<String>,
    pub(crate) data: String,
    pub(crate) private: bool,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) at_ms: u64,
}

/// What the program is started with where the old hub's environment named this Bolt file.
pub(crate) fn in_place_of(bolt: &Path) -> ProcessOptions {
    let mut options = process_options(bolt.parent().unwrap());
    options.environment.retain(|(name, _)| name != "PETASOS_TRANSPORT_URL");
    options.environment.push(("MERCURE_TRANSPORT_URL".into(), format!("bolt://{}", text(bolt))));
    // The streams of a test need no time to leave.
    options.environment.push(("PETASOS_DRAIN_TIMEOUT".into(), "1s".into()));
    options
}

/// The store that is made for a Bolt file (decision 12).
pub(crate) fn store_of(bolt: &Path) -> PathBuf {
    let mut name = bolt.as_os_str().to_owned();
    name.push(".sqlite");
    name.into()
}

/// Runs `petasos history` with these arguments on a store, and returns what it printed.
pub(crate) async fn history(arguments: &[&str], store: &Path) -> String {
    let output = command(PROGRAM).arg("history").args(arguments).args(["--store", text(store)]).output();
    let output = within(COMMAND_LIMIT, "the end of the command", output).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that a store keeps.
pub(crate) async fn export(store: &Path) -> Vec<Line> {
    let lines = history(&["export"], store).await;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
