//! A TCP socket with the options that a hub wants, and with a bound on how long it may take no bytes. Knows nothing of
//! TLS or HTTP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rand::Rng;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// The system counts these times in seconds.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is set on sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketOptions {
    /// After how long a peer that acknowledges nothing is gone at the latest.
    pub(super) peer_timeout: Duration,
    /// How long the hub waits for a reader that takes no bytes; the system must not give up before.
    pub(super) dispatch_timeout: Duration,
    /// `SO_SNDBUF` in bytes; zero leaves the system's choice.
    pub(super) send_buffer_bytes: usize,
}

impl SocketOptions {
    /// Sets them on a listening socket, from which accepted ones inherit them: so a connection costs no system call.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn apply(&self, listener: &impl std::os::fd::AsFd) -> io::Result<()> {
        let socket = SockRef::from(listener);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&self.keepalive())?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout()))?;
        if self.send_buffer_bytes > 0 {
            socket.set_send_buffer_size(self.send_buffer_bytes)?;
        }
        Ok(())
    }

    /// Gives a connection a time of its own after which it is probed. Connections that came in one wave, after a restart
    /// for instance, would otherwise be probed in one too: tens of thousands of packets in a moment are more than the
    /// queue of a network device takes, and who is not heard of looks dead. Seen on loopback, where 6,000 of 10,000
    /// idle streams were lost for it.
    pub(super) fn stagger(&self, socket: &impl std::os::fd::AsFd) {
        let (first, last) = self.probed_after();
        let time = Duration::from_secs(rand::rng().random_range(first.as_secs()..=last.as_secs()));
        // Fails only on a connection that is gone.
        let _ = SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(time));
    }

    /// The system gives up after [`Self::user_timeout`], counted from the first byte that is not acknowledged, or from the
    /// last sign of life of an idle connection. In the worst case that byte is sent just before the probes of an idle
    /// connection would have found out, so twice that time must be less than `peer_timeout`. Between the first probe and
    /// the end there is time for three at least, because one may be lost.
    fn keepalive(&self) -> TcpKeepalive {
        TcpKeepalive::new()
            .with_time(self.probed_after().0)
            .with_interval((self.peer_timeout / 15).max(SHORTEST))
    }

    /// After how long without a sign of life a peer is probed: the first and the last moment.
    fn probed_after(&self) -> (Duration, Duration) {
        ((self.peer_timeout * 2 / 15).max(SHORTEST), (self.peer_timeout * 4 / 15).max(SHORTEST))
    }

    /// `TCP_USER_TIMEOUT`. It also ends connections whose peer keeps its window closed, which is the business of the
    /// hub: hence not before `dispatch_timeout`.
    fn user_timeout(&self) -> Duration {
        (self.peer_timeout * 13 / 30).max(self.dispatch_timeout + Duration::from_secs(1))
    }

    /// How long a socket may take no bytes, whatever they are. Streams are watched by the hub as well, and more closely.
    pub(super) fn write_timeout(&self) -> Duration {
        self.peer_timeout.max(self.dispatch_timeout + Duration::from_secs(1))
    }
}

/// A connection. Fails with [`io::ErrorKind::TimedOut`] when its peer takes no bytes for too long.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while a write waits; there is none in the life of most connections.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, stall: None }
    }

    /// The connection without the watch over its writes.
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Makes dropping it a reset, which gives up at once what the kernel still holds for the peer.
    pub(super) fn reset_on_drop(&self) {
        // Fails only on a socket that is gone already.
        let _ = self.stream.set_zero_linger();
    }

    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let limit = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const OPTIONS: SocketOptions = SocketOptions {
        peer_timeout: Duration::from_secs(30),
        dispatch_timeout: Duration::from_secs(5),
        send_buffer_bytes: 32 << 10,
    };

    async fn pair(options: SocketOptions) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        options.apply(&listener).expect("the options");
        let client =
            TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        (client, listener.accept().await.expect("a connection").0)
    }

    #[tokio::test]
    async fn accepted_sockets_have_the_options_of_their_listener() {
        let (_client, accepted) = pair(OPTIONS).await;
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("TCP_NODELAY"));
        assert!(socket.keepalive().expect("SO_KEEPALIVE"));
        assert_eq!(socket.tcp_keepalive_time().expect("TCP_KEEPIDLE"), Duration::from_secs(4));
        assert_eq!(socket.tcp_keepalive_interval().expect("TCP_KEEPINTVL"), Duration::from_secs(2));
        #[cfg(target_os = "linux")]
        {
            let timeout = socket.tcp_user_timeout().expect("TCP_USER_TIMEOUT").expect("one is set");
            assert_eq!(timeout, Duration::from_secs(13));
            // The kernel doubles what it is asked for, for its own bookkeeping.
            assert_eq!(socket.send_buffer_size().expect("SO_SNDBUF"), 64 << 10);
        }
    }

    #[test]
    fn a_vanished_peer_is_gone_within_the_timeout_in_the_worst_case() {
        // As late as it goes without being found out, a byte that is never acknowledged.
        assert!(OPTIONS.user_timeout() * 2 < OPTIONS.peer_timeout);
    }

    #[test]
    fn a_peer_whose_first_two_answers_are_lost_is_still_heard() {
        let (_, last) = OPTIONS.probed_after();
        assert!(last + OPTIONS.peer_timeout / 15 * 2 < OPTIONS.user_timeout());
    }

    #[tokio::test]
    async fn connections_of_one_wave_are_not_probed_in_one() {
        let (_client, accepted) = pair(OPTIONS).await;
        let times: std::collections::BTreeSet<_> = (0..200)
            .map(|_| {
                OPTIONS.stagger(&accepted);
                SockRef::from(&accepted).tcp_keepalive_time().expect("TCP_KEEPIDLE").as_secs()
            })
            .collect();
        assert_eq!(times, (4..=8).collect());
    }

    #[test]
    fn the_system_does_not_give_up_before_the_hub_does() {
        let patient = SocketOptions { dispatch_timeout: Duration::from_secs(60), ..OPTIONS };
        assert_eq!(patient.user_timeout(), Duration::from_secs(61));
        assert_eq!(patient.write_timeout(), Duration::from_secs(61));
        assert_eq!(OPTIONS.write_timeout(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (_client, accepted) = pair(OPTIONS).await;
        let mut socket = Socket::new(accepted, Duration::from_millis(50));
        let error = socket.write_all(&vec![0; 64 << 20]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_is_not() {
        let (mut client, accepted) = pair(OPTIONS).await;
        let mut socket = Socket::new(accepted, Duration::from_millis(500));
        let writing = tokio::spawn(async move { socket.write_all(&vec![0; 1 << 20]).await });
        let mut left = 1 << 20;
        let mut buffer = vec![0; 128 << 10];
        while left > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            left -= client.read(&mut buffer).await.expect("bytes");
        }
        writing.await.expect("no panic").expect("all is written");
    }
}
