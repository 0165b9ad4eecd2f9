//! A transport that fails, loses answers or stalls on command, around one that works.
//!
//! One [`Faults`] handle controls one [`FaultyTransport`] and all its tails. A stalled call waits on a `watch` channel
//! and goes on as soon as the fault is lifted; nothing is queued here.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use petasos_hub::transport::{
    Append, AttemptId, ErrorKind, Head, NodeId, Page, Position, PresenceFilter, PresenceSnapshot, ReadHint,
    ReadLimit, StoredEvent, SubscriptionRecord, Tail, Transport, TransportError, TransportHealth,
    TransportInfo,
};
use tokio::sync::watch;

/// A failing tail answers at this pace, so that a hub that asks again at once does not spin.
const FAILING_TAIL_PACE: Duration = Duration::from_millis(10);

/// What happens to a kind of call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It works.
    #[default]
    None,
    /// It fails at once with `Unavailable`, and nothing happened.
    Fail,
    /// It happens, and then `Unavailable` is answered: an answer that was lost on its way.
    LoseAnswer,
    /// It happens, and its answer waits until the fault is lifted.
    Stall,
}

/// Controls a [`FaultyTransport`].
#[derive(Clone, Debug)]
pub struct Faults(Arc<Switches>);

#[derive(Debug)]
struct Switches {
    appends: watch::Sender<Fault>,
    reads: watch::Sender<Fault>,
    tails: watch::Sender<Fault>,
    /// The events behind this position and up to the next are lost.
    lost: watch::Sender<Option<(Position, Position)>>,
    reads_done: AtomicUsize,
}

impl Faults {
    /// The log loses its events behind one position and up to another, as an engine that failed over to an older copy of its
    /// data. Positions go on behind them. Tails say so.
    pub fn lose(&self, after: Position, until: Position) {
        self.0.lost.send_replace(Some((after, until)));
    }

    /// How often events were read.
    pub fn reads(&self) -> usize {
        self.0.reads_done.load(Ordering::Relaxed)
    }

    /// Sets what happens to appends.
    pub fn on_append(&self, fault: Fault) {
        self.0.appends.send_replace(fault);
    }

    /// Sets what happens to everything that reads the log: head, find, read, presence.
    pub fn on_read(&self, fault: Fault) {
        self.0.reads.send_replace(fault);
    }

    /// Sets what happens to tails.
    pub fn on_tail(&self, fault: Fault) {
        self.0.tails.send_replace(fault);
    }

    /// All works again.
    pub fn lift(&self) {
        self.on_append(Fault::None);
        self.on_read(Fault::None);
        self.on_tail(Fault::None);
    }
}

/// A transport whose calls fail on command.
#[derive(Debug)]
pub struct FaultyTransport<T> {
    inner: T,
    faults: Faults,
}

impl Faults {
    fn has_lost(&self, position: Position) -> bool {
        self.0.lost.borrow().is_some_and(|(kept, lost)| position > kept && position <= lost)
    }
}

impl<T: Transport> FaultyTransport<T> {
    /// Wraps a transport that works, and goes on working until the handle says otherwise.
    pub fn new(inner: T) -> (Arc<Self>, Faults) {
        let switches = Switches {
            appends: watch::Sender::new(Fault::None),
            reads: watch::Sender::new(Fault::None),
            tails: watch::Sender::new(Fault::None),
            lost: watch::Sender::new(None),
            reads_done: AtomicUsize::new(0),
        };
        let faults = Faults(Arc::new(switches));
        (Arc::new(Self { inner, faults: faults.clone() }), faults)
    }

    async fn reading<V>(
        &self,
        call: impl Future<Output = Result<V, TransportError>>,
    ) -> Result<V, TransportError> {
        let mut switch = self.faults.0.reads.subscribe();
        let fault = *switch.borrow_and_update();
        match fault {
            Fault::None => call.await,
            Fault::Fail | Fault::LoseAnswer => Err(injected("reading")),
            Fault::Stall => {
                lifted(&mut switch, Fault::Stall).await;
                call.await
            }
        }
    }
}

#[async_trait]
impl<T: Transport> Transport for FaultyTransport<T> {
    fn info(&self) -> TransportInfo {
        self.inner.info()
    }

    fn append(
        &self,
        attempt: AttemptId,
        entries: Vec<Append>,
    ) -> BoxFuture<'static, Result<Option<Position>, TransportError>> {
        let mut switch = self.faults.0.appends.subscribe();
        let fault = *switch.borrow_and_update();
        if fault == Fault::Fail {
            return async { Err(injected("appending")) }.boxed();
        }
        // The call takes the place in line, so it is made now and not when the future is polled.
        let appended = self.inner.append(attempt, entries);
        match fault {
            Fault::LoseAnswer => {
                async move { appended.await.and(Err(injected("the answer of an append"))) }.boxed()
            }
            Fault::Stall => async move {
                lifted(&mut switch, Fault::Stall).await;
                appended.await
            }
            .boxed(),
            Fault::None | Fault::Fail => appended,
        }
    }

    async fn head(&self) -> Result<Head, TransportError> {
        self.reading(self.inner.head()).await
    }

    async fn find(&self, id: &str) -> Result<Option<Position>, TransportError> {
        let found = self.reading(self.inner.find(id)).await?;
        Ok(found.filter(|position| !self.faults.has_lost(*position)))
    }

    async fn read(
        &self,
        after: Position,
        until: Position,
        limit: ReadLimit,
        hint: &ReadHint,
    ) -> Result<Page, TransportError> {
        self.faults.0.reads_done.fetch_add(1, Ordering::Relaxed);
        let mut page = self.reading(self.inner.read(after, until, limit, hint)).await?;
        if let Some((kept, lost)) = *self.faults.0.lost.borrow() {
            page.events.retain(|event| event.position <= kept || event.position > lost);
            // Where the log ends before them, it knows of no position behind its last event.
            if page.next <= lost {
                page.next = page.next.min(kept).max(after);
            }
        }
        Ok(page)
    }

    fn tail(&self, after: Position) -> Box<dyn Tail> {
        Box::new(FaultyTail {
            inner: self.inner.tail(after),
            switch: self.faults.0.tails.subscribe(),
            lost: self.faults.0.lost.subscribe(),
        })
    }

    async fn renew(&self, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
        self.reading(self.inner.renew(node, lease)).await
    }

    async fn presence(&self, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
        self.reading(self.inner.presence(filter)).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
        self.reading(self.inner.expired(limit)).await
    }

    fn health(&self) -> TransportHealth {
        let mut health = self.inner.health();
        if *self.faults.0.appends.borrow() == Fault::Fail {
            health.ready = Err("a fault was injected".into());
        }
        health
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct FaultyTail {
    inner: Box<dyn Tail>,
    switch: watch::Receiver<Fault>,
    lost: watch::Receiver<Option<(Position, Position)>>,
}

#[async_trait]
impl Tail for FaultyTail {
    async fn next(&mut self) -> Result<Vec<StoredEvent>, TransportError> {
        loop {
            let fault = *self.switch.borrow_and_update();
            match fault {
                Fault::None => {
                    tokio::select! {
                        biased;
                        Ok(()) = self.lost.changed() => {
                            return Err(TransportError::new(ErrorKind::Overtaken, "events were lost on command"));
                        }
                        events = self.inner.next() => return events,
                        // A fault that is set while nothing happens must be felt by who waits.
                        _ = self.switch.changed() => {}
                    }
                }
                Fault::Fail | Fault::LoseAnswer => {
                    tokio::time::sleep(FAILING_TAIL_PACE).await;
                    return Err(injected("the tail"));
                }
                Fault::Stall => lifted(&mut self.switch, Fault::Stall).await,
            }
        }
    }
}

impl fmt::Debug for FaultyTail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FaultyTail").finish_non_exhaustive()
    }
}

async fn lifted(switch: &mut watch::Receiver<Fault>, fault: Fault) {
    // The sender lives in the handle; a test that dropped it wants nothing more.
    let _ = switch.wait_for(|now| *now != fault).await;
}

fn injected(what: &str) -> TransportError {
    TransportError::unavailable(format!("{what} fails on command"))
}
