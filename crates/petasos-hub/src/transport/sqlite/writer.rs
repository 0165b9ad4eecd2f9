//! The write path: one thread per process owns the writing connection and groups what waits into one commit.
//!
//! Callers put jobs into a queue bounded in bytes; the thread takes all that are there, applies them in one transaction
//! under SQLite's write lock, commits (which syncs), and only then answers each. While a commit syncs, the next group
//! gathers. On shutdown the queue is finished first. After an error nothing of the group is stored, everybody in it is
//! told, and the thread tries by itself until the store takes writes again.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{config::SqliteConfig, error::translate, row, schema, state::LogState};
use crate::Update;
use crate::transport::{
    AttemptId, Position, Retention, StoredEvent, TransportError, TransportHealth, attempts::RecentAttempts,
    now_ms,
};

/// What may wait for the writer. Publishers wait in the hub long before; this bounds other callers.
const QUEUE_BYTES: usize = 64 << 20;

/// What one commit takes at most: enough that the sync is paid by many, little enough that it stays short.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_JOBS: usize = 2_048;

/// How often a store that failed is tried again when nobody publishes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// A commit that takes longer makes the store not ready.
const READY_STALL: Duration = Duration::from_secs(5);

/// A commit that takes longer than any disk should is a stall of the process.
const LIVE_STALL: Duration = Duration::from_secs(120);

/// Something to do inside a transaction.
pub(super) trait Job: Send {
    /// Bytes, for the bounds of queue and group.
    fn weight_bytes(&self) -> usize;

    /// Does it. May be called again in another transaction if this one fails.
    fn apply(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()>;

    /// Told once, after the commit or its failure.
    fn finish(self: Box<Self>, outcome: Result<(), TransportError>);
}

/// A transaction under way, shared by the jobs of a group.
pub(super) struct Group<'a> {
    pub(super) conn: &'a Connection,
    pub(super) state: LogState,
    pub(super) now_ms: u64,
    pub(super) retention: &'a Retention,
    /// What the group appends, in order.
    pub(super) events: Vec<StoredEvent>,
    /// Attempts that were stored before this group.
    stored: &'a RecentAttempts,
    /// Attempts that this group stores.
    pub(super) attempts: Vec<(AttemptId, Option<Position>)>,
}

impl Group<'_> {
    /// Appends an event and returns its position.
    pub(super) fn append(&mut self, at_ms: u64, update: &Arc<Update>) -> rusqlite::Result<Position> {
        let position = Position(self.state.next_position);
        row::insert(self.conn, position, at_ms, update)?;
        self.state.next_position += 1;
        self.state.events += 1;
        self.state.bytes += update.weight_bytes() as u64;
        self.state.newest_id = Some(update.id().to_owned());
        self.events.push(StoredEvent { position, at_ms, update: Arc::clone(update) });
        Ok(position)
    }

    /// What the attempt came to, if it is stored already.
    pub(super) fn outcome(&self, attempt: AttemptId) -> Option<Option<Position>> {
        self.stored.outcome(attempt).or_else(|| {
            self.attempts.iter().find(|(known, _)| *known == attempt).map(|(_, outcome)| *outcome)
        })
    }
}

/// The queue's end that callers hold.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

#[derive(Debug)]
struct Shared {
    queued_bytes: AtomicUsize,
    status: Mutex<Status>,
}

#[derive(Debug)]
struct Status {
    /// Why the last commit failed.
    failure: Option<String>,
    /// When the commit under way began.
    busy_since: Option<Instant>,
    closed: bool,
}

impl Writer {
    /// Starts the thread. `committed` is called there after each commit with what it appended, before anyone is
    /// answered.
    pub(super) fn start(
        conn: Connection,
        config: SqliteConfig,
        committed: impl FnMut(Vec<StoredEvent>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let shared = Arc::new(Shared {
            queued_bytes: AtomicUsize::new(0),
            status: Mutex::new(Status { failure: None, busy_since: None, closed: false }),
        });
        let mut worker = Worker {
            conn: Some(conn),
            path: config.path.clone(),
            config,
            shared: Arc::clone(&shared),
            attempts: RecentAttempts::default(),
            committed,
        };
        let thread =
            std::thread::Builder::new().name("petasos-store".into()).spawn(move || worker.run(&queue))?;
        Ok(Self { jobs, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes the next place in line. The job is told at once where it cannot be taken.
    pub(super) fn submit(&self, job: Box<dyn Job>) {
        let weight = job.weight_bytes();
        if self.shared.queued_bytes.fetch_add(weight, Ordering::AcqRel) > QUEUE_BYTES {
            self.shared.queued_bytes.fetch_sub(weight, Ordering::AcqRel);
            job.finish(Err(TransportError::unavailable(
                "more appends wait for the store than its queue may hold",
            )));
            return;
        }
        if let Err(mpsc::SendError(Message::Job(job))) = self.jobs.send(Message::Job(job)) {
            self.shared.queued_bytes.fetch_sub(weight, Ordering::AcqRel);
            job.finish(Err(TransportError::closed()));
        }
    }

    pub(super) fn health(&self) -> TransportHealth {
        let status = self.shared.status.lock();
        let stall = status.busy_since.map(|since| since.elapsed()).unwrap_or_default();
        let ready = if status.closed {
            Err("the store is closed".to_owned())
        } else if let Some(failure) = &status.failure {
            Err(failure.clone())
        } else if stall > READY_STALL {
            Err(format!("a commit has been under way for {} s", stall.as_secs()))
        } else {
            Ok(())
        };
        let live = if stall > LIVE_STALL {
            Err(format!("the store's writer has been stuck in one commit for {} s", stall.as_secs()))
        } else {
            Ok(())
        };
        TransportHealth { ready, live }
    }

    /// Finishes what is queued and waits for the thread. Blocks.
    pub(super) fn close(&self) {
        // Fails only where the thread is gone already.
        let _ = self.jobs.send(Message::Close);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
        self.shared.status.lock().closed = true;
    }
}

struct Worker<F> {
    /// `None` after one had to be given up.
    conn: Option<Connection>,
    path: PathBuf,
    config: SqliteConfig,
    shared: Arc<Shared>,
    attempts: RecentAttempts,
    committed: F,
}

impl<F: FnMut(Vec<StoredEvent>)> Worker<F> {
    fn run(&mut self, queue: &mpsc::Receiver<Message>) {
        while let Some((group, closing)) = self.gather(queue) {
            self.shared.status.lock().busy_since = Some(Instant::now());
            self.commit_all(group);
            self.shared.status.lock().busy_since = None;
            if closing {
                return;
            }
        }
    }

    /// Waits for a job and takes those behind it. `None` when everybody is gone; an empty group is a probe.
    fn gather(&self, queue: &mpsc::Receiver<Message>) -> Option<(Vec<Box<dyn Job>>, bool)> {
        let failed = self.shared.status.lock().failure.is_some();
        let first = if failed {
            match queue.recv_timeout(PROBE_INTERVAL) {
                Err(mpsc::RecvTimeoutError::Timeout) => return Some((Vec::new(), false)),
                received => received.ok()?,
            }
        } else {
            queue.recv().ok()?
        };
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        loop {
            match next {
                Some(Message::Job(job)) => {
                    bytes += job.weight_bytes();
                    group.push(job);
                }
                Some(Message::Close) => {
                    self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
                    return Some((group, true));
                }
                None => break,
            }
            if bytes >= GROUP_BYTES || group.len() >= GROUP_JOBS {
                break;
            }
            next = queue.try_recv().ok();
        }
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        Some((group, false))
    }

    fn commit_all(&mut self, mut group: Vec<Box<dyn Job>>) {
        let outcome = self.commit(&mut group);
        match outcome {
            // One bad job must not fail its neighbours. A disk that is full fails for all of them.
            Err(error) if group.len() > 1 && !concerns_everybody(&error) => {
                for job in group {
                    let mut alone = vec![job];
                    let outcome = self.commit(&mut alone);
                    self.answer(alone, outcome);
                }
            }
            outcome => self.answer(group, outcome),
        }
    }

    fn answer(&self, group: Vec<Box<dyn Job>>, outcome: rusqlite::Result<()>) {
        let outcome = outcome.map_err(|error| translate(&error, "cannot write to the store", &self.path));
        {
            let mut status = self.shared.status.lock();
            let failure = outcome.as_ref().err().map(ToString::to_string);
            match (&status.failure, &failure) {
                (None, Some(failure)) => tracing::error!(error = %failure, "the store does not take writes"),
                (Some(_), None) => tracing::info!("the store takes writes again"),
                _ => {}
            }
            status.failure = failure;
        }
        for job in group {
            job.finish(outcome.clone());
        }
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => schema::open_writer(&self.config).map_err(|error| {
                rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                    Some(error.to_string()),
                )
            })?,
        };
        let outcome = self.transact(&mut conn, jobs);
        // Where the transaction could not even be rolled back, the connection is closed, which lets go of the write lock,
        // and the next commit opens another.
        if outcome.is_ok() || conn.is_autocommit() {
            self.conn = Some(conn);
        }
        outcome
    }

    fn transact(&mut self, conn: &mut Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        // Dropping the transaction rolls it back.
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut group = Group {
            state: LogState::load(&transaction)?,
            conn: &transaction,
            now_ms: now_ms(),
            retention: &self.config.retention,
            events: Vec::new(),
            stored: &self.attempts,
            attempts: Vec::new(),
        };
        for job in &mut *jobs {
            job.apply(&mut group)?;
        }
        if !group.events.is_empty() {
            group.state.retain(&transaction, group.retention, None)?;
        }
        if !group.events.is_empty() || jobs.is_empty() {
            // A probe writes the row as it is, which is enough to find out whether the disk takes it.
            group.state.store(&transaction)?;
        }
        let Group { events, attempts, .. } = group;
        transaction.commit()?;
        for (attempt, outcome) in attempts {
            self.attempts.note(attempt, outcome);
        }
        if !events.is_empty() {
            (self.committed)(events);
        }
        Ok(())
    }
}

/// Whether an error is about the store and not about one job.
fn concerns_everybody(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
        )
    )
}
