//! Presence: announces subscriptions as they begin and end (E01), keeps the node's lease, and ends what crashed nodes left
//! behind (E08).
//!
//! One task appends everything in the order in which it happened, in groups. Beginnings wait for a place among a bounded
//! number; ends need none, because there are never more of them than there were beginnings. While the log takes nothing,
//! the task tries again and again; what it holds stays bounded for that reason.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    Update,
    auth::SubscribeGrant,
    presence_event::{subscription_json, subscription_topic},
    topic::Matcher,
    transport::{Append, AttemptId, NodeId, PresenceChange, SubscriptionRecord, Transport},
    update::{HUB_EVENT_TYPE, random_id},
};

/// Beginnings under way.
const BEGINNINGS: usize = 1_024;

/// How long a subscriber waits for its announcement before its stream begins all the same.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(2);

/// Changes that are appended together.
const GROUP: usize = 1_000;

/// How long to wait before a log that takes nothing is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The end of the task that subscriptions hold.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    node: NodeId,
    mailbox: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
enum Message {
    Begin {
        subscriber: Arc<str>,
        records: Arc<[SubscriptionRecord]>,
        done: oneshot::Sender<()>,
        _room: OwnedSemaphorePermit,
    },
    End {
        subscriber: Arc<str>,
    },
    /// Answered when everything before it is appended.
    Flush {
        done: oneshot::Sender<()>,
    },
}

/// A subscriber whose beginning was announced; announces the end when it is dropped.
#[derive(Debug)]
pub(super) struct Announced {
    subscriber: Arc<str>,
    mailbox: mpsc::UnboundedSender<Message>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Fails only where the hub is closed, which has ended everything.
        let _ = self.mailbox.send(Message::End { subscriber: Arc::clone(&self.subscriber) });
    }
}

impl Presence {
    /// Starts the task.
    pub(super) fn start(transport: Arc<dyn Transport>, lease: Duration, stop: CancellationToken) -> Self {
        let (mailbox, messages) = mpsc::unbounded_channel();
        let node = NodeId::random();
        let task = Task { node, transport, lease, live: HashMap::new(), known: false };
        tokio::spawn(task.run(messages, stop));
        Self { node, mailbox, room: Arc::new(Semaphore::new(BEGINNINGS)) }
    }

    /// Announces the subscriptions of a subscriber, and waits until they are in the log, or for as long as a client can be
    /// kept waiting. `None` where the log has been unavailable for so long that too many wait: the stream is served, and
    /// not listed.
    pub(super) async fn announce(
        &self,
        subscriber: Arc<str>,
        matchers: &[Matcher],
        grant: &SubscribeGrant,
    ) -> Option<Announced> {
        let records: Arc<[_]> = matchers
            .iter()
            .map(|matcher| SubscriptionRecord {
                node: self.node,
                subscriber: Arc::clone(&subscriber),
                match_type: matcher.match_type(),
                match_value: matcher.value().into(),
                payload: grant.payload_for(matcher.match_type(), matcher.value()),
            })
            .collect();
        let room = tokio::time::timeout(ANNOUNCE_TIMEOUT, Arc::clone(&self.room).acquire_owned()).await;
        let Ok(Ok(room)) = room else {
            tracing::warn!(%subscriber, "a subscriber is not announced: the log has not taken presence for too long");
            return None;
        };
        let (done, appended) = oneshot::channel();
        let begin = Message::Begin { subscriber: Arc::clone(&subscriber), records, done, _room: room };
        self.mailbox.send(begin).ok()?;
        let announced = Announced { subscriber, mailbox: self.mailbox.clone() };
        let _ = tokio::time::timeout(ANNOUNCE_TIMEOUT, appended).await;
        Some(announced)
    }

    /// Waits until every change so far is in the log, for at most `patience`.
    pub(super) async fn flush(&self, patience: Duration) {
        let (done, flushed) = oneshot::channel();
        if self.mailbox.send(Message::Flush { done }).is_ok() {
            let _ = tokio::time::timeout(patience, flushed).await;
        }
    }
}

struct Task {
    node: NodeId,
    transport: Arc<dyn Transport>,
    lease: Duration,
    /// What this node has announced and not ended.
    live: HashMap<Arc<str>, Arc<[SubscriptionRecord]>>,
    /// The lease was taken before.
    known: bool,
}

impl Task {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>, stop: CancellationToken) {
        // Three times in a lease, so that one renewal may fail.
        let mut renewals = tokio::time::interval(self.lease / 3);
        renewals.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut received = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // The first lease is taken before anything is announced under it.
                _ = renewals.tick() => self.keep_house(&stop).await,
                count = messages.recv_many(&mut received, GROUP), if self.known => {
                    if count == 0 {
                        return;
                    }
                    self.process(received.drain(..), &stop).await;
                }
            }
        }
    }

    async fn process(&mut self, messages: impl Iterator<Item = Message>, stop: &CancellationToken) {
        let mut changes = Vec::new();
        // Dropped, and so answered, when the changes are in the log.
        let mut waiting = Vec::new();
        for message in messages {
            match message {
                Message::Begin { subscriber, records, done, _room } => {
                    changes.extend(records.iter().cloned().map(PresenceChange::Start));
                    self.live.insert(subscriber, records);
                    waiting.push((done, Some(_room)));
                }
                Message::End { subscriber } => {
                    if let Some(records) = self.live.remove(&subscriber) {
                        changes.extend(records.iter().cloned().map(PresenceChange::End));
                    }
                }
                Message::Flush { done } => waiting.push((done, None)),
            }
        }
        self.append(changes, stop).await;
        for (done, room) in waiting {
            // Whoever waited may be gone.
            let _ = done.send(());
            drop(room);
        }
    }

    /// Appends changes with their events, in groups, and does not give up before the hub stops.
    async fn append(&self, changes: Vec<PresenceChange>, stop: &CancellationToken) {
        for group in changes.chunks(GROUP) {
            let entries: Vec<_> = group.iter().cloned().map(entry).collect();
            let attempt = AttemptId::new();
            loop {
                match self.transport.append(attempt, entries.clone()).await {
                    Ok(_) => break,
                    Err(error) if !error.is_retryable() => {
                        tracing::error!(%error, "presence could not be announced");
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "presence could not be announced; it is tried again")
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_INTERVAL) => {}
                }
            }
        }
    }

    /// Renews the lease, repairs what others ended while this node was paused, and ends what dead nodes left.
    async fn keep_house(&mut self, stop: &CancellationToken) {
        match self.transport.renew(self.node, self.lease).await {
            Ok(known) => {
                if self.known && !known {
                    tracing::warn!("this node's lease had run out: its subscriptions are announced again");
                    let changes = self.live.values().flat_map(|records| records.iter().cloned());
                    let changes = changes.map(PresenceChange::Start).collect();
                    self.append(changes, stop).await;
                }
                self.known = true;
            }
            Err(error) => {
                tracing::warn!(%error, "the lease of this node could not be renewed");
                return;
            }
        }
        loop {
            match self.transport.expired(GROUP).await {
                Ok(expired) if expired.is_empty() => return,
                Ok(expired) => {
                    // Ending one that another node has ended meanwhile does nothing.
                    self.append(expired.into_iter().map(PresenceChange::End).collect(), stop).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "subscriptions of dead nodes could not be listed");
                    return;
                }
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }
}

/// The event that announces a change (E01, E02).
fn entry(change: PresenceChange) -> Append {
    let (record, active) = match &change {
        PresenceChange::Start(record) => (record, true),
        PresenceChange::End(record) => (record, false),
    };
    let update = Update {
        id: random_id(),
        topics: vec![subscription_topic(record.match_type, &record.match_value, &record.subscriber)],
        data: subscription_json(record, active),
        private: true,
        event_type: Some(HUB_EVENT_TYPE.to_owned()),
        retry_ms: None,
    };
    Append { update: Arc::new(update), presence: Some(change) }
}
