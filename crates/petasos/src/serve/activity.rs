//! What goes on on one connection: told by its bytes and its requests, asked by its time limits and by the drain. Knows
//! no protocol.
//!
//! Concurrency: one per connection, shared by its task and, with HTTP/2, the tasks of its streams. The locks are held
//! for an assignment.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// See the module.
#[derive(Debug)]
pub(super) struct Activity {
    /// Since when a head has been unfinished on the wire.
    head_begun: Mutex<Option<Instant>>,
    /// Whether a request has begun at all.
    used: AtomicBool,
    /// Whether one of them published.
    published: AtomicBool,
    /// Requests whose response is not at its end.
    active: AtomicUsize,
    /// Those of them that are not known to be streams without an end.
    due: AtomicUsize,
    /// Who is to know when there is none of those any more.
    waits_for_answers: Mutex<Option<Waker>>,
    /// Since when there has been no request.
    quiet_since: Mutex<Instant>,
    /// Rung when `used` or `published` become true.
    news: Notify,
    /// Whether the last that happened to what this side sends is that all of it was handed to the system.
    flushed: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            head_begun: Mutex::default(),
            used: AtomicBool::new(false),
            published: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            due: AtomicUsize::new(0),
            waits_for_answers: Mutex::default(),
            quiet_since: Mutex::new(Instant::now()),
            news: Notify::new(),
            flushed: AtomicBool::new(true),
        }
    }
}

impl Activity {
    /// Bytes came. `finished` says whether a head ended with them, `in_head` whether one is unfinished now.
    pub(super) fn bytes_came(&self, finished: bool, in_head: bool) {
        let mut begun = self.head_begun.lock();
        if finished || !in_head {
            *begun = None;
        }
        if in_head {
            begun.get_or_insert_with(Instant::now);
        }
    }

    /// Since when a head has been unfinished.
    pub(super) fn head_begun(&self) -> Option<Instant> {
        *self.head_begun.lock()
    }

    /// A request begins; it ends with the guard.
    pub(super) fn request_begins(self: &Arc<Self>, publishes: bool) -> RequestGuard {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.due.fetch_add(1, Ordering::Relaxed);
        let first = !self.used.swap(true, Ordering::Relaxed);
        if first | (publishes && !self.published.swap(true, Ordering::Relaxed)) {
            self.news.notify_waiters();
        }
        RequestGuard { activity: Arc::clone(self), due: true }
    }

    /// Whether a request has begun on this connection.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Resolves when a request has begun.
    pub(super) async fn used(&self) {
        self.until(&self.used).await;
    }

    /// Resolves when a publish has begun.
    pub(super) async fn published(&self) {
        self.until(&self.published).await;
    }

    /// Whether no answer is due. If one is, the task is woken when it has been given.
    pub(super) fn poll_answered(&self, cx: &Context<'_>) -> Poll<()> {
        *self.waits_for_answers.lock() = Some(cx.waker().clone());
        if self.due.load(Ordering::Relaxed) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// A connection that goes on after a stream has been used.
    pub(super) fn resumed() -> Self {
        Self { used: AtomicBool::new(true), ..Self::default() }
    }

    /// Bytes are being sent, or all of them have been.
    pub(super) fn sends(&self, flushed: bool) {
        self.flushed.store(flushed, Ordering::Relaxed);
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// How long there has been no request; `None` while there is one.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        (self.active.load(Ordering::Relaxed) == 0).then(|| self.quiet_since.lock().elapsed())
    }

    async fn until(&self, flag: &AtomicBool) {
        loop {
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            if flag.load(Ordering::Relaxed) {
                return;
            }
            news.await;
        }
    }
}

/// A request that has not come to its end.
#[derive(Debug)]
pub(super) struct RequestGuard {
    activity: Arc<Activity>,
    due: bool,
}

impl RequestGuard {
    /// What is answered is a stream without an end: no answer is due any more.
    pub(super) fn streams(&mut self) {
        let was_last =
            std::mem::take(&mut self.due) && self.activity.due.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && let Some(waker) = self.activity.waits_for_answers.lock().take() {
            waker.wake();
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.streams();
        *self.activity.quiet_since.lock() = Instant::now();
        self.activity.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_since_its_last_request() {
        let activity = Arc::new(Activity::default());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(activity.quiet_for(), Some(Duration::from_secs(1)));
        let (first, second) = (activity.request_begins(false), activity.request_begins(false));
        drop(first);
        assert_eq!(activity.quiet_for(), None);
        drop(second);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(activity.quiet_for(), Some(Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn first_requests_and_first_publishes_are_news() {
        let activity = Arc::new(Activity::default());
        let (mut used, mut published) = (pin!(activity.used()), pin!(activity.published()));
        assert!((&mut used).now_or_never().is_none() && (&mut published).now_or_never().is_none());
        drop(activity.request_begins(false));
        assert!(used.now_or_never().is_some());
        assert!((&mut published).now_or_never().is_none());
        drop(activity.request_begins(true));
        assert!(published.now_or_never().is_some());
        assert!(activity.published().now_or_never().is_some(), "and stay known");
    }

    #[tokio::test]
    async fn an_answer_is_due_until_it_is_given_or_turns_out_to_be_a_stream() {
        let activity = Arc::new(Activity::default());
        let answered = || std::future::poll_fn(|cx| activity.poll_answered(cx));
        answered().await;
        let (mut stream, answer) = (activity.request_begins(false), activity.request_begins(false));
        let mut waiting = pin!(answered());
        assert!((&mut waiting).now_or_never().is_none());
        let task = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { std::future::poll_fn(|cx| activity.poll_answered(cx)).await }
        });
        tokio::task::yield_now().await;
        stream.streams();
        stream.streams();
        assert!(answered().now_or_never().is_none());
        tokio::task::yield_now().await;
        drop(answer);
        assert!(answered().now_or_never().is_some());
        drop(stream);
        assert!(answered().now_or_never().is_some());
        drop(task);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_begun_with_its_own_first_byte() {
        let activity = Activity::default();
        activity.bytes_came(false, true);
        let begun = activity.head_begun().expect("a head");
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.bytes_came(false, true);
        assert_eq!(activity.head_begun(), Some(begun));
        activity.bytes_came(true, true);
        assert_eq!(
            activity.head_begun(),
            Some(begun + Duration::from_secs(1)),
            "the next one is another head"
        );
        activity.bytes_came(true, false);
        assert_eq!(activity.head_begun(), None);
    }
}
