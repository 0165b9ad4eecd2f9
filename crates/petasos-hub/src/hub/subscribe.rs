//! Subscribing: where a stream begins, and its registration with the fan-out.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rand::Rng;
use tokio::sync::oneshot;

use super::{
    EndReason, Hub, Inner, SubscribeError, SubscribeRequest, Subscription,
    fanout::{Attached, Command, Entry},
    queue::Queue,
    replay::Replay,
    selector::Selector,
};
use crate::{
    EARLIEST,
    auth::SubscribeGrant,
    topic::Matcher,
    transport::{Position, TransportError},
};

/// How long a subscription waits for the fan-out to reach what was acknowledged before it came.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a stream begins.
enum Start {
    /// With what comes from now on; no cursor was asked for.
    Live,
    /// With what comes from now on; the cursor is the newest event.
    LiveAfterNewest,
    /// With what comes from now on; the cursor is none that a log without history could know (R07).
    LiveWithoutHistory,
    /// With what follows this position.
    Replay { after: Position, cursor: String },
}

impl Hub {
    /// Opens a subscription: from when this returns, no update that matches and may be read is missed.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn subscribe(
        &self,
        grant: SubscribeGrant,
        request: SubscribeRequest,
    ) -> Result<Subscription, SubscribeError> {
        let inner = &self.inner;
        if inner.stopping.is_cancelled() {
            return Err(SubscribeError::Stopping);
        }
        let matchers = distinct(request.matchers);
        let start = self.start(request.cursor.as_deref()).await?;
        let live = !matches!(start, Start::Replay { .. });
        let (bound_bytes, budget) = (inner.shared.config.backlog_bytes, Arc::clone(&inner.shared.budget));
        let queue = Arc::new(Queue::new(live, bound_bytes, budget, request.cut));
        let entry = Entry {
            queue: Arc::clone(&queue),
            matchers: Arc::clone(&matchers),
            grant: grant.clone(),
            end: self.end_of_stream(&grant),
            live,
        };
        let Some(Attached { key, head }) = Attaching::begin(inner, entry).attached().await else {
            return Err(SubscribeError::Stopping);
        };
        let (cursor, replay) = match start {
            Start::Live => (None, None),
            Start::LiveWithoutHistory => (Some(EARLIEST.to_owned()), None),
            Start::LiveAfterNewest => (Some(head.id.unwrap_or_else(|| EARLIEST.to_owned())), None),
            Start::Replay { after, cursor } => {
                let selector = Selector::new(&matchers, grant.clone());
                let may_lack = cursor == EARLIEST;
                let replay =
                    Replay::new(Arc::clone(inner), Arc::clone(&queue), key, selector, after, may_lack);
                (Some(cursor), Some(replay))
            }
        };
        let mut subscription = Subscription::new(Arc::clone(inner), queue, key, cursor, replay);
        if let Some(presence) = &inner.presence
            && let Some(announced) =
                presence.announce(subscription.subscriber_id().into(), &matchers, &grant).await
        {
            subscription.set_announced(announced);
        }
        subscription.expects_connection();
        Ok(subscription)
    }

    /// The cursor that [`Self::subscribe`] would answer, without subscribing: for `HEAD` (S01), which makes no presence.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn resolve_cursor(&self, cursor: &str) -> Result<String, SubscribeError> {
        Ok(match self.start(Some(cursor)).await? {
            Start::Replay { cursor, .. } => cursor,
            Start::LiveAfterNewest => {
                let head = self.inner.transport.head().await.map_err(SubscribeError::Unavailable)?;
                head.id.unwrap_or_else(|| EARLIEST.to_owned())
            }
            Start::Live | Start::LiveWithoutHistory => EARLIEST.to_owned(),
        })
    }

    async fn start(&self, cursor: Option<&str>) -> Result<Start, SubscribeError> {
        let transport = &self.inner.transport;
        // What was there before this request came must not be sent as live.
        let Some(cursor) = cursor else {
            self.reach(self.seen()).await?;
            return Ok(Start::Live);
        };
        if cursor.is_empty() {
            let head = transport.head().await.map_err(SubscribeError::Unavailable)?;
            self.reach(head.position).await?;
            return Ok(Start::LiveAfterNewest);
        }
        if !transport.info().history {
            self.reach(self.seen()).await?;
            return Ok(Start::LiveWithoutHistory);
        }
        if cursor == EARLIEST {
            return Ok(Start::Replay { after: Position::START, cursor: EARLIEST.to_owned() });
        }
        // R04: an unknown cursor replays what is kept, and the answer says so.
        Ok(match transport.find(cursor).await.map_err(SubscribeError::Unavailable)? {
            Some(after) => Start::Replay { after, cursor: cursor.to_owned() },
            None => Start::Replay { after: Position::START, cursor: EARLIEST.to_owned() },
        })
    }

    /// What somebody may have seen already: a publisher its answer, or a subscriber of another event loop the event.
    fn seen(&self) -> Position {
        let shared = &self.inner.shared;
        shared.lag.newest().max(shared.recent.newest())
    }

    /// Waits until the fan-out has handed out everything up to `position`.
    async fn reach(&self, position: Position) -> Result<(), SubscribeError> {
        let mut reached = self.inner.fanout.reached();
        let waiting = reached.wait_for(|reached| *reached >= position);
        match tokio::time::timeout(REACH_TIMEOUT, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(SubscribeError::Stopping),
            Err(_) => Err(SubscribeError::Unavailable(TransportError::unavailable(
                "delivery is far behind the log",
            ))),
        }
    }

    /// S13: a random 80 to 100 % of `write_timeout`, and no later than the token's `exp`.
    fn end_of_stream(&self, grant: &SubscribeGrant) -> Option<(Instant, EndReason)> {
        let now = Instant::now();
        let timeout = self.inner.shared.config.write_timeout;
        let by_timeout = (!timeout.is_zero())
            .then(|| (now + timeout.mul_f64(rand::rng().random_range(0.8..=1.0)), EndReason::WriteTimeout));
        let by_token = grant.expires_at().and_then(|expires_at| {
            // A time that no clock reaches is no end.
            let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
            Some((now.checked_add(left)?, EndReason::TokenExpired))
        });
        by_timeout.into_iter().chain(by_token).min_by_key(|(at, _)| *at)
    }
}

/// A subscriber on its way into the fan-out. A client may leave at any moment: until there is a [`Subscription`] to drop,
/// dropping this takes the subscriber out again.
struct Attaching<'a> {
    inner: &'a Arc<Inner>,
    replied: oneshot::Receiver<Attached>,
    /// The subscription has taken over.
    arrived: bool,
}

impl<'a> Attaching<'a> {
    fn begin(inner: &'a Arc<Inner>, entry: Entry) -> Self {
        let (reply, replied) = oneshot::channel();
        inner.entered();
        inner.fanout.attach(entry, reply);
        Self { inner, replied, arrived: false }
    }

    /// `None` where the hub is closed.
    async fn attached(mut self) -> Option<Attached> {
        let attached = (&mut self.replied).await.ok()?;
        self.arrived = true;
        Some(attached)
    }
}

impl Drop for Attaching<'_> {
    fn drop(&mut self) {
        if self.arrived {
            return;
        }
        self.inner.left();
        // From here on the fan-out sees that nobody waits; it may have replied before.
        self.replied.close();
        if let Ok(Attached { key, .. }) = self.replied.try_recv() {
            self.inner.fanout.command(key, Command::Detach { key });
        }
    }
}

/// Equal matchers of one subscriber are one subscription.
fn distinct(matchers: Vec<Matcher>) -> Arc<[Matcher]> {
    let mut seen = std::collections::HashSet::new();
    matchers
        .into_iter()
        .filter(|matcher| seen.insert((matcher.match_type(), matcher.value().to_owned())))
        .collect()
}
