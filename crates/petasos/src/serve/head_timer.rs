//! Two time limits where hyper has one. hyper runs a single timer from when it waits for a request head until it has
//! it. But a connection may be kept alive for longer between two requests than a head may take, and an unfinished head
//! must not profit from that. So hyper gets a timer that looks at what came over the wire.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;

/// The timer of one connection.
#[derive(Clone, Debug)]
pub(super) struct HeadTimer {
    /// What a head may take, and how long a new connection may stay silent.
    pub(super) head: Duration,
    /// How long a connection may be kept alive between requests.
    pub(super) idle: Duration,
    /// Knows when heads began.
    pub(super) activity: Arc<Activity>,
}

impl rt::Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn rt::Sleep>> {
        let silence = if self.activity.is_used() { self.idle } else { self.head };
        let silence_ends = Instant::now() + silence;
        Box::pin(HeadSleep {
            silence_ends,
            head: self.head,
            activity: Arc::clone(&self.activity),
            sleep: Box::pin(sleep_until(silence_ends)),
        })
    }

    /// hyper asks for the timeout it was given, which stands for both of ours.
    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep(Duration::ZERO)
    }
}

/// Waits for a head.
#[derive(Debug)]
struct HeadSleep {
    silence_ends: Instant,
    head: Duration,
    activity: Arc<Activity>,
    sleep: Pin<Box<Sleep>>,
}

impl rt::Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    /// hyper polls this whenever it has read something and still has no whole head.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.activity.head_begun().map_or(self.silence_ends, |begun| begun + self.head);
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn timer(used: bool) -> HeadTimer {
        let activity = Arc::new(Activity::default());
        if used {
            drop(activity.request_begins(false));
        }
        HeadTimer { head: HEAD, idle: IDLE, activity }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_may_be_silent_for_as_long_as_a_head_may_take() {
        let begun = Instant::now();
        timer(false).sleep(Duration::ZERO).await;
        assert_eq!(begun.elapsed(), HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_one_may_be_silent_for_longer() {
        let begun = Instant::now();
        timer(true).sleep(Duration::ZERO).await;
        assert_eq!(begun.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_whatever_comes_after() {
        let timer = timer(true);
        let mut sleep = timer.sleep(Duration::ZERO);
        tokio::time::advance(Duration::from_secs(55)).await;
        timer.activity.bytes_came(false, true);
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(9)).await;
        timer.activity.bytes_came(false, true);
        assert!(futures_util::poll!(&mut sleep).is_pending());
        sleep.await;
        assert_eq!(begun.elapsed(), HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_head_counts_no_more() {
        let timer = timer(true);
        timer.activity.bytes_came(false, true);
        timer.activity.bytes_came(true, false);
        let begun = Instant::now();
        timer.sleep(Duration::ZERO).await;
        assert_eq!(begun.elapsed(), IDLE);
    }
}
