//! One connection, from its first byte to its last: TLS, which HTTP it speaks, and what hyper is told to allow.
//!
//! Concurrency: one task per connection, spawned and counted by [`super::listener`]; HTTP/2 adds one per stream. Streams
//! on plain HTTP/1.1 leave hyper by their [exit](super::exit): their sockets go to the event loops of the hub. The task
//! waits for hyper, for its time limits, for the drain and, with HTTP/1, for the hub to cut it, all in one
//! `select!`. What it holds of the peer's bytes is bounded by [`HEAD_BYTES`] and the HTTP/2 windows.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    activity::Activity,
    drain::Phase,
    exit::{Exit, Leaving},
    head_timer::HeadTimer,
    service::{ConnectionService, Peer},
    sniff::{Protocol, sniff},
    socket::Socket,
    stream::PlainStream,
    tls::{self, Tls},
    wire::Wire,
};

/// The longest request head in bytes; longer ones are answered 431. A target of 60 KiB (hyper's own limit is 64 KiB: 414)
/// and a token and cookies beside it. hyper buffers no more than this for a connection that reads slowly, either.
const HEAD_BYTES: usize = 128 << 10;

/// The same for HTTP/2, whose count adds 32 bytes for each field.
const HEADER_LIST_BYTES: u32 = 96 << 10;

/// Streams of one HTTP/2 connection. A proxy that needs more opens another connection.
const MAX_STREAMS: u32 = 250;

/// What a client may send on one HTTP/2 stream, and on all of one connection, before somebody reads it.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// What hyper holds for one HTTP/2 stream whose reader is slow.
const STREAM_SEND_BYTES: usize = 64 << 10;

/// A connection that was accepted but has not sent its request when the hub stops may still do so: it was queued while
/// the hub said that it takes requests (decision 26).
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(1);

/// How long an HTTP/2 client may take to answer that it knows the connection ends.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// Time limits of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// See [`HeadTimer`]; a TLS handshake may take as long, too.
    pub(super) head: Duration,
    /// How long a connection may be kept alive between requests.
    pub(super) idle: Duration,
    /// After how long a peer that says nothing is asked whether it is there (HTTP/2); it has as long to answer.
    pub(super) ping: Duration,
    /// How long a socket may take no bytes.
    pub(super) write: Duration,
}

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Connections {
    router: axum::Router,
    tls: Option<Arc<Tls>>,
    limits: TimeLimits,
    phase: watch::Receiver<Phase>,
}

impl Connections {
    pub(super) fn new(
        router: axum::Router,
        tls: Option<Arc<Tls>>,
        limits: TimeLimits,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self { router, tls, limits, phase }
    }

    /// The phase that connections follow.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Serves one connection to its end, or to where its stream is live: then that is returned. What went wrong on the
    /// way is the peer's doing and nobody's news.
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr) -> Option<PlainStream> {
        let mut socket = Socket::new(stream, self.limits.write);
        let Some(tls) = &self.tls else {
            let (protocol, before) = self.opening(sniff(&mut socket)).await?;
            return self.speak(protocol, socket, before, peer, false).await?.until_live().await;
        };
        let handshake = async {
            let mut stream = tls.acceptor().accept(socket).await?;
            if !tls::is_http2(&stream) {
                return Ok((Protocol::Http1, Bytes::new(), stream));
            }
            // The whole preface is waited for here, because hyper would wait for it without a limit.
            let (protocol, before) = sniff(&mut stream).await?;
            Ok((protocol, before, stream))
        };
        let (protocol, before, stream) = self.opening(Box::pin(handshake)).await?;
        self.speak(protocol, stream, before, peer, true).await?;
        None
    }

    /// Goes on with a connection whose stream has ended, as [`Self::serve`] does. `ends_after`: it ends as well.
    pub(super) async fn resume(
        &self,
        stream: TcpStream,
        before: Bytes,
        peer: SocketAddr,
        ends_after: bool,
    ) -> Option<PlainStream> {
        let socket = Socket::new(stream, self.limits.write);
        if ends_after || *self.phase.borrow() >= Phase::Closing {
            // Fails only on a connection that is gone.
            let _ = Wire::new(socket, Bytes::new()).shutdown().await;
            return None;
        }
        let activity = Arc::new(Activity::resumed());
        self.http1(socket, before, peer, false, activity).await?.until_live().await
    }

    /// Waits for what comes before the first request, for as long as a head may take.
    async fn opening<T>(&self, future: impl Future<Output = std::io::Result<T>>) -> Option<T> {
        let mut phase = self.phase.clone();
        let stopping = async {
            reached(&mut phase, Phase::Closing).await;
            sleep(FIRST_REQUEST_TIME).await;
        };
        tokio::select! {
            biased;
            done = timeout(self.limits.head, future) => done.ok()?.ok(),
            () = stopping => None,
        }
    }

    async fn speak<S: Transport>(
        &self,
        protocol: Protocol,
        stream: S,
        before: Bytes,
        peer: SocketAddr,
        tls: bool,
    ) -> Option<PlainStream> {
        match protocol {
            Protocol::Http1 => Box::pin(self.http1(stream, before, peer, tls, Arc::default())).await,
            Protocol::Http2 => {
                Box::pin(self.http2(stream, before, peer, tls)).await;
                None
            }
        }
    }

    /// Returns a stream that leaves hyper, if one does.
    async fn http1<S: Transport>(
        &self,
        stream: S,
        before: Bytes,
        address: SocketAddr,
        tls: bool,
        activity: Arc<Activity>,
    ) -> Option<PlainStream> {
        let cut = Arc::new(Notify::new());
        let timer =
            HeadTimer { head: self.limits.head, idle: self.limits.idle, activity: Arc::clone(&activity) };
        let mut builder = http1::Builder::new();
        builder
            .timer(timer)
            // Any value: the timer knows better.
            .header_read_timeout(self.limits.head)
            .max_header_size(HEAD_BYTES)
            // hyper's own limit of 100 fields is enough; setting it would cost an allocation for each request.
            .max_buf_size(HEAD_BYTES);
        let exit = (!tls).then(Exit::default);
        let peer = Peer { address, tls, cut: Some(Arc::clone(&cut)), exit: exit.clone() };
        let wire = TokioIo::new(Wire::http1(stream, before, Arc::clone(&activity)));
        let mut connection = builder.serve_connection(wire, self.service(peer, &activity));

        let mut is_cut = pin!(cut.notified());
        let mut must_end = pin!(self.must_end(&activity));
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                () = &mut is_cut => {
                    connection.into_parts().io.inner().get_ref().reset_on_drop();
                    return None;
                }
                moved = until_end_or_exit(&mut connection, exit.as_ref(), &activity) => match moved {
                    // Where this ends without an error, hyper has shut down the wire, which lingers.
                    Moved::Ended(ended) => {
                        tell_end(address, ended);
                        break;
                    }
                    Moved::Leaves(leaving) => {
                        let parts = connection.into_parts();
                        let (stream, unread) = parts.io.into_inner().into_inner();
                        let read_ahead = [&parts.read_buf[..], &unread].concat().into();
                        return stream.plain().map(|socket| {
                            PlainStream::new(socket, *leaving, read_ahead, Arc::clone(&cut))
                        });
                    }
                },
                () = &mut must_end, if !ending => {
                    if !activity.is_used() {
                        break;
                    }
                    ending = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
        // Where it ended with an error, it has not. Either way this fails only on a connection that is gone.
        let _ = connection.into_parts().io.into_inner().shutdown().await;
        None
    }

    async fn http2<S: Transport>(&self, stream: S, before: Bytes, address: SocketAddr, tls: bool) {
        let activity = Arc::new(Activity::default());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.ping)
            .keep_alive_timeout(self.limits.ping)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(HEADER_LIST_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(STREAM_SEND_BYTES);
        let peer = Peer { address, tls, cut: None, exit: None };
        let wire = TokioIo::new(Wire::new(stream, before));
        let mut connection = pin!(builder.serve_connection(wire, self.service(peer, &activity)));

        tokio::select! {
            biased;
            ended = &mut connection => return tell_end(address, ended),
            () = self.must_end(&activity) => {}
            () = self.must_move(&activity) => {}
            () = self.is_idle(&activity) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            ended = &mut connection => tell_end(address, ended),
            () = has_been_quiet(&activity, || GOODBYE_TIME) => {}
        }
    }

    fn service(&self, peer: Peer, activity: &Arc<Activity>) -> ConnectionService {
        ConnectionService::new(self.router.clone(), peer, Arc::clone(activity), self.phase.clone())
    }

    /// Resolves when the connection is to end after what is under way on it: the hub stops.
    async fn must_end(&self, activity: &Activity) {
        reached(&mut self.phase.clone(), Phase::Closing).await;
        // Whether it came does not matter any more.
        let _ = timeout(FIRST_REQUEST_TIME, activity.used()).await;
    }

    /// Resolves when a publisher is to take another connection, while this one's streams go on (decision 26).
    async fn must_move(&self, activity: &Activity) {
        reached(&mut self.phase.clone(), Phase::Leaving).await;
        activity.published().await;
    }

    /// Resolves when nobody has used an HTTP/2 connection for too long, though its peer may answer pings.
    async fn is_idle(&self, activity: &Activity) {
        let limits = self.limits;
        has_been_quiet(activity, || if activity.is_used() { limits.idle } else { limits.head }).await;
    }
}

/// A stream of bytes to a peer that can be cut off.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes dropping it a reset.
    fn reset_on_drop(&self);

    /// The socket, where there is nothing between it and HTTP.
    fn plain(self) -> Option<Socket>;
}

impl Transport for Socket {
    fn plain(self) -> Option<Socket> {
        Some(self)
    }

    fn reset_on_drop(&self) {
        Self::reset_on_drop(self);
    }
}

impl Transport for TlsStream<Socket> {
    fn plain(self) -> Option<Socket> {
        None
    }

    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

/// What becomes of a connection on HTTP/1.
enum Moved {
    Ended(hyper::Result<()>),
    Leaves(Box<Leaving>),
}

/// Lets hyper work until its connection ends, or until a stream is to leave it and everything before is on its way.
async fn until_end_or_exit<C: Future<Output = hyper::Result<()>> + Unpin>(
    connection: &mut C,
    exit: Option<&Exit>,
    activity: &Activity,
) -> Moved {
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(Moved::Ended(ended));
        }
        // hyper flushes in every call: what is not flushed behind it waits for the socket, which wakes this.
        match exit.filter(|_| activity.is_flushed()).and_then(Exit::take) {
            Some(leaving) => Poll::Ready(Moved::Leaves(Box::new(leaving))),
            None => Poll::Pending,
        }
    })
    .await
}

/// What is wrong with a request that hyper refuses by itself is known here only. Its errors show nothing of the request.
fn tell_end(peer: SocketAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Resolves when the hub has come to this phase, or past it.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // A hub that is gone has come past every phase.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Resolves when there has been no request for so long.
async fn has_been_quiet(activity: &Activity, limit: impl Fn() -> Duration) {
    loop {
        let limit = limit();
        match activity.quiet_for() {
            Some(quiet) if quiet >= limit => return,
            Some(quiet) => sleep(limit - quiet).await,
            None => sleep(limit).await,
        }
    }
}
