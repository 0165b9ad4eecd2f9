//! What waits for one event loop: the next events of the log, and what others ask of it.
//!
//! Everybody puts in, the loop takes out. Events are bounded in bytes: whoever hands them out waits for room. Commands
//! are bounded by the number of connections. A loop that works is not woken again: it looks here before it sleeps.

use std::{
    collections::VecDeque,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Command;
use crate::hub::event::Event;

/// Events that wait for one loop, in bytes. More than the lag that the hub allows publishers of its own node, so that
/// only what other nodes publish waits here.
const EVENT_BYTES: usize = 16 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    waker: mio::Waker,
    /// The loop has been woken and has not looked yet.
    rung: AtomicBool,
    /// Rung when events were taken out.
    room: Notify,
}

/// What a loop finds.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) commands: Vec<Command>,
    pub(super) events: VecDeque<Arc<Event>>,
    event_bytes: usize,
    /// Events are missing before those that come next.
    pub(super) gap: bool,
    /// The loop is to end, or has.
    pub(super) stop: bool,
    /// There is more than was taken.
    pub(super) more: bool,
}

impl Inbox {
    /// `waker` wakes the loop.
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self { mail: Mutex::default(), waker, rung: AtomicBool::new(false), room: Notify::new() }
    }

    /// Asks something of the loop; dropped where the loop has ended.
    pub(super) fn command(&self, command: Command) {
        {
            let mut mail = self.mail.lock();
            if mail.stop {
                // Dropped outside the lock: what it holds may have something to say here.
                drop(mail);
                return drop(command);
            }
            mail.commands.push(command);
        }
        self.ring();
    }

    /// Hands in the next events of the log, when there is room for them.
    pub(super) async fn events(&self, events: &[Arc<Event>]) {
        let bytes: usize = events.iter().map(|event| event.memory_bytes()).sum();
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut mail = self.mail.lock();
                if mail.stop {
                    return;
                }
                if mail.events.is_empty() || mail.event_bytes + bytes <= EVENT_BYTES {
                    mail.event_bytes += bytes;
                    mail.events.extend(events.iter().cloned());
                    break;
                }
            }
            room.await;
        }
        self.ring();
    }

    /// Says that the next events do not follow the last ones.
    pub(super) fn gap(&self) {
        self.mail.lock().gap = true;
        self.ring();
    }

    /// Ends the loop.
    pub(super) fn stop(&self) {
        self.mail.lock().stop = true;
        self.room.notify_waiters();
        self.ring();
    }

    /// Takes all commands out, and events of about so many bytes as they are sent; `None`: events are not wanted now.
    pub(super) fn take(&self, event_bytes: Option<usize>) -> Mail {
        // First, so that whatever comes in behind this rings again.
        self.rung.store(false, Ordering::SeqCst);
        let mut mail = self.mail.lock();
        let stop = mail.stop;
        let mut taken = Mail { stop, ..Mail::default() };
        taken.commands = std::mem::take(&mut mail.commands);
        if let Some(limit_bytes) = event_bytes {
            taken.gap = std::mem::take(&mut mail.gap);
            let mut bytes = 0;
            let within = mail.events.iter().take_while(|event| {
                let room = bytes < limit_bytes;
                bytes += event.len();
                room
            });
            let count = within.count();
            let rest = mail.events.split_off(count);
            taken.events = std::mem::replace(&mut mail.events, rest);
            let memory_bytes: usize = taken.events.iter().map(|event| event.memory_bytes()).sum();
            mail.event_bytes -= memory_bytes;
            self.room.notify_waiters();
        }
        taken.more = !mail.events.is_empty() || mail.gap;
        taken
    }

    fn ring(&self) {
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            // The loop looks again with its next timer.
            tracing::warn!(%error, "an event loop cannot be woken");
        }
    }
}

/// Makes an inbox for the loop that waits on `poll`.
///
/// # Errors
/// What the system says.
pub(super) fn inbox(poll: &mio::Poll, token: mio::Token) -> io::Result<Arc<Inbox>> {
    Ok(Arc::new(Inbox::new(mio::Waker::new(poll.registry(), token)?)))
}
