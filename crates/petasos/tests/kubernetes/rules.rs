//! The alerts of the chart, run by Prometheus' own tool on made-up series.

use std::process::Command;

#[test]
fn alerts_fire_when_they_should_and_tell_installations_apart() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/rules_test.yaml");
    let output =
        Command::new("promtool").args(["test", "rules", place]).output().expect("promtool is needed");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
