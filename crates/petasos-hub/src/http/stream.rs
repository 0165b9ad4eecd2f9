//! A subscription as the body of a response. Nothing is buffered here and no task runs here: the connection polls the
//! subscription for ready bytes, or takes it out of the body to serve it by itself.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use parking_lot::Mutex;

use crate::Subscription;

/// The body of a stream. Dropping it ends the subscription.
pub(super) struct EventStream {
    source: Source,
}

enum Source {
    Own(Subscription),
    Shared(OpenStream),
    Ended,
}

/// Stands in the extensions of a response whose body is a stream, where the listener [asked for
/// it](super::ConnectionInfo::takes_streams): it may take the subscription out of the body, answer the fields of the
/// response itself and serve the stream from its own loop.
#[derive(Clone, Debug)]
pub struct OpenStream(Arc<Mutex<Option<Subscription>>>);

impl OpenStream {
    /// The subscription, which leaves an empty body behind. `None` where it was taken, or has ended.
    pub fn take(&self) -> Option<Subscription> {
        self.0.lock().take()
    }
}

impl EventStream {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self { source: Source::Own(subscription) }
    }

    /// A body that its subscription may be taken out of.
    pub(super) fn shared(subscription: Subscription) -> (Self, OpenStream) {
        let open = OpenStream(Arc::new(Mutex::new(Some(subscription))));
        (Self { source: Source::Shared(open.clone()) }, open)
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
        let polled = match &mut self.source {
            Source::Own(subscription) => subscription.poll_bytes(cx),
            Source::Shared(open) => match &mut *open.0.lock() {
                Some(subscription) => subscription.poll_bytes(cx),
                None => Poll::Ready(None),
            },
            Source::Ended => Poll::Ready(None),
        };
        match std::task::ready!(polled) {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => {
                self.source = Source::Ended;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Ended)
    }
}
