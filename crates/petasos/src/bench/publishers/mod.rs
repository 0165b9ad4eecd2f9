//! Publishers: each has one connection and one update under way, as an application's worker has it.
//!
//! They share few threads, usually one. A thread owns its publishers; others see counters and tell it which [`Job`] to
//! do. Without a pace a publisher sends as soon as it is answered (closed loop). With one it sends at its times; while
//! an answer is awaited, updates that fall due wait for their turn, and the time they waited counts ([`super::pacing`]).
//! What waits is a number, not a queue. When the time is over, what was due is still sent, so that a hub that stood still
//! just then is not spared; a hub that is far behind is given up on after [`LATE_LIMIT_NS`], and what it was not sent is
//! told.

mod books;
mod publisher;
mod reply;
mod thread;

use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    choice::Distribution,
    clock::SECOND_NS,
    endpoint::Endpoint,
    histogram::Latencies,
    request::Publish,
    window::Window,
    workers::{self, Workers},
};

/// How long updates that were due may still be sent when the time is over.
const LATE_LIMIT_NS: u64 = 5 * SECOND_NS;

/// Everything that publishers need to know.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many.
    pub(crate) count: usize,
    /// On how many threads.
    pub(crate) threads: usize,
    /// Where.
    pub(crate) endpoint: Endpoint,
    /// The request.
    pub(crate) request: Publish,
    /// How many streams there are, at least [`Self::count`].
    pub(crate) streams: u32,
    /// Which are how busy.
    pub(crate) distribution: Distribution,
    /// When latencies count.
    pub(crate) window: Arc<Window>,
}

/// What publishers are to do.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// One update on each stream.
    Each,
    /// So many updates each.
    Count(u64),
    /// Updates until they are stopped: at this many a second together, from that time on, or as fast as answers come.
    Load { per_second: Option<f64>, start_ns: u64 },
    /// So many updates together, numbered through.
    Fill(Fill),
}

/// A numbering that all publishers share, so that the order of numbers is that of the history, but for what is under
/// way at once.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// The next number.
    pub(crate) next: Arc<AtomicU64>,
    /// One above the last.
    pub(crate) end: u64,
    /// One of so many goes to stream 1, the others to stream 0.
    pub(crate) rare_every: u64,
}

impl Fill {
    /// The stream of a number.
    pub(crate) fn stream_of(&self, number: u64) -> u32 {
        u32::from(number % self.rare_every == self.rare_every / 2)
    }
}

#[derive(Debug)]
enum Command {
    Do(Job),
    /// Send what was due, if the job has a pace, and begin nothing more.
    Stop,
    Quit,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shown {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    errors: AtomicU64,
    unsent: AtomicU64,
    connected: AtomicUsize,
    /// Nothing is under way and nothing is to be begun.
    idle: AtomicBool,
    failure: Mutex<Option<String>>,
    recent: Mutex<Latencies>,
    record: Mutex<Record>,
    commands: Mutex<VecDeque<Command>>,
}

/// What has been published, as a thread leaves it whenever it becomes idle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// How many updates of each stream were sent, by stream.
    pub(crate) published: Vec<u64>,
    /// Updates that were sent, not acknowledged, and perhaps stored.
    pub(crate) excused: HashSet<(u32, u64)>,
    /// Latencies of updates within the window, from when they were due to their answer.
    pub(crate) latencies: Latencies,
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

/// Publishers at work. They are closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Publishers {
    workers: Workers<Shown>,
    count: usize,
    streams: usize,
}

impl Publishers {
    /// Starts the threads, which begin to open connections.
    ///
    /// # Errors
    /// There are no threads or files to be had.
    pub(crate) fn start(plan: &Plan) -> io::Result<Self> {
        let workers = Workers::start("publishers", plan.threads, plan.count, |own, _, shown| {
            let (thread, waker) = thread::Thread::new(plan, &own, shown)?;
            Ok((move || thread.run(), waker))
        })?;
        Ok(Self { workers, count: plan.count, streams: plan.streams as usize })
    }

    /// How many there are to be.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Connections that are open.
    pub(crate) fn connected(&self) -> usize {
        self.workers.shown(|shown| shown.connected.load(Ordering::Relaxed)).sum()
    }

    /// Updates that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.workers.shown(|shown| shown.acknowledged.load(Ordering::Relaxed)).sum()
    }

    /// Answers that asked to try again later (429, 5xx); the update was sent again.
    pub(crate) fn refused(&self) -> u64 {
        self.workers.shown(|shown| shown.refused.load(Ordering::Relaxed)).sum()
    }

    /// Connections that broke with an update under way.
    pub(crate) fn errors(&self) -> u64 {
        self.workers.shown(|shown| shown.errors.load(Ordering::Relaxed)).sum()
    }

    /// Updates that were due and never sent.
    pub(crate) fn unsent(&self) -> u64 {
        self.workers.shown(|shown| shown.unsent.load(Ordering::Relaxed)).sum()
    }

    /// Why they cannot go on.
    pub(crate) fn failure(&self) -> Option<String> {
        self.workers.shown(|shown| shown.failure.lock().clone()).flatten().next()
    }

    /// Adds the latencies since the last call to `to`.
    pub(crate) fn take_recent(&self, to: &mut Latencies) {
        self.workers.take_recent(to);
    }

    /// Begins a job.
    pub(crate) fn begin(&self, job: &Job) {
        let busy = |shown: &Shown| shown.idle.store(false, Ordering::Release);
        self.workers.tell_prepared(busy, || Command::Do(job.clone()));
    }

    /// Ends a job that would go on; what is under way or due is still sent and answered.
    pub(crate) fn stop(&self) {
        self.workers.tell(|| Command::Stop);
    }

    /// Whether the job is done, to its last answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.workers.shown(|shown| shown.idle.load(Ordering::Acquire)).all(|idle| idle)
    }

    /// What has been published. Complete while they are idle.
    pub(crate) fn record(&self) -> Record {
        let mut total = Record { published: vec![0; self.streams], ..Record::default() };
        for record in self.workers.shown(|shown| shown.record.lock().clone()) {
            for (sum, published) in total.published.iter_mut().zip(&record.published) {
                // A stream has one publisher, so that one of the two is 0.
                *sum += published;
            }
            total.excused.extend(&record.excused);
            total.latencies.add(&record.latencies);
        }
        total
    }
}
