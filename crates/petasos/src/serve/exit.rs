//! How a stream leaves hyper. A connection that is served by hyper costs some 14 KiB, which a stream that is idle for
//! hours does not need: on plain HTTP/1.1 the service puts the stream here and answers nothing; the task of the
//! connection finds it, takes the socket out of hyper and goes on by itself.

use std::{fmt, sync::Arc};

use bytes::{BufMut, BytesMut};
use http::{
    Method, Request, Version,
    header::{CONNECTION, DATE, TRANSFER_ENCODING},
    response,
};
use hyper::body::{Body, Incoming};
use parking_lot::Mutex;
use petasos_hub::Subscription;

/// A stream on its way out of hyper.
pub(super) struct Leaving {
    /// The head of its response.
    pub(super) head: response::Parts,
    pub(super) subscription: Subscription,
}

/// Between the service and the task of its connection.
#[derive(Clone, Default)]
pub(super) struct Exit(Arc<Mutex<Option<Leaving>>>);

impl fmt::Debug for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Exit")
    }
}

impl Exit {
    /// Whether the stream that answers this request could leave: the request has no body that hyper might still have to
    /// read, and the client knows chunks.
    pub(super) fn is_for(request: &Request<Incoming>) -> bool {
        request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && request.body().is_end_stream()
    }

    pub(super) fn leave(&self, leaving: Leaving) {
        *self.0.lock() = Some(leaving);
    }

    pub(super) fn take(&self) -> Option<Leaving> {
        self.0.lock().take()
    }
}

impl Leaving {
    /// Whether the connection ends with the stream: the answer says that it is kept alive (S10) where it is.
    pub(super) fn ends_after(&self) -> bool {
        self.head.headers.get(CONNECTION).is_none_or(|option| option != "keep-alive")
    }

    /// The head as hyper would write it for a body without a length.
    pub(super) fn head_bytes(&self) -> BytesMut {
        /// Most heads are smaller.
        const HEAD_BYTES: usize = 512;
        let mut out = BytesMut::with_capacity(HEAD_BYTES);
        out.put_slice(b"HTTP/1.1 200 OK\r\n");
        for (name, value) in self.head.headers.iter().filter(|(name, _)| **name != CONNECTION) {
            put_field(&mut out, name.as_str(), value.as_bytes());
        }
        let connection: &[u8] = if self.ends_after() { b"close" } else { b"keep-alive" };
        put_field(&mut out, CONNECTION.as_str(), connection);
        put_field(&mut out, TRANSFER_ENCODING.as_str(), b"chunked");
        let now = httpdate::fmt_http_date(std::time::SystemTime::now());
        put_field(&mut out, DATE.as_str(), now.as_bytes());
        out.put_slice(b"\r\n");
        out
    }
}

fn put_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.put_slice(part);
    }
}
