//! One thread of publishers.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mio::{Events, Poll, Token, Waker};

use super::{
    Command, Job, LATE_LIMIT_NS, Plan, Record, Shown,
    reply::{Answer, Reply},
};
use crate::bench::{
    choice::Choice,
    clock::{SECOND_NS, now_ns},
    endpoint::{Endpoint, connect_problem},
    histogram::Latencies,
    marker::Marker,
    pacing::Timetable,
    refusal,
    request::Publish,
    timer::Timer,
    window::Window,
    wire::Wire,
};

/// Answers are small.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// Sockets that one wait reports at most.
const EVENTS: usize = 256;
/// Between two times that latencies are shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// How long a publisher waits that was told to come back later.
const RETRY_AFTER_NS: u64 = SECOND_NS / 20;
/// Connections of a publisher that may break one after the other before it is given up.
const BREAKS: u32 = 10;

const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Publishers and the socket each has.
pub(super) struct Thread {
    poll: Poll,
    timer: Timer,
    publishers: Vec<Publisher>,
    endpoint: Endpoint,
    shown: Arc<Shown>,
    buffer: Box<[u8]>,
    job: Option<Job>,
    /// When the time of a job with a pace was over.
    over_ns: Option<u64>,
    /// Publishers with an update under way.
    busy: usize,
    /// How many of all there are.
    count: usize,
    books: Books,
    shown_ns: u64,
    failed: bool,
}

/// What is noted about all updates of a thread.
struct Books {
    /// The number of the next update, by stream.
    next: Vec<u64>,
    excused: HashSet<(u32, u64)>,
    acknowledged: u64,
    window: Arc<Window>,
    latencies: Latencies,
    recent: Latencies,
}

struct Publisher {
    /// Among all of the run.
    number: usize,
    wire: Option<Wire>,
    state: State,
    request: Publish,
    reply: Reply,
    choice: Choice,
    timetable: Option<Timetable>,
    /// The update that is under way, or is to be sent again.
    current: Option<Marker>,
    /// Updates of the job that it may still begin.
    left: u64,
    /// The next of its streams, for [`Job::Each`].
    each: usize,
    not_before_ns: u64,
    breaks: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Connecting,
    Ready,
    /// So much of the request is sent.
    Sending(usize),
    Waiting,
}

impl Thread {
    pub(super) fn new(plan: &Plan, own: &[usize], shown: Arc<Shown>) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let timer = Timer::new(poll.registry(), TIMER)?;
        let publisher = |number: &usize| Publisher {
            number: *number,
            wire: None,
            state: State::Closed,
            request: plan.request.clone(),
            reply: Reply::default(),
            choice: Choice::new(plan.distribution, plan.streams, *number, plan.count),
            timetable: None,
            current: None,
            left: 0,
            each: 0,
            not_before_ns: 0,
            breaks: 0,
        };
        let thread = Self {
            poll,
            timer,
            publishers: own.iter().map(publisher).collect(),
            endpoint: plan.endpoint.clone(),
            shown,
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            job: None,
            over_ns: None,
            busy: 0,
            count: plan.count,
            books: Books {
                next: vec![0; plan.streams as usize],
                excused: HashSet::new(),
                acknowledged: 0,
                window: Arc::clone(&plan.window),
                latencies: Latencies::default(),
                recent: Latencies::default(),
            },
            shown_ns: 0,
            failed: false,
        };
        Ok((thread, waker))
    }

    pub(super) fn run(mut self) {
        for index in 0..self.publishers.len() {
            self.connect(index);
        }
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.set_timer() {
                return self.fail(format!("cannot set a timer: {error}"));
            }
            let timeout = self.timer.timeout((self.books.recent.len() > 0).then_some(SHOW_EVERY));
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
                    TIMER => {}
                    Token(index) => self.ready(index),
                }
            }
            if self.timer.take_due() {
                self.start_all();
            }
            self.show();
        }
    }

    fn obey(&mut self) -> bool {
        loop {
            // Apart, so that the lock is free while it is done.
            let command = self.shown.commands.lock().pop_front();
            match command {
                None => return true,
                Some(Command::Quit) => return false,
                Some(Command::Stop) => match self.job {
                    Some(Job::Load { per_second: Some(_), .. }) => self.over_ns = Some(now_ns()),
                    _ => self.end_job(),
                },
                Some(Command::Do(job)) => {
                    self.over_ns = None;
                    for publisher in &mut self.publishers {
                        publisher.begin(&job, self.count);
                    }
                    self.job = Some(job);
                    self.start_all();
                }
            }
        }
    }

    fn end_job(&mut self) {
        self.job = None;
        for publisher in &mut self.publishers {
            publisher.timetable = None;
            publisher.left = 0;
        }
    }

    /// Gives up on updates that were due before the time was over, where the hub is too far behind.
    fn give_up_when_late(&mut self, now: u64) {
        let Some(over_ns) = self.over_ns.filter(|over_ns| now >= over_ns + LATE_LIMIT_NS) else { return };
        let mut unsent = 0;
        for publisher in &mut self.publishers {
            let Some(table) = &mut publisher.timetable else { continue };
            // The one that is under way is answered yet.
            if publisher.current.is_some() {
                table.advance();
            }
            for due in table.give_up(over_ns) {
                unsent += 1;
                // It took at least so long.
                self.books.late(due, now);
            }
        }
        self.shown.unsent.fetch_add(unsent, Ordering::Relaxed);
        self.end_job();
        self.over_ns = None;
    }

    fn start_all(&mut self) {
        for index in 0..self.publishers.len() {
            self.start(index);
        }
    }

    /// Has a publisher send its next update, if it is free and one is due.
    fn start(&mut self, index: usize) {
        let publisher = &mut self.publishers[index];
        if publisher.state == State::Closed
            && !self.failed
            && publisher.wants_more(self.job.as_ref(), self.over_ns)
        {
            return self.connect(index);
        }
        if publisher.state != State::Ready || self.failed {
            return;
        }
        let Some(marker) = publisher.next(self.job.as_ref(), &self.books.next, self.over_ns) else { return };
        publisher.current = Some(marker);
        publisher.not_before_ns = 0;
        publisher.request.fill(&marker);
        publisher.state = State::Sending(0);
        self.busy += 1;
        self.send(index);
    }

    fn send(&mut self, index: usize) {
        let publisher = &mut self.publishers[index];
        let (State::Sending(mut sent), Some(wire)) = (publisher.state, &mut publisher.wire) else { return };
        let bytes = publisher.request.bytes();
        while sent < bytes.len() {
            match wire.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    publisher.state = State::Sending(sent);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.broken(index, &error.to_string()),
            }
        }
        publisher.state = State::Waiting;
    }

    fn ready(&mut self, index: usize) {
        let publisher = &mut self.publishers[index];
        let Some(wire) = &mut publisher.wire else { return };
        if publisher.state == State::Connecting {
            match wire.is_connected() {
                Ok(true) => {
                    publisher.state = State::Ready;
                    self.shown.connected.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => return,
                Err(error) => return self.broken(index, &error.to_string()),
            }
        } else if !wire.short_read_empties()
            && let Err(error) = wire.flush()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return self.broken(index, &error.to_string());
        }
        if self.publishers[index].state == State::Ready {
            self.start(index);
        }
        self.send(index);
        self.read(index);
    }

    fn read(&mut self, index: usize) {
        loop {
            let publisher = &mut self.publishers[index];
            let Some(wire) = &mut publisher.wire else { return };
            let count = match wire.read(&mut self.buffer) {
                Ok(0) => return self.broken(index, "the connection was closed"),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.broken(index, &error.to_string()),
            };
            let emptied = count < self.buffer.len() && wire.short_read_empties();
            if !matches!(publisher.state, State::Waiting | State::Sending(_)) {
                return self.broken(index, "the hub sent something that nobody asked for");
            }
            match publisher.reply.take(&self.buffer[..count]) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    self.answered(index, answer);
                    self.start(index);
                }
                Err(text) => return self.broken(index, &text),
            }
            if emptied {
                return;
            }
        }
    }

    fn answered(&mut self, index: usize, answer: Answer) {
        let publisher = &mut self.publishers[index];
        self.busy -= 1;
        publisher.state = State::Ready;
        let now = now_ns();
        match answer.status {
            200 => {
                publisher.breaks = 0;
                if let Some(marker) = publisher.current.take() {
                    publisher.sent(self.job.as_ref());
                    self.books.acknowledge(&marker, now);
                    self.shown.acknowledged.store(self.books.acknowledged, Ordering::Relaxed);
                }
            }
            // It was not stored: the same update goes once more.
            429 | 500..=599 => {
                self.shown.refused.fetch_add(1, Ordering::Relaxed);
                publisher.not_before_ns = now + RETRY_AFTER_NS;
            }
            status => {
                let text = refusal("publisher", status, &publisher.reply.text);
                publisher.current = None;
                self.fail(text);
                self.failed = true;
                return;
            }
        }
        publisher.reply.clear();
        if answer.close {
            self.close(index);
        }
    }

    /// The connection of a publisher is gone.
    fn broken(&mut self, index: usize, how: &str) {
        let publisher = &mut self.publishers[index];
        let under_way = matches!(publisher.state, State::Sending(_) | State::Waiting);
        let never_came_about = publisher.state == State::Connecting;
        if under_way {
            self.busy -= 1;
            self.shown.errors.fetch_add(1, Ordering::Relaxed);
            // It may be stored or not: its number is not used again.
            if let Some(marker) = publisher.current.take() {
                publisher.sent(self.job.as_ref());
                self.books.excuse(&marker);
            }
        }
        publisher.breaks += u32::from(under_way || never_came_about);
        let (number, given_up) = (publisher.number, publisher.breaks >= BREAKS);
        self.close(index);
        if given_up {
            self.fail(format!("publisher {number} cannot go on: {how}"));
            self.failed = true;
        } else if under_way || never_came_about {
            self.connect(index);
        }
        // One that had nothing under way is opened again when it has something to send.
    }

    fn close(&mut self, index: usize) {
        let publisher = &mut self.publishers[index];
        if let Some(mut wire) = publisher.wire.take() {
            wire.deregister(self.poll.registry());
            if publisher.state != State::Connecting {
                self.shown.connected.fetch_sub(1, Ordering::Relaxed);
            }
        }
        publisher.reply.clear();
        publisher.state = State::Closed;
    }

    fn connect(&mut self, index: usize) {
        let publisher = &mut self.publishers[index];
        let opened = Wire::open(&self.endpoint, publisher.number)
            .and_then(|mut wire| wire.register(self.poll.registry(), Token(index)).map(|()| wire));
        match opened {
            Ok(wire) => {
                publisher.wire = Some(wire);
                publisher.state = State::Connecting;
            }
            Err(error) => {
                self.fail(connect_problem(&error));
                self.failed = true;
            }
        }
    }

    fn fail(&self, text: String) {
        self.shown.failure.lock().get_or_insert(text);
    }

    fn set_timer(&mut self) -> io::Result<()> {
        // Those that are under way are woken by their sockets.
        let free = |publisher: &&Publisher| matches!(publisher.state, State::Ready | State::Closed);
        let times = self.publishers.iter().filter(free).filter_map(|one| one.wakes_at(self.over_ns));
        let times = times.chain(self.over_ns.map(|over_ns| over_ns + LATE_LIMIT_NS));
        let earliest = if self.job.is_some() && !self.failed { times.min() } else { None };
        self.timer.set(earliest)
    }

    /// Shows latencies now and then, and the books when the job is done.
    fn show(&mut self) {
        let now = now_ns();
        self.give_up_when_late(now);
        if self.books.recent.len() > 0 && u128::from(now - self.shown_ns) >= SHOW_EVERY.as_nanos() {
            self.shown.recent.lock().add(&self.books.recent);
            self.books.recent.clear();
            self.shown_ns = now;
        }
        if self.busy == 0 && !self.shown.idle.load(Ordering::Relaxed) {
            let (job, over_ns) = (self.job.as_ref(), self.over_ns);
            let done =
                self.failed || self.publishers.iter().all(|publisher| !publisher.wants_more(job, over_ns));
            // Under the lock, as whoever gives a command takes the flag back: what is not obeyed yet is to be done.
            let commands = self.shown.commands.lock();
            if done && commands.is_empty() {
                *self.shown.record.lock() = self.books.record();
                self.over_ns = None;
                self.shown.idle.store(true, Ordering::Release);
            }
        }
    }
}

impl Publisher {
    fn begin(&mut self, job: &Job, publishers: usize) {
        self.each = 0;
        self.timetable = None;
        self.left = match job {
            Job::Each => self.choice.streams().len() as u64,
            Job::Count(count) => *count,
            Job::Load { per_second, start_ns } => {
                self.timetable =
                    per_second.map(|rate| Timetable::new(*start_ns, rate, self.number, publishers));
                u64::MAX
            }
            Job::Fill(_) => u64::MAX,
        };
    }

    /// Whether there is anything to send, now or later.
    fn wants_more(&self, job: Option<&Job>, over_ns: Option<u64>) -> bool {
        match job {
            None => false,
            Some(Job::Fill(fill)) => self.current.is_some() || fill.next.load(Ordering::Relaxed) < fill.end,
            Some(_) => self.current.is_some() || (self.left > 0 && self.is_due_before(over_ns)),
        }
    }

    /// The update that it sends now, if there is one.
    fn next(&mut self, job: Option<&Job>, numbers: &[u64], over_ns: Option<u64>) -> Option<Marker> {
        let now = now_ns();
        if now < self.not_before_ns {
            return None;
        }
        // An update that was refused goes again, with its time: what it waited counts.
        if let (Some(marker), Some(_)) = (self.current, job) {
            return Some(marker);
        }
        let job = job.filter(|_| self.left > 0)?;
        let sent_ns = match &self.timetable {
            Some(table) if table.next_ns() > now || !self.is_due_before(over_ns) => return None,
            Some(table) => table.next_ns(),
            None => now,
        };
        let stream = match job {
            Job::Each => self.choice.streams().get(self.each).copied().unwrap_or_default(),
            Job::Fill(fill) => {
                let number = fill.next.fetch_add(1, Ordering::Relaxed);
                if number >= fill.end {
                    self.left = 0;
                    return None;
                }
                return Some(Marker { stream: fill.stream_of(number), number, sent_ns });
            }
            Job::Count(_) | Job::Load { .. } => self.choice.next(),
        };
        let number = numbers.get(stream as usize).copied().unwrap_or_default();
        Some(Marker { stream, number, sent_ns })
    }

    /// The update that was under way is done with.
    fn sent(&mut self, job: Option<&Job>) {
        if let Some(table) = &mut self.timetable {
            table.advance();
        }
        if matches!(job, Some(Job::Each)) {
            self.each += 1;
        }
        self.left = self.left.saturating_sub(1);
    }

    /// Whether its next update is due before the time is over.
    fn is_due_before(&self, over_ns: Option<u64>) -> bool {
        match (&self.timetable, over_ns) {
            (Some(table), Some(over_ns)) => table.next_ns() < over_ns,
            _ => true,
        }
    }

    /// When it has to be looked after, if no socket tells.
    fn wakes_at(&self, over_ns: Option<u64>) -> Option<u64> {
        if self.not_before_ns > 0 && self.current.is_some() {
            return Some(self.not_before_ns);
        }
        self.timetable.as_ref().filter(|_| self.is_due_before(over_ns)).map(Timetable::next_ns)
    }
}

impl Books {
    fn acknowledge(&mut self, marker: &Marker, now: u64) {
        self.acknowledged += 1;
        self.pass(marker);
        let latency = now.saturating_sub(marker.sent_ns);
        self.recent.record_ns(latency);
        if self.window.holds(marker.sent_ns) {
            self.latencies.record_ns(latency);
        }
    }

    /// An update that was due is not sent any more.
    fn late(&mut self, due_ns: u64, now: u64) {
        if self.window.holds(due_ns) {
            self.latencies.record_ns(now.saturating_sub(due_ns));
        }
    }

    fn excuse(&mut self, marker: &Marker) {
        self.pass(marker);
        self.excused.insert((marker.stream, marker.number));
    }

    fn pass(&mut self, marker: &Marker) {
        if let Some(next) = self.next.get_mut(marker.stream as usize) {
            *next = (*next).max(marker.number + 1);
        }
    }

    fn record(&self) -> Record {
        Record {
            published: self.next.clone(),
            excused: self.excused.clone(),
            latencies: self.latencies.clone(),
        }
    }
}
