//! Finds out whether a server on a plaintext connection speaks HTTP/2, from the first bytes it sends.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// A stream that tells whether the first bytes it read are the beginning of HTTP/2: a `SETTINGS` frame, whose type is
/// the fourth byte. A server that does not speak it answers the preface with an HTTP/1.1 error, or closes.
#[derive(Debug)]
pub(super) struct Sniffed<S> {
    inner: S,
    seen: usize,
    tell: Option<oneshot::Sender<bool>>,
}

impl<S> Sniffed<S> {
    /// Wraps a stream; the verdict comes once, when enough bytes or the end have come.
    pub(super) fn new(inner: S) -> (Self, oneshot::Receiver<bool>) {
        let (tell, told) = oneshot::channel();
        (Self { inner, seen: 0, tell: Some(tell) }, told)
    }
}

/// Where the type stands in a frame, and that of `SETTINGS`.
const FRAME_TYPE_AT: usize = 3;
const SETTINGS: u8 = 4;

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if this.tell.is_some() && polled.is_ready() {
            let bytes = &buf.filled()[before..];
            let verdict = match bytes.get(FRAME_TYPE_AT.saturating_sub(this.seen)) {
                Some(frame_type) => Some(*frame_type == SETTINGS),
                None if bytes.is_empty() => Some(false),
                None => None,
            };
            this.seen += bytes.len();
            if let Some(verdict) = verdict
                && let Some(tell) = this.tell.take()
            {
                let _ = tell.send(verdict);
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn verdict(bytes: &'static [u8], cut: usize) -> bool {
        let chunks = [&bytes[..cut], &bytes[cut..]].map(Ok::<_, std::io::Error>);
        let reader = tokio_util::io::StreamReader::new(futures_util::stream::iter(chunks));
        let (mut stream, told) = Sniffed::new(reader);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("readable");
        assert_eq!(all, bytes, "nothing is swallowed");
        told.await.expect("a verdict")
    }

    #[tokio::test]
    async fn a_settings_frame_is_http_2_and_anything_else_is_not() {
        const SETTINGS_FRAME: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
        for cut in 0..SETTINGS_FRAME.len() {
            assert!(verdict(SETTINGS_FRAME, cut).await, "cut at {cut}");
        }
        for other in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\0\0\0", b"", b"\0\0\0\x07\0\0\0\0\0"] {
            assert!(!verdict(other, 0).await, "{other:?}");
        }
    }
}
