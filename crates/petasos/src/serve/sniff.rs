//! Which protocol a connection speaks: HTTP/2 by prior knowledge begins with its preface, everything else is HTTP/1.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a client that knows the server speaks HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocols that begin with their own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until the protocol is known, and returns what was read as well. The caller bounds the time.
///
/// # Errors
/// What the connection says; its end, if nothing came before.
pub(super) async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Bytes)> {
    let mut read = [0; PREFACE.len()];
    let mut len = 0;
    while read[..len] == PREFACE[..len] {
        if len == PREFACE.len() {
            return Ok((Protocol::Http2, Bytes::from_static(PREFACE)));
        }
        match stream.read(&mut read[len..]).await? {
            0 if len == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => break,
            count => len += count,
        }
    }
    Ok((Protocol::Http1, Bytes::copy_from_slice(&read[..len])))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn of(pieces: &[&[u8]]) -> io::Result<(Protocol, Bytes)> {
        let (mut peer, mut stream) = tokio::io::duplex(1);
        let pieces = pieces.concat();
        tokio::spawn(async move { peer.write_all(&pieces).await });
        sniff(&mut stream).await
    }

    #[tokio::test]
    async fn the_preface_is_http2_and_all_of_it_is_given_back() {
        let (protocol, read) = of(&[PREFACE, b"more"]).await.expect("known");
        assert_eq!((protocol, &read[..]), (Protocol::Http2, &PREFACE[..]));
    }

    #[tokio::test]
    async fn the_first_other_byte_decides() {
        for request in [&b"GET / HTTP/1.1\r\n"[..], b"POST / HTTP/1.1\r\n", b"PRI / HTTP/1.1\r\n", b"\r\n"] {
            let (protocol, read) = of(&[request]).await.expect("known");
            assert_eq!(protocol, Protocol::Http1);
            assert!(request.starts_with(&read) && !PREFACE.starts_with(&read));
        }
    }

    #[tokio::test]
    async fn an_end_within_the_preface_is_left_to_http1() {
        assert_eq!(of(&[b"PRI *"]).await.expect("known"), (Protocol::Http1, Bytes::from_static(b"PRI *")));
        assert_eq!(of(&[]).await.expect_err("nothing").kind(), io::ErrorKind::UnexpectedEof);
    }
}
