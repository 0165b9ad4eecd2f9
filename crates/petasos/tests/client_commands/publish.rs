//! `publish --lines`, and single updates, while nothing goes wrong but what the input holds.

use std::{sync::Arc, time::Duration};

use petasos::client::{
    answer::Refused,
    exit::Exit,
    publish::{
        form::{Fields, Form},
        lines::{BadLine, LineReader, MAX_LINE_BYTES},
        pipeline::{self, Options},
        report::{Observer, Summary},
        source::Source,
    },
    target::TargetArgs,
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    sync::{Semaphore, mpsc},
};

use crate::server::{FakeHub, Reply, Speaks};

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) stored: Vec<(u64, String)>,
    pub(crate) refused: Vec<(u64, String)>,
    pub(crate) notes: Vec<String>,
    /// Gets the numbers of stored lines as they come.
    pub(crate) tell: Option<mpsc::UnboundedSender<u64>>,
}

impl Observer for Recorder {
    fn stored(&mut self, line: u64, id: &str) {
        self.stored.push((line, id.to_owned()));
        if let Some(tell) = &self.tell {
            tell.send(line).expect("the test listens");
        }
    }

    fn refused(&mut self, line: u64, why: &Refused) {
        self.refused.push((line, why.to_string()));
    }

    fn unfit(&mut self, line: u64, why: BadLine) {
        self.refused.push((line, why.to_string()));
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn pause(&mut self) {}
}

/// The options of `--lines` for this hub.
pub(crate) fn options(hub: &FakeHub) -> Options {
    options_for(TargetArgs { url: Some(hub.url()), ..TargetArgs::default() })
}

pub(crate) fn options_for(target: TargetArgs) -> Options {
    Options {
        target: target.resolve(None).expect("a target"),
        window: None,
        http1_only: false,
        retry: true,
        give_up_after: Some(Duration::from_secs(20)),
    }
}

pub(crate) fn form() -> Form {
    Form::new(&Fields { topics: vec!["https://a.test/log".into()], ..Fields::default() })
}

/// Publishes the lines of `input`.
pub(crate) async fn publish<R: AsyncRead + Unpin>(
    options: &Options,
    input: R,
    recorder: &mut Recorder,
) -> Summary {
    let mut source = Source::Lines { reader: LineReader::new(input, MAX_LINE_BYTES, false), form: form() };
    let run = pipeline::run(options, &mut source, recorder, std::future::pending());
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends")
}

pub(crate) fn numbered(lines: usize) -> Vec<String> {
    (1..=lines).map(|number| format!("line {number} with & and é")).collect()
}

pub(crate) fn joined(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_stored_in_order_with_many_under_way_at_once() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Store).await;
    let lines = numbered(3000);
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!((summary.tally.stored, summary.tally.sent_again), (3000, 0));
    let log = hub.log();
    assert_eq!(log.iter().map(|call| call.field("data").expect("data")).collect::<Vec<_>>(), lines);
    assert!(log.iter().all(|call| call.version == http::Version::HTTP_2 && call.connection == 1));
    assert!(log.iter().all(|call| call.field("topic") == Some("https://a.test/log")));
    let ids: Vec<(u64, String)> =
        (1..).zip(log.iter().map(|call| call.field("id").expect("an id").to_owned())).collect();
    assert_eq!(recorder.stored, ids, "ids are printed in the order of the lines");
    assert!(ids.iter().all(|(_, id)| id.starts_with("urn:uuid:")));
    assert!((2..=pipeline::DEFAULT_WINDOW).contains(&hub.most_under_way()), "{}", hub.most_under_way());
    assert_eq!(recorder.notes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_bounds_what_is_under_way_and_the_first_request_goes_alone() {
    let permits = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&permits);
    let hub = FakeHub::start(Speaks::Both, move |_| Reply::StoreAndHold(Arc::clone(&held))).await;
    let options = Options { window: Some(5), ..options(&hub) };
    let lines = numbered(30);
    let input = joined(&lines);
    let mut recorder = Recorder::default();
    let (summary, ()) = tokio::join!(publish(&options, input.as_slice(), &mut recorder), async {
        hub.until_under_way(1).await;
        assert_eq!(hub.most_under_way(), 1);
        permits.add_permits(1);
        hub.until_under_way(5).await;
        permits.add_permits(29);
    });
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(hub.most_under_way(), 5);
    assert_eq!(hub.data_without_doubles(), lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_published_as_they_come_and_idle_connections_may_be_closed() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Store).await;
    let (mut input, output) = tokio::io::duplex(1000);
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut recorder = Recorder { tell: Some(tell), ..Recorder::default() };
    let options = options(&hub);
    let (summary, ()) = tokio::join!(publish(&options, output, &mut recorder), async {
        for number in 1..=6 {
            input.write_all(b"half a li").await.expect("written");
            input.write_all(format!("ne {number}\n").as_bytes()).await.expect("written");
            assert_eq!(told.recv().await, Some(number));
            if number % 2 == 0 {
                hub.close_connections().await;
            }
        }
        drop(input);
    });
    assert_eq!(summary.exit(), Exit::Done);
    // A line that is sent in the moment of closing is sent again; it was not stored.
    assert_eq!(hub.log().len(), 6);
    assert!((3..=5).contains(&hub.connections()), "{}", hub.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_lines_are_told_with_number_and_code_and_the_others_go_on() {
    let hub = FakeHub::start(Speaks::Both, |call| {
        match call.field("data").and_then(|data| data.parse::<u64>().ok()) {
            Some(number) if number % 10 == 0 => {
                Reply::Refuse(400, "reserved_id\nThe id must not start with #.\n")
            }
            Some(number) if number % 25 == 3 => Reply::Refuse(413, "body_too_large\n"),
            Some(8) => Reply::Refuse(403, "topic_not_granted\n"),
            _ => Reply::Store,
        }
    })
    .await;
    let lines: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Failed);
    assert_eq!((summary.tally.stored, summary.tally.refused, summary.tally.forbidden), (85, 15, 1));
    assert_eq!(recorder.refused[0], (3, "413 body_too_large".to_owned()));
    assert_eq!(recorder.refused[1], (8, "403 topic_not_granted".to_owned()));
    assert_eq!(recorder.refused[2], (10, "400 reserved_id: The id must not start with #.".to_owned()));
    let expected: Vec<&String> = lines
        .iter()
        .filter(|line| {
            !line.ends_with('0') && *line != "8" && !["3", "28", "53", "78"].contains(&line.as_str())
        })
        .collect();
    assert_eq!(hub.data_without_doubles().iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn p07_lines_that_cannot_be_published_are_told_and_not_sent() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Store).await;
    let mut recorder = Recorder::default();
    let mut input = b"a\r\n\xFF\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES + 1));
    input.extend(b"\n\nb");
    let summary = publish(&options(&hub), input.as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Failed);
    let numbers: Vec<u64> = recorder.refused.iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(hub.data_without_doubles(), ["a", "", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_lines_travel_alone_and_keep_their_place() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Store).await;
    let lines: Vec<String> =
        (0..60)
            .map(|number| {
                if number % 3 == 0 { format!("{number} {}", "x".repeat(100_000)) } else { number.to_string() }
            })
            .collect();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut Recorder::default()).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(hub.data_without_doubles(), lines);
    assert!(hub.most_under_way() <= 2, "{}", hub.most_under_way());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_http_2_gets_one_line_at_a_time() {
    for speaks in [Speaks::Http1, Speaks::Http1Silent] {
        let hub = FakeHub::start(speaks, |_| Reply::Store).await;
        let lines = numbered(200);
        let mut recorder = Recorder::default();
        let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
        assert_eq!(summary.exit(), Exit::Done);
        assert_eq!(hub.data_without_doubles(), lines);
        assert_eq!((hub.most_under_way(), hub.connections()), (1, 2), "one attempt with HTTP/2 comes first");
        assert_eq!(recorder.notes, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_after_every_answer_is_no_trouble() {
    let hub = FakeHub::start(Speaks::Http1, |_| Reply::StoreWith("connection", "close")).await;
    let lines = numbered(20);
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(summary.tally.sent_again, 0);
    assert_eq!(hub.data_without_doubles(), lines);
    assert_eq!(recorder.notes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_lines_go_one_at_a_time_unless_a_window_is_asked_for() {
    for (field, value) in [("via", "1.1 proxy"), ("server", "nginx")] {
        let hub = FakeHub::start(Speaks::Both, move |_| Reply::StoreWith(field, value)).await;
        let lines = numbered(50);
        let mut recorder = Recorder::default();
        let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
        assert_eq!(summary.exit(), Exit::Done);
        assert_eq!(hub.most_under_way(), 1);
        assert!(recorder.notes[0].starts_with(value), "{:?}", recorder.notes);
        assert_eq!(recorder.notes.len(), 1);
    }
    let hub = FakeHub::start(Speaks::Both, |_| Reply::StoreWith("via", "1.1 proxy")).await;
    let options = Options { window: Some(10), ..options(&hub) };
    publish(&options, joined(&numbered(200)).as_slice(), &mut Recorder::default()).await;
    assert!(hub.most_under_way() > 1);
}

#[tokio::test]
async fn a_single_update_is_one_http_1_request() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Store).await;
    let args = TargetArgs {
        url: Some(hub.url()),
        token: Some(petasos_hub::auth::Secret::new("a.b.c")),
        ..TargetArgs::default()
    };
    let options = Options { http1_only: true, ..options_for(args) };
    let mut source: Source<tokio::io::Empty> = Source::One(Some(form().body("urn:x:1", Some("a\nb\r\n"))));
    let mut recorder = Recorder::default();
    let summary = pipeline::run(&options, &mut source, &mut recorder, std::future::pending()).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(recorder.stored, [(1, "urn:x:1".to_owned())]);
    let [call] = hub.log().try_into().expect("one update");
    assert_eq!((call.version, hub.connections()), (http::Version::HTTP_11, 1));
    assert_eq!(call.field("data"), Some("a\nb\r\n"));
    assert_eq!(call.header("authorization"), Some("Bearer a.b.c"));
    assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(call.header("host"), Some(format!("localhost:{}", hub.address.port()).as_str()));
}
