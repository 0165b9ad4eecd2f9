//! A stream on plain HTTP/1.1 between hyper and an event loop of the hub: writes the head of its response, and what there
//! is to replay, at the speed of its reader. When it is live, nothing is left to do here.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use petasos_hub::{SocketOwner, Subscription, chunk};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use super::{exit::Leaving, socket::Socket};

/// What is put together before it is written.
const PIECE_BYTES: usize = 64 << 10;

/// What a client may send ahead while its stream is open.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// See the module.
pub(super) struct PlainStream {
    socket: Socket,
    subscription: Subscription,
    ends_after: bool,
    /// Rung by the hub when the reader takes nothing any more.
    cut: Arc<Notify>,
    read_ahead: BytesMut,
    /// Not written yet.
    out: BytesMut,
}

/// What is to be done.
enum Next {
    /// Something is to be written.
    Write,
    /// Nothing is left to replay.
    Live,
    /// What is to be written is the end of the stream.
    End,
}

impl PlainStream {
    pub(super) fn new(socket: Socket, leaving: Leaving, read_ahead: Bytes, cut: Arc<Notify>) -> Self {
        let (out, ends_after) = (leaving.head_bytes(), leaving.ends_after());
        // What hyper has read may be much more than anybody needs to send ahead. It is not kept for hours.
        let too_much = read_ahead.len() > READ_AHEAD_BYTES;
        let read_ahead = if too_much { BytesMut::new() } else { read_ahead.into() };
        Self {
            socket,
            subscription: leaving.subscription,
            ends_after: ends_after || too_much,
            cut,
            read_ahead,
            out,
        }
    }

    /// Whether the connection ends with the stream.
    pub(super) fn ends_after(&self) -> bool {
        self.ends_after
    }

    /// Serves the stream until it is live; `None` where it, or its connection, ends before.
    pub(super) async fn until_live(mut self) -> Option<Self> {
        let cut = Arc::clone(&self.cut);
        let served = tokio::select! {
            biased;
            () = cut.notified() => {
                self.socket.reset_on_drop();
                return None;
            }
            served = self.serve() => served,
        };
        match served {
            Ok(Next::Live) => Some(self),
            Ok(_) => {
                // A stream that ends while it replays is rare, and its connection need not go on. Fails only on one
                // that is gone.
                let _ = super::wire::Wire::new(self.socket, Bytes::new()).shutdown().await;
                None
            }
            Err(_) => None,
        }
    }

    /// Gives the socket to an event loop.
    pub(super) fn hand_over(self, owner: Box<dyn SocketOwner>) {
        // Fails only where the socket is gone.
        let Ok(socket) = self.socket.into_inner().into_std() else { return };
        self.subscription.hand_over(socket, self.out.freeze(), self.read_ahead.freeze(), owner);
    }

    async fn serve(&mut self) -> io::Result<Next> {
        loop {
            let next = self.next().await?;
            if matches!(next, Next::Live) {
                return Ok(next);
            }
            while !self.out.is_empty() {
                let count = self.socket.write(&self.out).await?;
                self.out.advance(count);
                self.subscription.progressed();
            }
            if matches!(next, Next::End) {
                return Ok(next);
            }
        }
    }

    /// Waits for something to do, and notices a client that leaves meanwhile.
    async fn next(&mut self) -> io::Result<Next> {
        let mut buffer = [0; 1_024];
        loop {
            let room = self.read_ahead.len() < READ_AHEAD_BYTES;
            tokio::select! {
                biased;
                next = poll_fn(|cx| fill(&mut self.subscription, &mut self.out, cx)) => return Ok(next),
                read = self.socket.read(&mut buffer), if room => match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => self.read_ahead.extend_from_slice(&buffer[..count]),
                },
            }
        }
    }
}

/// Takes what the subscription has, until it is enough for one write.
fn fill(subscription: &mut Subscription, out: &mut BytesMut, cx: &mut Context<'_>) -> Poll<Next> {
    loop {
        match subscription.poll_bytes(cx) {
            Poll::Ready(Some(bytes)) => {
                chunk::put(out, &bytes);
                if out.len() >= PIECE_BYTES {
                    return Poll::Ready(Next::Write);
                }
            }
            Poll::Ready(None) => {
                out.put_slice(chunk::LAST);
                return Poll::Ready(Next::End);
            }
            Poll::Pending if subscription.is_live() => return Poll::Ready(Next::Live),
            Poll::Pending if out.is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Next::Write),
        }
    }
}
