//! The one task that writes to a log. It takes jobs from the line, prepares them (presence first), sends their messages
//! without waiting for each, and answers callers as acknowledgements come in.
//!
//! What has to ask or write something first, presence and late retries, is prepared beside this (`prepare`), one job at a
//! time in their order, so that no update waits for it and the lack of an answer is noticed meanwhile. What came of it
//! stands in the window behind what was sent in the meantime.
//!
//! Acknowledgements come to a subscription of the writer's own, whose subjects end in the number of the message. What is
//! under way is bounded (`window`). While there is no connection nothing is sent, and jobs wait in the line until they are
//! overdue. After a new connection the streams are looked at before anything is written, and what was not acknowledged is
//! sent again under the same attempts. The task ends when the transport is closed and the line is empty.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture};
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    Store,
    api::{CallError, parse},
    prepare::{self, Prepared, Unfinished},
    presence, read,
    window::{Outgoing, Window},
};
use crate::transport::{
    TransportError,
    attempts::RecentAttempts,
    remote::{Job, Queue},
};

/// Jobs that are taken together.
const GROUP_JOBS: usize = 1_024;

/// Their bytes.
const GROUP_BYTES: usize = 4 << 20;

/// How often the writer looks what is overdue.
const TICK: Duration = Duration::from_millis(50);

/// How long messages wait for an acknowledgement before they are sent again over the same connection. Long enough for a
/// disk that is slow for a moment; what was sent twice is stored once.
const RESEND: Duration = Duration::from_millis(500);

/// Between attempts to write again to an engine that takes nothing.
const RETRY: Duration = Duration::from_millis(250);

/// Without an acknowledgement for so long the engine is asked whether it works, and how long it may take to answer:
/// together less than the two seconds in which a loss is to be told.
const IDLE: Duration = Duration::from_secs(1);
const IDLE_TIMEOUT: Duration = Duration::from_millis(750);

/// A job that is being prepared for so long tells of a silent engine: early enough to tell a loss in time.
const SLOW: Duration = Duration::from_millis(1_250);

/// How long a look at the streams may take, which is half a dozen questions.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Jobs that wait to be prepared, at most. They are few and large: a hub appends presence in groups.
const WAITING: usize = 1_024;

/// The writer's state.
pub(super) struct Writer {
    store: Arc<Store>,
    queue: Queue,
    acks: Subscriber,
    inbox: String,
    window: Window,
    done: RecentAttempts,
    /// Attempts that callers were told failed; they may be stored.
    unfinished: Unfinished,
    /// The job that is being prepared, and those behind it.
    preparing: Option<BoxFuture<'static, Prepared>>,
    prepares_since: Instant,
    waiting: VecDeque<Job>,
    /// The connection for which the streams were looked at.
    ensured: Option<u64>,
    /// When an acknowledgement came last, or the engine was seen to work.
    heard: Instant,
    /// When something was sent last while nothing was waiting, or sent again.
    sent: Instant,
    tried: Instant,
    is_failing: bool,
}

impl Writer {
    /// Subscribes to the acknowledgements.
    pub(super) async fn open(store: Arc<Store>, queue: Queue) -> Result<Self, TransportError> {
        let client = &store.api.link().client;
        let inbox = client.new_inbox();
        let acks = client.subscribe(format!("{inbox}.*")).await.map_err(|_| super::link::lost())?;
        let now = Instant::now();
        Ok(Self {
            ensured: Some(store.api.link().state().generation),
            store,
            queue,
            acks,
            inbox,
            window: Window::default(),
            done: RecentAttempts::default(),
            unfinished: Unfinished::default(),
            preparing: None,
            prepares_since: now,
            waiting: VecDeque::new(),
            heard: now,
            sent: now,
            tried: now,
            is_failing: false,
        })
    }

    /// Writes until the transport is closed and nothing waits any more.
    pub(super) async fn run(mut self) {
        let store = Arc::clone(&self.store);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_closing = false;
        let mut is_drained = false;
        let mut link = store.api.link().watch();
        loop {
            self.prepare_next();
            if is_drained && self.window.is_empty() && self.preparing.is_none() {
                break;
            }
            let may_send = self.may_send();
            if may_send {
                self.send().await;
            }
            tokio::select! {
                biased;
                message = self.acks.next() => match message {
                    Some(message) => self.take(message).await,
                    // Only where the connection was given up.
                    None => break,
                },
                group = self.queue.group(GROUP_JOBS, GROUP_BYTES),
                    if !is_drained && (may_send || is_closing) && self.window.wants_more() =>
                {
                    match group {
                        Some(group) => self.accept(group).await,
                        None => is_drained = true,
                    }
                }
                prepared = async {
                    match &mut self.preparing {
                        Some(preparing) => preparing.await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.preparing = None;
                    self.take_prepared(prepared).await;
                }
                _ = link.changed() => self.look_after_link().await,
                _ = tick.tick() => self.look_after().await,
                () = store.closed.cancelled(), if !is_closing => {
                    is_closing = true;
                    self.queue.close();
                }
            }
        }
        store.status.close();
    }

    /// Whether there is a connection for which the streams were looked at.
    fn may_send(&self) -> bool {
        let state = self.store.api.link().state();
        state.is_up && self.ensured == Some(state.generation)
    }

    async fn send(&mut self) {
        self.window.drop_overdue();
        let was_waiting = self.window.is_waiting();
        while let Some((number, outgoing)) = self.window.next_to_send() {
            if !Self::publish(&self.store, &self.inbox, number, outgoing).await {
                break;
            }
        }
        if !was_waiting {
            self.sent = Instant::now();
        }
    }

    /// Whether the message was given to the connection. One that was not is sent again later.
    async fn publish(store: &Store, inbox: &str, number: u64, outgoing: Outgoing) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", outgoing.attempt);
        let reply = format!("{inbox}.{number}");
        let client = &store.api.link().client;
        let sending =
            client.publish_with_reply_and_headers(outgoing.subject, reply, headers, outgoing.payload);
        // Waits only where the socket takes nothing.
        matches!(tokio::time::timeout(LOOK_TIMEOUT, sending).await, Ok(Ok(())))
    }

    /// Takes an acknowledgement, and those behind it that are there.
    async fn take(&mut self, message: Message) {
        let now = Instant::now();
        let mut next = Some(message);
        while let Some(message) = next {
            self.answer(&message, now);
            next = self.acks.next().now_or_never().flatten();
        }
        self.settle().await;
    }

    fn answer(&mut self, message: &Message, now: Instant) {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let Some(number) = number else { return };
        let answer = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Err(CallError::NoResponders),
            _ => parse::<super::api::PubAck>(&message.payload),
        };
        match &answer {
            Ok(ack) => {
                self.heard = now;
                self.store.streams.saw(ack.seq);
                if self.is_failing {
                    self.works();
                }
            }
            Err(CallError::NoResponders) => {
                // Nothing is sent to a stream that is gone, or has no leader, until it was looked at.
                self.ensured = None;
                self.fails(&TransportError::from(CallError::NoResponders));
            }
            Err(CallError::Refused { code, text }) => {
                let error = CallError::Refused { code: *code, text: text.clone() };
                if !error.is_passing() {
                    self.fails(&TransportError::from(error));
                }
            }
            Err(_) => {}
        }
        self.window.answer(number, answer, now);
    }

    async fn settle(&mut self) {
        let settled = self.window.settle(Instant::now());
        for finished in settled.finished {
            let attempt = finished.attempt();
            match &finished.outcome {
                Ok(position) => {
                    self.unfinished.remove(attempt);
                    self.done.note(attempt, *position);
                }
                Err(_) => self.unfinished.note(attempt, Vec::new()),
            }
            finished.job.finish(finished.outcome);
        }
        for record in settled.records {
            presence::delete(&self.store, record).await;
        }
    }

    /// Makes messages of jobs that need nothing else; others are prepared.
    async fn accept(&mut self, group: Vec<Job>) {
        for job in group {
            if prepare::is_plain(&job)
                && !self.unfinished.is_old(job.attempt, self.store.streams.surely_known())
            {
                if let Some(job) = self.undone(job) {
                    match prepare::plain_messages(&self.store, &job) {
                        Ok(messages) => self.window.push(job, None, messages),
                        Err(error) => job.finish(Err(error)),
                    }
                }
            } else if self.waiting.len() < WAITING {
                self.waiting.push_back(job);
            } else {
                job.finish(Err(TransportError::unavailable("more changes of presence wait than may")));
            }
        }
        // Jobs without messages are done.
        self.settle().await;
    }

    /// The job, unless it needs nothing more: it is stored, or nobody waits for it.
    fn undone(&self, job: Job) -> Option<Job> {
        if let Some(outcome) = self.done.outcome(job.attempt) {
            job.finish(Ok(outcome));
            return None;
        }
        (!job.is_overdue()).then_some(job)
    }

    /// Begins to prepare the next job that waits for it.
    fn prepare_next(&mut self) {
        while self.preparing.is_none() {
            let Some(job) = self.waiting.pop_front() else { return };
            let Some(job) = self.undone(job) else { continue };
            self.prepares_since = Instant::now();
            let (steps, is_old) = self.unfinished.begin(job.attempt, self.store.streams.surely_known());
            self.preparing = Some(prepare::prepare(Arc::clone(&self.store), job, steps, is_old).boxed());
        }
    }

    async fn take_prepared(&mut self, prepared: Prepared) {
        let Prepared { job, steps, made } = prepared;
        self.unfinished.note(job.attempt, steps);
        match made {
            Ok(Some((position, messages))) if !job.is_overdue() => self.window.push(job, position, messages),
            // The next attempt finds what is written already.
            Ok(_) => {}
            Err(error) => {
                if error.is_retryable() {
                    self.fails(&error);
                }
                job.finish(Err(error));
            }
        }
        // Jobs without messages are done.
        self.settle().await;
    }

    /// A connection was made or lost.
    async fn look_after_link(&mut self) {
        let state = self.store.api.link().state();
        if !state.is_up {
            self.fails(&super::link::lost());
        } else if self.ensured != Some(state.generation) {
            self.recover().await;
        }
    }

    /// Every now and then.
    async fn look_after(&mut self) {
        self.window.drop_overdue();
        self.settle().await;
        let state = self.store.api.link().state();
        if !state.is_up || self.tried.elapsed() < RETRY {
            return;
        }
        if self.store.is_suspect.swap(false, Ordering::AcqRel) {
            self.ensured = None;
        }
        if self.ensured != Some(state.generation) || (self.is_failing && !self.window.is_waiting()) {
            self.recover().await;
        } else if self.window.is_waiting() && self.sent.elapsed() >= RESEND && self.heard.elapsed() >= RESEND
        {
            self.fails(&TransportError::from(CallError::Silent));
            self.send_again().await;
        } else if self.preparing.is_some() && self.prepares_since.elapsed() >= SLOW {
            self.fails(&TransportError::from(CallError::Silent));
        } else if self.heard.elapsed() >= IDLE && !self.window.is_waiting() {
            let store = Arc::clone(&self.store);
            let both = futures_util::future::try_join(read::log_info(&store), presence::info(&store));
            if self.look(both.map_ok(drop)).await {
                self.heard = Instant::now();
            }
        }
    }

    /// Whether the engine answers.
    async fn look(&mut self, question: impl Future<Output = Result<(), TransportError>>) -> bool {
        self.tried = Instant::now();
        match tokio::time::timeout(IDLE_TIMEOUT, question).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => self.fails(&error),
            Err(_) => self.fails(&TransportError::from(CallError::Silent)),
        }
        false
    }

    /// Looks whether writes are taken, and sends again what was not acknowledged.
    async fn recover(&mut self) {
        self.tried = Instant::now();
        let generation = self.store.api.link().state().generation;
        let looking = async {
            let is_known = self.store.streams.ensure(&self.store.api, &self.store.config).await?;
            presence::probe(&self.store).await.map(|()| is_known)
        };
        match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
            Ok(Ok(is_known)) => {
                self.ensured = Some(generation);
                if !is_known {
                    self.unfinished.forget_steps();
                }
                self.heard = Instant::now();
                self.works();
                self.send_again().await;
            }
            Ok(Err(error)) => self.fails(&error),
            Err(_) => self.fails(&TransportError::from(CallError::Silent)),
        }
    }

    async fn send_again(&mut self) {
        self.window.drop_overdue();
        for (number, outgoing) in self.window.resend() {
            if !Self::publish(&self.store, &self.inbox, number, outgoing).await {
                break;
            }
        }
        self.sent = Instant::now();
        self.settle().await;
    }

    fn fails(&mut self, error: &TransportError) {
        self.is_failing = true;
        self.store.status.failed(error);
    }

    fn works(&mut self) {
        self.is_failing = false;
        self.store.status.works();
    }
}
