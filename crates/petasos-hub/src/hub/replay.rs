//! Replay, and the hand-over to live, which is written once, here:
//!
//! 1. Read the log from the cursor on: from memory where it is recent, else from the transport, page by page, as fast as
//!    the reader takes it and no faster.
//! 2. When nothing is left, ask the fan-out to keep events from now on. It answers with its position.
//! 3. Read the gap up to that position. Then the kept events follow without gap or duplicate.
//!
//! If more was kept meanwhile than the queue may hold, the kept events are dropped and it goes back to 1: the log has
//! them. So a replay costs a bounded amount of memory however fast events come.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::{
    EndReason, Inner,
    event::Event,
    fanout::{Command, Key},
    queue::Queue,
    selector::Selector,
};
use crate::transport::{ErrorKind, Position, ReadHint, ReadLimit};

/// What one step reads from memory.
const STEP_BYTES: usize = 64 << 10;

/// What one step reads from the transport.
const PAGE: ReadLimit = ReadLimit { events: 1_000, bytes: 256 << 10 };

/// What the first step reads: little, so that the first event is on its way at once.
const FIRST_PAGE: ReadLimit = ReadLimit { events: 64, bytes: 32 << 10 };

/// How many comparisons of a pattern with an event are made before others may use the processor: some milliseconds.
const TURN_MATCHES: usize = 4_096;

/// How long to wait before a log that cannot be read is asked again. The stream stays open meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// A subscriber that reads its past.
pub(super) struct Replay {
    inner: Arc<Inner>,
    queue: Arc<Queue>,
    key: Key,
    selector: Selector,
    hint: ReadHint,
    after: Position,
    /// The gap to read before the stream is live.
    gap_until: Option<Position>,
    /// Nothing has been read yet, and the cursor that was answered says that something may be missing before the first
    /// event (R04). A known cursor says that nothing is.
    may_lack: bool,
    /// Nothing has been read yet.
    first: bool,
}

/// What a step came to.
pub(super) enum Step {
    /// Bytes for the reader; there is more.
    Bytes(Box<Replay>, Bytes),
    /// The stream is live now.
    Live,
    /// The stream cannot go on.
    End(EndReason),
}

struct Page {
    events: Vec<Arc<Event>>,
    next: Position,
}

impl Replay {
    pub(super) fn new(
        inner: Arc<Inner>,
        queue: Arc<Queue>,
        key: Key,
        selector: Selector,
        after: Position,
        may_lack: bool,
    ) -> Box<Self> {
        inner.shared.metrics.replays_active.inc();
        let hint = selector.hint();
        Box::new(Self { inner, queue, key, selector, hint, after, gap_until: None, may_lack, first: true })
    }

    /// Reads on until there is something for the reader.
    pub(super) async fn step(mut self: Box<Self>) -> Step {
        loop {
            if self.gap_until.is_some_and(|until| self.after >= until) {
                if self.queue.go_live() {
                    return Step::Live;
                }
                self.gap_until = None;
            }
            let page = match self.page().await {
                Ok(page) => page,
                Err(reason) => return Step::End(reason),
            };
            let nothing_left = page.next <= self.after;
            self.after = match self.gap_until {
                // The log ends before what was handed out from it: it has lost the rest, and no other events will come at those
                // positions.
                Some(until) if nothing_left => until,
                _ => page.next,
            };
            let bytes = self.encode(&page.events).await;
            if self.gap_until.is_none() && (nothing_left || self.after >= self.inner.fanout.reached_now()) {
                match self.ask_for_live().await {
                    Some(position) => self.gap_until = Some(position),
                    None => return Step::End(EndReason::Shutdown),
                }
            }
            if let Some(bytes) = bytes {
                return Step::Bytes(self, bytes);
            }
            // Nothing for this reader in a whole page: others want the processor too.
            tokio::task::yield_now().await;
        }
    }

    async fn page(&mut self) -> Result<Page, EndReason> {
        let (first, may_lack) = (std::mem::take(&mut self.first), std::mem::take(&mut self.may_lack));
        // Beyond the gap the queue has the events: read here too, they would come twice.
        let until = self.gap_until.unwrap_or(Position(u64::MAX));
        if let Some((events, next)) = self.inner.shared.recent.after(self.after, until, STEP_BYTES) {
            return Ok(Page { events, next });
        }
        let limit = if first { FIRST_PAGE } else { PAGE };
        loop {
            match self.inner.transport.read(self.after, until, limit, &self.hint).await {
                Ok(page) if page.truncated && !may_lack => return Err(EndReason::Overtaken),
                Ok(page) => {
                    let events = page.events.into_iter().map(|event| Arc::new(Event::new(event))).collect();
                    return Ok(Page { events, next: page.next });
                }
                Err(error) => {
                    self.inner.shared.metrics.transport_errors_total.inc();
                    tracing::warn!(%error, "the history cannot be read");
                    if error.kind() != ErrorKind::Unavailable {
                        return Err(EndReason::LogUnavailable);
                    }
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    async fn encode(&self, events: &[Arc<Event>]) -> Option<Bytes> {
        let mut out = BytesMut::new();
        let mut count = 0;
        for (turn, events) in events.chunks(self.selector.events_per_turn(TURN_MATCHES)).enumerate() {
            // A thousand patterns against a thousand events take seconds: others want the processor too.
            if turn > 0 {
                tokio::task::yield_now().await;
            }
            for event in events.iter().filter(|event| self.selector.selects(event)) {
                out.extend_from_slice(event.as_slice());
                count += 1;
            }
        }
        let metrics = &self.inner.shared.metrics;
        metrics.replayed_events_total.inc_by(count);
        metrics.delivered_bytes_total.inc_by(out.len() as u64);
        (count > 0).then(|| out.freeze())
    }

    async fn ask_for_live(&self) -> Option<Position> {
        let (reply, replied) = oneshot::channel();
        self.inner.fanout.command(self.key, Command::GoLive { key: self.key, after: self.after, reply });
        replied.await.ok()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.inner.shared.metrics.replays_active.dec();
    }
}
