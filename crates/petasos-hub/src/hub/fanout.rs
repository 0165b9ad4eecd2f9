//! Fan-out: one thread follows the log, finds who gets each event, and puts references into their queues.
//!
//! It owns the matcher index and the table of subscribers; everybody else sends it commands, which it handles between
//! rounds. A round is everything the log has gained since the last one: each event is encoded and matched once, and each
//! connection is woken once. When the connections cannot be scheduled as fast as events come, the thread waits for them,
//! the log runs ahead, and publishers wait for the thread (see `publish`).
//!
//! Timers (heartbeats, ends of streams) are a heap looked at here; a heartbeat is only checked when it might be due.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng;
use slab::Slab;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    EndReason, HubConfig,
    event::Event,
    publish::Lag,
    queue::{Pushed, Queue},
    recent::Recent,
    selector::may_read,
};
use crate::{
    auth::SubscribeGrant,
    metrics::Metrics,
    topic::{Matcher, MatcherIndex},
    transport::{ErrorKind, Head, Position, StoredEvent, Tail, now_ms},
};

/// Batches read ahead of the fan-out.
const BATCHES_AHEAD: usize = 2;

/// Commands handled between two rounds, so that a storm of them does not hold up delivery.
const COMMANDS_PER_TURN: usize = 512;

/// How often connections that take nothing are looked for.
const STALL_INTERVAL: Duration = Duration::from_millis(500);

/// How long to wait after an error of the log before asking it again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// What the fan-out must know of a subscriber.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) queue: Arc<Queue>,
    pub(super) matchers: Arc<[Matcher]>,
    pub(super) grant: Arc<SubscribeGrant>,
    /// When and why the stream ends by itself.
    pub(super) end: Option<(Instant, EndReason)>,
    /// Events up to here come from elsewhere.
    pub(super) from: Position,
    /// Whether the matchers are in the index.
    pub(super) live: bool,
}

/// A subscriber's number. Numbers are used again, generations are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    slot: usize,
    generation: u64,
}

/// What others ask of the fan-out. The number of commands under way is bounded by the number of connections.
#[derive(Debug)]
pub(super) enum Command {
    /// Takes a subscriber in.
    Attach { entry: Entry, reply: oneshot::Sender<Attached> },
    /// Keeps events for it from now on, but none up to `after`. Answers where the fan-out stands.
    GoLive { key: Key, after: Position, reply: oneshot::Sender<Position> },
    /// Forgets it.
    Detach { key: Key },
    /// Ends all streams, spread over the window.
    Drain { window: Duration },
    /// Cuts what is left.
    Cut,
}

/// Answer to [`Command::Attach`].
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) key: Key,
    /// The newest event that the subscriber does not get live.
    pub(super) head: Head,
}

/// What the fan-out shares with the rest of the hub.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) recent: Recent,
    /// The position up to which everything has been handed to the queues.
    pub(super) reached: watch::Sender<Position>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) config: HubConfig,
    pub(super) lag: Arc<Lag>,
}

pub(super) struct Fanout {
    shared: Arc<Shared>,
    head: Head,
    subscribers: Slab<(u64, Entry)>,
    generation: u64,
    index: MatcherIndex<usize>,
    /// The next events do not follow the last ones.
    gap: bool,
    /// Streams are being ended: one that comes now ends too.
    draining: bool,
    timers: BinaryHeap<Reverse<(Instant, Key, Timer)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Heartbeat,
    End,
    Drain,
}

impl Fanout {
    pub(super) fn new(shared: Arc<Shared>, head: Head) -> Self {
        Self {
            shared,
            head,
            subscribers: Slab::new(),
            generation: 0,
            index: MatcherIndex::new(),
            gap: false,
            draining: false,
            timers: BinaryHeap::new(),
        }
    }

    /// Runs until `stop`.
    pub(super) async fn run(
        mut self,
        tail: Box<dyn Tail>,
        mut commands: mpsc::UnboundedReceiver<Command>,
        stop: CancellationToken,
    ) {
        let (hand, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let reader = tokio::spawn(follow(tail, hand, Arc::clone(&self.shared.metrics)));
        let mut received = Vec::new();
        let mut stalls = tokio::time::interval(STALL_INTERVAL);
        stalls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next_timer = self.timers.peek().map(|Reverse((at, ..))| *at);
            tokio::select! {
                () = stop.cancelled() => break,
                count = commands.recv_many(&mut received, COMMANDS_PER_TURN) => {
                    if count == 0 {
                        break;
                    }
                    received.drain(..).for_each(|command| self.handle(command));
                }
                batch = batches.recv() => match batch {
                    Some(Batch::Events(events)) => self.round(events).await,
                    Some(Batch::Gap) => self.overtaken(),
                    // Streams that nobody feeds any more must not look like quiet ones.
                    None => break,
                },
                () = until(next_timer) => self.fire(Instant::now()),
                _ = stalls.tick() => self.look_for_stalls(),
            }
        }
        reader.abort();
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Attach { entry, reply } => {
                let attached = self.attach(entry);
                let key = attached.key;
                if reply.send(attached).is_err() {
                    self.detach(key);
                }
            }
            Command::GoLive { key, after, reply } => {
                if self.go_live(key, after) {
                    // Fails only where the subscriber is gone, which detaches it.
                    let _ = reply.send(self.head.position);
                }
            }
            Command::Detach { key } => self.detach(key),
            Command::Drain { window } => self.drain(window),
            Command::Cut => self.subscribers.iter().for_each(|(_, (_, entry))| entry.queue.cut()),
        }
    }

    fn attach(&mut self, mut entry: Entry) -> Attached {
        self.generation += 1;
        let now = Instant::now();
        entry.from = entry.from.max(self.head.position);
        let slot = self.subscribers.vacant_key();
        let key = Key { slot, generation: self.generation };
        if !self.shared.config.heartbeat.is_zero() {
            self.timers.push(Reverse((now + self.shared.config.heartbeat, key, Timer::Heartbeat)));
        }
        if let Some((at, _)) = entry.end {
            self.timers.push(Reverse((at, key, Timer::End)));
        }
        if entry.live {
            entry.matchers.iter().for_each(|matcher| self.index.insert(slot, matcher));
        }
        if self.draining {
            entry.queue.end(EndReason::Shutdown);
        }
        self.subscribers.insert((self.generation, entry));
        Attached { key, head: self.head.clone() }
    }

    fn go_live(&mut self, key: Key, after: Position) -> bool {
        let position = self.head.position;
        let Some((generation, entry)) = self.subscribers.get_mut(key.slot) else { return false };
        if *generation != key.generation {
            return false;
        }
        entry.queue.catch_up();
        entry.from = after.max(position);
        if !std::mem::replace(&mut entry.live, true) {
            entry.matchers.iter().for_each(|matcher| self.index.insert(key.slot, matcher));
        }
        true
    }

    fn detach(&mut self, key: Key) {
        let current =
            self.subscribers.get(key.slot).is_some_and(|(generation, _)| *generation == key.generation);
        if current {
            let (_, entry) = self.subscribers.remove(key.slot);
            if entry.live {
                entry.matchers.iter().for_each(|matcher| self.index.remove(key.slot, matcher));
            }
        }
        // Timers of subscribers that are gone are left to fire for nothing, unless they pile up under churn.
        if self.timers.len() > 1_024 && self.timers.len() > 4 * self.subscribers.len() {
            let subscribers = &self.subscribers;
            self.timers.retain(|Reverse((_, key, _))| {
                subscribers.get(key.slot).is_some_and(|(generation, _)| *generation == key.generation)
            });
        }
    }

    /// One round: everything in `stored`, to everybody who gets it.
    async fn round(&mut self, stored: Vec<StoredEvent>) {
        let events: Vec<_> = stored.into_iter().map(|event| Arc::new(Event::new(event))).collect();
        let Some(last) = events.last() else { return };
        self.head = Head { position: last.position, id: Some(last.update.id().to_owned()) };
        if std::mem::take(&mut self.gap) {
            let above = events.first().map_or(0, |event| event.position.0.saturating_sub(1));
            self.shared.recent.restart(Position(above));
        }
        let recent_bytes = self.shared.recent.push(&events);
        let metrics = &self.shared.metrics;
        metrics.recent_bytes.set(recent_bytes as i64);
        let mut hits = Vec::new();
        let mut woken = Vec::new();
        let mut pressing: Vec<Arc<Queue>> = Vec::new();
        let (mut deliveries, mut bytes) = (0_u64, 0_u64);
        for event in &events {
            let topics = event.topics();
            hits.clear();
            self.index.lookup(&topics, &mut hits);
            for slot in &hits {
                let Some((_, entry)) = self.subscribers.get(*slot) else { continue };
                if event.position <= entry.from || !may_read(&entry.grant, event, &topics) {
                    continue;
                }
                match entry.queue.push(event) {
                    Pushed::Unwanted => continue,
                    Pushed::More => {}
                    Pushed::First => woken.push(Arc::clone(&entry.queue)),
                    Pushed::Full => pressing.push(Arc::clone(&entry.queue)),
                }
                deliveries += 1;
                bytes += event.bytes.len() as u64;
            }
        }
        woken.iter().for_each(|queue| queue.wake());
        metrics.deliveries_total.inc_by(deliveries);
        metrics.delivered_bytes_total.inc_by(bytes);
        let now_ms = now_ms();
        for event in &events {
            metrics.publish_to_write_seconds.observe(now_ms.saturating_sub(event.at_ms) as f64 / 1_000.0);
        }
        self.wait_for(pressing).await;
        self.shared.reached.send_replace(self.head.position);
        self.shared.lag.reached(self.head.position);
        metrics.fanout_lag_bytes.set(self.shared.lag.bytes() as i64);
    }

    /// Waits until queues that are over their bound have been taken from, or their readers were found too slow.
    async fn wait_for(&self, pressing: Vec<Arc<Queue>>) {
        if pressing.is_empty() {
            return;
        }
        let since = Instant::now();
        let live = || self.subscribers.iter().filter(|(_, (_, entry))| entry.live);
        let behind = live().filter(|(_, (_, entry))| entry.queue.is_behind()).count();
        // Where most are behind it is the hub or its machine that is slow, and no reader is to blame.
        let alone = behind * 2 <= live().count();
        for queue in pressing {
            while queue.is_pressing(since, alone) {
                queue.wake();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Retention went past this node: nobody's stream is complete any more. They resume by cursor and are told (R04).
    fn overtaken(&mut self) {
        self.gap = true;
        for (_, (_, entry)) in &self.subscribers {
            entry.queue.end(EndReason::Overtaken);
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(Reverse((at, key, timer))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let Some((generation, entry)) = self.subscribers.get(key.slot) else { continue };
            if *generation != key.generation {
                continue;
            }
            match timer {
                Timer::Heartbeat => {
                    let next = entry.queue.heartbeat(now, self.shared.config.heartbeat);
                    self.timers.push(Reverse((next, key, Timer::Heartbeat)));
                }
                Timer::End => {
                    entry.queue.end(entry.end.map_or(EndReason::WriteTimeout, |(_, reason)| reason))
                }
                Timer::Drain => entry.queue.end(EndReason::Shutdown),
            }
        }
    }

    fn look_for_stalls(&self) {
        let timeout = self.shared.config.dispatch_timeout;
        let mut waiting_bytes = 0;
        for (_, (_, entry)) in &self.subscribers {
            if !timeout.is_zero() {
                entry.queue.end_if_stalled(timeout);
            }
            waiting_bytes += entry.queue.waiting_bytes();
        }
        self.shared.metrics.backlog_bytes.set(i64::try_from(waiting_bytes).unwrap_or(i64::MAX));
    }

    /// Ends spread evenly, in random order, so that the clients do not come back in one wave.
    fn drain(&mut self, window: Duration) {
        self.draining = true;
        let now = Instant::now();
        let mut random = rand::rng();
        for (slot, (generation, _)) in &self.subscribers {
            let at = now + window.mul_f64(random.random_range(0.0..1.0));
            self.timers.push(Reverse((at, Key { slot, generation: *generation }, Timer::Drain)));
        }
    }
}

impl Drop for Fanout {
    /// Whatever ends the thread: nobody would end the streams any more, or notice that they are silent.
    fn drop(&mut self) {
        for (_, (_, entry)) in &self.subscribers {
            entry.queue.end(EndReason::Shutdown);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What the reader of the log hands to the fan-out.
enum Batch {
    Events(Vec<StoredEvent>),
    Gap,
}

/// Reads the log ahead of the fan-out, a few batches.
async fn follow(mut tail: Box<dyn Tail>, hand: mpsc::Sender<Batch>, metrics: Arc<Metrics>) {
    loop {
        let batch = match tail.next().await {
            Ok(events) => Batch::Events(events),
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                metrics.transport_errors_total.inc();
                tracing::warn!(%error, "the log cannot be followed");
                if error.kind() == ErrorKind::Overtaken {
                    Batch::Gap
                } else {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
            }
        };
        if hand.send(batch).await.is_err() {
            return;
        }
    }
}
