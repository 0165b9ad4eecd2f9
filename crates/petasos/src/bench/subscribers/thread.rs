//! One thread of subscribers.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mio::{Events, Poll, Token, Waker};

use super::{Account, Command, Plan, Shown, Subscriptions};
use crate::bench::{
    body::{Body, Piece},
    clock::{now_ns, thread_cpu_ns},
    endpoint::{self, Endpoint},
    head::{self, MAX_HEAD_BYTES},
    histogram::Latencies,
    marker::{Carry, Finder, Marker},
    refusal,
    sequence::{Notes, Sequence},
    window::Window,
    wire::Wire,
};

/// What one read may take. As much as the largest receive buffer that loopback grows to in practice, and little enough
/// to stay in the second-level cache.
const READ_BUFFER_BYTES: usize = 256 << 10;
/// Sockets that one wait reports at most.
const EVENTS: usize = 1024;
/// Between two times that latencies are shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Tries to open a connection that the network or the hub cut before its answer.
const ATTEMPTS: u8 = 5;
/// How much of a refusal's body is shown.
const REFUSAL_BYTES: usize = 400;

const WAKER: Token = Token(usize::MAX);

/// Subscribers and the socket each has.
pub(super) struct Thread {
    poll: Poll,
    subscribers: Vec<Subscriber>,
    /// Those whose connection is to be opened.
    waiting: VecDeque<usize>,
    /// Connections that are under way.
    opening: usize,
    opening_limit: usize,
    endpoint: Endpoint,
    subscriptions: Subscriptions,
    shown: Arc<Shown>,
    buffer: Box<[u8]>,
    reader: Reader,
    reads: u64,
    bytes: u64,
    shown_ns: u64,
}

/// One subscriber: what it has, which outlives its connection.
struct Subscriber {
    /// Among all of the run.
    number: usize,
    sequence: Sequence,
    last: Option<(u32, u64)>,
    attempts: u8,
    connection: Option<Connection>,
}

struct Connection {
    wire: Wire,
    phase: Phase,
}

enum Phase {
    /// The request is not sent yet; so much of it is.
    Opening { request: Vec<u8>, sent: usize },
    /// The head has not come yet.
    Head(Vec<u8>),
    /// Events come.
    Stream { body: Body, carry: Carry },
    /// The rest of a refusal.
    Refused { status: u16, text: Vec<u8>, body: Body },
}

/// What all subscribers of a thread share while they read.
struct Reader {
    finder: Finder,
    notes: Notes,
    deliveries: u64,
    sample_mask: u64,
    window: Arc<Window>,
    /// Of updates within the window.
    latencies: Latencies,
    /// Since they were shown last.
    recent: Latencies,
}

/// What a read came to.
enum Outcome {
    Open,
    /// The stream is over, as this says.
    Ended(String),
    /// The hub does not want it.
    Refused(String),
}

impl Thread {
    pub(super) fn new(
        plan: &Plan,
        own: Vec<usize>,
        threads: usize,
        shown: Arc<Shown>,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let subscriber = |number: usize| {
            let (first, count) = plan.subscriptions.streams_of(number);
            let sequence = Sequence::joining(first, count as usize);
            Subscriber { number, sequence, last: None, attempts: 0, connection: None }
        };
        let thread = Self {
            poll,
            waiting: (0..own.len()).collect(),
            subscribers: own.into_iter().map(subscriber).collect(),
            opening: 0,
            opening_limit: plan.opening.div_ceil(threads),
            endpoint: plan.endpoint.clone(),
            subscriptions: plan.subscriptions.clone(),
            shown,
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            reader: Reader {
                finder: Finder::new(plan.run, plan.data_bytes),
                notes: Notes::default(),
                deliveries: 0,
                sample_mask: plan.sample_every - 1,
                window: Arc::clone(&plan.window),
                latencies: Latencies::default(),
                recent: Latencies::default(),
            },
            reads: 0,
            bytes: 0,
            shown_ns: 0,
        };
        Ok((thread, waker))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.open_more();
            let timeout = (self.reader.recent.len() > 0).then_some(SHOW_EVERY);
            self.shown.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(format!("cannot wait for sockets: {error}")),
            }
            for event in &events {
                match event.token() {
                    WAKER => {
                        if !self.obey() {
                            return;
                        }
                    }
                    Token(index) => self.ready(index),
                }
            }
            self.show_latencies();
        }
    }

    fn open_more(&mut self) {
        while self.opening < self.opening_limit {
            let Some(index) = self.waiting.pop_front() else { return };
            if let Err(error) = self.open(index) {
                self.fail(endpoint::connect_problem(&error));
                self.waiting.clear();
            }
        }
    }

    fn open(&mut self, index: usize) -> io::Result<()> {
        let subscriber = &mut self.subscribers[index];
        let mut wire = Wire::open(&self.endpoint, subscriber.number)?;
        wire.register(self.poll.registry(), Token(index))?;
        let request =
            self.subscriptions.request(subscriber.number, &self.endpoint.authority, subscriber.last);
        subscriber.attempts += 1;
        subscriber.connection = Some(Connection { wire, phase: Phase::Opening { request, sent: 0 } });
        self.opening += 1;
        Ok(())
    }

    /// The socket of a subscriber can be read or written, perhaps.
    fn ready(&mut self, index: usize) {
        let subscriber = &mut self.subscribers[index];
        // What was reported before it was closed.
        let Some(connection) = &mut subscriber.connection else { return };
        if let Phase::Opening { .. } = connection.phase {
            match connection.send() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.broken(index, &error),
            }
        } else if !connection.wire.short_read_empties()
            && let Err(error) = connection.wire.flush()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return self.broken(index, &error);
        }
        self.read(index);
    }

    fn read(&mut self, index: usize) {
        loop {
            let subscriber = &mut self.subscribers[index];
            let Some(connection) = &mut subscriber.connection else { return };
            let count = match connection.wire.read(&mut self.buffer) {
                Ok(0) => return self.over(index, "the connection was closed"),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.broken(index, &error),
            };
            let emptied = count < self.buffer.len() && connection.wire.short_read_empties();
            self.reads += 1;
            self.bytes += count as u64;
            let before = self.reader.deliveries;
            let was_open = connection.is_open();
            let outcome = self.reader.take(subscriber, &self.buffer[..count]);
            if !was_open && subscriber.connection.as_ref().is_some_and(Connection::is_open) {
                self.opening -= 1;
                subscriber.attempts = 0;
                self.shown.open.fetch_add(1, Ordering::Relaxed);
            }
            if self.reader.deliveries != before {
                self.shown.deliveries.store(self.reader.deliveries, Ordering::Relaxed);
                self.shown.last_delivery_ns.store(now_ns(), Ordering::Relaxed);
                self.shown.ready.store(self.reader.notes.ready, Ordering::Relaxed);
            }
            match outcome {
                Outcome::Open => {}
                Outcome::Ended(how) => return self.over(index, &how),
                Outcome::Refused(text) => {
                    self.close(index);
                    return self.fail(text);
                }
            }
            if emptied {
                return;
            }
        }
    }

    fn broken(&mut self, index: usize, error: &io::Error) {
        self.over(index, &error.to_string());
    }

    /// The connection of a subscriber is gone, and nobody wanted it.
    fn over(&mut self, index: usize, how: &str) {
        let was_open = self.close(index);
        let subscriber = &self.subscribers[index];
        if was_open {
            self.shown.ended.fetch_add(1, Ordering::Relaxed);
            let mut ending = self.shown.ending.lock();
            ending.get_or_insert_with(|| {
                format!("the stream of subscriber {} ended: {how}", subscriber.number)
            });
        } else if subscriber.attempts < ATTEMPTS {
            self.waiting.push_back(index);
        } else {
            let text = format!("subscriber {} cannot be opened: {how}", subscriber.number);
            self.fail(text);
        }
    }

    /// Closes the connection of a subscriber; returns whether it was a stream.
    fn close(&mut self, index: usize) -> bool {
        let Some(mut connection) = self.subscribers[index].connection.take() else { return false };
        connection.wire.deregister(self.poll.registry());
        let was_open = connection.is_open();
        if was_open {
            self.shown.open.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.opening -= 1;
        }
        was_open
    }

    fn fail(&self, text: String) {
        self.shown.failure.lock().get_or_insert(text);
    }

    /// Does what was told. Returns whether to go on.
    fn obey(&mut self) -> bool {
        loop {
            // Apart, so that the lock is free while it is done.
            let command = self.shown.commands.lock().pop_front();
            match command {
                None => return true,
                Some(Command::Quit) => {
                    self.cut();
                    return false;
                }
                Some(Command::Cut) => self.cut(),
                Some(Command::Open) => {
                    let closed = |index: &usize| self.subscribers[*index].connection.is_none();
                    self.waiting = (0..self.subscribers.len()).filter(closed).collect();
                }
                Some(Command::Account { published, excused, answer }) => {
                    let mut account = Account {
                        faults: self.reader.notes.faults,
                        latencies: self.reader.latencies.clone(),
                        reads: self.reads,
                        bytes: self.bytes,
                    };
                    let lost = self.subscribers.iter().map(|one| one.sequence.lost(&published, &excused));
                    account.faults.lost += lost.sum::<u64>();
                    // Nobody waits any more where this fails.
                    let _ = answer.send(account);
                }
            }
        }
    }

    fn cut(&mut self) {
        self.waiting.clear();
        for index in 0..self.subscribers.len() {
            if let Some(connection) = &self.subscribers[index].connection {
                endpoint::reset_on_close(connection.wire.socket());
            }
            self.close(index);
            self.subscribers[index].attempts = 0;
        }
    }

    fn show_latencies(&mut self) {
        let recent = &mut self.reader.recent;
        if recent.len() == 0 {
            return;
        }
        let now = now_ns();
        if u128::from(now - self.shown_ns) >= SHOW_EVERY.as_nanos() {
            self.shown.recent.lock().add(recent);
            recent.clear();
            self.shown_ns = now;
        }
    }
}

impl Connection {
    /// Whether the head of a stream has come.
    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Stream { .. })
    }

    /// Sends the rest of the request. Returns whether it is all sent.
    fn send(&mut self) -> io::Result<bool> {
        let Phase::Opening { request, sent } = &mut self.phase else { return Ok(true) };
        if *sent == 0 && !self.wire.is_connected()? {
            return Ok(false);
        }
        while *sent < request.len() {
            match self.wire.write(&request[*sent..]) {
                Ok(count) => *sent += count,
                // With TLS there may be something to read before more can be written.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(!self.wire.short_read_empties());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.phase = Phase::Head(Vec::new());
        Ok(true)
    }
}

impl Reader {
    /// Takes what was read.
    fn take(&mut self, subscriber: &mut Subscriber, bytes: &[u8]) -> Outcome {
        let Some(connection) = &mut subscriber.connection else { return Outcome::Open };
        match &mut connection.phase {
            Phase::Stream { body, carry } => {
                self.take_stream(&mut subscriber.sequence, &mut subscriber.last, body, carry, bytes)
            }
            Phase::Head(text) => {
                text.extend(bytes);
                let head = match head::parse(text) {
                    Ok(Some(head)) => head,
                    Ok(None) => return Outcome::Open,
                    Err(error) => return Outcome::Ended(error.to_string()),
                };
                let rest = text.split_off(head.length);
                if head.status != 200 {
                    connection.phase =
                        Phase::Refused { status: head.status, text: Vec::new(), body: head.body };
                    return self.take(subscriber, &rest);
                }
                let (mut body, mut carry) = (head.body, Carry::default());
                let Subscriber { sequence, last, .. } = subscriber;
                let outcome = self.take_stream(sequence, last, &mut body, &mut carry, &rest);
                connection.phase = Phase::Stream { body, carry };
                outcome
            }
            Phase::Refused { status, text, body } => {
                let mut input = bytes;
                let over = loop {
                    match body.next(&mut input) {
                        Ok(Piece::Data(data)) => text.extend(data),
                        Ok(Piece::More) => break text.len() > MAX_HEAD_BYTES,
                        Ok(Piece::End) | Err(_) => break true,
                    }
                };
                if !over {
                    return Outcome::Open;
                }
                text.truncate(REFUSAL_BYTES);
                Outcome::Refused(refusal("subscriber", *status, text))
            }
            // Nothing is to come before the request is sent.
            Phase::Opening { .. } => Outcome::Open,
        }
    }

    fn take_stream(
        &mut self,
        sequence: &mut Sequence,
        last: &mut Option<(u32, u64)>,
        body: &mut Body,
        carry: &mut Carry,
        bytes: &[u8],
    ) -> Outcome {
        let Self { finder, notes, deliveries, sample_mask, window, latencies, recent } = self;
        let now = now_ns();
        let mut input = bytes;
        loop {
            match body.next(&mut input) {
                Ok(Piece::Data(data)) => finder.scan(carry, data, |marker| {
                    let (stream, number) = Marker::identity(marker);
                    *deliveries += 1;
                    sequence.take(stream, number, notes);
                    *last = Some((stream, number));
                    // With the stream, so that many streams with few updates each are sampled alike.
                    if number.wrapping_add(u64::from(stream)) & *sample_mask == 0 {
                        let sent = Marker::sent_ns(marker);
                        let latency = now.saturating_sub(sent);
                        recent.record_ns(latency);
                        if window.holds(sent) {
                            latencies.record_ns(latency);
                        }
                    }
                }),
                Ok(Piece::More) => return Outcome::Open,
                Ok(Piece::End) => return Outcome::Ended("the hub ended it".into()),
                Err(error) => return Outcome::Ended(error.to_string()),
            }
        }
    }
}
