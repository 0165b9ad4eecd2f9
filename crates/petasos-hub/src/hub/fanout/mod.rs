//! Fan-out: who gets each event of the log, and how it gets there.
//!
//! A small number of event loops, each a thread, share the subscribers among themselves. One task ([`distribute`]) follows
//! the log, encodes each event once and hands a reference to every loop. A loop ([`event_loop`]) owns the matcher index
//! and the table of its subscribers, and nobody else touches them: others send it commands. It takes everything the log
//! has gained since its last round, matches each event once, and hands each subscriber what it gets in one piece:
//! subscribers on plain HTTP/1.1 by one call of `send` on their sockets, which it owns ([`outlet`]), the others through
//! a [queue](super::queue) that their connection takes from. Coalescing is natural, never timed.
//!
//! Back-pressure: what is accepted and not yet handed out by all loops is bounded (see [`super::publish`]). What a
//! subscriber does not take is bounded for it and for all together; over either bound it is disconnected ([`policy`]).
//!
//! Shutdown: [`Fanout::stop`] ends the task and the loops; a loop that ends, however it ends, ends its streams.

mod distribute;
mod event_loop;
mod groups;
mod inbox;
mod outlet;
mod policy;
mod reached;
mod round;
mod subscriber;
mod timers;
mod wheel;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::{event_loop::EventLoop, inbox::Inbox, reached::Reached};
pub(super) use self::{
    policy::{Census, PATIENCE, RELUCTANCE},
    subscriber::{Attached, Entry, Key},
};
use super::{HubConfig, SocketOwner, budget::Budget, publish::Lag, recent::Recent, stream::Lifetime};
use crate::{
    metrics::Metrics,
    transport::{Head, Position, Tail},
};

/// More loops than this help no machine.
const MAX_LOOPS: usize = 256;

/// What others ask of a loop. The number of commands under way is bounded by the number of connections.
pub(super) enum Command {
    /// Takes a subscriber in.
    Attach { entry: Entry, reply: oneshot::Sender<Attached> },
    /// Keeps events for it from now on, but none up to `after`. Answers where the loop stands.
    GoLive { key: Key, after: Position, reply: oneshot::Sender<Position> },
    /// Takes over the socket of a live subscriber.
    TakeSocket { key: Key, handed: Box<Handed> },
    /// Forgets it.
    Detach { key: Key },
    /// Ends all streams, spread over the window.
    Drain { window: Duration },
    /// Cuts what is left.
    Cut,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Attach { .. } => "Attach",
            Self::GoLive { .. } => "GoLive",
            Self::TakeSocket { .. } => "TakeSocket",
            Self::Detach { .. } => "Detach",
            Self::Drain { .. } => "Drain",
            Self::Cut => "Cut",
        })
    }
}

/// A socket on its way to its loop.
pub(super) struct Handed {
    /// Not blocking.
    pub(super) stream: std::net::TcpStream,
    /// What is to be written before anything else: the head of the response, where it is not written yet.
    pub(super) first: Bytes,
    /// What the client has sent ahead.
    pub(super) read_ahead: Bytes,
    pub(super) lifetime: Lifetime,
    pub(super) owner: Box<dyn SocketOwner>,
}

/// What the fan-out shares with the rest of the hub.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) recent: Recent,
    pub(super) metrics: Arc<Metrics>,
    pub(super) config: HubConfig,
    pub(super) lag: Arc<Lag>,
    pub(super) budget: Arc<Budget>,
    pub(super) census: Census,
    /// How often the log was found to have a gap: what was announced may be among what is lost.
    pub(super) gaps: watch::Sender<u64>,
}

/// The fan-out as the rest of the hub sees it.
#[derive(Debug)]
pub(super) struct Fanout {
    inboxes: Arc<[Arc<Inbox>]>,
    reached: Arc<Reached>,
    next: AtomicUsize,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Fanout {
    /// Starts the loops, and the task that feeds them, on the current runtime.
    ///
    /// # Errors
    /// What the system says: threads, or descriptors for the polls of the loops.
    pub(super) fn start(shared: &Arc<Shared>, head: Head, tail: Box<dyn Tail>) -> io::Result<Self> {
        let loops = match shared.config.event_loops {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            loops => loops,
        };
        let loops = loops.clamp(1, MAX_LOOPS);
        let (lag, metrics) = (Arc::clone(&shared.lag), Arc::clone(&shared.metrics));
        let reached = Arc::new(Reached::new(loops, head.position, lag, metrics));
        let prepared = (0..loops)
            .map(|number| EventLoop::new(number, Arc::clone(shared), Arc::clone(&reached), head.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        let fanout = Self {
            inboxes: prepared.iter().map(EventLoop::inbox).collect(),
            reached,
            next: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        // Dropped by the last loop that ends. One that ends before the others takes them along.
        let all_ended = Arc::new(fanout.ended.clone().drop_guard());
        for (number, event_loop) in prepared.into_iter().enumerate() {
            let (ended, one_ended) = (Arc::clone(&all_ended), fanout.stop.clone().drop_guard());
            std::thread::Builder::new().name(format!("petasos-loop-{number}")).spawn(move || {
                event_loop.run();
                drop((one_ended, ended));
            })?;
        }
        tokio::spawn(distribute::distribute(
            tail,
            Arc::clone(shared),
            Arc::clone(&fanout.inboxes),
            fanout.stop.clone(),
        ));
        Ok(fanout)
    }

    /// Takes a subscriber in, on the loop whose turn it is.
    pub(super) fn attach(&self, entry: Entry, reply: oneshot::Sender<Attached>) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[turn].command(Command::Attach { entry, reply });
    }

    /// Asks something of the loop of a subscriber.
    pub(super) fn command(&self, key: Key, command: Command) {
        if let Some(inbox) = self.inboxes.get(usize::from(key.event_loop)) {
            inbox.command(command);
        }
    }

    /// Ends all streams, spread over the window.
    pub(super) fn drain(&self, window: Duration) {
        self.inboxes.iter().for_each(|inbox| inbox.command(Command::Drain { window }));
    }

    /// Cuts what is left.
    pub(super) fn cut(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.command(Command::Cut));
    }

    /// The position up to which everything has been handed to the subscribers.
    pub(super) fn reached(&self) -> watch::Receiver<Position> {
        self.reached.by_all().subscribe()
    }

    /// [`Self::reached`] at this moment.
    pub(super) fn reached_now(&self) -> Position {
        *self.reached.by_all().borrow()
    }

    /// Ends the loops.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        // Not only through the task that feeds them: it may not have come to run.
        self.inboxes.iter().for_each(|inbox| inbox.stop());
    }

    /// Cancelled when a loop has ended, however it ended; the others follow it.
    pub(super) fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Cancelled when all loops have ended.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.stop();
    }
}
