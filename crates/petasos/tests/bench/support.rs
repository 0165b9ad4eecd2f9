//! Runs the program and reads what it writes.

#![allow(dead_code)] // Each test program uses a part of this.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_petasos");

/// A bench that has run, with the directory that its files are in.
pub(crate) struct Bench {
    pub(crate) output: Output,
    directory: tempfile::TempDir,
}

/// Runs `petasos bench` with these arguments, and without what the environment of the tests may say.
pub(crate) fn bench(arguments: &[&str]) -> Bench {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(PROGRAM);
    command.arg("bench").args(arguments).current_dir(directory.path()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    Bench { output, directory }
}

impl Bench {
    /// The exit code.
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().expect("it was not killed")
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).expect("UTF-8")
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).expect("UTF-8")
    }

    /// Fails the test if the bench did not end well.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code(), 0, "{}\n{}", self.stderr(), self.stdout());
        self
    }

    /// A file that it wrote.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What it wrote into a file.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name))
            .unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.stderr()))
    }

    /// The result, where it was asked for with `--json r.json`.
    pub(crate) fn result(&self) -> Value {
        serde_json::from_str(&self.file("r.json")).expect("JSON")
    }
}

/// One of the medians of a subject.
pub(crate) fn median(result: &Value, subject: &str, figure: &str) -> f64 {
    let medians = result["medians"].as_array().expect("medians");
    let own = medians.iter().find(|medians| medians["subject"] == subject);
    let figures = &own.unwrap_or_else(|| panic!("no {subject} in {result}"))["figures"];
    figures[figure].as_f64().unwrap_or_else(|| panic!("no {figure} of {subject} in {figures}"))
}

/// What went wrong in the first run.
pub(crate) fn fault(result: &Value, name: &str) -> u64 {
    result["runs"][0]["faults"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {result}"))
}
