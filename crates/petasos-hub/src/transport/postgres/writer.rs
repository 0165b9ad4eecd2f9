//! The write path. Concurrency: one task per transport takes groups from the line and sends each as one statement; the next
//! group may be on its way before the answer to the last one is there, so that the server has always something to do.
//!
//! A group whose answer was lost is looked up on the next connection by its sequence: it is stored, and its callers are told
//! so, or it is sent again. The session of the connection before is void from then on, so that a group that is still under
//! way there can not be stored after the look.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::{
    Store,
    connect::{Fault, Session},
    continuity::Mark,
    error::{FENCED, is_about_data, is_lost, translate},
    group::{self, Group, Sender, Stored},
    maintain,
};
use crate::transport::{
    ErrorKind, TransportError,
    attempts::RecentAttempts,
    now_ms,
    remote::{Job, Queue},
};

/// Groups on their way at once. The database keeps the outcome of as many; see `schema_1.sql`.
const GROUPS_UNDER_WAY: usize = 2;

/// What becomes one transaction.
const GROUP_JOBS: usize = 1_024;
const GROUP_BYTES: usize = 1 << 20;

/// After so long without an answer the server counts as lost; publishers are told at the same time.
const ANSWER_EXPECTED: Duration = Duration::from_millis(1_500);

/// After so long the connection is given up, and the group looked up on another one.
const ANSWER_PATIENCE: Duration = Duration::from_secs(6);

/// How often a connection that has nothing to do is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// How often a writer that appends nothing says that it is there. After seven days it would be forgotten.
const SEEN_INTERVAL: Duration = Duration::from_secs(3_600);

/// The pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(500);

const WHAT: &str = "cannot append to the log";

type Answer = BoxFuture<'static, Result<Stored, Fault>>;

struct Writer {
    store: Arc<Store>,
    queue: Queue,
    id: Uuid,
    /// Of the next group.
    sequence: i64,
    /// Not sent, or sent and not stored.
    backlog: VecDeque<Job>,
    /// So many of the backlog are sent one by one: among them is one that cannot be stored.
    singly: usize,
    /// Sent, and not known to be stored.
    under_way: VecDeque<Group>,
    recent: RecentAttempts,
    ended: bool,
    /// Before the next attempt to connect.
    pause: Duration,
    /// The server is there and refuses appends: it counts as lost until it shows that it takes them.
    refused: bool,
    /// There was a connection before.
    connected: bool,
}

/// Why a connection is not used any more.
enum End {
    /// All is done.
    Closed,
    Lost(TransportError),
}

/// Runs until the line is closed and everything in it is answered.
pub(super) async fn run(store: Arc<Store>, queue: Queue) {
    let mut writer = Writer {
        store,
        queue,
        id: Uuid::new_v4(),
        sequence: 1,
        backlog: VecDeque::new(),
        singly: 0,
        under_way: VecDeque::new(),
        recent: RecentAttempts::default(),
        ended: false,
        pause: FIRST_PAUSE,
        refused: false,
        connected: false,
    };
    loop {
        let error = match writer.begin().await {
            Ok((session, token)) => {
                if !writer.refused {
                    writer.pause = FIRST_PAUSE;
                }
                writer.store.status.works();
                match writer.serve(session, token).await {
                    End::Closed => return,
                    End::Lost(error) => error,
                }
            }
            Err(error) => error,
        };
        if writer.store.closed.is_cancelled() {
            writer.give_up();
            return;
        }
        writer.store.status.failed(&error);
        // The server may give this number to a backend of another node.
        writer.store.writer_backend.store(0, Ordering::Release);
        let closed = writer.store.closed.clone();
        tokio::select! {
            () = closed.cancelled() => {
                writer.give_up();
                return;
            }
            () = sleep(writer.pause) => writer.pause = (writer.pause * 2).min(LAST_PAUSE),
        }
    }
}

impl Writer {
    /// Connects, makes all earlier connections void, and finds out what became of the groups under way.
    async fn begin(&mut self) -> Result<(Arc<Session>, Uuid), TransportError> {
        let session = Arc::new(Session::open(&self.store.config, None).await?);
        let token = Uuid::new_v4();
        // Others may lead to a server that takes no writes any more, or nowhere.
        let lost = std::mem::replace(&mut self.connected, true) && !self.refused;
        for pool in [&self.store.pool, &self.store.urgent] {
            if lost {
                pool.renew();
            } else {
                pool.forget_idle();
            }
        }
        let (found, next) = in_time(self.begin_on(&session, token)).await?;
        // Where less is kept than before, in steps: else the next append would take as long as all of them.
        if let Some(retention) = self.store.config.retention {
            while in_time(maintain::retain_on(&session, &self.store.sql, retention)).await? {}
        }
        if self.refused {
            in_time(async { Ok(session.client.batch_execute(&self.store.sql.probe).await?) }).await?;
        }
        self.sequence = next;
        let mut unsent = Vec::new();
        for group in std::mem::take(&mut self.under_way) {
            match found.iter().find(|(sequence, _)| *sequence == group.sequence) {
                Some((_, stored)) => self.finish(group, stored),
                None => unsent.extend(group.jobs.into_iter().chain(group.repeated)),
            }
        }
        self.send_again(unsent);
        Ok((session, token))
    }

    /// Puts jobs before all that wait.
    fn send_again(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.backlog.push_front(job);
        }
    }

    /// Returns the newest groups that are stored, and the sequence of the next one.
    async fn begin_on(&self, session: &Session, token: Uuid) -> Result<(Vec<(i64, Stored)>, i64), Fault> {
        self.store.continuity.check(session, &self.store.sql).await?;
        let backend: i32 = session.client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        self.store.writer_backend.store(backend, Ordering::Release);
        session.prepared(&self.store.sql.append).await?;
        let statement = session.prepared(&self.store.sql.begin).await?;
        let row = session.client.query_opt(&statement, &[&self.id, &token]).await?;
        let Some(row) = row else { return Ok((Vec::new(), 1)) };
        let sequence: i64 = row.try_get(0)?;
        let newest = (sequence, Stored::new(row.try_get(1)?, row.try_get(2)?));
        let prior = (sequence - 1, Stored::new(row.try_get(3)?, row.try_get(4)?));
        Ok((vec![newest, prior], sequence + 1))
    }

    /// Sends groups until the connection fails or all is done.
    async fn serve(&mut self, session: Arc<Session>, token: Uuid) -> End {
        let mut answers: FuturesOrdered<Answer> = FuturesOrdered::new();
        let closed = self.store.closed.clone();
        let mut ping_at = Instant::now() + PING_INTERVAL;
        let mut seen_at = Instant::now();
        loop {
            if self.ended && self.backlog.is_empty() && self.under_way.is_empty() {
                return End::Closed;
            }
            let has_room = self.under_way.len() < GROUPS_UNDER_WAY;
            let oldest = self.under_way.front().map(|group| group.sent);
            let late = oldest.map_or(ping_at, |sent| {
                let patience = if self.store.status.is_failed() { ANSWER_PATIENCE } else { ANSWER_EXPECTED };
                sent + patience
            });
            tokio::select! {
                biased;
                // Polled before the next group is, so that groups are sent in their order.
                Some(answer) = answers.next() => {
                    let Some(group) = self.under_way.pop_front() else { continue };
                    match answer {
                        Ok(stored) => {
                            self.finish(group, &stored);
                            (self.refused, self.pause) = (false, FIRST_PAUSE);
                            self.store.status.works();
                            ping_at = Instant::now() + PING_INTERVAL;
                        }
                        Err(fault) => return End::Lost(self.refused(group, fault)),
                    }
                }
                () = session.closed() => {
                    return End::Lost(TransportError::unavailable(format!("{WHAT}: the server ended the connection")));
                }
                () = closed.cancelled(), if !self.ended => self.drain().await,
                jobs = next_jobs(&mut self.queue, &mut self.backlog, &mut self.singly, self.ended),
                    if has_room =>
                {
                    match jobs {
                        None => self.ended = true,
                        Some(jobs) => {
                            if let Some(answer) = self.send(jobs, &session, token) {
                                answers.push_back(answer);
                            }
                        }
                    }
                }
                () = sleep_until(late) => {
                    match oldest {
                        None => {
                            let is_due = seen_at.elapsed() >= SEEN_INTERVAL;
                            if let Err(error) = self.ping(&session, is_due).await {
                                return End::Lost(error);
                            }
                            if is_due {
                                seen_at = Instant::now();
                            }
                            self.store.status.works();
                            ping_at = Instant::now() + PING_INTERVAL;
                        }
                        Some(sent) => {
                            let error = TransportError::unavailable(format!("{WHAT}: the server does not answer"));
                            if sent.elapsed() >= ANSWER_PATIENCE {
                                return End::Lost(error);
                            }
                            self.store.status.failed(error);
                        }
                    }
                }
            }
        }
    }

    /// Makes a group of jobs; `None` where there is nothing to send.
    fn send(&mut self, jobs: Vec<Job>, session: &Arc<Session>, token: Uuid) -> Option<Answer> {
        let mut group = Group {
            sequence: self.sequence,
            jobs: Vec::with_capacity(jobs.len()),
            repeated: Vec::new(),
            at_ms: now_ms(),
            sent: Instant::now(),
        };
        for job in jobs {
            if let Some(outcome) = self.recent.outcome(job.attempt) {
                job.finish(Ok(outcome));
            } else if let Some(same) = self.under_way.iter_mut().find(|group| group.has(job.attempt)) {
                same.repeated.push(job);
            } else if group.has(job.attempt) {
                group.repeated.push(job);
            } else {
                group.jobs.push(job);
            }
        }
        if group.jobs.is_empty() {
            return None;
        }
        self.sequence += 1;
        let sender = Sender { writer: self.id, session: token, sequence: group.sequence };
        let (store, session) = (Arc::clone(&self.store), Arc::clone(session));
        let (entries, at_ms) = (group.entries(), group.at_ms);
        self.under_way.push_back(group);
        Some(Box::pin(async move {
            let times = vec![at_ms; entries.len()];
            group::append(&session, &store.sql, Some(sender), store.config.retention, &entries, &times).await
        }))
    }

    /// Answers the callers of a group that is stored, and hands its events to the tails.
    fn finish(&mut self, group: Group, stored: &Stored) {
        let (events, outcomes) = group.events(stored);
        if let Some(last) = events.last() {
            self.store.continuity.note(Mark::of(last));
            // Fails only where nobody tails.
            let _ = self.store.committed.send(events.into());
        }
        for (job, outcome) in group.jobs.into_iter().zip(outcomes) {
            self.recent.note(job.attempt, outcome);
            job.finish(Ok(outcome));
        }
        for job in group.repeated {
            let outcome = self.recent.outcome(job.attempt);
            job.finish(outcome.ok_or_else(TransportError::closed));
        }
    }

    /// What a refusal means for the jobs of the group. Those behind it were refused with it, or are about to be: all are looked
    /// up and sent again on the next connection.
    fn refused(&mut self, group: Group, fault: Fault) -> TransportError {
        let is_permanent = match &fault {
            Fault::Engine(error) => is_about_data(error),
            Fault::Answer(error) => error.kind() == ErrorKind::Invalid,
        };
        let error = match fault {
            Fault::Engine(error) => {
                let is_fenced = error.code().is_some_and(|code| code.code() == FENCED);
                self.refused = !is_permanent && !is_fenced && !is_lost(&error);
                if is_fenced {
                    tracing::warn!(
                        "the server knows another session of this writer, or none; it begins a new one"
                    );
                }
                translate(&error, WHAT)
            }
            Fault::Answer(error) => error,
        };
        if !is_permanent {
            self.under_way.push_front(group);
        } else if let [_] = &group.jobs[..] {
            // It is this one that cannot be stored.
            for job in group.jobs.into_iter().chain(group.repeated) {
                job.finish(Err(error.clone()));
            }
        } else {
            // Those behind it were refused too, because its sequence was missing.
            self.singly = group.jobs.len();
            let groups = std::iter::once(group).chain(std::mem::take(&mut self.under_way));
            self.send_again(groups.flat_map(|group| group.jobs.into_iter().chain(group.repeated)).collect());
        }
        error
    }

    /// Asks the server whether it is there, and says that this writer is, where that is due.
    async fn ping(&self, session: &Session, is_due: bool) -> Result<(), TransportError> {
        let question = async {
            if is_due {
                let statement = session.prepared(&self.store.sql.seen).await?;
                session.client.execute(&statement, &[&self.id]).await.map(|_| ())
            } else {
                session.client.batch_execute("").await
            }
        };
        match timeout(ANSWER_EXPECTED, question).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(translate(&error, WHAT)),
            Err(_) => Err(TransportError::unavailable(format!("{WHAT}: the server does not answer"))),
        }
    }

    /// Lets no more jobs in, and takes those that wait into the backlog.
    async fn drain(&mut self) {
        self.queue.close();
        self.ended = true;
        while let Some(jobs) = self.queue.group(GROUP_JOBS, usize::MAX).await {
            self.backlog.extend(jobs);
        }
    }

    /// Tells everybody that nothing more is stored.
    fn give_up(&mut self) {
        let groups = std::mem::take(&mut self.under_way);
        let under_way = groups.into_iter().flat_map(|group| group.jobs.into_iter().chain(group.repeated));
        for job in under_way.chain(std::mem::take(&mut self.backlog)) {
            job.finish(Err(TransportError::closed()));
        }
        self.queue.close();
    }
}

/// The next jobs: those that were sent before come first. `None`: there are no more.
///
/// Cancellation: safe; nothing is taken then.
async fn next_jobs(
    queue: &mut Queue,
    backlog: &mut VecDeque<Job>,
    singly: &mut usize,
    ended: bool,
) -> Option<Vec<Job>> {
    let (overdue, fresh): (VecDeque<_>, _) = std::mem::take(backlog).into_iter().partition(Job::is_overdue);
    *backlog = fresh;
    for job in overdue {
        job.finish(Err(TransportError::unavailable(format!("{WHAT}: the server does not answer"))));
    }
    if backlog.is_empty() {
        *singly = 0;
        return if ended { std::future::pending().await } else { queue.group(GROUP_JOBS, GROUP_BYTES).await };
    }
    let count = if *singly > 0 {
        *singly -= 1;
        1
    } else {
        let mut bytes = 0;
        let fits = |job: &&Job| {
            let room = bytes < GROUP_BYTES;
            bytes += job.weight_bytes;
            room
        };
        backlog.iter().take(GROUP_JOBS).take_while(fits).count()
    };
    Some(backlog.drain(..count).collect())
}

/// The answer to what a new connection is asked.
async fn in_time<T>(question: impl Future<Output = Result<T, Fault>>) -> Result<T, TransportError> {
    let answer = timeout(ANSWER_PATIENCE, question).await;
    answer.map_err(|_| TransportError::unavailable(format!("{WHAT}: the server does not answer")))?.map_err(
        |fault| match fault {
            Fault::Engine(error) => translate(&error, WHAT),
            Fault::Answer(error) => error,
        },
    )
}
