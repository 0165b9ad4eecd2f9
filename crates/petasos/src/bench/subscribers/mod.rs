//! Many subscribers on few threads, at the least cost that a subscriber can have.
//!
//! Each thread owns its connections: it opens them, waits for them with one `epoll`, reads into one large buffer, and
//! counts markers in it without building anything per event. The rest of the bench sees counters that the thread stores
//! after each read, and tells it what to do through a list of commands and a waker. What a thread keeps per subscriber
//! is of a fixed size; nothing queues up anywhere. On [`Command::Quit`] a thread closes its connections and ends.

mod thread;

use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
};

use http::HeaderValue;
use parking_lot::Mutex;

use super::{
    endpoint::Endpoint,
    histogram::Latencies,
    marker::RunId,
    request::{self, Ids, Topics},
    sequence::Faults,
    window::Window,
    workers::{self, Workers},
};

/// What each subscriber asks for.
#[derive(Clone, Debug)]
pub(crate) struct Subscriptions {
    /// The hub's path, and a query of its own if it has one.
    pub(crate) path: String,
    /// The `Authorization` field.
    pub(crate) token: Option<HeaderValue>,
    /// The topics of the run.
    pub(crate) topics: Topics,
    /// How they are asked for.
    pub(crate) matching: Matching,
    /// How many streams there are.
    pub(crate) streams: u32,
    /// How many of them a subscriber gets, from the first one that is its own.
    pub(crate) streams_each: u32,
    /// How an update's id follows from its number.
    pub(crate) ids: Ids,
}

/// How a subscriber asks for its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// One topic that all streams share.
    OneTopic,
    /// Exact topics.
    Topics,
    /// A URL pattern for each.
    Patterns,
}

impl Subscriptions {
    /// The streams of a subscriber: the first, and how many.
    pub(crate) fn streams_of(&self, subscriber: usize) -> (u32, u32) {
        let groups = self.streams.div_ceil(self.streams_each.max(1)).max(1);
        #[allow(clippy::cast_possible_truncation)] // Less than `groups`.
        let first = (subscriber % groups as usize) as u32 * self.streams_each;
        (first, self.streams_each.min(self.streams - first))
    }

    /// The request that opens its stream, from the update behind `after` on.
    pub(crate) fn request(&self, subscriber: usize, authority: &str, after: Option<(u32, u64)>) -> Vec<u8> {
        let (first, count) = self.streams_of(subscriber);
        let query = match self.matching {
            Matching::OneTopic => request::match_exact(&self.topics.topic(first)),
            Matching::Topics => join(first, count, |stream| request::match_exact(&self.topics.topic(stream))),
            Matching::Patterns => {
                join(first, count, |stream| request::match_pattern(&self.topics.pattern(stream)))
            }
        };
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let id = after.and_then(|(stream, number)| self.ids.id(stream, number));
        request::subscribe(
            authority,
            &format!("{}{separator}{query}", self.path),
            self.token.as_ref(),
            id.as_deref(),
        )
    }
}

fn join(first: u32, count: u32, parameter: impl Fn(u32) -> String) -> String {
    (first..first + count).map(parameter).collect::<Vec<_>>().join("&")
}

/// Everything that subscribers need to know.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many.
    pub(crate) count: usize,
    /// On how many threads.
    pub(crate) threads: usize,
    /// Where.
    pub(crate) endpoint: Endpoint,
    /// What.
    pub(crate) subscriptions: Subscriptions,
    /// Whose markers.
    pub(crate) run: RunId,
    /// Bytes of data of each update.
    pub(crate) data_bytes: usize,
    /// The latency of every so many-th update of a stream is taken; a power of two.
    pub(crate) sample_every: u64,
    /// Connections that may be opening at once.
    pub(crate) opening: usize,
    /// When latencies count.
    pub(crate) window: Arc<Window>,
}

/// What a thread is told.
#[derive(Debug)]
enum Command {
    /// Close all connections without a word.
    Cut,
    /// Open those that are not open, behind the last update of each.
    Open,
    /// Say what came; `published` by stream.
    Account { published: Arc<[u64]>, excused: Arc<HashSet<(u32, u64)>>, answer: mpsc::Sender<Account> },
    /// End.
    Quit,
}

/// What a thread has seen in all.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What went wrong with updates.
    pub(crate) faults: Faults,
    /// Latencies of updates that were sent within the window.
    pub(crate) latencies: Latencies,
    /// Reads that gave bytes.
    pub(crate) reads: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// What a thread shows while it works. On cache lines of its own, since it is stored after every read.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shown {
    deliveries: AtomicU64,
    last_delivery_ns: AtomicU64,
    /// Streams that are open.
    open: AtomicUsize,
    /// Subscribers that had an update of each of their streams.
    ready: AtomicUsize,
    /// Streams that ended without having been cut.
    ended: AtomicU64,
    /// Processor time of the thread.
    cpu_ns: AtomicU64,
    failure: Mutex<Option<String>>,
    ending: Mutex<Option<String>>,
    /// Latencies since somebody looked.
    recent: Mutex<Latencies>,
    commands: Mutex<VecDeque<Command>>,
}

impl workers::Shown for Shown {
    type Command = Command;

    fn quit() -> Command {
        Command::Quit
    }

    fn commands(&self) -> &Mutex<VecDeque<Command>> {
        &self.commands
    }

    fn recent(&self) -> &Mutex<Latencies> {
        &self.recent
    }
}

/// Subscribers at work. They are closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Subscribers {
    workers: Workers<Shown>,
    count: usize,
}

impl Subscribers {
    /// Starts the threads, which begin to open connections.
    ///
    /// # Errors
    /// There are no threads or files to be had.
    pub(crate) fn start(plan: &Plan) -> io::Result<Self> {
        let workers = Workers::start("subscribers", plan.threads, plan.count, |own, threads, shown| {
            let (thread, waker) = thread::Thread::new(plan, own, threads, shown)?;
            Ok((move || thread.run(), waker))
        })?;
        Ok(Self { workers, count: plan.count })
    }

    /// How many there are to be.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Streams that are open.
    pub(crate) fn open(&self) -> usize {
        self.workers.shown(|shown| shown.open.load(Ordering::Relaxed)).sum()
    }

    /// Subscribers that had an update of each of their streams.
    pub(crate) fn ready(&self) -> usize {
        self.workers.shown(|shown| shown.ready.load(Ordering::Relaxed)).sum()
    }

    /// Streams that ended although nobody wanted it.
    pub(crate) fn ended(&self) -> u64 {
        self.workers.shown(|shown| shown.ended.load(Ordering::Relaxed)).sum()
    }

    /// Updates received.
    pub(crate) fn deliveries(&self) -> u64 {
        self.workers.shown(|shown| shown.deliveries.load(Ordering::Relaxed)).sum()
    }

    /// When the last one came; 0 if none did.
    pub(crate) fn last_delivery_ns(&self) -> u64 {
        self.workers.shown(|shown| shown.last_delivery_ns.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// Processor time of the threads, up to their last wait.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.workers.shown(|shown| shown.cpu_ns.load(Ordering::Relaxed)).sum()
    }

    /// Why a subscriber could not be opened.
    pub(crate) fn failure(&self) -> Option<String> {
        self.workers.shown(|shown| shown.failure.lock().clone()).flatten().next()
    }

    /// How the first of the streams that ended did so.
    pub(crate) fn ending(&self) -> Option<String> {
        self.workers.shown(|shown| shown.ending.lock().clone()).flatten().next()
    }

    /// Adds the latencies since the last call to `to`.
    pub(crate) fn take_recent(&self, to: &mut Latencies) {
        self.workers.take_recent(to);
    }

    /// Closes all connections without a word.
    pub(crate) fn cut(&self) {
        self.workers.tell(|| Command::Cut);
    }

    /// Opens all again, each behind its last update.
    pub(crate) fn reopen(&self) {
        self.workers.tell(|| Command::Open);
    }

    /// What came in all, where `published` updates of each stream were sent.
    pub(crate) fn account(&self, published: &[u64], excused: &HashSet<(u32, u64)>) -> Account {
        let (published, excused) = (Arc::from(published), Arc::new(excused.clone()));
        let (answer, answers) = mpsc::channel();
        self.workers.tell(|| Command::Account {
            published: Arc::clone(&published),
            excused: Arc::clone(&excused),
            answer: answer.clone(),
        });
        drop(answer);
        let mut total = Account::default();
        for account in answers {
            total.faults.add(&account.faults);
            total.latencies.add(&account.latencies);
            total.reads += account.reads;
            total.bytes += account.bytes;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriptions(streams: u32, streams_each: u32, matching: Matching) -> Subscriptions {
        let run = RunId::random();
        let topics = if matching == Matching::OneTopic { Topics::one(run) } else { Topics::of_run(run) };
        let ids = Ids::Named("urn:x".into());
        Subscriptions { path: "/m".into(), token: None, topics, matching, streams, streams_each, ids }
    }

    #[test]
    fn subscribers_are_spread_over_all_topics() {
        let all = subscriptions(10, 4, Matching::Topics);
        let of: Vec<_> = (0..4).map(|subscriber| all.streams_of(subscriber)).collect();
        assert_eq!(of, [(0, 4), (4, 4), (8, 2), (0, 4)]);
    }

    #[test]
    fn a_subscriber_asks_for_each_of_its_topics_and_goes_on_behind_its_last_update() {
        let all = subscriptions(10, 2, Matching::Topics);
        let request = String::from_utf8(all.request(1, "hub", Some((3, 5)))).expect("ASCII");
        assert!(request.contains("/0000002&match=") && request.contains("/0000003 HTTP/1.1"), "{request}");
        assert!(request.contains("Last-Event-ID: urn:x:0000030000000005\r\n"), "{request}");
        let one = subscriptions(64, 64, Matching::OneTopic);
        let request = String::from_utf8(one.request(5, "hub", None)).expect("ASCII");
        assert_eq!(request.matches("match=").count(), 1);
        assert!(!request.contains("Last-Event-ID"), "{request}");
    }
}
