//! Following the log through a puller that is made again whenever it ends: after a lost connection, after a leader's end,
//! after silence.
//!
//! A new puller begins **at** the last event that was handed out, not after it: the first message must be that event. If
//! it is another one, or is not there any more while the log ends before it, then the log is not the one that was followed (an
//! asynchronous fail-over, a restored backup, a server that kept it in memory). Readers are told, and the tail goes on
//! from the new head.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Store,
    pull::{BATCH_MESSAGES, Pulled, Puller},
    read,
};
use crate::transport::{ErrorKind, Position, StoredEvent, Tail, TransportError, remote::wire::decode_event};

/// What one call hands over at most.
const BATCH_BYTES: usize = 256 << 10;

/// Between attempts to follow a log that cannot be followed.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct NatsTail {
    store: Arc<Store>,
    after: u64,
    /// The message at `after`, once it was seen.
    identity: Option<u64>,
    /// When the stream was made that is followed.
    created: Option<String>,
    puller: Option<Puller>,
    /// What to hand out and what to say, in this order.
    ready: VecDeque<Result<StoredEvent, TransportError>>,
}

impl NatsTail {
    pub(super) fn new(store: Arc<Store>, after: Position) -> Self {
        Self { store, after: after.0, identity: None, created: None, puller: None, ready: VecDeque::new() }
    }

    /// Begins to pull, and sees to it that the log is still the same.
    async fn open(&mut self) -> Result<(), TransportError> {
        let info = read::log_info(&self.store).await?;
        let is_other = self.created.as_ref().is_some_and(|created| *created != info.created);
        self.created = Some(info.created);
        if is_other || info.state.last_seq < self.after {
            self.after = info.state.last_seq;
            self.identity = None;
            self.ready.push_back(Err(overtaken(
                "the log lost events that had been delivered: it is another one now",
            )));
        }
        let store = &self.store;
        let start = self.after.max(1);
        let puller = Puller::open(&store.reads, &store.streams.log, None, start, BATCH_MESSAGES).await?;
        self.puller = Some(puller);
        Ok(())
    }

    /// Takes one message; what it means for the readers is `ready` then.
    fn accept(&mut self, pulled: &Pulled) {
        let identity = xxh3_64(&pulled.payload);
        let position = pulled.sequence;
        if position < self.after {
            return;
        }
        if position == self.after {
            // Without a known one it is that after which this tail was asked to begin.
            if self.identity.replace(identity).is_some_and(|known| known != identity) {
                self.ready
                    .push_back(Err(overtaken("the log has another event where one had been delivered")));
            }
            return;
        }
        let is_gap = self.after > 0 && position != self.after + 1;
        self.after = position;
        self.identity = Some(identity);
        self.store.streams.saw(position);
        if is_gap {
            self.ready.push_back(Err(overtaken(
                "retention discarded events before they were delivered: the history is kept too short for the rate of \
                 updates",
            )));
        }
        // Whoever comes back for a damaged one is told so by the log.
        let event = decode_event(Position(position), &pulled.payload);
        self.ready.push_back(event.map_err(|error| overtaken(&error.to_string())));
    }

    /// Pulls until there is something to hand out or to say.
    async fn fill(&mut self) {
        while self.ready.is_empty() {
            let Some(puller) = &mut self.puller else {
                if let Err(error) = self.open().await {
                    tracing::debug!(%error, "the log cannot be followed now");
                    let _ = self.store.reads.link().wait_up(RETRY).await;
                    tokio::time::sleep(RETRY).await;
                }
                continue;
            };
            match puller.next().await {
                Ok(pulled) => self.accept(&pulled),
                Err(ended) => {
                    tracing::debug!(reason = ended.0, "following the log begins again");
                    self.puller = None;
                    continue;
                }
            }
            let mut bytes = 0;
            while bytes < BATCH_BYTES {
                match self.puller.as_mut().map(Puller::ready) {
                    Some(Ok(Some(pulled))) => {
                        bytes += pulled.payload.len();
                        self.accept(&pulled);
                    }
                    Some(Ok(None)) | None => break,
                    Some(Err(_)) => self.puller = None,
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl Tail for NatsTail {
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        let store = Arc::clone(&self.store);
        tokio::select! {
            biased;
            () = store.closed.cancelled() => return Err(TransportError::closed()),
            () = self.fill() => {}
        }
        let mut events = Vec::new();
        while let Some(next) = self.ready.pop_front() {
            match next {
                Ok(event) => events.push(event),
                Err(error) if events.is_empty() => return Err(error),
                Err(error) => {
                    self.ready.push_front(Err(error));
                    break;
                }
            }
        }
        Ok(events)
    }
}

fn overtaken(text: &str) -> TransportError {
    TransportError::new(ErrorKind::Overtaken, text)
}
