//! The writer: the one task that appends. It takes jobs from the line in groups, sends up to [`WINDOW`] groups without
//! waiting for answers, on a connection of its own, and answers the jobs.
//!
//! Groups are numbered, and the server takes them in their order only: after one that failed, those behind it are refused.
//! So when anything is uncertain (the connection broke, an answer does not come, a group was refused) the writer
//! **settles**: it asks what became of its groups, which also keeps those that are not stored from ever being stored.
//! What is not stored and not overdue is sent again as a new group. Two groups with the same attempt are never under way
//! at once, so that a repeated attempt finds its outcome.
//!
//! An idle writer asks every [`IDLE_INTERVAL`] whether the server is there. It ends when the line is closed and empty, or
//! as soon as it is closed while there is no server.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    future::{BoxFuture, FutureExt, join, ready},
    stream::{FuturesOrdered, StreamExt},
};
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::time::{Instant, sleep};

use super::{
    Engine,
    connect::{Backoff, Link, connect, in_time, timed_out},
    error::{Remedy, is_refusal, remedy, translate, wrong_log},
    group::{self, Answer, Call, Outcome},
};
use crate::transport::{
    AttemptId, Position, TransportError,
    attempts::RecentAttempts,
    now_ms,
    remote::{Job, Queue},
};

/// Groups under way. Two keep the server busy while answers travel; more would only make groups smaller.
const WINDOW: usize = 2;

/// Jobs and bytes of one group: a few milliseconds of the server.
const GROUP_JOBS: usize = 512;
const GROUP_BYTES: usize = 1 << 20;

/// How long an answer may take, replicas and disks included; shorter than the patience of publishers.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_350);

/// How often an idle writer asks whether the server is there.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);

/// How long answers may take on the connection: longer than anything that bounds them here.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Writer {
    engine: Arc<Engine>,
    queue: Queue,
    id: String,
    /// The number of the newest group sent.
    number: u64,
    /// To be sent, oldest first.
    backlog: VecDeque<Job>,
    /// Sent and not answered, oldest first.
    sent: VecDeque<Group>,
    /// Attempts in `sent`.
    under_way: HashSet<AttemptId>,
    attempts: RecentAttempts,
}

#[derive(Debug)]
struct Group {
    number: u64,
    jobs: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    job: Job,
    /// Its entries among those of the group; of an attempt that is stored already, none.
    entries: std::ops::Range<usize>,
    stored: Option<Option<Position>>,
}

/// The answer to a group, and to the wait behind it.
type Reply = (RedisResult<Value>, RedisResult<Value>);

/// Why a connection is not used any further.
enum Stop {
    /// It is broken, or leads to the wrong server.
    Lost(TransportError),
    /// Ask on the same connection what became of the groups.
    Unsettled,
    /// The line is closed, and everything answered.
    Closed,
}

impl Writer {
    pub(super) fn new(engine: Arc<Engine>, queue: Queue) -> Self {
        Self {
            engine,
            queue,
            id: uuid::Uuid::now_v7().to_string(),
            number: 0,
            backlog: VecDeque::new(),
            sent: VecDeque::new(),
            under_way: HashSet::new(),
            attempts: RecentAttempts::default(),
        }
    }

    /// Connects to a server that takes writes, and makes the log where there is none.
    ///
    /// # Errors
    /// What keeps the log from being written to.
    pub(super) async fn open(&mut self) -> Result<Link, Failure> {
        let engine = Arc::clone(&self.engine);
        let mut tried = Vec::new();
        let mut refused: Option<Failure> = None;
        loop {
            let link = match connect(&engine.config, Some(PATIENCE), &mut tried).await {
                Ok(link) => link,
                Err(error) => return Err(refused.unwrap_or(Failure { error, is_refusal: false })),
            };
            match self.settle(&link).await {
                Ok(()) => return Ok(link),
                // One that refuses writes may be a primary that was cut off from the others.
                Err(failure) => refused = refused.or(Some(failure)),
            }
        }
    }

    /// Runs until the line is closed. `link` is the first connection.
    pub(super) async fn run(mut self, mut link: Option<Link>) {
        let mut backoff = Backoff::new();
        loop {
            let connected = match link.take() {
                Some(link) => Ok(link),
                None => self.connect().await,
            };
            let failure = match connected {
                Ok(connected) => {
                    self.engine.learn(&connected).await;
                    self.engine.status.works();
                    let began = Instant::now();
                    let stop = self.serve(&connected).await;
                    if began.elapsed() > IDLE_INTERVAL {
                        backoff = Backoff::new();
                    }
                    match stop {
                        Stop::Closed => return,
                        Stop::Unsettled => match self.settle(&connected).await {
                            Ok(()) => {
                                link = Some(connected);
                                continue;
                            }
                            Err(failure) => failure.error,
                        },
                        Stop::Lost(error) => error,
                    }
                }
                Err(error) => error,
            };
            if self.engine.closed.is_cancelled() {
                tracing::debug!(error = %failure, "the log is closed while its server is lost");
                return;
            }
            self.engine.status.failed(&failure);
            self.drop_overdue();
            tokio::select! {
                () = self.engine.closed.cancelled() => return,
                () = sleep(backoff.next()) => {}
            }
        }
    }

    async fn connect(&mut self) -> Result<Link, TransportError> {
        let engine = Arc::clone(&self.engine);
        tokio::select! {
            () = engine.closed.cancelled() => Err(TransportError::closed()),
            link = self.open() => link.map_err(|failure| failure.error),
        }
    }

    /// Sends and receives until something is uncertain.
    async fn serve(&mut self, link: &Link) -> Stop {
        let mut replies: FuturesOrdered<BoxFuture<'static, Reply>> = FuturesOrdered::new();
        let engine = Arc::clone(&self.engine);
        let mut idle = tokio::time::interval(IDLE_INTERVAL);
        idle.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        idle.reset();
        let mut closing = false;
        loop {
            while self.sent.len() < WINDOW
                && let Some(reply) = self.send_next(link)
            {
                replies.push_back(reply);
            }
            tokio::select! {
                biased;
                Some(reply) = replies.next() => {
                    idle.reset();
                    if let Err(stop) = self.receive(reply) {
                        return stop;
                    }
                }
                group = self.queue.group(GROUP_JOBS, GROUP_BYTES),
                    if self.backlog.is_empty() && self.sent.len() < WINDOW =>
                {
                    match group {
                        Some(jobs) => self.backlog.extend(jobs),
                        None if self.sent.is_empty() => return Stop::Closed,
                        // Only answers are missing.
                        None => while let Some(reply) = replies.next().await {
                            if let Err(stop) = self.receive(reply) {
                                return stop;
                            }
                        },
                    }
                }
                () = engine.closed.cancelled(), if !closing => {
                    closing = true;
                    self.queue.close();
                }
                _ = idle.tick(), if self.sent.is_empty() => {
                    if let Err(stop) = self.look(link).await {
                        return stop;
                    }
                }
            }
        }
    }

    /// Whether the server is there. One that refused something must take a write first.
    async fn look(&self, link: &Link) -> Result<(), Stop> {
        if self.engine.status.health().ready.is_err() {
            return Err(Stop::Unsettled);
        }
        let mut connection = link.connection.clone();
        in_time(ANSWER_TIMEOUT, async { redis::cmd("PING").query_async::<Value>(&mut connection).await })
            .await
            .map(|_| ())
            .map_err(|error| Stop::Lost(translate(&error)))
    }

    /// Sends the next group of the backlog, if there is one that may be sent.
    fn send_next(&mut self, link: &Link) -> Option<BoxFuture<'static, Reply>> {
        let number = self.number + 1;
        let mut jobs = Vec::new();
        let (mut bytes, mut entries) = (0, 0);
        while jobs.len() < GROUP_JOBS
            && bytes < GROUP_BYTES
            && let Some(job) = self.backlog.pop_front()
        {
            if !self.under_way.insert(job.attempt) {
                // Its first try comes to an end before.
                self.backlog.push_front(job);
                break;
            }
            bytes += job.weight_bytes;
            let stored = self.attempts.outcome(job.attempt);
            let count = if stored.is_some() { 0 } else { job.entries.len() };
            jobs.push(Sent { job, entries: entries..entries + count, stored });
            entries += count;
        }
        if jobs.is_empty() {
            return None;
        }
        let new = || jobs.iter().filter(|sent| sent.stored.is_none()).flat_map(|sent| &sent.job.entries);
        let size = new().map(|entry| Call::size_of(&entry.update)).sum();
        let mut call = Call::new(&self.engine, &self.id, number, &link.server, size);
        let now_ms = now_ms();
        for entry in new() {
            call.entry(now_ms, &entry.update, entry.presence.as_ref());
        }
        self.number = number;
        self.sent.push_back(Group { number, jobs });
        Some(exchange(link, call.finish(), group::waiting(&self.engine), ANSWER_TIMEOUT).boxed())
    }

    /// Takes the reply to the oldest group.
    fn receive(&mut self, (answer, waited): Reply) -> Result<(), Stop> {
        let answer = match answer {
            Ok(value) => group::read_answer(value).map_err(Stop::Lost)?,
            Err(error) => match remedy(&error) {
                Remedy::Reconnect => return Err(Stop::Lost(translate(&error))),
                Remedy::Load => return Err(Stop::Unsettled),
                Remedy::Refused => {
                    self.refuse(&translate(&error));
                    return Err(Stop::Unsettled);
                }
            },
        };
        match answer {
            Answer::OutOfTurn => Err(Stop::Unsettled),
            Answer::Wrong(problem) => {
                self.refuse(&wrong_log(&problem, &self.engine.config.prefix));
                Err(Stop::Unsettled)
            }
            Answer::Stored { outcome, more } => {
                if more {
                    self.engine.housekeeping.notify_one();
                }
                let waited = match waited {
                    Ok(value) => group::check_wait(&self.engine, &value),
                    Err(error) if remedy(&error) == Remedy::Reconnect => {
                        return Err(Stop::Lost(translate(&error)));
                    }
                    Err(error) => Err(translate(&error)),
                };
                match &waited {
                    Ok(()) => self.engine.status.works(),
                    Err(error) => self.engine.status.failed(error),
                }
                if let Some(group) = self.sent.pop_front() {
                    self.stored(group, &outcome, &waited);
                }
                Ok(())
            }
        }
    }

    /// Answers the jobs of a group that is stored.
    fn stored(&mut self, group: Group, outcome: &Outcome, waited: &Result<(), TransportError>) {
        for sent in group.jobs {
            self.under_way.remove(&sent.job.attempt);
            let position = match sent.stored {
                Some(position) => position,
                None => outcome.last_of(sent.entries),
            };
            self.attempts.note(sent.job.attempt, position);
            self.engine.saw(position.unwrap_or_default());
            sent.job.finish(waited.clone().map(|()| position));
        }
    }

    /// Answers the jobs of the oldest group that it cannot be stored.
    fn refuse(&mut self, error: &TransportError) {
        self.engine.status.failed(error);
        for sent in self.sent.pop_front().map(|group| group.jobs).unwrap_or_default() {
            self.under_way.remove(&sent.job.attempt);
            sent.job.finish(Err(error.clone()));
        }
    }

    /// Finds out what became of the groups that are not answered. Those that are not stored go back into the backlog.
    async fn settle(&mut self, link: &Link) -> Result<(), Failure> {
        let (engine, number) = (&self.engine, self.number);
        let settled = settle(engine, link, &self.id, number).await?;
        // The script of appends may be what the server had forgotten.
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(engine.programs.append.source());
        let mut connection = link.connection.clone();
        in_time(ANSWER_TIMEOUT, load.query_async::<Value>(&mut connection))
            .await
            .map_err(|error| Failure::of(&error))?;
        for group in std::mem::take(&mut self.sent).into_iter().rev() {
            match settled.outcomes.get(&group.number) {
                Some(outcome) => self.stored(group, outcome, &settled.waited),
                None => {
                    for sent in group.jobs.into_iter().rev() {
                        self.under_way.remove(&sent.job.attempt);
                        self.backlog.push_front(sent.job);
                    }
                }
            }
        }
        self.drop_overdue();
        settled.waited.map_err(|error| Failure { error, is_refusal: false })
    }

    /// Drops jobs whose callers have been told that they waited in vain.
    fn drop_overdue(&mut self) {
        self.backlog.retain(|job| !job.is_overdue());
    }
}

/// What keeps a server from being written to.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: TransportError,
    /// The server is there and only takes no writes now.
    pub(super) is_refusal: bool,
}

impl Failure {
    fn of(error: &RedisError) -> Self {
        Self { error: translate(error), is_refusal: is_refusal(error) }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self { error, is_refusal: false }
    }
}

/// What settling found out.
pub(super) struct Settled {
    pub(super) outcomes: std::collections::HashMap<u64, Outcome>,
    /// Whether replicas and disks have them as well.
    pub(super) waited: Result<(), TransportError>,
}

/// Asks what became of a writer's groups up to `number`, of which none is stored from then on.
pub(super) async fn settle(
    engine: &Engine,
    link: &Link,
    writer: &str,
    number: u64,
) -> Result<Settled, Failure> {
    let mut command = engine.programs.settle.eval(&engine.keys, 0);
    command.arg(writer).arg(number).arg(engine.seen().0);
    let (answer, waited) = exchange(link, command, group::waiting(engine), ANSWER_TIMEOUT).await;
    let answer = answer.map_err(|error| Failure::of(&error))?;
    let outcomes =
        group::read_outcomes(answer)?.map_err(|problem| wrong_log(&problem, &engine.config.prefix))?;
    let waited = match waited {
        Ok(value) => group::check_wait(engine, &value),
        Err(error) => Err(translate(&error)),
    };
    Ok(Settled { outcomes, waited })
}

/// Sends a command and the wait behind it, and waits for both answers.
pub(super) fn exchange(
    link: &Link,
    command: Cmd,
    wait: Option<Cmd>,
    limit: Duration,
) -> impl Future<Output = Reply> + Send + use<> {
    let (mut first, mut second) = (link.connection.clone(), link.connection.clone());
    async move {
        let answer = async move { command.query_async::<Value>(&mut first).await };
        let waited = match wait {
            Some(wait) => async move { wait.query_async::<Value>(&mut second).await }.boxed(),
            // As many replicas as anybody could ask for.
            None => ready(Ok(Value::Int(i64::MAX))).boxed(),
        };
        // In this order: the first to be polled is the first to be sent.
        match tokio::time::timeout(limit, join(answer, waited)).await {
            Ok(replies) => replies,
            Err(_) => (Err(timed_out()), Err(timed_out())),
        }
    }
}
