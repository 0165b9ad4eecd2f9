//! The order of the publishes of one connection. Knows nothing of HTTP but that requests come one after the other.
//!
//! Concurrency: every place in a line has one holder (the task of its request). Whoever lets the first place go wakes
//! the holder of the next one; nobody else is woken. The line is as long as the requests under way on one connection,
//! which the listener bounds. A request that is dropped lets its place go, so nothing waits for ever.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use parking_lot::Mutex;

/// The order of the publishes of one connection: requests are appended in the order in which their heads came, and
/// still share commits.
#[derive(Clone, Debug, Default)]
pub struct PublishOrder {
    line: Arc<Mutex<Line>>,
}

impl PublishOrder {
    /// Takes the next place. The listener calls this for every request, in the order of their heads, and puts the
    /// [`Turn`] into the request's extensions.
    pub fn next_turn(&self) -> Turn {
        let mut line = self.line.lock();
        let number = line.first + line.places.len() as u64;
        line.places.push_back(Place::default());
        Turn { held: Arc::new(Held { line: Arc::clone(&self.line), number }) }
    }
}

/// A place in a connection's order. Dropping it, and with it all its clones, lets the next one go on.
#[derive(Clone, Debug)]
pub struct Turn {
    held: Arc<Held>,
}

impl Turn {
    /// Waits until every earlier place has been let go. One task at a time may wait for a place.
    pub(super) async fn wait(&self) {
        poll_fn(|cx| {
            let mut line = self.held.line.lock();
            match line.place(self.held.number) {
                Some((0, _)) | None => Poll::Ready(()),
                Some((_, place)) => {
                    place.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Lets the next one go on, whether or not clones of this one are still about. Calling it again does nothing.
    pub(super) fn release(&self) {
        self.held.release();
    }
}

/// What the clones of a turn share.
#[derive(Debug)]
struct Held {
    line: Arc<Mutex<Line>>,
    number: u64,
}

impl Held {
    fn release(&self) {
        let next = self.line.lock().release(self.number);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[derive(Debug, Default)]
struct Line {
    /// The number of the first place of `places`. Everything before it has been let go.
    first: u64,
    places: VecDeque<Place>,
}

#[derive(Debug, Default)]
struct Place {
    released: bool,
    waker: Option<Waker>,
}

impl Line {
    /// The place with this number and how many stand before it; `None` where it has been let go.
    fn place(&mut self, number: u64) -> Option<(usize, &mut Place)> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        Some((index, self.places.get_mut(index)?))
    }

    /// Lets a place go and returns whom to wake.
    fn release(&mut self, number: u64) -> Option<Waker> {
        self.place(number)?.1.released = true;
        let before = self.first;
        while self.places.front().is_some_and(|place| place.released) {
            self.places.pop_front();
            self.first += 1;
        }
        if self.first == before {
            return None;
        }
        self.places.front_mut()?.waker.take()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_first_place_need_not_wait() {
        let order = PublishOrder::default();
        order.next_turn().wait().await;
    }

    #[tokio::test]
    async fn a_place_waits_for_all_earlier_ones_whatever_the_order_they_go_in() {
        let order = PublishOrder::default();
        let (first, second, third) = (order.next_turn(), order.next_turn(), order.next_turn());
        assert!(third.wait().now_or_never().is_none());
        drop(second);
        assert!(third.wait().now_or_never().is_none(), "the first is still there");
        drop(first);
        assert!(third.wait().now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_waiting_task_is_woken() {
        let order = PublishOrder::default();
        let (first, second) = (order.next_turn(), order.next_turn());
        let waiting = tokio::spawn(async move { second.wait().await });
        tokio::task::yield_now().await;
        first.release();
        waiting.await.expect("the second place came");
    }

    #[tokio::test]
    async fn a_waiting_request_that_is_cancelled_does_not_stop_the_line() {
        let order = PublishOrder::default();
        let (first, second, third) = (order.next_turn(), order.next_turn(), order.next_turn());
        let cancelled = tokio::spawn(async move { second.wait().await });
        let waiting = tokio::spawn(async move { third.wait().await });
        tokio::task::yield_now().await;
        cancelled.abort();
        assert!(cancelled.await.is_err());
        drop(first);
        waiting.await.expect("the third place came");
    }

    #[tokio::test]
    async fn release_counts_once_and_before_the_clones_are_dropped() {
        let order = PublishOrder::default();
        let (first, second, third) = (order.next_turn(), order.next_turn(), order.next_turn());
        let clone = first.clone();
        first.release();
        first.release();
        drop(clone);
        assert!(second.wait().now_or_never().is_some());
        assert!(third.wait().now_or_never().is_none());
        drop((first, second));
        assert!(third.wait().now_or_never().is_some());
        drop(third);
        assert!(order.line.lock().places.is_empty());
    }
}
