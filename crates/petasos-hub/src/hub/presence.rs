//! Presence: announces subscriptions as they begin and end (E01), keeps the node's lease, and ends what crashed nodes left
//! behind (E08).
//!
//! One task appends everything in the order in which it happened, in groups. Beginnings wait for a place among a bounded
//! number; ends need none, because there are never more of them than there were beginnings. While the log takes nothing,
//! the task tries again and again; what it holds stays bounded for that reason.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Update,
    auth::SubscribeGrant,
    presence_event::{subscription_event, subscription_event_type, subscription_topic},
    topic::Matcher,
    transport::{Append, AttemptId, NodeId, PresenceChange, SubscriptionRecord, Transport, TransportError},
    update::random_id,
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
    mailbox: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
enum Message {
    Begin {
        subscriber: Arc<str>,
        records: Vec<SubscriptionRecord>,
        done: oneshot::Sender<()>,
        _room: OwnedSemaphorePermit,
    },
    End {
        subscriber: Arc<str>,
    },
    /// Ends what is still announced. Answered when that and everything before it is appended.
    Finish {
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
    /// Starts the task. `gaps` changes where the log is found to have a gap.
    pub(super) fn start(
        transport: Arc<dyn Transport>,
        lease: Duration,
        gaps: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Self {
        let (mailbox, messages) = mpsc::unbounded_channel();
        let task = Task {
            node: NodeId::random(),
            transport,
            lease,
            live: HashMap::new(),
            known: false,
            lapsed: false,
            renewed: Instant::now(),
        };
        tokio::spawn(task.run(messages, gaps, stop));
        Self { mailbox, room: Arc::new(Semaphore::new(BEGINNINGS)) }
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
        let records = matchers
            .iter()
            .map(|matcher| SubscriptionRecord {
                // The task knows which one this is now.
                node: NodeId(0),
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

    /// Ends what is still announced, and waits until that is in the log, for at most `patience`.
    pub(super) async fn finish(&self, patience: Duration) {
        let (done, finished) = oneshot::channel();
        if self.mailbox.send(Message::Finish { done }).is_ok() {
            let _ = tokio::time::timeout(patience, finished).await;
        }
    }
}

struct Task {
    node: NodeId,
    transport: Arc<dyn Transport>,
    lease: Duration,
    /// What this node has announced and not ended.
    live: HashMap<Arc<str>, Vec<SubscriptionRecord>>,
    /// The lease of this node was taken before.
    known: bool,
    /// What is live must be announced again.
    lapsed: bool,
    /// When the newest renewal that was answered was asked for.
    renewed: Instant,
}

impl Task {
    async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        mut gaps: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        // Three times in a lease, so that one renewal may fail.
        let mut renewals = tokio::time::interval(self.lease / 3);
        renewals.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut received = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // The first lease is taken before anything is announced under it.
                _ = renewals.tick() => self.keep_house(&stop).await,
                Ok(()) = gaps.changed() => {
                    self.lapse();
                    self.keep_house(&stop).await;
                }
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
                Message::Begin { subscriber, mut records, done, _room } => {
                    records.iter_mut().for_each(|record| record.node = self.node);
                    changes.extend(records.iter().cloned().map(PresenceChange::Start));
                    self.live.insert(subscriber, records);
                    waiting.push((done, Some(_room)));
                }
                Message::End { subscriber } => {
                    if let Some(records) = self.live.remove(&subscriber) {
                        changes.extend(records.into_iter().map(PresenceChange::End));
                    }
                }
                Message::Finish { done } => {
                    let left = self.live.drain().flat_map(|(_, records)| records);
                    changes.extend(left.map(PresenceChange::End));
                    waiting.push((done, None));
                }
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

    /// Others may not know what was announced, or know what is over. All is announced again as another node: ends of the old
    /// one that are still on their way do not hit the new announcements, and what it has left runs out with its lease.
    fn lapse(&mut self) {
        self.node = NodeId::random();
        self.live.values_mut().flatten().for_each(|record| record.node = self.node);
        // Should the log fail now, nothing is announced before the next renewal.
        (self.known, self.lapsed) = (false, true);
    }

    /// Renews the lease, and repairs what others ended, or are about to end, because it had run out.
    async fn renew(&mut self, stop: &CancellationToken) -> Result<(), TransportError> {
        let asked = Instant::now();
        let running = self.transport.renew(self.node, self.lease).await?;
        // Renewals between whose answers were lost may have found that the lease had run out, and begun another.
        let in_time = self.renewed.elapsed() <= self.lease;
        self.renewed = asked;
        if self.known && !(running && in_time) {
            tracing::warn!("this node's lease had run out: its subscriptions are announced again");
            self.lapse();
            self.transport.renew(self.node, self.lease).await?;
        }
        self.known = true;
        if std::mem::take(&mut self.lapsed) {
            let changes = self.live.values().flatten().cloned().map(PresenceChange::Start).collect();
            self.append(changes, stop).await;
        }
        Ok(())
    }

    /// Keeps the lease, and ends what dead nodes left.
    async fn keep_house(&mut self, stop: &CancellationToken) {
        if let Err(error) = self.renew(stop).await {
            tracing::warn!(%error, "the lease of this node could not be renewed");
            return;
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

/// The event that announces a change (E01, E02, L07).
fn entry(change: PresenceChange) -> Append {
    let (record, active) = match &change {
        PresenceChange::Start(record) => (record, true),
        PresenceChange::End(record) => (record, false),
    };
    let update = Update {
        id: random_id(),
        topics: vec![subscription_topic(record.match_type, &record.match_value, &record.subscriber)],
        data: subscription_event(record, active),
        private: true,
        event_type: subscription_event_type(record.match_type),
        retry_ms: None,
    };
    Append { update: Arc::new(update), presence: Some(change) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        topic::MatchType,
        transport::{LocalTransport, PresenceFilter},
    };

    #[tokio::test]
    async fn e08_a_node_that_was_paused_for_longer_than_its_lease_announces_itself_again() {
        let transport = Arc::new(LocalTransport::new());
        let stop = CancellationToken::new();
        let mut task = Task {
            node: NodeId::random(),
            transport: Arc::clone(&transport) as Arc<dyn Transport>,
            lease: Duration::from_secs(60),
            live: HashMap::new(),
            known: false,
            lapsed: false,
            renewed: Instant::now(),
        };
        task.keep_house(&stop).await;
        let record = SubscriptionRecord {
            node: task.node,
            subscriber: "urn:uuid:1".into(),
            match_type: MatchType::Exact,
            match_value: "a".into(),
            payload: None,
        };
        task.live.insert("urn:uuid:1".into(), vec![record.clone()]);
        task.append(vec![PresenceChange::Start(record)], &stop).await;
        // It is paused, and another node is about to end what it had.
        transport.renew(task.node, Duration::ZERO).await.expect("renew");
        tokio::time::sleep(Duration::from_millis(2)).await;
        let expired = transport.expired(10).await.expect("expired");
        assert_eq!(expired.len(), 1);
        task.keep_house(&stop).await;
        task.append(expired.into_iter().map(PresenceChange::End).collect(), &stop).await;
        let listed = transport.presence(&PresenceFilter::default()).await.expect("list").subscriptions;
        assert_eq!(listed.len(), 1, "a subscriber that is connected is not listed");
        assert_eq!(listed[0].node, task.node);
        task.keep_house(&stop).await;
        assert_eq!(transport.expired(10).await.expect("expired"), []);
    }

    #[tokio::test]
    async fn e08_a_log_that_has_lost_what_was_announced_is_told_again() {
        let transport = Arc::new(LocalTransport::new());
        let stop = CancellationToken::new();
        let (gap, gaps) = watch::channel(0);
        let lease = Duration::from_secs(60);
        let presence =
            Presence::start(Arc::clone(&transport) as Arc<dyn Transport>, lease, gaps, stop.clone());
        let record = |node| SubscriptionRecord {
            node,
            subscriber: "urn:uuid:1".into(),
            match_type: MatchType::Exact,
            match_value: "a".into(),
            payload: None,
        };
        let (done, announced) = oneshot::channel();
        let room = Arc::clone(&presence.room).acquire_owned().await.expect("room");
        let begin = Message::Begin {
            subscriber: "urn:uuid:1".into(),
            records: vec![record(NodeId(0))],
            done,
            _room: room,
        };
        presence.mailbox.send(begin).expect("the task runs");
        announced.await.expect("it is announced");
        let listed = transport.presence(&PresenceFilter::default()).await.expect("list").subscriptions;
        let mut tail = transport.tail(transport.head().await.expect("head").position);
        let lost = Append {
            presence: Some(PresenceChange::End(listed[0].clone())),
            ..entry(PresenceChange::End(record(NodeId(0))))
        };
        transport.append(AttemptId::new(), vec![lost]).await.expect("lost");
        gap.send_replace(1);
        // The end, and the announcement behind it.
        let mut seen = 0;
        while seen < 2 {
            seen += tail.next().await.expect("the tail").len();
        }
        let listed = transport.presence(&PresenceFilter::default()).await.expect("list").subscriptions;
        assert_eq!(listed.len(), 1, "a subscriber that is connected is not listed");
        stop.cancel();
    }

    #[tokio::test]
    async fn e08_a_node_whose_renewals_were_not_answered_in_time_announces_itself_again() {
        let transport = Arc::new(LocalTransport::new());
        let stop = CancellationToken::new();
        let lease = Duration::from_millis(100);
        let mut task = Task {
            node: NodeId::random(),
            transport: Arc::clone(&transport) as Arc<dyn Transport>,
            lease,
            live: HashMap::new(),
            known: false,
            lapsed: false,
            renewed: Instant::now(),
        };
        task.keep_house(&stop).await;
        let before = task.node;
        // It had run out, a renewal said so to nobody, and began another.
        task.renewed = Instant::now().checked_sub(lease * 2).expect("a time");
        transport.renew(task.node, Duration::from_secs(60)).await.expect("renew");
        task.keep_house(&stop).await;
        assert_ne!(task.node, before, "the answer that told it was lost");
        let before = task.node;
        task.keep_house(&stop).await;
        assert_eq!(task.node, before, "in time");
    }
}
