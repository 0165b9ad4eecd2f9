//! Memory and descriptors are bounded whatever clients do: readers that never read, that vanish, that close half, waves
//! of connections. The load is that of `petasos bench`, which also checks that nobody loses, doubles or reorders an
//! update.
//!
//! `BOUNDED_SUBSCRIBERS`, `BOUNDED_SECONDS`, `CHURN_SECONDS` and `CHURN_SUBSCRIBERS` in the environment make the runs
//! longer.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod cgroup;
mod churn;
mod container;
mod waves;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Runs `petasos bench` and returns its result; fails where the bench found a fault.
fn bench(directory: &Path, arguments: &[&str]) -> Value {
    let result = directory.join("result.json");
    let mut command = Command::new(common::PROGRAM);
    command.arg("bench").args(arguments).arg("--quiet").arg("--json").arg(&result).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    serde_json::from_str(&std::fs::read_to_string(result).unwrap()).unwrap()
}

/// One of the figures of the hub.
fn figure(result: &Value, name: &str) -> f64 {
    let medians = result["medians"].as_array().unwrap();
    let hub = medians.iter().find(|medians| medians["subject"] == "hub").unwrap();
    hub["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {result}"))
}
