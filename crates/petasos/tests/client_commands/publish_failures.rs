//! `publish --lines` when connections are lost, answers stay away, and the hub says no.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use petasos::client::{
    exit::Exit,
    publish::{
        lines::{LineReader, MAX_LINE_BYTES},
        pipeline::{self, End, Options},
        source::Source,
    },
    target::TargetArgs,
};
use tokio::{io::AsyncWriteExt, sync::Semaphore};

use crate::{
    publish::{Recorder, form, joined, numbered, options, options_for, publish},
    server::{FakeHub, Reply, Speaks},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_lost_connections_every_line_is_there_in_order_and_doubles_share_their_id() {
    let hub = FakeHub::start(Speaks::Both, |call| match call.nth {
        // Connections are cut at different depths of the window, with the update of that moment stored or not.
        40 | 300 | 301 => Reply::StoreAndCut,
        41 | 150 | 500 => Reply::Cut,
        _ => Reply::Store,
    })
    .await;
    let lines = numbered(1000);
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(hub.data_without_doubles(), lines, "who keeps the first of each id has all lines in order");
    assert_eq!(
        recorder.stored.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        (1..=1000).collect::<Vec<u64>>()
    );
    let doubles = hub.log().len() - lines.len();
    assert!(doubles >= 3, "updates that were stored without an answer come twice: {doubles}");
    assert!(summary.tally.sent_again >= doubles as u64);
    assert!(
        recorder.notes.iter().any(|note| note.contains("no answer; trying again in")),
        "{:?}",
        recorder.notes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_end_of_the_connection_loses_and_doubles_nothing() {
    let hub =
        FakeHub::start(
            Speaks::Both,
            |call| {
                if call.nth % 100 == 50 { Reply::StoreAndGoAway } else { Reply::Store }
            },
        )
        .await;
    let lines = numbered(1000);
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(hub.log().iter().map(|call| call.field("data").expect("data")).collect::<Vec<_>>(), lines);
    assert!(hub.connections() > 5, "{}", hub.connections());
    assert_eq!(recorder.notes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_hub_is_tried_again_from_the_first_line_it_did_not_take() {
    let hub = FakeHub::start(Speaks::Both, |call| match call.nth {
        0 | 200 => Reply::RefuseFromHereOn(503, "unavailable\nTry again later.\n"),
        _ => Reply::Store,
    })
    .await;
    let lines = numbered(600);
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(hub.log().iter().map(|call| call.field("data").expect("data")).collect::<Vec<_>>(), lines);
    assert_eq!(summary.tally.overtaken, 0);
    assert!(
        recorder.notes[0].starts_with("the hub cannot take it now: 503 unavailable"),
        "{:?}",
        recorder.notes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_keep_the_order_is_told_on() {
    let later_is_stored = Arc::new(Semaphore::new(0));
    let hub = FakeHub::start(Speaks::Both, move |call| match call.nth {
        20 => Reply::RefuseAndHold(503, "unavailable\n", Arc::clone(&later_is_stored)),
        25 => {
            later_is_stored.add_permits(1);
            Reply::Store
        }
        _ => Reply::Store,
    })
    .await;
    let lines = numbered(100);
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&lines).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Failed);
    assert_eq!(summary.tally.overtaken, 1);
    assert!(
        recorder.notes.iter().any(|note| note.starts_with("line 21 was put off")),
        "{:?}",
        recorder.notes
    );
    let mut stored = hub.data_without_doubles();
    stored.sort();
    let mut expected = lines;
    expected.sort();
    assert_eq!(stored, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a05_a_refused_token_ends_it_at_once() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Refuse(401, "expired\n")).await;
    let (mut input, output) = tokio::io::duplex(1000);
    input.write_all(b"a\nb\n").await.expect("written");
    let summary = publish(&options(&hub), output, &mut Recorder::default()).await;
    // The input is still open.
    drop(input);
    assert_eq!(summary.exit(), Exit::NotAuthorized);
    assert_eq!(summary.failure().as_deref(), Some("not authorized: 401 expired"));
    assert_eq!(summary.tally.unacknowledged.map(|(first, _)| first), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a06_a_token_without_the_grant_is_told_by_the_exit_code() {
    let hub = FakeHub::start(Speaks::Both, |_| Reply::Refuse(403, "topic_not_granted\n")).await;
    let mut recorder = Recorder::default();
    let summary = publish(&options(&hub), joined(&numbered(5)).as_slice(), &mut recorder).await;
    assert_eq!(summary.exit(), Exit::NotAuthorized);
    assert_eq!(recorder.refused.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_was_replaced_is_read_again() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "old").expect("written");
    let path = file.path().to_owned();
    let hub = FakeHub::start(Speaks::Both, move |call| {
        if call.nth == 50 {
            std::fs::write(&path, "new").expect("written");
        }
        match (call.header("authorization"), call.nth) {
            (Some("Bearer old"), ..50) | (Some("Bearer new"), _) => Reply::Store,
            _ => Reply::Refuse(401, "expired\n"),
        }
    })
    .await;
    let args = TargetArgs {
        url: Some(hub.url()),
        token_file: Some(file.path().to_owned()),
        ..TargetArgs::default()
    };
    let lines = numbered(300);
    let summary = publish(&options_for(args), joined(&lines).as_slice(), &mut Recorder::default()).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert_eq!(hub.data_without_doubles(), lines);
}

#[tokio::test]
async fn what_is_no_hub_is_not_tried_again() {
    for (status, text) in
        [(404, "404: Not Found"), (405, "405: Method Not Allowed"), (301, "301: Moved Permanently")]
    {
        let hub = FakeHub::start(Speaks::Both, move |_| Reply::Refuse(status, "")).await;
        let summary = publish(&options(&hub), &b"a\n"[..], &mut Recorder::default()).await;
        assert_eq!(summary.exit(), Exit::Failed);
        assert_eq!(summary.failure(), Some(format!("this URL does not answer as a hub: {text}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_retry_the_first_failure_ends_it() {
    let hub =
        FakeHub::start(Speaks::Both, |call| if call.nth == 30 { Reply::Cut } else { Reply::Store }).await;
    let once = Options { retry: false, ..options(&hub) };
    let summary = publish(&once, joined(&numbered(100)).as_slice(), &mut Recorder::default()).await;
    assert_eq!(summary.exit(), Exit::Failed);
    assert!(matches!(&summary.end, End::GaveUp(why) if why.contains("no answer")), "{:?}", summary.end);
    let (first, _) = summary.tally.unacknowledged.expect("lines without an answer");
    assert_eq!(summary.tally.stored + 1, first);
    assert_eq!(summary.tally.sent_again, 0);
    assert_eq!(hub.connections(), 1);
}

#[tokio::test]
async fn a_hub_that_does_not_come_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let options = Options {
        give_up_after: Some(Duration::from_millis(700)),
        ..options_for(TargetArgs { url: Some(url), ..TargetArgs::default() })
    };
    let mut recorder = Recorder::default();
    let summary = publish(&options, &b"a\n"[..], &mut recorder).await;
    assert_eq!(summary.exit(), Exit::Failed);
    assert!(recorder.notes[0].contains("trying again in"), "{:?}", recorder.notes);
    assert!(summary.failure().expect("a failure").starts_with("cannot connect to 127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_user_stops_it_what_is_under_way_is_still_answered() {
    let permits = Arc::new(Semaphore::new(1));
    let held = Arc::clone(&permits);
    let hub = FakeHub::start(Speaks::Both, move |_| Reply::StoreAndHold(Arc::clone(&held))).await;
    let (mut input, output) = tokio::io::duplex(1000);
    input.write_all(&joined(&numbered(7))).await.expect("written");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = options(&hub);
    let mut recorder = Recorder::default();
    let mut source = Source::Lines { reader: LineReader::new(output, MAX_LINE_BYTES, false), form: form() };
    let run = pipeline::run(&options, &mut source, &mut recorder, async { drop(stopped.await) });
    let (summary, ()) = tokio::join!(run, async {
        hub.until_under_way(6).await;
        stop.send(()).expect("it runs");
        permits.add_permits(6);
    });
    drop(input);
    assert!(matches!(summary.end, End::Interrupted));
    assert_eq!((summary.exit(), summary.tally.stored), (Exit::Done, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_says_when_to_come_back_is_heeded() {
    let refused_at = Arc::new(parking_lot::Mutex::new(None));
    let (first, calls) = (Arc::clone(&refused_at), AtomicUsize::new(0));
    let hub = FakeHub::start(Speaks::Both, move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => {
            *first.lock() = Some(std::time::Instant::now());
            let mut response = crate::server::text(429, "");
            response.headers_mut().insert("retry-after", http::HeaderValue::from_static("1"));
            Reply::Answer(response)
        }
        _ => {
            let refused_at = first.lock().expect("the first request was refused");
            assert!(refused_at.elapsed() >= Duration::from_secs(1));
            Reply::Store
        }
    })
    .await;
    let summary = publish(&options(&hub), &b"a\n"[..], &mut Recorder::default()).await;
    assert_eq!(summary.exit(), Exit::Done);
    assert!(refused_at.lock().is_some());
}
