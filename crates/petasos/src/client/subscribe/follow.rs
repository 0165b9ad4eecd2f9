//! Follows a subscription over as many connections as it takes.
//!
//! Order of things for each event: it is printed, then the cursor moves. So nothing is lost when the process is killed in
//! between; the event is printed again by the next run.

use std::{io, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    session::{Cursor, Matcher, Session, SessionError},
    state::StateError,
};
use crate::client::{
    answer::{Refused, printable},
    backoff::Backoff,
    http1::OpenError,
    sse::{Event, Item, Parser},
    target::Target,
};

/// A stream that lasted this long was a good one, even if nothing came.
const GOOD_STREAM: Duration = Duration::from_secs(10);

/// The longest reconnection time that is honoured. More is taken for a mistake: nobody would ever come back.
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// What to follow and when to stop.
#[derive(Clone, Debug)]
pub struct Options {
    /// On which hub.
    pub target: Target,
    /// At least one.
    pub matchers: Vec<Matcher>,
    /// From where on.
    pub start: Cursor,
    /// Whether to come back when a stream ends.
    pub reconnect: bool,
    /// Whether to end when updates may have been lost.
    pub fail_on_gap: bool,
    /// How many events are enough.
    pub count: Option<u64>,
    /// How long is enough.
    pub timeout: Option<Duration>,
    /// The largest event; larger ones are left out.
    pub max_event_bytes: usize,
}

/// Gets what happens.
pub trait Sink {
    /// An event.
    ///
    /// # Errors
    /// It cannot be written.
    fn event(&mut self, event: &Event) -> io::Result<()>;
    /// Everything up to this id has been handed on.
    ///
    /// # Errors
    /// It cannot be remembered.
    fn cursor(&mut self, id: &str) -> Result<(), StateError>;
    /// Something that the user may want to know, one sentence.
    fn note(&mut self, text: &str);
}

/// Why it ended.
#[derive(Debug)]
pub enum End {
    /// As many events as were asked for.
    Count,
    /// The time is over.
    Timeout,
    /// The user stopped it.
    Interrupted,
    /// The stream ended, and it was not to be opened again.
    Closed,
    /// Updates may have been lost, and that was to end it.
    Gap(String),
    /// The hub wants a token, or another one (A04 to A06).
    NotAuthorized(Refused),
    /// Asking again would not help, or was not to be done.
    Failed(String),
    /// Nobody reads the output any more.
    OutputClosed,
    /// The output cannot be written.
    Output(io::Error),
    /// The cursor cannot be remembered.
    State(StateError),
}

/// Follows until there is a reason to end. `stop` resolves when the user wants it to end.
pub async fn follow(
    options: &Options,
    sink: &mut impl Sink,
    stop: impl Future<Output = ()> + Send + 'static,
) -> End {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let follower = Follower {
        options,
        sink,
        cursor: options.start.clone(),
        received: 0,
        retry: None,
        backoff: Backoff::default(),
        failed_before: false,
    };
    let timeout = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let stop: BoxFuture<'static, ()> = stop.boxed();
    // Dropping the follower loses nothing: it is only ever dropped where it waits, and what it has read by then it has
    // handed on.
    tokio::select! {
        end = follower.run() => end,
        () = timeout => End::Timeout,
        () = stop => End::Interrupted,
    }
}

struct Follower<'a, S> {
    options: &'a Options,
    sink: &'a mut S,
    cursor: Cursor,
    received: u64,
    /// The reconnection time that the hub named.
    retry: Option<Duration>,
    backoff: Backoff,
    failed_before: bool,
}

impl<S: Sink> Follower<'_, S> {
    async fn run(mut self) -> End {
        if self.options.count == Some(0) {
            return End::Count;
        }
        loop {
            let (trouble, after) =
                match Session::open(&self.options.target, &self.options.matchers, &self.cursor).await {
                    Ok(session) => match self.read(session).await {
                        Ok(None) => (None, None),
                        Ok(Some(broken)) => (Some(format!("the stream broke off: {broken}")), None),
                        Err(end) => return end,
                    },
                    Err(SessionError::NotAuthorized(why)) => return End::NotAuthorized(why),
                    Err(error) if !may_pass(&error) => return End::Failed(error.to_string()),
                    Err(SessionError::Later(why, after)) => {
                        (Some(SessionError::Later(why, after).to_string()), after)
                    }
                    Err(error) => (Some(error.to_string()), None),
                };
            if !self.options.reconnect {
                return trouble.map_or(End::Closed, End::Failed);
            }
            let delay = match self.retry.max(after) {
                Some(least) => self.backoff.next_delay_after(least),
                None => self.backoff.next_delay(),
            };
            if let Some(trouble) = trouble {
                self.failed_before = true;
                self.sink.note(&format!("{trouble}; trying again in {:.1} s", delay.as_secs_f64()));
            }
            sleep(delay).await;
        }
    }

    /// Reads a stream to its end. `Ok(None)`: it ended cleanly; `Ok(Some(why))`: it broke off.
    async fn read(&mut self, mut session: Session) -> Result<Option<String>, End> {
        let opened = Instant::now();
        self.take_up(session.continues_after.take())?;
        if std::mem::take(&mut self.failed_before) {
            self.sink.note(&format!("connected again, from {} on", self.cursor));
        }
        let known = match &self.cursor {
            Cursor::Live => "",
            Cursor::After(id) => id,
        };
        let mut parser = Parser::after(known, self.options.max_event_bytes);
        loop {
            let chunk = match session.next_chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Ok(None),
                Err(why) => break Ok(Some(why)),
            };
            parser.feed(&chunk);
            while let Some(item) = parser.next_item() {
                self.backoff.reset();
                self.take_item(item)?;
            }
            self.move_to(parser.last_event_id())?;
            if opened.elapsed() >= GOOD_STREAM {
                self.backoff.reset();
            }
        }
    }

    /// Compares what the hub continues after with what was asked for (R02, R04).
    fn take_up(&mut self, answered: Option<String>) -> Result<(), End> {
        let gap = match (&self.cursor, &answered) {
            (Cursor::Live, _) => None,
            (Cursor::After(asked), Some(answered)) if asked.trim_ascii() == answered.trim_ascii() => {
                return Ok(());
            }
            // Everything that is kept was asked for, and that is what comes, from wherever it begins.
            (Cursor::After(asked), _) if asked == petasos_hub::EARLIEST => None,
            (Cursor::After(asked), Some(answered)) => Some(format!(
                "updates may be lost: asked for what follows {}, but the hub continues after {}",
                printable(asked),
                printable(answered)
            )),
            (Cursor::After(asked), None) => Some(format!(
                "updates may be lost: asked for what follows {}, and the hub does not say where it continues",
                printable(asked)
            )),
        };
        if let Some(gap) = gap {
            if self.options.fail_on_gap {
                return Err(End::Gap(gap));
            }
            self.sink.note(&gap);
        }
        match answered {
            Some(answered) => self.move_to(&answered),
            None => Ok(()),
        }
    }

    fn take_item(&mut self, item: Item) -> Result<(), End> {
        match item {
            Item::Retry(ms) => self.retry = Some(Duration::from_millis(ms).min(MAX_RETRY)),
            Item::Oversized { id } => self.sink.note(&format!(
                "the event {} is larger than {} bytes and was left out (--max-event-bytes)",
                printable(&id),
                self.options.max_event_bytes
            )),
            Item::Event(event) => {
                self.sink.event(&event).map_err(|error| match error.kind() {
                    io::ErrorKind::BrokenPipe => End::OutputClosed,
                    _ => End::Output(error),
                })?;
                self.received += 1;
                if Some(self.received) == self.options.count {
                    self.move_to(&event.id)?;
                    return Err(End::Count);
                }
            }
        }
        Ok(())
    }

    fn move_to(&mut self, id: &str) -> Result<(), End> {
        if id.is_empty() || matches!(&self.cursor, Cursor::After(known) if known == id) {
            return Ok(());
        }
        self.cursor = Cursor::After(id.to_owned());
        self.sink.cursor(id).map_err(End::State)
    }
}

/// Whether asking again later can help.
fn may_pass(error: &SessionError) -> bool {
    match error {
        SessionError::Open(OpenError::Connect(error)) => error.may_pass(),
        SessionError::Open(OpenError::Token(_)) => false,
        SessionError::Open(OpenError::Http(_)) | SessionError::NoAnswer(_) | SessionError::Later(..) => true,
        SessionError::Refused(_) | SessionError::NotAuthorized(_) | SessionError::NoHub(_) => false,
    }
}
