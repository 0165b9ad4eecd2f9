//! From the log to the event loops: one task follows the tail, encodes each event once, keeps it among the recent ones
//! and hands a reference to every loop.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Shared, inbox::Inbox};
use crate::{
    hub::event::Event,
    transport::{ErrorKind, Position, StoredEvent, Tail},
};

/// How long to wait after an error of the log before asking it again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Runs until the log is closed, or `stop`.
pub(super) async fn distribute(
    mut tail: Box<dyn Tail>,
    shared: Arc<Shared>,
    inboxes: Arc<[Arc<Inbox>]>,
    stop: CancellationToken,
) {
    // Streams that nobody feeds any more must not look like quiet ones, whatever ends this.
    let _stops = Stops(Arc::clone(&inboxes), stop.clone());
    let mut gap = false;
    let follow = async {
        loop {
            match tail.next().await {
                Ok(stored) => hand_out(stored, std::mem::take(&mut gap), &shared, &inboxes).await,
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    shared.metrics.transport_errors_total.inc();
                    tracing::warn!(%error, "the log cannot be followed");
                    if error.kind() == ErrorKind::Overtaken {
                        gap = true;
                        // At once: who comes back now must be told by the log that something is missing.
                        shared.recent.forget();
                        shared.lag.give_up();
                        inboxes.iter().for_each(|inbox| inbox.gap());
                        shared.gaps.send_modify(|gaps| *gaps += 1);
                    } else {
                        tokio::time::sleep(RETRY_INTERVAL).await;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = stop.cancelled() => {}
    }
}

/// Dropping it ends the loops.
struct Stops(Arc<[Arc<Inbox>]>, CancellationToken);

impl Drop for Stops {
    fn drop(&mut self) {
        self.1.cancel();
        self.0.iter().for_each(|inbox| inbox.stop());
    }
}

async fn hand_out(stored: Vec<StoredEvent>, gap: bool, shared: &Shared, inboxes: &[Arc<Inbox>]) {
    let events: Vec<_> = stored.into_iter().map(|event| Arc::new(Event::new(event))).collect();
    let Some(first) = events.first() else { return };
    if gap {
        shared.recent.restart(Position(first.position.0.saturating_sub(1)));
    }
    let recent_bytes = shared.recent.push(&events);
    shared.metrics.recent_bytes.set(i64::try_from(recent_bytes).unwrap_or(i64::MAX));
    for inbox in inboxes {
        inbox.events(&events).await;
    }
}
