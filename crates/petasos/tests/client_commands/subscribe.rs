//! `subscribe`: what is asked for, what is printed, and how it comes back after a stream has ended.

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use petasos::client::{
    exit::Exit,
    sse::{Event, MAX_EVENT_BYTES},
    subscribe::{
        follow::{self, End, Options, Sink},
        session::{Cursor, Matcher},
        state::{StateError, StateFile},
    },
    target::TargetArgs,
};

use crate::server::{Call, Ends, FakeHub, Reply, Speaks, stream};

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Recorder {
    events: Vec<Event>,
    cursors: Vec<String>,
    notes: Vec<String>,
    state: Option<StateFile>,
    output_is_closed: bool,
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.output_is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.events.push(event.clone());
        Ok(())
    }

    fn cursor(&mut self, id: &str) -> Result<(), StateError> {
        self.cursors.push(id.to_owned());
        self.state.as_mut().map_or(Ok(()), |state| state.save(id))
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

impl Recorder {
    fn data(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.data.as_str()).collect()
    }
}

fn options(hub: &FakeHub) -> Options {
    let target = TargetArgs { url: Some(hub.url()), ..TargetArgs::default() };
    Options {
        target: target.resolve(None).expect("a target"),
        matchers: vec![Matcher::Exact("a b".into()), Matcher::UrlPattern("https://a.test/:id".into())],
        start: Cursor::Live,
        reconnect: true,
        fail_on_gap: false,
        count: None,
        timeout: None,
        max_event_bytes: MAX_EVENT_BYTES,
    }
}

async fn follow(options: &Options, recorder: &mut Recorder) -> End {
    let run = follow::follow(options, recorder, std::future::pending());
    tokio::time::timeout(Duration::from_secs(30), run).await.expect("it ends")
}

/// A hub that answers the first request with the first reply, and so on; and keeps the requests.
async fn scripted(
    replies: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> (FakeHub, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&calls);
    let hub = FakeHub::start(Speaks::Both, move |call| {
        kept.lock().push(call.clone());
        replies(call.nth)
    })
    .await;
    (hub, calls)
}

#[tokio::test]
async fn s03_the_request_asks_for_every_matcher_and_for_the_present_position() {
    let (hub, calls) = scripted(|_| stream(Some("urn:x:0"), &["id: urn:x:1\ndata: a\n\n"], Ends::Not)).await;
    let mut recorder = Recorder::default();
    let end = follow(&Options { count: Some(1), ..options(&hub) }, &mut recorder).await;
    assert!(matches!(end, End::Count));
    assert_eq!(end.exit(true), Exit::Done);
    assert_eq!(recorder.cursors, ["urn:x:0", "urn:x:1"], "the position is known before the first event");
    let [call] = calls.lock().clone().try_into().expect("one request");
    let fields = [("match", "a b"), ("match_urlpattern", "https://a.test/:id"), ("last_event_id", "")];
    assert_eq!(call.fields, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(call.header("accept"), Some("text/event-stream"));
    assert_eq!(call.header("last-event-id"), None);
    assert_eq!(call.method, http::Method::GET);
}

#[tokio::test]
async fn r01_after_a_stream_has_ended_it_continues_behind_the_last_complete_event() {
    let (hub, calls) = scripted(|nth| match nth {
        0 => stream(
            Some("earliest"),
            &["retry: 1\n", "id: 1\nda", "ta: a\r\n\r\n:\n", "id: 2\ndata: cut"],
            Ends::Cleanly,
        ),
        1 => stream(Some("1"), &["id: 2\ndata: b\n\nid: 3\n", "data: c"], Ends::Abruptly),
        2 => Reply::Cut,
        3 => Reply::Refuse(503, "unavailable\n"),
        _ => stream(Some("2"), &["id: 3\ndata: c\n\n"], Ends::Not),
    })
    .await;
    let mut recorder = Recorder::default();
    let end = follow(&Options { count: Some(3), ..options(&hub) }, &mut recorder).await;
    assert!(matches!(end, End::Count));
    assert_eq!(recorder.data(), ["a", "b", "c"]);
    let asked: Vec<Option<String>> =
        calls.lock().iter().map(|call| call.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("1".into()), Some("2".into()), Some("2".into()), Some("2".into())]);
    assert!(calls.lock()[1].field("last_event_id").is_none());
    let notes = recorder.notes.join("\n");
    assert!(!notes.contains("lost"), "{notes}");
    assert!(recorder.notes[0].starts_with("the stream broke off"), "{notes}");
    assert!(notes.contains("503 unavailable") && notes.contains("connected again, from 2 on"), "{notes}");
}

#[tokio::test]
async fn the_reconnection_time_of_the_hub_is_honoured() {
    let ended_at = Arc::new(Mutex::new(None::<std::time::Instant>));
    let first = Arc::clone(&ended_at);
    let (hub, _) = scripted(move |nth| match nth {
        0 => {
            *first.lock() = Some(std::time::Instant::now());
            stream(Some("1"), &["retry: 700\n\n"], Ends::Cleanly)
        }
        _ => {
            let waited = first.lock().expect("there was a first request").elapsed();
            let text =
                if waited >= Duration::from_millis(700) { "data: late\n\n" } else { "data: early\n\n" };
            stream(Some("1"), &[text], Ends::Not)
        }
    })
    .await;
    let mut recorder = Recorder::default();
    follow(&Options { count: Some(1), ..options(&hub) }, &mut recorder).await;
    assert_eq!(recorder.data(), ["late"]);
}

#[tokio::test]
async fn r04_a_position_that_the_hub_does_not_know_is_told_and_can_end_it() {
    for (answer, words) in [(Some("earliest"), "continues after earliest"), (None, "does not say where")] {
        let (hub, calls) = scripted(move |_| stream(answer, &["id: 9\ndata: a\n\n"], Ends::Cleanly)).await;
        let after = Options { start: Cursor::After("urn:x:é".into()), count: Some(1), ..options(&hub) };
        let mut recorder = Recorder::default();
        assert!(matches!(follow(&after, &mut recorder).await, End::Count));
        assert!(recorder.notes[0].starts_with("updates may be lost: asked for what follows urn:x:é"));
        assert!(recorder.notes[0].contains(words), "{:?}", recorder.notes);
        let asked = calls.lock()[0].headers["last-event-id"].as_bytes().to_vec();
        assert_eq!(asked, "urn:x:é".as_bytes());
        let end = follow(&Options { fail_on_gap: true, ..after }, &mut recorder).await;
        assert!(matches!(end, End::Gap(_)));
        assert_eq!(end.exit(false), Exit::Failed);
        assert_eq!(recorder.data(), ["a"], "nothing was printed by the second one");
    }
}

#[tokio::test]
async fn r03_from_the_start_there_is_no_gap() {
    let (hub, calls) = scripted(|_| stream(Some("earliest"), &["id: 1\ndata: a\n\n"], Ends::Not)).await;
    let options = Options {
        start: Cursor::After("earliest".into()),
        fail_on_gap: true,
        count: Some(1),
        ..options(&hub)
    };
    let mut recorder = Recorder::default();
    assert!(matches!(follow(&options, &mut recorder).await, End::Count));
    assert_eq!(recorder.notes, Vec::<String>::new());
    assert_eq!(calls.lock()[0].header("last-event-id"), Some("earliest"));
}

#[tokio::test]
async fn a_position_that_no_field_can_carry_travels_in_the_query() {
    let (hub, calls) = scripted(|_| stream(Some("x y"), &["data: a\n\n"], Ends::Not)).await;
    let start = Cursor::After(" x y ".into());
    let options = Options { start, fail_on_gap: true, count: Some(1), ..options(&hub) };
    let mut recorder = Recorder::default();
    assert!(matches!(follow(&options, &mut recorder).await, End::Count));
    assert_eq!(recorder.events[0].id, " x y ");
    assert_eq!(calls.lock()[0].field("last_event_id"), Some(" x y "));
    assert_eq!(calls.lock()[0].header("last-event-id"), None);
}

#[tokio::test]
async fn a05_a06_a_refused_token_ends_it_at_once() {
    for (status, code) in [(401, "expired"), (403, "topic_not_granted")] {
        let (hub, calls) = scripted(move |_| Reply::Refuse(status, code)).await;
        let end = follow(&options(&hub), &mut Recorder::default()).await;
        assert_eq!(end.exit(false), Exit::NotAuthorized);
        assert_eq!(end.failure(), Some(format!("not authorized: {status} {code}")));
        assert_eq!(calls.lock().len(), 1);
    }
}

#[tokio::test]
async fn what_cannot_work_is_not_tried_again() {
    for (nth, expected) in [
        "refused: 400 invalid_matcher: No.",
        "this URL does not answer as a hub: 404: Not Found",
        "this URL does not answer as a hub: 200, but the answer is no event stream",
    ]
    .into_iter()
    .enumerate()
    {
        let (hub, calls) = scripted(move |_| match nth {
            0 => Reply::Refuse(400, "invalid_matcher\nNo.\n"),
            1 => Reply::Refuse(404, "<html>"),
            _ => Reply::Refuse(200, "hello"),
        })
        .await;
        let end = follow(&options(&hub), &mut Recorder::default()).await;
        assert_eq!((end.exit(false), end.failure().as_deref()), (Exit::Failed, Some(expected)));
        assert_eq!(calls.lock().len(), 1);
    }
}

#[tokio::test]
async fn without_reconnection_the_end_of_the_stream_is_the_end() {
    let (hub, calls) = scripted(|_| stream(Some("1"), &["id: 2\ndata: a\n\n"], Ends::Cleanly)).await;
    let once = Options { reconnect: false, ..options(&hub) };
    let end = follow(&once, &mut Recorder::default()).await;
    assert!(matches!(end, End::Closed));
    assert_eq!((end.exit(false), end.exit(true)), (Exit::Done, Exit::Failed));
    assert_eq!(calls.lock().len(), 1);
    let (hub, _) = scripted(|_| stream(Some("1"), &["id: 2\ndata: a\n\n"], Ends::Abruptly)).await;
    let end = follow(&Options { reconnect: false, ..options(&hub) }, &mut Recorder::default()).await;
    assert_eq!(end.exit(false), Exit::Failed);
}

#[tokio::test]
async fn time_runs_out_whatever_happens() {
    let (hub, _) = scripted(|_| stream(Some("1"), &[], Ends::Not)).await;
    let end = follow(
        &Options { timeout: Some(Duration::from_millis(50)), ..options(&hub) },
        &mut Recorder::default(),
    )
    .await;
    assert!(matches!(end, End::Timeout));
    assert_eq!((end.exit(false), end.exit(true)), (Exit::Done, Exit::Failed));
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    let (hub, _) = scripted(|_| stream(Some("1"), &["data: a\n\n"], Ends::Not)).await;
    let mut recorder = Recorder { output_is_closed: true, ..Recorder::default() };
    let end = follow(&options(&hub), &mut recorder).await;
    assert_eq!((end.exit(true), end.failure()), (Exit::Done, None));
    assert_eq!(recorder.cursors, ["1"], "what could not be printed is not passed over");
}

#[tokio::test]
async fn a_restart_resumes_from_the_state_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let (hub, calls) = scripted(|nth| match nth {
        0 => stream(Some("0"), &["id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n"], Ends::Not),
        _ => stream(Some("2"), &["id: 3\ndata: c\n\n"], Ends::Not),
    })
    .await;
    let (state, none) = StateFile::open(path.clone()).expect("a new file");
    assert_eq!(none, None);
    let mut recorder = Recorder { state: Some(state), ..Recorder::default() };
    follow(&Options { count: Some(2), ..options(&hub) }, &mut recorder).await;
    let (state, id) = StateFile::open(path).expect("the file");
    assert_eq!(id.as_deref(), Some("2"));
    let mut recorder = Recorder { state: Some(state), ..Recorder::default() };
    let start = Cursor::After(id.expect("an id"));
    follow(&Options { count: Some(1), start, fail_on_gap: true, ..options(&hub) }, &mut recorder).await;
    assert_eq!(recorder.data(), ["c"]);
    assert_eq!(calls.lock()[1].header("last-event-id"), Some("2"));
}

#[tokio::test]
async fn an_event_that_is_too_large_is_told_and_passed_over() {
    let (hub, _) = scripted(|_| {
        stream(Some("0"), &["id: 1\ndata: 0123456789", "0123456789\n\nid: 2\ndata: b\n\n"], Ends::Not)
    })
    .await;
    let options = Options { count: Some(1), max_event_bytes: 16, ..options(&hub) };
    let mut recorder = Recorder::default();
    follow(&options, &mut recorder).await;
    assert_eq!(recorder.data(), ["b"]);
    assert!(recorder.notes[0].starts_with("the event 1 is larger than 16 bytes"), "{:?}", recorder.notes);
}
