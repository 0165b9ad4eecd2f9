//! What waits for one subscriber. The fan-out puts references in, the connection takes bytes out; a lock is held for as
//! long as a reference takes to move, never across a write. The queue is bounded in bytes (invariant 5).

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{EndReason, event::Event};

/// How long a connection that was handed bytes may take to come back for more before a full backlog counts against the
/// reader and not against the hub: a socket that takes bytes comes back within the time the scheduler needs.
const SCHEDULING_GRACE: Duration = Duration::from_millis(100);

/// However busy the machine is, fan-out does not wait longer than this for one connection to be scheduled.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    waker: AtomicWaker,
    /// Cuts the connection under the stream.
    cut: Option<Arc<Notify>>,
    bound_bytes: usize,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    end: Option<EndReason>,
    heartbeat_due: bool,
    /// When the last bytes were handed to the connection.
    written_at: Instant,
    /// Since when the connection has not come back for more. `None` while it waits for us.
    handed_over: Option<Instant>,
}

/// What happens to events that the fan-out has for the subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They are kept, and a full queue is the reader's fault.
    Live,
    /// They are kept while the replay reads the last gap; a full queue only means that there is another gap.
    CatchingUp,
    /// The subscriber reads them from the log.
    Replaying,
}

/// How a push went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is the first that waits: the connection must be woken.
    First,
    /// Others wait already.
    More,
    /// The queue is over its bound.
    Full,
    /// The subscriber does not want it here.
    Unwanted,
}

/// What a connection takes.
pub(super) enum Taken {
    Bytes(Bytes),
    Heartbeat,
    End(EndReason),
    Nothing,
}

impl Queue {
    pub(super) fn new(live: bool, bound_bytes: usize, cut: Option<Arc<Notify>>) -> Self {
        Self {
            state: Mutex::new(State {
                mode: if live { Mode::Live } else { Mode::Replaying },
                events: VecDeque::new(),
                bytes: 0,
                end: None,
                heartbeat_due: false,
                written_at: Instant::now(),
                handed_over: None,
            }),
            waker: AtomicWaker::new(),
            cut,
            bound_bytes,
        }
    }

    pub(super) fn push(&self, event: &Arc<Event>) -> Pushed {
        let mut state = self.state.lock();
        if state.mode == Mode::Replaying || state.end.is_some() {
            return Pushed::Unwanted;
        }
        state.bytes += event.bytes.len();
        state.events.push_back(Arc::clone(event));
        if state.bytes > self.bound_bytes {
            if state.mode == Mode::CatchingUp {
                // The replay notices and reads on from the log.
                state.mode = Mode::Replaying;
                state.forget();
                return Pushed::Unwanted;
            }
            return Pushed::Full;
        }
        if state.events.len() == 1 { Pushed::First } else { Pushed::More }
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Whether the fan-out should wait for this queue. Ends it where the reader is too slow.
    pub(super) fn is_pressing(&self, since: Instant) -> bool {
        let mut state = self.state.lock();
        if state.end.is_some() || state.bytes <= self.bound_bytes {
            return false;
        }
        let absent = state.handed_over.is_some_and(|since| since.elapsed() > SCHEDULING_GRACE);
        if absent || since.elapsed() > PATIENCE {
            self.end_locked(&mut state, EndReason::SlowReader);
            return false;
        }
        true
    }

    /// Ends the stream where its connection took bytes and has not come back for `timeout`.
    pub(super) fn end_if_stalled(&self, timeout: Duration) {
        let mut state = self.state.lock();
        if state.end.is_none() && state.handed_over.is_some_and(|since| since.elapsed() > timeout) {
            self.end_locked(&mut state, EndReason::SlowReader);
        }
    }

    /// Ends the stream: cleanly, or by cutting the connection of a reader that takes nothing any more.
    pub(super) fn end(&self, reason: EndReason) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            self.end_locked(&mut state, reason);
        }
    }

    fn end_locked(&self, state: &mut State, reason: EndReason) {
        state.end = Some(reason);
        if reason == EndReason::SlowReader {
            state.forget();
            if let Some(cut) = &self.cut {
                cut.notify_one();
            }
        }
        self.waker.wake();
    }

    /// Cuts the connection whatever its state: the drain window is over.
    pub(super) fn cut(&self) {
        self.end(EndReason::Shutdown);
        if let Some(cut) = &self.cut {
            cut.notify_one();
        }
    }

    /// Marks a heartbeat as due where nothing was sent for `interval`, and returns when to look again.
    pub(super) fn heartbeat(&self, now: Instant, interval: Duration) -> Instant {
        let mut state = self.state.lock();
        let due = state.written_at + interval;
        if due > now {
            return due;
        }
        state.heartbeat_due = true;
        drop(state);
        self.waker.wake();
        now + interval
    }

    /// From here on events are kept for the live stream.
    pub(super) fn catch_up(&self) {
        let mut state = self.state.lock();
        state.mode = Mode::CatchingUp;
        state.forget();
    }

    /// The gap is read: what is kept follows. `false` where the queue went over its bound meanwhile.
    pub(super) fn go_live(&self) -> bool {
        let mut state = self.state.lock();
        let kept = state.mode == Mode::CatchingUp;
        if kept {
            state.mode = Mode::Live;
        }
        kept
    }

    /// The connection asks for more. Takes whole events, at most about `limit_bytes` of them in one piece (C03).
    /// `live` says whether events are to be taken here and not from the log.
    pub(super) fn take(&self, limit_bytes: usize, live: bool, cx: &Context<'_>) -> Taken {
        // Registered first: whatever is pushed after the look below wakes.
        self.waker.register(cx.waker());
        let mut state = self.state.lock();
        state.handed_over = None;
        match state.end {
            // What waits still belongs to the stream, except to a token that has run out.
            Some(reason @ (EndReason::WriteTimeout | EndReason::Shutdown))
                if live && !state.events.is_empty() =>
            {
                let _ = reason;
            }
            Some(reason) => return Taken::End(reason),
            None => {}
        }
        if live && let Some(bytes) = state.coalesce(limit_bytes) {
            state.handed_over(Instant::now());
            return Taken::Bytes(bytes);
        }
        if state.heartbeat_due {
            state.handed_over(Instant::now());
            return Taken::Heartbeat;
        }
        Taken::Nothing
    }

    /// Notes that the connection was handed bytes from elsewhere.
    pub(super) fn handed_over(&self) {
        self.state.lock().handed_over(Instant::now());
    }

    /// Why the stream ended, if it has.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.state.lock().end
    }
}

impl State {
    fn handed_over(&mut self, now: Instant) {
        self.heartbeat_due = false;
        self.written_at = now;
        self.handed_over = Some(now);
    }

    fn forget(&mut self) {
        self.events = VecDeque::new();
        self.bytes = 0;
    }

    fn coalesce(&mut self, limit_bytes: usize) -> Option<Bytes> {
        let first = self.events.pop_front()?;
        self.bytes -= first.bytes.len();
        // The usual case costs no copy.
        if self.events.is_empty() || first.bytes.len() >= limit_bytes {
            return Some(first.bytes.clone());
        }
        let mut out = BytesMut::with_capacity(limit_bytes.min(first.bytes.len() + self.bytes));
        out.extend_from_slice(&first.bytes);
        while let Some(next) = self.events.front()
            && out.len() + next.bytes.len() <= limit_bytes
        {
            out.extend_from_slice(&next.bytes);
            self.bytes -= next.bytes.len();
            self.events.pop_front();
        }
        if self.events.is_empty() && self.events.capacity() > 64 {
            self.events = VecDeque::new();
        }
        Some(out.freeze())
    }
}
