//! One event loop: a thread that owns its subscribers, their matcher index, their sockets and their timers.
//!
//! It sleeps in one call of `poll` until a socket, its inbox or a timer has something for it. In a turn it first looks at
//! the sockets (so that no number of a socket is used again before its news were looked at), then at the commands, at the
//! timers (so that no event is for a token that has run out), and at the events: one round ([`super::round`]). While it waits for lagging readers ([`super::policy`]) it takes no events,
//! and does everything else.

use std::{
    collections::HashSet,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use super::{
    Command, Handed, Key, Shared,
    groups::Groups,
    inbox::{Inbox, Mail, inbox},
    outlet::{Outlet, Written},
    policy::{Count, Crowd, Held},
    reached::Reached,
    subscriber::{Attached, Entry, Sink, Table},
    timers::{STALL_INTERVAL_MS, TICK_MS, ticks_after},
    wheel::Wheel,
};
use crate::{
    hub::{EndReason, event::Event, queue::Left},
    transport::{Head, Position},
};

/// The inbox among the sockets.
const INBOX: Token = Token(usize::MAX);

/// News of sockets taken in one call.
const NEWS: usize = 1_024;

/// How long a stream may take to write its last bytes where no time is configured.
const LAST_BYTES_TIME: Duration = Duration::from_secs(10);

/// How often lagging readers are looked at while events wait for them.
const PRESSING_INTERVAL: Duration = Duration::from_millis(1);

/// How long to rest where the system refuses to wait, so as not to spin.
const TROUBLE_REST: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct EventLoop {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    pub(super) reached: Arc<Reached>,
    poll: Poll,
    pub(super) begun: Instant,
    /// Now, on the clock of this loop; looked at once a turn, and now and then in a long round.
    pub(super) now_ms: u64,
    pub(super) head: Head,
    pub(super) table: Table,
    pub(super) groups: Groups,
    pub(super) wheel: Wheel,
    /// What a group of subscribers is sent is put together here.
    pub(super) scratch: Vec<u8>,
    /// Subscribers that something waits for: all sockets that did not take everything, and queues that may not be empty.
    pub(super) waiting: HashSet<usize>,
    /// Readers with more than their bound waiting, since the round that is not finished for their sake.
    pub(super) pressing: Vec<usize>,
    pub(super) pressing_since_ms: u64,
    /// The events of that round.
    pub(super) unfinished: Vec<Arc<Event>>,
    /// What this loop has told the census of readers.
    pub(super) count: Count,
    /// Events wait for many readers.
    pub(super) crowd: Option<Crowd>,
    /// For how long a few readers have held up all others.
    pub(super) held: Held,
    /// When the census was last told, and what it said.
    pub(super) counted: (u64, bool),
    /// What waited for all readers of this loop then.
    pub(super) counted_bytes: usize,
    /// The inbox has more events than the last round took.
    more: bool,
    pub(super) stalls_looked_for_ms: u64,
    /// The metric of what waits was not zero when it was last told.
    pub(super) backlog_told: bool,
    /// Streams are being ended: one that comes now ends too.
    pub(super) draining: bool,
}

impl EventLoop {
    /// A loop that has handed out everything up to `head`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(
        number: usize,
        shared: Arc<Shared>,
        reached: Arc<Reached>,
        head: Head,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            number,
            shared,
            inbox: inbox(&poll, INBOX)?,
            reached,
            poll,
            begun: Instant::now(),
            now_ms: 0,
            head,
            table: Table::new(u16::try_from(number).unwrap_or(u16::MAX)),
            groups: Groups::new(),
            wheel: Wheel::new(),
            scratch: Vec::new(),
            waiting: HashSet::new(),
            pressing: Vec::new(),
            pressing_since_ms: 0,
            unfinished: Vec::new(),
            count: Count::default(),
            crowd: None,
            held: Held::default(),
            counted: (u64::MAX, false),
            counted_bytes: 0,
            more: false,
            stalls_looked_for_ms: 0,
            backlog_told: false,
            draining: false,
        })
    }

    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Runs until it is stopped.
    pub(super) fn run(mut self) {
        let mut news = Events::with_capacity(NEWS);
        let mut due = Vec::new();
        loop {
            if let Err(error) = self.poll.poll(&mut news, self.patience())
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "an event loop cannot wait for its sockets; trying again");
                std::thread::sleep(TROUBLE_REST);
            }
            self.now_ms = self.clock(Instant::now());
            for event in news.iter().filter(|event| event.token() != INBOX) {
                self.socket_news(event);
            }
            // Also where those who were waited for have gone by themselves.
            if !self.unfinished.is_empty() || !self.pressing.is_empty() {
                self.judge();
            }
            let wanted = (self.pressing.is_empty() && !self.is_crowded()).then_some(self.round_bytes());
            let Mail { commands, events, gap, stop, more, .. } = self.inbox.take(wanted);
            self.more = more;
            commands.into_iter().for_each(|command| self.handle(command));
            if gap {
                self.end_all(EndReason::Overtaken);
            }
            // Before the events: none is for a token that has run out.
            self.wheel.advance(self.now_ms / TICK_MS, &mut due);
            due.drain(..).for_each(|slot| self.fire(slot));
            if !events.is_empty() {
                self.round(events.into());
            }
            self.look_for_stalls();
            if stop {
                return;
            }
        }
    }

    /// How long there is nothing to do but wait. `None`: until somebody wakes the loop.
    fn patience(&self) -> Option<Duration> {
        if !self.pressing.is_empty() || self.crowd.is_some() {
            return Some(PRESSING_INTERVAL);
        }
        if self.more || !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.wheel.next().map(|tick| tick * TICK_MS);
        let watched = !self.waiting.is_empty() || self.table.queues() > 0 || self.backlog_told;
        let stalls = watched.then_some(self.stalls_looked_for_ms + STALL_INTERVAL_MS);
        let next = timer.into_iter().chain(stalls).min()?;
        Some(Duration::from_millis(next).saturating_sub(self.begun.elapsed()))
    }

    /// Milliseconds of this loop's clock.
    pub(super) fn clock(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Attach { entry, reply } => {
                let key = self.attach(entry);
                if reply.send(Attached { key, head: self.head.clone() }).is_err() {
                    self.detach(key);
                }
            }
            Command::GoLive { key, after, reply } => {
                if self.go_live(key, after) {
                    // Fails only where the subscriber is gone, which detaches it.
                    let _ = reply.send(self.head.position);
                }
            }
            Command::TakeSocket { key, handed } => self.take_socket(key, *handed),
            Command::Detach { key } => self.detach(key),
            Command::Drain { window } => self.drain(window),
            Command::Cut => self.cut(),
        }
    }

    fn attach(&mut self, entry: Entry) -> Key {
        if self.draining {
            entry.queue.end(EndReason::Shutdown);
        }
        // Rounded down: a stream ends no later than its token (S13).
        let end = entry.end.map(|(at, reason)| (self.clock(at) / TICK_MS, reason));
        let key = self.table.insert(entry, self.head.position, end);
        let heartbeat = self.shared.config.heartbeat;
        self.set_timer(key.slot, (!heartbeat.is_zero()).then(|| ticks_after(self.now_ms, heartbeat)));
        key
    }

    fn go_live(&mut self, key: Key, after: Position) -> bool {
        let Some(slot) = self.table.slot(key) else { return false };
        let Some(subscriber) = self.table.get_mut(slot) else { return false };
        if let Sink::Queue(queue) = &subscriber.sink {
            queue.catch_up();
        }
        subscriber.from = after.max(self.head.position);
        self.table.set_live(slot);
        true
    }

    fn take_socket(&mut self, key: Key, handed: Handed) {
        let Some(slot) = self.table.slot(key) else { return };
        let Some(Sink::Queue(queue)) = self.table.get(slot).map(|subscriber| &subscriber.sink) else {
            return;
        };
        let Left { events, end, heartbeat_due } = queue.take_over();
        let Handed { stream, first, read_ahead, mut lifetime, owner } = handed;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(slot), interest) {
            tracing::warn!(%error, "a stream cannot be watched and is closed");
            lifetime.ends_for(EndReason::ClientGone);
            self.remove(slot);
            return;
        }
        let mut outlet = Outlet::new(stream, lifetime, owner, &read_ahead, self.now_ms);
        let budget = &self.shared.budget;
        outlet.put(first, events.iter().map(|event| event.framed().clone()), self.now_ms, budget);
        let mut written = outlet.flush(self.now_ms, budget);
        if let Some(reason) = end {
            written = outlet.end(reason, self.now_ms, budget);
        } else if heartbeat_due && written == Written::All {
            written = outlet.heartbeat(self.now_ms, budget);
        }
        self.table.set_socket(slot, outlet);
        match end {
            Some(EndReason::SlowReader) => return self.abandon(slot, EndReason::SlowReader),
            Some(_) => self.ends(slot),
            None => {}
        }
        self.after_write(slot, written);
    }

    fn detach(&mut self, key: Key) {
        if let Some(slot) = self.table.slot(key) {
            self.remove(slot);
        }
    }

    fn remove(&mut self, slot: usize) -> Option<Sink> {
        self.wheel.clear(slot);
        self.wheel.shrink(self.table.slots_used());
        self.waiting.remove(&slot);
        self.pressing.retain(|pressing| *pressing != slot);
        self.table.remove(slot)
    }

    fn socket_news(&mut self, event: &mio::event::Event) {
        let Token(slot) = event.token();
        let Some(subscriber) = self.table.get_mut(slot) else { return };
        let Sink::Socket(outlet) = &mut subscriber.sink else { return };
        let came = event.is_readable() || event.is_read_closed();
        if event.is_error() || (came && !outlet.read(event.is_read_closed())) {
            return self.abandon(slot, EndReason::ClientGone);
        }
        if event.is_writable() && outlet.waiting_bytes() > 0 {
            let written = outlet.flush(self.now_ms, &self.shared.budget);
            outlet.measure(self.shared.config.backlog_bytes, self.now_ms);
            self.after_write(slot, written);
        }
    }

    /// What a write means for the subscriber.
    pub(super) fn after_write(&mut self, slot: usize, written: Written) {
        match written {
            Written::All => {
                self.waiting.remove(&slot);
            }
            Written::Waits => {
                self.waiting.insert(slot);
            }
            Written::Ended => {
                if let Some(Sink::Socket(outlet)) = self.remove(slot) {
                    outlet.give_back(self.poll.registry());
                }
            }
            Written::Dead => self.abandon(slot, EndReason::ClientGone),
        }
    }

    /// The end of a socket that is no clean one.
    pub(super) fn abandon(&mut self, slot: usize, reason: EndReason) {
        if let Some(Sink::Socket(outlet)) = self.remove(slot) {
            outlet.abandon(reason, &self.shared.budget);
        }
    }

    /// Ends a stream cleanly.
    pub(super) fn end(&mut self, slot: usize, reason: EndReason) {
        let Some(subscriber) = self.table.get_mut(slot) else { return };
        match &mut subscriber.sink {
            Sink::Queue(queue) => queue.end(reason),
            Sink::Socket(outlet) => {
                let written = outlet.end(reason, self.now_ms, &self.shared.budget);
                self.ends(slot);
                self.after_write(slot, written);
            }
        }
    }

    /// Nothing more is for a stream that ends, and it has a last moment: a reader that takes the rest drop by drop would
    /// hold on to it.
    fn ends(&mut self, slot: usize) {
        self.table.unset_live(slot);
        let timeout = Some(self.shared.config.dispatch_timeout).filter(|timeout| !timeout.is_zero());
        let last = ticks_after(self.now_ms, timeout.unwrap_or(LAST_BYTES_TIME));
        self.wheel.set(slot, last);
    }

    fn end_all(&mut self, reason: EndReason) {
        self.table.slots().into_iter().for_each(|slot| self.end(slot, reason));
    }

    fn cut(&mut self) {
        for slot in self.table.slots() {
            match self.table.get(slot).map(|subscriber| &subscriber.sink) {
                Some(Sink::Queue(queue)) => queue.cut(),
                Some(Sink::Socket(_)) => self.abandon(slot, EndReason::Shutdown),
                None => {}
            }
        }
    }
}

impl Drop for EventLoop {
    /// Whatever ends the thread: nobody would end the streams any more, or notice that they are silent.
    fn drop(&mut self) {
        self.inbox.stop();
        self.end_all(EndReason::Shutdown);
        // What came in last is told by being dropped.
        drop(self.inbox.take(Some(usize::MAX)));
    }
}
