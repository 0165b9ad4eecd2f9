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

use super::{
    EndReason,
    budget::Budget,
    event::Event,
    fanout::{PATIENCE, RELUCTANCE},
};

/// How long a connection that was handed bytes may take to come back for more before a full backlog counts against the
/// reader and not against the hub: a socket that takes bytes comes back within the time the scheduler needs.
const SCHEDULING_GRACE: Duration = Duration::from_millis(100);

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
    budget: Arc<Budget>,
    mode: Mode,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    end: Option<EndReason>,
    heartbeat_due: bool,
    /// When the last bytes were handed to the connection.
    written_at: Instant,
    /// Since when the connection has not come back for more. `None` while it waits for us.
    handed_over: Option<Instant>,
    /// Since when the time over the bound is still to be counted. `None` within the bound.
    over_since: Option<Instant>,
    /// How long the queue was over its bound since it was last empty, and for how much of that the connection had not
    /// come back.
    over: Duration,
    absent: Duration,
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
    /// They go to its socket.
    TakenOver,
}

/// What a queue holds when the event loop takes its subscriber's socket over.
pub(super) struct Left {
    pub(super) events: VecDeque<Arc<Event>>,
    pub(super) end: Option<EndReason>,
    pub(super) heartbeat_due: bool,
}

/// How a push went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is the first that waits: the connection must be woken.
    First,
    /// Others wait already.
    More,
    /// The queue is over its bound from now on.
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
    pub(super) fn new(live: bool, bound_bytes: usize, budget: Arc<Budget>, cut: Option<Arc<Notify>>) -> Self {
        Self {
            state: Mutex::new(State {
                budget,
                mode: if live { Mode::Live } else { Mode::Replaying },
                events: VecDeque::new(),
                bytes: 0,
                end: None,
                heartbeat_due: false,
                written_at: Instant::now(),
                handed_over: None,
                over_since: None,
                over: Duration::ZERO,
                absent: Duration::ZERO,
            }),
            waker: AtomicWaker::new(),
            cut,
            bound_bytes,
        }
    }

    pub(super) fn push(&self, event: &Arc<Event>) -> Pushed {
        let mut state = self.state.lock();
        if matches!(state.mode, Mode::Replaying | Mode::TakenOver) || state.end.is_some() {
            return Pushed::Unwanted;
        }
        let was_within = state.bytes <= self.bound_bytes;
        state.count(event.waiting_bytes());
        state.events.push_back(Arc::clone(event));
        if was_within && state.bytes > self.bound_bytes {
            if state.mode == Mode::CatchingUp {
                // The replay notices and reads on from the log.
                state.mode = Mode::Replaying;
                state.forget();
                return Pushed::Unwanted;
            }
            state.over_since = Some(Instant::now());
            return Pushed::Full;
        }
        if state.events.len() == 1 { Pushed::First } else { Pushed::More }
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// How many bytes wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Whether the fan-out should wait for this queue, as it has for `waited`. Ends it where the reader is too slow: `alone`
    /// says whether most others are not behind, so that it is this reader and not the machine.
    pub(super) fn is_pressing(&self, waited: Duration, alone: bool) -> bool {
        let mut state = self.state.lock();
        if state.end.is_some() || state.bytes <= self.bound_bytes {
            return false;
        }
        let absent = state.handed_over.is_some_and(|since| since.elapsed() > SCHEDULING_GRACE);
        state.count_time_over();
        let reluctant = alone && state.absent > RELUCTANCE && state.absent * 2 > state.over;
        if absent || reluctant || waited > PATIENCE {
            self.end_locked(&mut state, EndReason::SlowReader);
            return false;
        }
        true
    }

    /// Ends the stream where its connection took bytes and has not come back for `timeout`. A stream that has ended for
    /// another reason is cut: its connection would never come back to see the end, and keep what waits for it for ever.
    pub(super) fn end_if_stalled(&self, timeout: Duration) {
        let mut state = self.state.lock();
        if state.handed_over.is_none_or(|since| since.elapsed() <= timeout) {
            return;
        }
        if state.end.is_none() {
            self.end_locked(&mut state, EndReason::SlowReader);
        } else {
            self.cut_off(&mut state);
        }
    }

    /// Ends the stream of a reader that has more waiting than the process can bear, and lets go of it. Cuts the connection
    /// where it was to end anyway.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            self.end_locked(&mut state, EndReason::SlowReader);
        } else {
            self.cut_off(&mut state);
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
            self.cut_off(state);
        }
        self.waker.wake();
    }

    fn cut_off(&self, state: &mut State) {
        state.forget();
        if let Some(cut) = &self.cut {
            cut.notify_one();
        }
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

    /// From here on events go to the socket of the subscriber. Returns what waited for it.
    pub(super) fn take_over(&self) -> Left {
        let mut state = self.state.lock();
        state.mode = Mode::TakenOver;
        let events = std::mem::take(&mut state.events);
        state.forget();
        Left { events, end: state.end, heartbeat_due: state.heartbeat_due }
    }

    /// The connection asks for more. Takes whole events, at most about `limit_bytes` of them in one piece (C03).
    /// `live` says whether events are to be taken here and not from the log.
    pub(super) fn take(&self, limit_bytes: usize, live: bool, cx: &Context<'_>) -> Taken {
        // Registered first: whatever is pushed after the look below wakes.
        self.waker.register(cx.waker());
        let mut state = self.state.lock();
        state.count_time_over();
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
            if state.bytes <= self.bound_bytes {
                state.over_since = None;
            }
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

    /// Counts the time that has passed while the queue was over its bound.
    fn count_time_over(&mut self) {
        let Some(since) = self.over_since else { return };
        let now = Instant::now();
        self.over += now - since;
        self.absent += self.handed_over.map_or(Duration::ZERO, |handed_over| now - handed_over.max(since));
        self.over_since = Some(now);
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.take(bytes);
    }

    fn uncount(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.give_back(bytes);
    }

    fn forget(&mut self) {
        self.events = VecDeque::new();
        self.uncount(self.bytes);
        self.over_since = None;
    }

    fn coalesce(&mut self, limit_bytes: usize) -> Option<Bytes> {
        let first = self.events.pop_front()?;
        self.uncount(first.waiting_bytes());
        // The usual case costs no copy.
        if self.events.is_empty() || first.len() >= limit_bytes {
            self.note_if_empty();
            return Some(first.bytes());
        }
        let mut out = BytesMut::with_capacity(limit_bytes.min(first.len() + self.bytes));
        out.extend_from_slice(first.as_slice());
        while let Some(next) = self.events.pop_front_if(|next| out.len() + next.len() <= limit_bytes) {
            out.extend_from_slice(next.as_slice());
            self.uncount(next.waiting_bytes());
        }
        self.note_if_empty();
        Some(out.freeze())
    }

    fn note_if_empty(&mut self) {
        if self.events.is_empty() {
            (self.over, self.absent) = (Duration::ZERO, Duration::ZERO);
            if self.events.capacity() > 64 {
                self.events = VecDeque::new();
            }
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Update,
        hub::recent::Recent,
        transport::{Position, StoredEvent},
    };

    /// An update with a megabyte of topics and no data.
    fn event(position: u64) -> Arc<Event> {
        let topics = (0..128).map(|_| "t".repeat(8_192)).collect();
        let update = Update::from_stored("urn:x:1".into(), topics, String::new(), false, None, None);
        Arc::new(Event::new(StoredEvent { position: Position(position), at_ms: 0, update: Arc::new(update) }))
    }

    #[test]
    fn topics_count_too_where_memory_is_bounded() {
        const THREE: usize = (3 << 20) + 2_000;
        let budget = Arc::new(Budget::new(THREE));
        let queue = Queue::new(true, THREE, Arc::clone(&budget), None);
        let recent = Recent::new(Position(0), THREE);
        let pushed: Vec<_> = (1..=4).map(|position| queue.push(&event(position))).collect();
        assert_eq!(pushed, [Pushed::First, Pushed::More, Pushed::More, Pushed::Full]);
        assert!(budget.is_over());
        for position in 1..=8 {
            recent.push(&[event(position)]);
        }
        assert!(recent.after(Position(4), Position(8), usize::MAX).is_none(), "more than its bound is kept");
        assert!(recent.after(Position(5), Position(8), usize::MAX).is_some());
        while let Taken::Bytes(_) = queue.take(1, true, &Context::from_waker(std::task::Waker::noop())) {}
        assert_eq!((queue.waiting_bytes(), budget.used_bytes()), (0, 0));
        queue.push(&event(9));
        drop(queue);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_connection_that_never_sees_the_end_of_its_stream_is_cut() {
        for reason in [EndReason::WriteTimeout, EndReason::TokenExpired, EndReason::Shutdown] {
            let cut = Arc::new(Notify::new());
            let queue = Queue::new(true, 1 << 20, Arc::new(Budget::new(0)), Some(Arc::clone(&cut)));
            queue.push(&event(1));
            let taken = queue.take(1, true, &Context::from_waker(std::task::Waker::noop()));
            assert!(matches!(taken, Taken::Bytes(_)));
            queue.push(&event(2));
            queue.end(reason);
            std::thread::sleep(Duration::from_millis(5));
            queue.end_if_stalled(Duration::from_millis(1));
            assert_eq!(queue.waiting_bytes(), 0, "{reason:?}");
            assert_eq!(queue.end_reason(), Some(reason));
            let told = futures_util::FutureExt::now_or_never(cut.notified());
            assert!(told.is_some(), "{reason:?}");
        }
    }
}
