//! The bytes between a socket (or the TLS on it) and hyper: what was read before it was known which protocol is spoken
//! is read again, the [framing](super::framing) of HTTP/1 is checked on the way in, and a connection ends gently.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{activity::Activity, framing::Framing};

/// How long a closing connection is read from, so that the peer has read the last response before a byte of its own
/// that nobody took resets the connection and destroys it (decision 26).
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How much is read then.
const LINGER_BYTES: usize = 8 << 20;

/// What hyper sees after the NUL at which the grammar was broken: the end of a head, before which it does not look at a
/// head that came in pieces, and then the end of the connection. Nothing that the peer sent.
const AFTER_REFUSAL: &[u8] = b"\r\n\r\n";

/// See the module.
#[derive(Debug)]
pub(super) struct Wire<S> {
    inner: S,
    /// Read already, and to be read again.
    before: Bytes,
    http1: Option<Http1>,
    end: End,
}

/// What is only looked at in HTTP/1.
#[derive(Debug)]
struct Http1 {
    framing: Framing,
    activity: Arc<Activity>,
}

impl Http1 {
    /// A peer that has said all it has to say still wants its answers, but hyper drops them when it learns of the end.
    /// So hyper learns it later: when no answer is due, or at once where a message is unfinished, or where the answer is
    /// a stream, which nobody is taken to read who has closed his side.
    fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        if self.framing.is_between_messages() { self.activity.poll_answered(cx) } else { Poll::Ready(()) }
    }
}

#[derive(Debug)]
enum End {
    /// Neither side has ended.
    Open,
    /// The peer has ended: there is nothing to wait for.
    PeerEnded,
    /// This side has ended and reads what the peer still sends.
    Lingering { until: Pin<Box<Sleep>>, left_bytes: usize },
    /// Both sides have ended.
    Closed,
}

impl<S> Wire<S> {
    /// For HTTP/2.
    pub(super) fn new(inner: S, before: Bytes) -> Self {
        Self { inner, before, http1: None, end: End::Open }
    }

    /// For HTTP/1. `activity` is told when heads begin and end.
    pub(super) fn http1(inner: S, before: Bytes, activity: Arc<Activity>) -> Self {
        Self { http1: Some(Http1 { framing: Framing::default(), activity }), ..Self::new(inner, before) }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// What is underneath, and what was read from it and not read again.
    pub(super) fn into_inner(self) -> (S, Bytes) {
        (self.inner, self.before)
    }

    fn sends(&self, flushed: bool) {
        if let Some(http1) = &self.http1 {
            http1.activity.sends(flushed);
        }
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let End::Lingering { until, left_bytes } = &mut self.end else { return Poll::Ready(()) };
        let mut thrown_away = [0; 4096];
        loop {
            if *left_bytes == 0 || until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    *left_bytes = left_bytes.saturating_sub(buffer.filled().len());
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.http1.as_ref().is_some_and(|http1| http1.framing.is_refused()) {
            let count = this.before.len().min(buffer.remaining());
            buffer.put_slice(&this.before.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let filled_before = buffer.filled().len();
        if this.before.is_empty() {
            let could_fill = buffer.remaining() > 0;
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
            if could_fill && buffer.filled().len() == filled_before {
                this.end = End::PeerEnded;
                if let Some(http1) = &this.http1 {
                    ready!(http1.poll_ended(cx));
                }
                return Poll::Ready(Ok(()));
            }
        } else {
            let count = this.before.len().min(buffer.remaining());
            buffer.put_slice(&this.before.split_to(count));
        }
        if let Some(http1) = &mut this.http1 {
            let heads_before = http1.framing.heads();
            let passed = http1.framing.inspect(&mut buffer.filled_mut()[filled_before..]);
            buffer.set_filled(filled_before + passed);
            if http1.framing.is_refused() {
                this.before = Bytes::from_static(AFTER_REFUSAL);
            }
            http1.activity.bytes_came(http1.framing.heads() != heads_before, http1.framing.in_head());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.sends(false);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.sends(false);
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// hyper comes here when it has written everything that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.sends(true);
        Poll::Ready(Ok(()))
    }

    /// Ends this side (with TLS: says so), then reads on for a while: see [`LINGER_TIME`].
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.end, End::Open | End::PeerEnded) {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.end = match this.end {
                End::Open => End::Lingering { until: Box::pin(sleep(LINGER_TIME)), left_bytes: LINGER_BYTES },
                _ => End::Closed,
            };
        }
        ready!(this.poll_linger(cx));
        this.end = End::Closed;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_read_before_is_read_again() {
        let (mut peer, inner) = duplex(64);
        peer.write_all(b"def").await.expect("room");
        drop(peer);
        let mut all = String::new();
        Wire::new(inner, Bytes::from_static(b"abc")).read_to_string(&mut all).await.expect("text");
        assert_eq!(all, "abcdef");
    }

    #[tokio::test]
    async fn nothing_comes_after_a_broken_message() {
        let (mut peer, inner) = duplex(64);
        peer.write_all(b" x\r\n\r\nGET / HTTP/1.1\r\n\r\n").await.expect("room");
        let mut wire = Wire::http1(inner, Bytes::from_static(b"GET / HTTP/1.1\r\n"), Arc::default());
        let mut all = String::new();
        wire.read_to_string(&mut all).await.expect("an end, though the peer is still there");
        assert_eq!(all, "GET / HTTP/1.1\r\n\0\r\n\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_connection_is_read_from_until_the_peer_closes() {
        let (mut peer, inner) = duplex(16);
        let closing = tokio::spawn(async move { Wire::new(inner, Bytes::new()).shutdown().await });
        peer.write_all(&[0; 100]).await.expect("somebody reads");
        assert_eq!(peer.read(&mut [0]).await.expect("the end"), 0);
        assert!(!closing.is_finished());
        drop(peer);
        closing.await.expect("no panic").expect("closed");
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_ends_by_itself() {
        let (peer, inner) = duplex(16);
        let begun = tokio::time::Instant::now();
        Wire::new(inner, Bytes::new()).shutdown().await.expect("closed");
        assert_eq!(begun.elapsed(), LINGER_TIME);
        drop(peer);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_lingers_for_a_peer_that_has_ended() {
        let (mut peer, inner) = duplex(16);
        peer.shutdown().await.expect("an end");
        let mut wire = Wire::new(inner, Bytes::new());
        assert_eq!(wire.read(&mut [0]).await.expect("the end"), 0);
        let begun = tokio::time::Instant::now();
        wire.shutdown().await.expect("closed");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
