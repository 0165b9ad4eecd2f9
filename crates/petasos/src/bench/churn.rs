//! Subscribers that come and go at a steady rate, and some that behave as badly as real ones: they never read, vanish
//! without closing, or close only their half of the connection.
//!
//! One thread owns them; it is told to stop by a flag and a waker. Their number is bounded by the rate, their stay, and
//! the length of the run: those that misbehave are kept to its end.

use std::{
    collections::VecDeque,
    io,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use mio::{Events, Poll, Token, Waker};
use parking_lot::Mutex;

use super::{
    clock::now_ns,
    endpoint::{self, Endpoint},
    head,
    pacing::Timetable,
    refusal,
    subscribers::Subscriptions,
    timer::Timer,
    wire::Wire,
};

const READ_BUFFER_BYTES: usize = 64 << 10;
const EVENTS: usize = 256;
const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Who comes and goes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where.
    pub(crate) endpoint: Endpoint,
    /// What they ask for: the same as those who stay.
    pub(crate) subscriptions: Subscriptions,
    /// How many come each second.
    pub(crate) per_second: u32,
    /// How long each stays.
    pub(crate) stay: Duration,
    /// The fraction that never reads.
    pub(crate) never_read: f64,
    /// The fraction that stops reading instead of going.
    pub(crate) vanish: f64,
    /// The fraction that closes its half and waits for the hub to close the other.
    pub(crate) half_close: f64,
}

/// How a subscriber behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Reads, and closes the connection in the end.
    Well,
    NeverRead,
    Vanish,
    HalfClose,
}

#[derive(Debug, Default)]
struct Shown {
    opened: AtomicU64,
    /// Connections that did not become streams.
    failed: AtomicU64,
    /// Connections that the hub closed, of whatever manner.
    closed_by_hub: AtomicU64,
    present: AtomicUsize,
    failure: Mutex<Option<String>>,
    quit: AtomicBool,
}

/// Subscribers that come and go. All are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Churn {
    shown: Arc<Shown>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Churn {
    /// Begins.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(plan: Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let timer = Timer::new(poll.registry(), TIMER)?;
        let shown = Arc::new(Shown::default());
        let thread = Thread {
            timetable: Timetable::new(now_ns(), f64::from(plan.per_second), 0, 1),
            manners: Manners::new(&plan),
            plan,
            poll,
            timer,
            shown: Arc::clone(&shown),
            clients: Vec::new(),
            free: Vec::new(),
            leaving: VecDeque::new(),
            number: 0,
            buffer: vec![0; READ_BUFFER_BYTES].into(),
        };
        let builder = std::thread::Builder::new().name("churn".into());
        Ok(Self { shown, waker, thread: Some(builder.spawn(move || thread.run())?) })
    }

    /// Streams that were opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.shown.opened.load(Ordering::Relaxed)
    }

    /// Connections that came to nothing.
    pub(crate) fn failed(&self) -> u64 {
        self.shown.failed.load(Ordering::Relaxed)
    }

    /// Connections that the hub closed.
    pub(crate) fn closed_by_hub(&self) -> u64 {
        self.shown.closed_by_hub.load(Ordering::Relaxed)
    }

    /// Connections that are there.
    pub(crate) fn present(&self) -> usize {
        self.shown.present.load(Ordering::Relaxed)
    }

    /// Why the first one came to nothing.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shown.failure.lock().clone()
    }

    /// Ends: everybody who is there goes by a reset.
    pub(crate) fn stop(&mut self) {
        self.shown.quit.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Deals out manners so that their fractions are right at any time, not only on average.
#[derive(Debug)]
struct Manners {
    /// Each with its fraction, and what it is owed.
    shares: [(Manner, f64, f64); 3],
}

impl Manners {
    fn new(plan: &Plan) -> Self {
        let share = |manner, fraction| (manner, fraction, 0.0);
        let shares = [
            share(Manner::NeverRead, plan.never_read),
            share(Manner::Vanish, plan.vanish),
            share(Manner::HalfClose, plan.half_close),
        ];
        Self { shares }
    }

    fn next(&mut self) -> Manner {
        for (_, fraction, owed) in &mut self.shares {
            *owed += *fraction;
        }
        let most = self.shares.iter_mut().max_by(|one, other| one.2.total_cmp(&other.2));
        match most {
            Some((manner, _, owed)) if *owed >= 1.0 => {
                *owed -= 1.0;
                *manner
            }
            _ => Manner::Well,
        }
    }
}

struct Client {
    wire: Wire,
    manner: Manner,
    state: State,
    /// Tells it from an earlier one in the same place.
    number: usize,
}

enum State {
    /// So much of the request is sent.
    Opening {
        request: Vec<u8>,
        sent: usize,
    },
    Head(Vec<u8>),
    Stream,
    /// Neither reads nor writes any more.
    Frozen,
    /// Reads to the end.
    HalfClosed,
}

struct Thread {
    plan: Plan,
    poll: Poll,
    timer: Timer,
    shown: Arc<Shown>,
    timetable: Timetable,
    manners: Manners,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// When which client, by place and number, goes: in order, as all stay equally long.
    leaving: VecDeque<(u64, usize, usize)>,
    number: usize,
    buffer: Box<[u8]>,
}

impl Thread {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.shown.quit.load(Ordering::Relaxed) {
            self.timer.take_due();
            self.let_go();
            self.let_in();
            let next = self.leaving.front().map_or(u64::MAX, |(at, ..)| *at).min(self.timetable.next_ns());
            let waited = self
                .timer
                .set(Some(next))
                .and_then(|()| self.poll.poll(&mut events, self.timer.timeout(None)));
            if let Err(error) = waited
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.failed(&error.to_string());
                return;
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    TIMER => {}
                    Token(place) => self.ready(place),
                }
            }
        }
        for client in self.clients.iter().flatten() {
            endpoint::reset_on_close(client.wire.socket());
        }
    }

    fn let_in(&mut self) {
        while self.timetable.next_ns() <= now_ns() {
            self.timetable.advance();
            if let Err(error) = self.open() {
                self.failed(&error.to_string());
            }
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        self.number += 1;
        let number = self.number;
        let opened = Wire::open(&self.plan.endpoint, number)
            .and_then(|mut wire| wire.register(self.poll.registry(), Token(place)).map(|()| wire));
        let wire = match opened {
            Ok(wire) => wire,
            Err(error) => {
                self.free.push(place);
                return Err(error);
            }
        };
        let request = self.plan.subscriptions.request(number, &self.plan.endpoint.authority, None);
        let state = State::Opening { request, sent: 0 };
        self.clients[place] = Some(Client { wire, manner: self.manners.next(), state, number });
        self.shown.present.fetch_add(1, Ordering::Relaxed);
        let leaves_ns = now_ns().saturating_add(u64::try_from(self.plan.stay.as_nanos()).unwrap_or(u64::MAX));
        self.leaving.push_back((leaves_ns, place, number));
        Ok(())
    }

    fn let_go(&mut self) {
        let now = now_ns();
        while let Some((_, place, number)) = self.leaving.pop_front_if(|(at, ..)| *at <= now) {
            let Some(client) = self.clients[place].as_mut().filter(|client| client.number == number) else {
                continue;
            };
            match client.manner {
                Manner::Well => self.remove(place),
                Manner::NeverRead => {}
                Manner::Vanish => client.state = State::Frozen,
                Manner::HalfClose => {
                    // Where it is closed already, the hub was faster.
                    let _ = client.wire.socket().shutdown(Shutdown::Write);
                    if !matches!(client.state, State::Head(_)) {
                        client.state = State::HalfClosed;
                    }
                }
            }
        }
    }

    fn ready(&mut self, place: usize) {
        let Some(client) = &mut self.clients[place] else { return };
        match client.advance(&mut self.buffer) {
            Ok(false) => {}
            Ok(true) => {
                self.shown.opened.fetch_add(1, Ordering::Relaxed);
                // There may be more behind the head.
                self.ready(place);
            }
            Err(error) => {
                let came_about = !matches!(client.state, State::Opening { .. } | State::Head(_));
                self.remove(place);
                if came_about {
                    self.shown.closed_by_hub.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.failed(&error.to_string());
                }
            }
        }
    }

    fn remove(&mut self, place: usize) {
        if let Some(mut client) = self.clients[place].take() {
            client.wire.deregister(self.poll.registry());
            self.free.push(place);
            self.shown.present.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn failed(&self, how: &str) {
        self.shown.failed.fetch_add(1, Ordering::Relaxed);
        self.shown
            .failure
            .lock()
            .get_or_insert_with(|| format!("a subscriber that came could not stay: {how}"));
    }
}

impl Client {
    /// Goes on as far as the socket lets it. Returns whether the stream has just come about (or, for one that never
    /// reads, was asked for); an error ends it.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if let State::Opening { request, sent } = &mut self.state {
            if *sent == 0 && !self.wire.is_connected()? {
                return Ok(false);
            }
            while *sent < request.len() {
                match self.wire.write(&request[*sent..]) {
                    Ok(count) => *sent += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if self.manner == Manner::NeverRead && self.wire.short_read_empties() {
                self.state = State::Frozen;
                return Ok(true);
            }
            self.state = State::Head(Vec::new());
        }
        if matches!(self.state, State::Frozen) {
            return Ok(false);
        }
        loop {
            let count = match self.wire.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if let State::Head(text) = &mut self.state {
                text.extend(&buffer[..count]);
                let Some(head) = head::parse(text).map_err(io::Error::other)? else { continue };
                if head.status != 200 {
                    return Err(io::Error::other(refusal("subscriber", head.status, &text[head.length..])));
                }
                // With TLS, one that never reads has had to read so far for the handshake's sake.
                self.state = if self.manner == Manner::NeverRead { State::Frozen } else { State::Stream };
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manners_are_dealt_out_by_their_fractions() {
        let share = |manner, fraction| (manner, fraction, 0.0);
        let mut manners = Manners {
            shares: [
                share(Manner::NeverRead, 0.05),
                share(Manner::Vanish, 0.1),
                share(Manner::HalfClose, 0.5),
            ],
        };
        let dealt: Vec<Manner> = (0..1000).map(|_| manners.next()).collect();
        let count = |wanted| dealt.iter().filter(|manner| **manner == wanted).count();
        assert!((49..=51).contains(&count(Manner::NeverRead)), "{}", count(Manner::NeverRead));
        assert!((99..=101).contains(&count(Manner::Vanish)), "{}", count(Manner::Vanish));
        assert!((499..=501).contains(&count(Manner::HalfClose)), "{}", count(Manner::HalfClose));
    }
}
