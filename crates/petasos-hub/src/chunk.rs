//! The bytes of a chunk of HTTP/1.1 (RFC 9112, 7.1). Pure.
//!
//! An event is framed once and shared (invariant 6), so it is a chunk of its own: it never spans two (C03).

use bytes::{BufMut, Bytes, BytesMut};

/// The terminating chunk: the clean end of a stream (S13, C03).
pub const LAST: &[u8] = b"0\r\n\r\n";

/// [`crate::sse::HEARTBEAT`] as a chunk.
pub const HEARTBEAT: &[u8] = b"2\r\n:\n\r\n";

/// More than the size line and the end of a chunk take.
const FRAME_BYTES: usize = 20;

/// Appends `bytes`, which are not empty (that would be [`LAST`]), as one chunk.
pub fn put(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + FRAME_BYTES);
    put_size(out, bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// `bytes` as one chunk, and where they begin in it.
pub(crate) fn framed(bytes: &[u8]) -> (Bytes, usize) {
    let mut out = BytesMut::with_capacity(bytes.len() + FRAME_BYTES);
    put(&mut out, bytes);
    let begin = out.len() - bytes.len() - 2;
    (out.freeze(), begin)
}

fn put_size(out: &mut BytesMut, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.put_u8(DIGITS[(size >> (4 * digit)) & 0xf]);
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_its_size_in_hexadecimal_and_its_bytes() {
        for (size, digits) in [(1, "1"), (9, "9"), (10, "a"), (255, "ff"), (256, "100"), (70_000, "11170")] {
            let bytes = vec![b'x'; size];
            let (chunk, begin) = framed(&bytes);
            assert_eq!(&chunk[..begin], format!("{digits}\r\n").as_bytes());
            assert_eq!(&chunk[begin..begin + size], bytes);
            assert_eq!(&chunk[begin + size..], b"\r\n");
        }
    }

    #[test]
    fn the_constants_are_chunks_too() {
        assert_eq!(framed(crate::sse::HEARTBEAT).0, HEARTBEAT);
        let mut out = BytesMut::new();
        put_size(&mut out, 0);
        out.put_slice(b"\r\n");
        assert_eq!(out, LAST);
    }
}
