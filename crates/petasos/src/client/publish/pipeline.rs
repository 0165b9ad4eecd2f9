//! Publishes what a [`Source`] gives, strictly in order, with several requests under way at once.
//!
//! Concurrency: one future does everything; the only task beside it drives the connection (see `channel`). What bounds
//! memory: the input is read only while the window has room, in lines and in bytes. How order is kept: see `window`.
//! Shutdown: on `stop` no more input is read, and what is under way gets a few seconds to be answered.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    io::AsyncRead,
    time::{Instant, sleep, sleep_until},
};

use super::{
    channel::{Broken, Channel},
    report::{Observer, Summary, Tally},
    source::Source,
    window::{Key, Window},
};
use crate::client::{
    answer::{Answer, Refused, Verdict},
    backoff::Backoff,
    http1::OpenError,
    target::Target,
};

/// How many lines are under way at once where the user names no number. Servers allow 100 streams at least by the
/// advice of RFC 9113 (5.1.2).
pub const DEFAULT_WINDOW: usize = 100;

/// How many bytes of bodies are under way at once: the connection window that every HTTP/2 server grants at the
/// beginning, so that no line waits in the middle of its body for another one's to be read.
const WINDOW_BYTES: usize = 64 << 10;

/// A body that may need more than one frame travels alone: with others between its frames, a connection that is cut
/// there would leave a later line complete and this one not.
const ALONE_BYTES: usize = 16 << 10;

/// How long what is under way gets when the user stops the command.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How to publish.
#[derive(Clone, Debug)]
pub struct Options {
    /// To which hub.
    pub target: Target,
    /// How many lines may be under way at once; `None` chooses, with regard to what stands between the hub and us.
    pub window: Option<usize>,
    /// Do not use HTTP/2: it is not worth its handshake for a single update.
    pub http1_only: bool,
    /// Whether a failure that may pass is tried again.
    pub retry: bool,
    /// For how long, without a single answer in between; `None` for ever.
    pub give_up_after: Option<Duration>,
}

/// Why a run ended.
#[derive(Debug)]
pub enum End {
    /// Everything was read and has an answer.
    Finished,
    /// The user stopped it.
    Interrupted,
    /// The hub wants another token (A04, A05).
    NotAuthorized(Refused),
    /// No hub answers at this URL.
    NoHub(Refused),
    /// A failure was not tried again, or too often.
    GaveUp(String),
    /// The input cannot be read.
    Input(std::io::Error),
}

/// Publishes everything that `source` gives. `stop` resolves when the user wants it to end.
pub async fn run<R: AsyncRead + Unpin>(
    options: &Options,
    source: &mut Source<R>,
    observer: &mut impl Observer,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Summary {
    let started = Instant::now();
    let mut pipeline = Pipeline {
        options,
        source,
        observer,
        window: Window::default(),
        tally: Tally::default(),
        input_ended: false,
        stop: Stop { signal: stop.boxed(), deadline: None },
        backoff: Backoff::default(),
        trouble_since: None,
        prefers_http1: options.http1_only,
        limit: options.window.unwrap_or(DEFAULT_WINDOW).max(1),
    };
    let end = pipeline.run().await;
    let mut tally = pipeline.tally;
    tally.unacknowledged = pipeline.window.range();
    pipeline.observer.pause();
    Summary { end, tally, took: started.elapsed() }
}

struct Pipeline<'a, R, O> {
    options: &'a Options,
    source: &'a mut Source<R>,
    observer: &'a mut O,
    window: Window,
    tally: Tally,
    input_ended: bool,
    stop: Stop,
    backoff: Backoff,
    /// Since when nothing has been answered although it was tried.
    trouble_since: Option<Instant>,
    /// The server turned out not to speak HTTP/2.
    prefers_http1: bool,
    /// How many lines may be under way at once.
    limit: usize,
}

/// The user's wish to stop, and until when what is under way may still be answered.
struct Stop {
    signal: BoxFuture<'static, ()>,
    deadline: Option<Instant>,
}

/// What [`Stop::event`] tells.
enum StopEvent {
    /// The user wants to stop.
    Asked,
    /// There has been enough waiting since.
    Overdue,
}

impl Stop {
    async fn event(&mut self) -> StopEvent {
        if let Some(deadline) = self.deadline {
            sleep_until(deadline).await;
            return StopEvent::Overdue;
        }
        self.signal.as_mut().await;
        self.deadline = Some(Instant::now() + STOP_TIMEOUT);
        StopEvent::Asked
    }
}

/// Why nothing more is sent on a connection. It ends when the answers under way are in.
enum Closing {
    /// There is nothing more to send.
    Done,
    /// The user stopped it and waited long enough.
    Overdue,
    /// The server closed it.
    Closed,
    /// It failed.
    Broken(String),
    /// The hub asks to come back later.
    Later(Refused, Option<Duration>),
    /// The token was replaced since the connection was opened.
    NewToken,
    /// Nothing else will fare better.
    Fatal(End),
}

/// What became of a request.
type Answered = (Key, usize, Result<Answer, Broken>);

impl<R: AsyncRead + Unpin, O: Observer> Pipeline<'_, R, O> {
    async fn run(&mut self) -> End {
        loop {
            // Without anything to publish no connection is needed: after hours of silence the old one is gone anyway.
            while self.window.is_empty() {
                if self.input_ended {
                    return if self.stop.deadline.is_some() { End::Interrupted } else { End::Finished };
                }
                self.observer.pause();
                tokio::select! {
                    item = self.source.next() => if let Err(error) = self.take_in(item) { return End::Input(error) },
                    _ = self.stop.event() => self.input_ended = true,
                }
            }
            let opened = tokio::select! {
                opened = Channel::open(&self.options.target, self.prefers_http1) => opened,
                event = self.stop.event() => match event {
                    StopEvent::Asked => {
                        self.input_ended = true;
                        continue;
                    }
                    StopEvent::Overdue => return End::Interrupted,
                },
            };
            let step = match opened {
                Ok(channel) => self.use_channel(channel).await,
                Err(error) => self.open_failed(error).await,
            };
            if let Some(end) = step {
                return end;
            }
        }
    }

    /// Puts a line into the window, or reports why it cannot be published.
    fn take_in(&mut self, item: std::io::Result<Option<super::source::Item>>) -> std::io::Result<()> {
        match item? {
            None => self.input_ended = true,
            Some(item) => match item.body {
                Ok(body) => self.window.push(item.number, body),
                Err(bad) => {
                    self.tally.refused += 1;
                    self.observer.unfit(item.number, bad);
                }
            },
        }
        Ok(())
    }

    /// Uses a connection until it ends; then prepares for the next one. Returns the end of the run, if this is it.
    async fn use_channel(&mut self, mut channel: Channel) -> Option<End> {
        self.prefers_http1 |= channel.is_http1();
        let mut progress = false;
        let closing = self.drive(&mut channel, &mut progress).await;
        let rewound = self.window.rewind();
        for (line, later) in &rewound.overtaken {
            self.tally.overtaken += 1;
            self.observer.note(&format!(
                "line {line} was put off by the server while line {later} was stored: it will be stored behind it"
            ));
        }
        let step = match closing {
            Closing::Done => {
                channel.finish().await;
                None
            }
            Closing::Overdue => Some(End::Interrupted),
            Closing::Fatal(end) => Some(end),
            Closing::NewToken => None,
            // A server may close a connection after an answer, or one that is idle: nothing was lost.
            Closing::Closed | Closing::Broken(_) if progress && rewound.unanswered == 0 => None,
            Closing::Closed => self.lost("the hub closed the connection", None, rewound.unanswered).await,
            Closing::Broken(why) => {
                self.lost(&format!("the connection was lost: {why}"), None, rewound.unanswered).await
            }
            Closing::Later(why, after) => {
                self.lost(&format!("the hub cannot take it now: {why}"), after, rewound.unanswered).await
            }
        };
        if step.is_none() {
            self.tally.sent_again += rewound.unanswered as u64;
        }
        step
    }

    /// A connection has failed.
    async fn lost(&mut self, what: &str, after: Option<Duration>, unanswered: usize) -> Option<End> {
        // The next server at this address may be another one.
        self.prefers_http1 = self.options.http1_only;
        let text = match unanswered {
            0 => what.to_owned(),
            1 => format!("{what}; 1 update has no answer"),
            more => format!("{what}; {more} updates have no answer"),
        };
        self.wait_for_another_try(text, after).await
    }

    async fn open_failed(&mut self, error: OpenError) -> Option<End> {
        let passes = match &error {
            OpenError::Connect(error) => error.may_pass(),
            OpenError::Http(_) => true,
            // A file that is being replaced may be missing for a moment, but not at the beginning.
            OpenError::Token(_) => self.tally.stored > 0,
        };
        if !passes {
            return Some(End::GaveUp(error.to_string()));
        }
        self.wait_for_another_try(error.to_string(), None).await
    }

    /// Tells what happened and waits; or decides that this is the end.
    async fn wait_for_another_try(&mut self, trouble: String, after: Option<Duration>) -> Option<End> {
        if !self.options.retry {
            return Some(End::GaveUp(trouble));
        }
        if self.stop.deadline.is_some() {
            // There was one more attempt since the user wanted to stop; that must do.
            return Some(End::Interrupted);
        }
        let since = *self.trouble_since.get_or_insert_with(Instant::now);
        let delay = match after {
            Some(after) => self.backoff.next_delay_after(after),
            None => self.backoff.next_delay(),
        };
        if self.options.give_up_after.is_some_and(|limit| since.elapsed() + delay > limit) {
            return Some(End::GaveUp(trouble));
        }
        self.observer.note(&format!("{trouble}; trying again in {:.1} s", delay.as_secs_f64()));
        self.observer.pause();
        tokio::select! {
            () = sleep(delay) => None,
            _ = self.stop.event() => {
                self.input_ended = true;
                None
            }
        }
    }

    /// Sends lines and takes answers until the connection is of no more use and all its answers are in.
    async fn drive(&mut self, channel: &mut Channel, progress: &mut bool) -> Closing {
        let mut answers: FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>> =
            FuturesUnordered::new();
        let mut under_way_bytes = 0;
        let mut closing: Option<Closing> = None;
        loop {
            while closing.is_none()
                && self.may_send(answers.len(), under_way_bytes, *progress, channel)
                && let Some(body) = self.window.peek_waiting().cloned()
            {
                let body_bytes = body.len();
                match channel.send(body).await {
                    Ok(pending) => {
                        let Some(key) = self.window.mark_sent() else { break };
                        under_way_bytes += body_bytes;
                        answers.push(Box::pin(async move { (key, body_bytes, pending.await) }));
                    }
                    Err(broken) => closing = Some(Closing::Broken(broken.text)),
                }
            }
            self.report();
            if answers.is_empty() {
                if let Some(closing) = closing {
                    return closing;
                }
                if self.input_ended && self.window.is_empty() {
                    return Closing::Done;
                }
                self.observer.pause();
            }
            let may_read = closing.is_none()
                && !self.input_ended
                && self.window.len() < self.limit
                && self.window.peek_waiting().is_none();
            tokio::select! {
                Some((key, body_bytes, result)) = answers.next() => {
                    under_way_bytes -= body_bytes;
                    let outcome = self.settle(key, result, progress, channel);
                    closing = closing.or(outcome);
                }
                item = self.source.next(), if may_read => {
                    if let Err(error) = self.take_in(item) {
                        closing = Some(Closing::Fatal(End::Input(error)));
                    }
                }
                () = channel.closed(), if closing.is_none() => closing = Some(Closing::Closed),
                event = self.stop.event() => match event {
                    StopEvent::Asked => self.input_ended = true,
                    StopEvent::Overdue => return Closing::Overdue,
                },
            }
        }
    }

    /// Whether the next line may be sent now.
    fn may_send(
        &mut self,
        under_way: usize,
        under_way_bytes: usize,
        progress: bool,
        channel: &Channel,
    ) -> bool {
        let Some(next_bytes) = self.window.peek_waiting().map(Bytes::len) else { return false };
        if under_way == 0 {
            return true;
        }
        // The first request of a connection goes alone: its answer tells whether the token is good and who stands
        // between the hub and us.
        progress
            && under_way < self.limit.min(channel.limit())
            && next_bytes <= ALONE_BYTES
            && under_way_bytes + next_bytes <= WINDOW_BYTES
    }

    /// Enters an answer, and says whether it ends the use of this connection.
    fn settle(
        &mut self,
        key: Key,
        result: Result<Answer, Broken>,
        progress: &mut bool,
        channel: &Channel,
    ) -> Option<Closing> {
        let answer = match result {
            Ok(answer) => answer,
            Err(broken) => {
                if broken.unprocessed {
                    self.window.unsent(key);
                }
                return Some(Closing::Broken(broken.text));
            }
        };
        match answer.verdict() {
            Verdict::Accepted(id) => self.window.stored(key, id),
            Verdict::Refused(why) => self.window.refused(key, why),
            Verdict::Later { why, after } => {
                self.window.deferred(key);
                return Some(Closing::Later(why, after));
            }
            Verdict::NotAuthorized(why) => {
                self.window.deferred(key);
                let token = self.options.target.token.authorization();
                let replaced = token.is_ok_and(|token| token.as_ref() != channel.authorization());
                return Some(if replaced {
                    Closing::NewToken
                } else {
                    Closing::Fatal(End::NotAuthorized(why))
                });
            }
            Verdict::NoHub(why) => {
                self.window.deferred(key);
                return Some(Closing::Fatal(End::NoHub(why)));
            }
        }
        if !std::mem::replace(progress, true) {
            self.trouble_since = None;
            self.backoff.reset();
            self.look_for_intermediaries(&answer, channel);
        }
        None
    }

    /// Only the hub itself keeps the order of a connection's requests; what stands in front of it may hand them on over
    /// several connections.
    fn look_for_intermediaries(&mut self, answer: &Answer, channel: &Channel) {
        if self.options.window.is_some() || self.limit == 1 || channel.is_http1() {
            return;
        }
        if let Some(name) = answer.intermediary() {
            self.limit = 1;
            self.observer.note(&format!(
                "{name} answers for the hub and may not keep the order of requests: sending one line at a time (--window \
                 sends more)"
            ));
        }
    }

    /// Reports the lines that are done with, in their order.
    fn report(&mut self) {
        while let Some(settled) = self.window.pop_settled() {
            match settled.result {
                Ok(id) => {
                    self.tally.stored += 1;
                    self.observer.stored(settled.number, &id);
                }
                Err(why) => {
                    self.tally.refused += 1;
                    self.tally.forbidden += u64::from(why.status == http::StatusCode::FORBIDDEN);
                    self.observer.refused(settled.number, &why);
                }
            }
        }
    }
}
