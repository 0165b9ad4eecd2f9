//! One thread of publishers.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mio::{Events, Poll, Token, Waker};

use super::{
    Command, Job, LATE_LIMIT_NS, Plan, Shown,
    books::Books,
    publisher::{Publisher, State},
    reply::Answer,
};
use crate::bench::{
    clock::{SECOND_NS, now_ns},
    endpoint::{Endpoint, connect_problem},
    refusal,
    timer::Timer,
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

impl Thread {
    pub(super) fn new(plan: &Plan, own: &[usize], shown: Arc<Shown>) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let timer = Timer::new(poll.registry(), TIMER)?;
        let thread = Self {
            poll,
            timer,
            publishers: own.iter().map(|number| Publisher::new(plan, *number)).collect(),
            endpoint: plan.endpoint.clone(),
            shown,
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            job: None,
            over_ns: None,
            busy: 0,
            count: plan.count,
            books: Books::new(plan.streams, &plan.window),
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
