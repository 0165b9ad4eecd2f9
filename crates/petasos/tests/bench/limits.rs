//! What does not go is told before anything is tried, with the way out.

use std::process::{Command, Stdio};

use crate::support::{PROGRAM, bench};

#[test]
fn too_many_subscribers_for_the_limit_on_files_are_refused_with_the_number_that_is_possible() {
    let script = r#"ulimit -n 64; exec "$0" bench fanout --limit -s 1000"#;
    let output = Command::new("sh").args(["-c", script, PROGRAM]).stdin(Stdio::null()).output().expect("sh");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("32 are possible with the limit of 64"), "{text}");
    assert!(
        text.contains("`ulimit -n 2033`"),
        "two sockets each, one publisher, and what the bench needs: {text}"
    );
}

#[test]
fn a_soft_limit_is_raised_to_the_hard_one() {
    let script = r#"ulimit -S -n 64; exec "$0" bench idle --limit -s 100 --duration 10ms --warmup 0 -q"#;
    let output = Command::new("sh").args(["-c", script, PROGRAM]).stdin(Stdio::null()).output().expect("sh");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    for (arguments, text) in [
        (&["fanout", "--limit", "--spawn"][..], "cannot be used with"),
        (&["fanout", "--url", "http://127.0.0.1:1", "--spawn"], "--url and --spawn exclude each other"),
        (&["idle", "--url", "http://127.0.0.1:1", "--limit"], "--url and --limit exclude each other"),
        (&["topics", "-t", "2", "-p", "3"], "3 publishers need at least as many topics, and there are 2"),
        (&["resume", "--no-fill"], "--name"),
        (&["resume", "--events", "100", "--back", "101"], "--back 101"),
        (&["churn", "--vanish", "0.6", "--half-close", "0.6"], "at most 1"),
        (&["fanout", "--size", "39"], "39"),
        (&["fanout", "--sample", "3"], "power of two"),
        (&["fanout", "--key", "x"], "--issuer"),
    ] {
        let bench = bench(arguments);
        assert_eq!(bench.code(), 2, "{arguments:?}: {}", bench.stderr());
        assert!(bench.stderr().contains(text), "{arguments:?}: {}", bench.stderr());
    }
}

#[test]
fn a_hub_that_is_not_there_is_told() {
    // A port that nobody listens on, as long as this socket is there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", taken.local_addr().unwrap());
    drop(taken);
    let bench = bench(&["fanout", "--url", &url]);
    assert_eq!(bench.code(), 1);
    assert!(bench.stderr().contains("cannot connect to 127.0.0.1:"), "{}", bench.stderr());
}

#[test]
fn a_hub_that_does_not_start_shows_why() {
    let bench = bench(&["fanout", "--spawn", "--serve-arg=--heartbeat=never"]);
    assert_eq!(bench.code(), 1);
    assert!(bench.stderr().contains("heartbeat"), "{}", bench.stderr());
}
