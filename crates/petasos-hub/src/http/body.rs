//! Reading the body of a request within bounds of size and time, and getting rid of one that nobody wants.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::{fault::Fault, response::Rejection};

/// How long a body may take, however small it is: with the time until it is noticed and answered, unfinished bodies are
/// cut off within 30 s.
const READ_TIME: Duration = Duration::from_secs(29);

/// Every so many bytes received earn a body one more second: a large allowed body may come over a slow line, and one
/// that trickles is cut off soon after [`READ_TIME`].
const BYTES_PER_SECOND: usize = 64 << 10;

/// How much of a refused body is read and thrown away, so that a client that first writes everything and then reads
/// gets to see the answer (P12). What is larger is cut off.
const DISCARD_BYTES: usize = 8 << 20;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(3);

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// Larger than the limit: 413.
    TooLarge,
    /// Not finished in time: 408.
    TooSlow,
    /// The connection broke, or the body's framing is malformed.
    Broken,
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(Fault::BodyTooLarge),
            BodyError::TooSlow => Self::new(Fault::BodyTooSlow).closing(),
            BodyError::Broken => Self::new(Fault::BrokenBody).closing(),
        }
    }
}

/// The body of a request, unread as yet.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Body,
    /// `Content-Length`, where there is one.
    declared: Option<u64>,
    /// The client waits for `100 Continue` and has sent nothing yet. The first read makes it send.
    waits_to_send: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unfinished,
    Finished,
    /// It broke or took too long: nothing good will come any more.
    GivenUp,
}

impl RequestBody {
    pub(super) fn new(body: Body, headers: &HeaderMap) -> Self {
        let declared = body.size_hint().exact().or_else(|| {
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
        });
        let waits_to_send = headers
            .get(header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { body, declared, waits_to_send, state: State::Unfinished }
    }

    /// Whether it is known to be empty.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_end_stream() || self.declared == Some(0)
    }

    /// Reads all of it. At most one chunk more than `limit_bytes` is held in memory; a limit of zero is none (P12).
    ///
    /// # Errors
    /// See [`BodyError`]. The caller then [refuses](Self::refuse) what is left.
    pub(super) async fn read(&mut self, limit_bytes: usize) -> Result<Bytes, BodyError> {
        let limit_bytes = if limit_bytes == 0 { usize::MAX } else { limit_bytes };
        if self.declared.is_some_and(|length| length > limit_bytes as u64) {
            return Err(BodyError::TooLarge);
        }
        self.waits_to_send = false;
        let begun = Instant::now();
        let mut whole = Collected::default();
        loop {
            let earned = Duration::from_secs((whole.len() / BYTES_PER_SECOND) as u64);
            match timeout_at(begun + READ_TIME + earned, self.body.frame()).await {
                Err(_) => {
                    self.state = State::GivenUp;
                    return Err(BodyError::TooSlow);
                }
                Ok(None) => {
                    self.state = State::Finished;
                    return Ok(whole.into_bytes());
                }
                Ok(Some(Err(_))) => {
                    self.state = State::GivenUp;
                    return Err(BodyError::Broken);
                }
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing to us.
                    let Ok(chunk) = frame.into_data() else { continue };
                    if chunk.len() > limit_bytes - whole.len() {
                        return Err(BodyError::TooLarge);
                    }
                    whole.push(chunk);
                }
            }
        }
    }

    /// Makes `rejection` one that the client can read: gets rid of what it is still sending, and ends the connection
    /// behind the answer where that is too much.
    pub(super) async fn refuse(self, rejection: Rejection) -> Rejection {
        if self.discard().await { rejection } else { rejection.closing() }
    }

    /// Reads and throws away what is left, within bounds, and returns whether that was all: if not, the connection
    /// cannot carry another request.
    async fn discard(mut self) -> bool {
        if self.state == State::Finished || self.body.is_end_stream() {
            return true;
        }
        // While the client waits to send, reading would ask it for what nobody wants.
        if self.state == State::GivenUp || self.waits_to_send {
            return false;
        }
        // Its end would not be reached: better an answer at once, which clients that look while they write will see.
        if self.declared.is_some_and(|length| length > DISCARD_BYTES as u64) {
            return false;
        }
        let until = Instant::now() + DISCARD_TIME;
        let mut discarded_bytes = 0;
        while discarded_bytes < DISCARD_BYTES {
            match timeout_at(until, self.body.frame()).await {
                Ok(None) => return true,
                Ok(Some(Ok(frame))) => discarded_bytes += frame.data_ref().map_or(0, Bytes::len),
                Ok(Some(Err(_))) | Err(_) => return false,
            }
        }
        false
    }
}

/// Chunks put together. A body that came in one piece, as nearly all do, is not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    joined: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, chunk: Bytes) {
        if self.len() == 0 {
            self.first = chunk;
            return;
        }
        if !self.first.is_empty() {
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&chunk);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::Frame;

    use super::*;

    /// Chunks with a pause before each, and the promise of more than it has if `stuck`.
    struct Chunks {
        left: usize,
        chunk: Bytes,
        pause: Duration,
        stuck: bool,
        sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    }

    impl Chunks {
        fn new(count: usize, chunk: &'static [u8]) -> Self {
            Self {
                left: count,
                chunk: Bytes::from_static(chunk),
                pause: Duration::ZERO,
                stuck: false,
                sleep: None,
            }
        }

        fn into_body(self) -> RequestBody {
            RequestBody::new(Body::new(self), &HeaderMap::new())
        }
    }

    impl http_body::Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return if self.stuck { Poll::Pending } else { Poll::Ready(None) };
            }
            if !self.pause.is_zero() {
                let pause = self.pause;
                let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            self.left -= 1;
            Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
        }
    }

    #[tokio::test]
    async fn chunks_are_put_together() {
        assert_eq!(Chunks::new(1, b"abc").into_body().read(3).await, Ok(Bytes::from_static(b"abc")));
        assert_eq!(Chunks::new(3, b"abc").into_body().read(9).await, Ok(Bytes::from_static(b"abcabcabc")));
        assert_eq!(Chunks::new(0, b"").into_body().read(0).await, Ok(Bytes::new()));
    }

    #[tokio::test]
    async fn p12_the_limit_is_exact_and_zero_is_none() {
        assert_eq!(Chunks::new(2, b"abc").into_body().read(5).await, Err(BodyError::TooLarge));
        assert!(Chunks::new(2, b"abc").into_body().read(6).await.is_ok());
        assert!(Chunks::new(2, b"abc").into_body().read(0).await.is_ok());
    }

    #[tokio::test]
    async fn p12_a_declared_length_over_the_limit_is_refused_before_anything_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "1073741824".parse().expect("a value"));
        let mut stuck = Chunks::new(0, b"");
        stuck.stuck = true;
        let mut body = RequestBody::new(Body::new(stuck), &headers);
        assert_eq!(body.read(1 << 20).await, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_body_is_cut_off_within_thirty_seconds() {
        let mut stuck = Chunks::new(1, b"topic=");
        stuck.stuck = true;
        let begun = Instant::now();
        assert_eq!(stuck.into_body().read(100).await, Err(BodyError::TooSlow));
        assert!((25..30).contains(&begun.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_cut_off_and_a_large_one_on_a_slow_line_is_not() {
        static KIB: [u8; 1 << 10] = [b'x'; 1 << 10];
        static CHUNK: [u8; 64 << 10] = [b'x'; 64 << 10];
        let mut trickle = Chunks::new(1_000, &KIB);
        trickle.pause = Duration::from_secs(1);
        assert_eq!(trickle.into_body().read(1 << 20).await, Err(BodyError::TooSlow));
        let mut slow = Chunks::new(64, &CHUNK);
        slow.pause = Duration::from_secs(1);
        assert!(slow.into_body().read(0).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn p12_discarding_is_bounded_in_bytes_and_time() {
        static MIB: [u8; 1 << 20] = [b'x'; 1 << 20];
        assert!(
            Chunks::new(3, &MIB).into_body().discard().await,
            "a client that writes 3 MiB can read the 413"
        );
        assert!(!Chunks::new(1_024, &MIB).into_body().discard().await);
        let mut stuck = Chunks::new(1, b"x");
        stuck.stuck = true;
        assert!(!stuck.into_body().discard().await);
    }

    #[tokio::test]
    async fn a_client_that_waits_for_100_continue_is_not_asked_to_send() {
        let mut headers = HeaderMap::new();
        headers.insert(header::EXPECT, "100-Continue".parse().expect("a value"));
        let mut stuck = Chunks::new(0, b"");
        stuck.stuck = true;
        assert!(!RequestBody::new(Body::new(stuck), &headers).discard().await);
    }
}
