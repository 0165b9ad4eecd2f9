//! Ctrl-C and SIGTERM: the bench ends, and the hub that it started with it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::PROGRAM;

/// How long the end may take.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_signal_ends_the_bench_and_the_hub_that_it_started() {
    let mut bench = Command::new(PROGRAM)
        .args(["bench", "fanout", "--spawn", "-s", "5", "--duration", "600s", "--warmup", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(bench.stderr.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("a line").contains("measuring")), "it measures");
    let hub = child_of(&bench);
    let pid = Pid::from_raw(bench.id().cast_signed()).expect("a number");
    kill_process(pid, Signal::TERM).expect("it runs");
    let rest: Vec<String> = lines.map(|line| line.expect("a line")).collect();
    assert_eq!(bench.wait().expect("it ends").code(), Some(1), "{rest:?}");
    assert!(rest.iter().any(|line| line == "petasos: interrupted"), "{rest:?}");
    let begun = Instant::now();
    while Path::new(&format!("/proc/{hub}")).exists() {
        assert!(begun.elapsed() < LIMIT, "the hub {hub} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn child_of(process: &Child) -> u32 {
    let id = process.id();
    let children = std::fs::read_dir(format!("/proc/{id}/task")).expect("it runs").filter_map(|task| {
        let path = task.expect("a task").path().join("children");
        Some(std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().expect("a number"))
    });
    children.last().expect("it has started a hub")
}
