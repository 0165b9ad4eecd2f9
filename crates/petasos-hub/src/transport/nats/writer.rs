//! The one task that writes to a log. It takes jobs from the line, prepares them (presence first), sends their messages
//! without waiting for each, and answers callers as acknowledgements come in.
//!
//! Acknowledgements come to a subscription of the writer's own, whose subjects end in the number of the message. What is
//! under way is bounded (`window`). While there is no connection nothing is sent, and jobs wait in the line until they are
//! overdue. After a new connection the streams are looked at before anything is written, and what was not acknowledged is
//! sent again under the same attempts. The task ends when the transport is closed and the line is empty.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    Store,
    api::{CallError, parse},
    presence::{self, Step},
    read,
    streams::DUPLICATE_WINDOW_MS,
    window::{Outgoing, Window},
};
use crate::transport::{
    AttemptId, ErrorKind, Position, PresenceChange, TransportError,
    attempts::RecentAttempts,
    now_ms,
    remote::{Job, Queue, wire::encode_event},
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

/// How long a look at the streams may take, which is half a dozen questions.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Changes of presence that are written together.
const PRESENCE_BATCH: usize = 256;

/// Bytes of a message beside its payload: its subjects and headers.
const HEADER_BYTES: usize = 512;

/// Attempts whose outcome is unknown are remembered, as many.
const UNCERTAIN: usize = 8_192;

/// The writer's state.
pub(super) struct Writer {
    store: Arc<Store>,
    queue: Queue,
    acks: Subscriber,
    inbox: String,
    window: Window,
    done: RecentAttempts,
    /// Attempts that callers were told failed, with when; they may be stored.
    uncertain: VecDeque<(AttemptId, Instant)>,
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
            uncertain: VecDeque::new(),
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
            if is_drained && self.window.is_empty() {
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
                        Some(group) => self.prepare(group).await,
                        None => is_drained = true,
                    }
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
        let was_waiting = self.window.is_waiting();
        while let Some((number, outgoing)) = self.window.next_to_send() {
            if !self.publish(number, outgoing).await {
                break;
            }
        }
        if !was_waiting {
            self.sent = Instant::now();
        }
    }

    /// Whether the message was given to the connection. One that was not is sent again later.
    async fn publish(&self, number: u64, outgoing: Outgoing) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", outgoing.attempt);
        let reply = format!("{}.{number}", self.inbox);
        let client = &self.store.api.link().client;
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
                Ok(position) => self.done.note(attempt, *position),
                Err(_) => {
                    self.uncertain.push_back((attempt, Instant::now()));
                    if self.uncertain.len() > UNCERTAIN {
                        self.uncertain.pop_front();
                    }
                }
            }
            finished.job.finish(finished.outcome);
        }
        for record in settled.records {
            presence::delete(&self.store, record).await;
        }
    }

    /// Makes messages of jobs.
    async fn prepare(&mut self, group: Vec<Job>) {
        for job in group {
            if let Some(outcome) = self.done.outcome(job.attempt) {
                job.finish(Ok(outcome));
                continue;
            }
            match self.messages_in_time(&job).await {
                Ok((position, messages)) => self.window.push(job, position, messages),
                Err(error) => {
                    if error.is_retryable() {
                        self.fails(&error);
                    }
                    job.finish(Err(error));
                }
            }
        }
        // Jobs without messages are done.
        self.settle().await;
    }

    /// As [`Self::messages`], which asks the engine things. While it does, nothing else notices that the engine is silent.
    async fn messages_in_time(
        &mut self,
        job: &Job,
    ) -> Result<(Option<Position>, Vec<Outgoing>), TransportError> {
        let made = {
            let mut making = std::pin::pin!(self.messages(job));
            if let Ok(made) = tokio::time::timeout(LOOK_TIMEOUT, &mut making).await {
                return made;
            }
            self.store.status.failed(TransportError::from(CallError::Silent));
            making.await
        };
        self.is_failing = true;
        made
    }

    /// The messages of a job, and the position of its last event that is stored already.
    async fn messages(&self, job: &Job) -> Result<(Option<Position>, Vec<Outgoing>), TransportError> {
        let steps = self.steps(job).await?;
        let is_old = self.uncertain.iter().any(|(attempt, since)| {
            *attempt == job.attempt && since.elapsed() > Duration::from_millis(DUPLICATE_WINDOW_MS / 2)
        });
        let at_ms = now_ms();
        let mut position = None;
        let mut messages = Vec::with_capacity(job.entries.len());
        for (index, (entry, step)) in job.entries.iter().zip(steps).enumerate() {
            let (at_ms, update, attempt, record) = match step {
                Step::Nothing => continue,
                Step::Append => (at_ms, Arc::clone(&entry.update), attempt_id(job.attempt, index), None),
                Step::Finish { at_ms, update, attempt, record } => (at_ms, update, attempt, Some(record)),
            };
            // JetStream may have forgotten this attempt.
            if is_old && let Some(found) = read::find(&self.store, update.id()).await? {
                position = position.max(Some(found));
                continue;
            }
            let subject = self.store.streams.event_subject(update.id());
            let payload = Bytes::from(encode_event(at_ms, &update));
            let most = self.store.api.link().client.max_payload();
            if payload.len() + HEADER_BYTES > most {
                return Err(TransportError::new(
                    ErrorKind::Invalid,
                    format!(
                        "an update of {} bytes is larger than the NATS server takes: raise its max_payload, {most} bytes now, \
                         or lower the hub's limit of bodies",
                        payload.len()
                    ),
                ));
            }
            messages.push(Outgoing { subject, attempt, payload, record });
        }
        Ok((position, messages))
    }

    /// Writes the changes of presence of a job, and says what becomes of its events.
    async fn steps(&self, job: &Job) -> Result<Vec<Step>, TransportError> {
        let mut steps = Vec::with_capacity(job.entries.len());
        let mut rest = job.entries.as_slice();
        while !rest.is_empty() {
            // Changes of one subscription come one after the other, others together.
            let mut seen = std::collections::HashSet::new();
            let count = rest
                .iter()
                .take(PRESENCE_BATCH)
                .take_while(|entry| match &entry.presence {
                    None => true,
                    Some(PresenceChange::Start(record) | PresenceChange::End(record)) => {
                        seen.insert((record.match_type, &record.match_value, &record.subscriber))
                    }
                })
                .count();
            let done = steps.len();
            let (batch, left) = rest.split_at(count);
            let writing = batch.iter().enumerate().map(|(index, entry)| {
                let attempt = attempt_id(job.attempt, done + index);
                async move {
                    match &entry.presence {
                        None => Ok(Step::Append),
                        Some(PresenceChange::Start(record)) => {
                            presence::start(&self.store, record).await.map(|()| Step::Append)
                        }
                        Some(PresenceChange::End(record)) => {
                            presence::end(&self.store, record, &entry.update, &attempt).await
                        }
                    }
                }
            });
            steps.extend(futures_util::future::try_join_all(writing).await?);
            rest = left;
        }
        Ok(steps)
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
        if self.ensured != Some(state.generation) || (self.is_failing && !self.window.is_waiting()) {
            self.recover().await;
        } else if self.window.is_waiting() && self.sent.elapsed() >= RESEND && self.heard.elapsed() >= RESEND
        {
            self.fails(&TransportError::from(CallError::Silent));
            self.send_again().await;
        } else if self.heard.elapsed() >= IDLE && !self.window.is_waiting() {
            self.tried = Instant::now();
            match tokio::time::timeout(IDLE_TIMEOUT, read::log_info(&self.store)).await {
                Ok(Ok(_)) => self.heard = Instant::now(),
                Ok(Err(error)) => self.fails(&error),
                Err(_) => self.fails(&TransportError::from(CallError::Silent)),
            }
        }
    }

    /// Looks whether writes are taken, and sends again what was not acknowledged.
    async fn recover(&mut self) {
        self.tried = Instant::now();
        let generation = self.store.api.link().state().generation;
        let looking = async {
            self.store.streams.ensure(&self.store.api, &self.store.config).await?;
            presence::probe(&self.store).await
        };
        match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
            Ok(Ok(())) => {
                self.ensured = Some(generation);
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
            if !self.publish(number, outgoing).await {
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

/// What an entry of an attempt is stored once under.
fn attempt_id(attempt: AttemptId, index: usize) -> String {
    format!("{:032x}.{index}", attempt.0)
}
