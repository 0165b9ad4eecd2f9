//! What an event loop knows of its subscribers, and the table of them with the matcher index.

use std::{sync::Arc, time::Instant};

use slab::Slab;

use super::{groups::NOTHING, outlet::Outlet};
use crate::{
    auth::SubscribeGrant,
    hub::{EndReason, queue::Queue},
    topic::{Matcher, MatcherIndex},
    transport::{Head, Position},
};

/// What the fan-out must know of a subscriber that comes.
#[derive(Debug)]
pub(in crate::hub) struct Entry {
    pub(in crate::hub) queue: Arc<Queue>,
    pub(in crate::hub) matchers: Arc<[Matcher]>,
    pub(in crate::hub) grant: SubscribeGrant,
    /// When and why the stream ends by itself.
    pub(in crate::hub) end: Option<(Instant, EndReason)>,
    /// Whether events are for it from the start, or only after [`super::Command::GoLive`].
    pub(in crate::hub) live: bool,
}

/// A subscriber's number. Numbers are used again, generations are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Key {
    pub(super) event_loop: u16,
    pub(super) slot: usize,
    pub(super) generation: u64,
}

/// Answer to [`super::Command::Attach`].
#[derive(Debug)]
pub(in crate::hub) struct Attached {
    pub(in crate::hub) key: Key,
    /// The newest event that the subscriber does not get live.
    pub(in crate::hub) head: Head,
}

pub(super) struct Subscriber {
    generation: u64,
    pub(super) matchers: Arc<[Matcher]>,
    pub(super) grant: SubscribeGrant,
    pub(super) sink: Sink,
    /// Events up to here come from elsewhere.
    pub(super) from: Position,
    /// The tick at which the stream ends by itself, and why.
    pub(super) end: Option<(u64, EndReason)>,
    /// What it gets in the round that is under way: its node in the tree of lists.
    pub(super) list: u32,
    /// Whether the matchers are in the index.
    live: bool,
}

/// Where the events of a subscriber go.
pub(super) enum Sink {
    /// To a connection that takes them: TLS, HTTP/2, and whoever replays.
    Queue(Arc<Queue>),
    /// To its socket.
    Socket(Outlet),
}

/// The subscribers of one loop.
pub(super) struct Table {
    event_loop: u16,
    subscribers: Slab<Subscriber>,
    generation: u64,
    index: MatcherIndex<usize>,
    /// Those of them that are on a queue.
    queues: usize,
    /// Those whose matchers are in the index.
    live: usize,
    /// Removed since the table was last made smaller.
    removed: usize,
}

impl Table {
    pub(super) fn new(event_loop: u16) -> Self {
        Self {
            event_loop,
            subscribers: Slab::new(),
            generation: 0,
            index: MatcherIndex::new(),
            queues: 0,
            live: 0,
            removed: 0,
        }
    }

    pub(super) fn insert(&mut self, entry: Entry, from: Position, end: Option<(u64, EndReason)>) -> Key {
        self.generation += 1;
        let Entry { queue, matchers, grant, live, .. } = entry;
        let generation = self.generation;
        let sink = Sink::Queue(queue);
        self.queues += 1;
        let subscriber =
            Subscriber { generation, matchers, grant, sink, from, end, list: NOTHING, live: false };
        let slot = self.subscribers.insert(subscriber);
        if live {
            self.set_live(slot);
        }
        Key { event_loop: self.event_loop, slot, generation }
    }

    /// Lets the matchers of a subscriber hit from now on.
    pub(super) fn set_live(&mut self, slot: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(slot)
            && !std::mem::replace(&mut subscriber.live, true)
        {
            self.live += 1;
            subscriber.matchers.iter().for_each(|matcher| self.index.insert(slot, matcher));
        }
    }

    /// Lets its matchers hit no more.
    pub(super) fn unset_live(&mut self, slot: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(slot)
            && std::mem::take(&mut subscriber.live)
        {
            self.live -= 1;
            subscriber.matchers.iter().for_each(|matcher| self.index.remove(slot, matcher));
        }
    }

    /// Replaces the queue of a subscriber by its socket.
    pub(super) fn set_socket(&mut self, slot: usize, outlet: Outlet) {
        if let Some(subscriber) = self.subscribers.get_mut(slot) {
            self.queues -= usize::from(matches!(subscriber.sink, Sink::Queue(_)));
            subscriber.sink = Sink::Socket(outlet);
        }
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Sink> {
        self.unset_live(slot);
        let removed = self.subscribers.try_remove(slot)?;
        self.queues -= usize::from(matches!(removed.sink, Sink::Queue(_)));
        // A storm leaves a table behind that nobody needs. Giving it back looks at all slots, so it is tried now and then.
        self.removed += 1;
        let capacity = self.subscribers.capacity();
        if capacity > 4_096 && self.subscribers.len() < capacity / 8 && self.removed > capacity / 8 {
            self.removed = 0;
            self.subscribers.shrink_to_fit();
        }
        Some(removed.sink)
    }

    /// The slot, where the subscriber is still there.
    pub(super) fn slot(&self, key: Key) -> Option<usize> {
        let subscriber = self.subscribers.get(key.slot)?;
        (subscriber.generation == key.generation).then_some(key.slot)
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Subscriber> {
        self.subscribers.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Subscriber> {
        self.subscribers.get_mut(slot)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Subscriber)> {
        self.subscribers.iter()
    }

    pub(super) fn slots(&self) -> Vec<usize> {
        self.subscribers.iter().map(|(slot, _)| slot).collect()
    }

    pub(super) fn index(&self) -> &MatcherIndex<usize> {
        &self.index
    }

    /// How many slots there are: the numbers of all subscribers are below.
    pub(super) fn slots_used(&self) -> usize {
        self.subscribers.capacity()
    }

    /// How many subscribers events are for.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// How many subscribers are on a queue.
    pub(super) fn queues(&self) -> usize {
        self.queues
    }
}

impl Subscriber {
    /// Whether events are for it.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// How many bytes wait for it.
    pub(super) fn waiting_bytes(&self) -> usize {
        match &self.sink {
            Sink::Queue(queue) => queue.waiting_bytes(),
            Sink::Socket(outlet) => outlet.waiting_bytes(),
        }
    }
}
