//! The program itself: what it prints where, and its exit codes.

use std::{
    io::Read,
    process::{Child, Command, Output, Stdio},
};

use crate::server::{Call, Ends, FakeHub, Reply, Speaks, stream};

/// The program with these arguments, and without what the environment of the tests may say.
fn petasos(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petasos"));
    command.args(arguments).env_remove("PETASOS_URL").env_remove("PETASOS_TOKEN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end with this input.
async fn run(mut command: Command, input: &'static [u8]) -> Output {
    tokio::task::spawn_blocking(move || {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // The program may end before it has read everything.
        let _ = std::io::Write::write_all(&mut stdin, input);
        drop(stdin);
        child.wait_with_output().expect("it ends")
    })
    .await
    .expect("it ends")
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

fn refuse_two(call: &Call) -> Reply {
    if call.field("data") == Some("two") { Reply::Refuse(400, "reserved_id\nNo.\n") } else { Reply::Store }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publish_prints_ids_on_one_side_and_everything_else_on_the_other() {
    let hub = FakeHub::start(Speaks::Both, refuse_two).await;
    let url = hub.url();
    let output = run(petasos(&["publish", "--url", &url, "-t", "a", "--lines"]), b"one\ntwo\nthree\n").await;
    assert_eq!(output.status.code(), Some(1));
    let ids: Vec<String> = hub.log().iter().map(|call| call.field("id").expect("an id").to_owned()).collect();
    assert_eq!(lines(&output.stdout), ids);
    let messages = lines(&output.stderr);
    assert_eq!(messages[0], "petasos: line 2 refused: 400 reserved_id: No.");
    assert!(messages[1].starts_with("petasos: 3 lines, 2 published, 1 refused, "), "{messages:?}");
    let output = run(petasos(&["publish", "--url", &url, "-t", "a", "--lines", "--quiet"]), b"one\n").await;
    assert_eq!((output.status.code(), lines(&output.stderr)), (Some(0), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_a_single_update_is_a_flag_or_the_whole_of_standard_input() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Store).await;
    let url = hub.url();
    for arguments in [&["--data", "-x"][..], &["--data", "-"], &[], &["--data", ""]] {
        let all =
            [&["publish", "--url", &url, "-t", "a", "-t", "b", "--private", "--id", "urn:x:1"], arguments]
                .concat();
        let output = run(petasos(&all), b"several\nlines\n").await;
        assert_eq!(output.status.code(), Some(0), "{:?}", lines(&output.stderr));
        assert_eq!(lines(&output.stdout), ["urn:x:1"]);
    }
    let log = hub.log();
    let data: Vec<&str> = log.iter().map(|call| call.field("data").expect("data")).collect();
    assert_eq!(data, ["-x", "several\nlines\n", "several\nlines\n", ""]);
    assert!(log.iter().all(|call| call.field("private").is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_comes_from_the_environment_and_is_shown_nowhere() {
    let hub = FakeHub::start(Speaks::Both, |call| match call.header("authorization") {
        Some("Bearer good.token.here") => Reply::Store,
        _ => Reply::Refuse(401, "bad_signature\n"),
    })
    .await;
    let url = hub.url();
    for (token, code) in [("good.token.here", 0), ("bad.token.here", 3), ("", 3)] {
        let mut command = petasos(&["publish", "--url", &url, "-t", "a", "-d", "x"]);
        command.env("PETASOS_TOKEN", token);
        let output = run(command, b"").await;
        assert_eq!(output.status.code(), Some(code), "{token}");
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains("token.here"));
    }
    let mut command = petasos(&["publish", "--help"]);
    command.env("PETASOS_TOKEN", "good.token.here");
    let help = run(command, b"").await;
    assert!(!String::from_utf8_lossy(&help.stdout).contains("token.here"));
}

#[tokio::test]
async fn wrong_usage_has_a_code_of_its_own() {
    for arguments in [
        &["publish"][..],
        &["publish", "-t", "a", "--url", "ftp://hub.test"],
        &["publish", "-t", "a", "--lines", "--data", "x"],
        &["publish", "-t", "a", "--window", "3"],
        &["publish", "-t", "a", "--lines", "--window", "0"],
        &["subscribe"],
        &["subscribe", "a", "--from-start", "--last-event-id", "x"],
        &["subscribe", "a", "--timeout", "5"],
        &["subscribe", "a", "--state", "/dev/null/x"],
        &["token"],
        &["token", "--publish", "a", "--expires-in", "0"],
    ] {
        let output = run(petasos(arguments), b"").await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {:?}", lines(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribe_prints_events_and_counts_them() {
    let events = "id: 1\nevent: tick\ndata: a\ndata: b\n\nid: 2\ndata: c\n\n";
    let hub = FakeHub::start(Speaks::Both, move |_| stream(Some("0"), &[events], Ends::Not)).await;
    let url = hub.url();
    for (format, expected) in [
        ("text", "1 (tick)\n  a\n  b\n2\n  c\n"),
        ("data", "a\nb\nc\n"),
        (
            "json",
            "{\"id\":\"1\",\"type\":\"tick\",\"data\":\"a\\nb\"}\n{\"id\":\"2\",\"type\":\"message\",\"data\":\"c\"}\n",
        ),
    ] {
        let output =
            run(petasos(&["subscribe", "--url", &url, "a", "--format", format, "--count", "2"]), b"").await;
        assert_eq!((output.status.code(), lines(&output.stderr)), (Some(0), vec![]));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    let output = run(petasos(&["subscribe", "--url", &url, "a", "-n", "3", "--timeout", "300ms"]), b"").await;
    assert_eq!(output.status.code(), Some(1), "the third event did not come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_closes_the_pipe_ends_subscribe_quietly() {
    let events: Vec<&'static str> = (0..2000).map(|_| "data: one of many\n\n").collect();
    let hub = FakeHub::start(Speaks::Both, move |_| stream(Some("0"), &events, Ends::Not)).await;
    let url = hub.url();
    let output = tokio::task::spawn_blocking(move || {
        let mut child: Child =
            petasos(&["subscribe", "--url", &url, "a", "-f", "data"]).spawn().expect("it starts");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut [0; 4]).expect("something comes");
        drop(stdout);
        child.wait_with_output().expect("it ends")
    })
    .await
    .expect("it ends");
    assert_eq!((output.status.code(), lines(&output.stderr)), (Some(0), vec![]));
}

#[tokio::test]
async fn a_minted_token_passes_the_check() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = petasos(&["token", "--dev", "--publish", "*"]);
    let minted = run(
        {
            command.current_dir(directory.path());
            command
        },
        b"",
    )
    .await;
    assert_eq!(minted.status.code(), Some(0), "{:?}", lines(&minted.stderr));
    let [token] = lines(&minted.stdout).try_into().expect("one line and nothing else");
    assert_eq!(token.split('.').count(), 3);
    for (role, code) in [("publisher", 0), ("subscriber", 0)] {
        let mut command = petasos(&["token", "check", "--dev", "--role", role]);
        command.current_dir(directory.path());
        let checked = run(command, Box::leak(token.clone().into_bytes().into_boxed_slice())).await;
        assert_eq!(checked.status.code(), Some(code), "{:?}", lines(&checked.stdout));
        assert!(!String::from_utf8_lossy(&checked.stdout).contains(&token));
    }
    let mut command =
        petasos(&["token", "check", "--dev", "--topic", "https://a.test/", "--audience", "https://b.test/"]);
    command.current_dir(directory.path());
    let checked = run(command, Box::leak(token.into_bytes().into_boxed_slice())).await;
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("Refused by rule A11 (aud)."));
}
