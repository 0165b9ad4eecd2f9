//! A subscription as the body of a response. Nothing is buffered here and no task runs here: the connection polls the
//! subscription for ready bytes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;

use super::limits::StreamPermit;
use crate::Subscription;

/// What an open stream holds on to. Dropping it ends the subscription and its place in the limits.
pub(super) struct EventStream {
    subscription: Option<Subscription>,
    _permit: StreamPermit,
}

impl EventStream {
    pub(super) fn new(subscription: Subscription, permit: StreamPermit) -> Self {
        Self { subscription: Some(subscription), _permit: permit }
    }
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    /// One frame for what the subscription hands out at a time, which is whole events: over HTTP/1.1 a frame is a chunk,
    /// and an event must not span two of them (C03).
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(subscription) = &mut self.subscription else { return Poll::Ready(None) };
        match std::task::ready!(subscription.poll_bytes(cx)) {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => {
                self.subscription = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.subscription.is_none()
    }
}
