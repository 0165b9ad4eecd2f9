//! The head of a response: as much of it as a load generator needs.

use memchr::memmem;

use super::body::Body;

/// A head that is longer is no head.
pub(crate) const MAX_HEAD_BYTES: usize = 64 << 10;

/// What a response's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: u16,
    /// How long the head is, its empty line included.
    pub(crate) length: usize,
    /// How the body is framed.
    pub(crate) body: Body,
    /// The server will close the connection.
    pub(crate) close: bool,
}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    /// Something else is spoken there.
    #[error("the answer is not HTTP/1.1")]
    NotHttp,
    /// [`MAX_HEAD_BYTES`].
    #[error("the head of the answer does not end")]
    TooLong,
}

/// Reads the head at the front of `bytes`; `None` until it is complete.
///
/// # Errors
/// It is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let begins_well = bytes.iter().zip(b"HTTP/1.").all(|(byte, wanted)| byte == wanted);
    if !begins_well {
        return Err(HeadError::NotHttp);
    }
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD_BYTES { Err(HeadError::TooLong) } else { Ok(None) };
    };
    let lines = &bytes[..end + 2];
    let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let Some(status) = status else { return Err(HeadError::NotHttp) };
    let mut head = Head {
        status,
        length: end + 4,
        body: Body::UntilClose,
        // HTTP/1.0 closes unless it says otherwise, which no hub does.
        close: bytes[7] == b'0',
    };
    let mut start = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
    while start < lines.len() {
        let line_end = memchr::memchr(b'\n', &lines[start..]).map_or(lines.len(), |at| start + at);
        field(&lines[start..line_end], &mut head)?;
        start = line_end + 1;
    }
    if matches!(head.status, 204 | 304) {
        head.body = Body::Length { bytes: 0 };
    }
    Ok(Some(head))
}

fn field(line: &[u8], head: &mut Head) -> Result<(), HeadError> {
    let Some(colon) = memchr::memchr(b':', line) else { return Ok(()) };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") {
        // Chunks win over a length (RFC 9112, 6.3).
        if head.body != Body::CHUNKED {
            let bytes = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            head.body = Body::Length { bytes: bytes.ok_or(HeadError::NotHttp)? };
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        head.body = Body::CHUNKED;
    } else if name.eq_ignore_ascii_case(b"connection") {
        head.close |= value.eq_ignore_ascii_case(b"close");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_framing_and_length_are_read() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
        let head = parse(text).expect("a head").expect("complete");
        assert_eq!((head.status, head.body, head.close), (200, Body::CHUNKED, false));
        assert_eq!(&text[head.length..], b"5\r\n");
        let text = b"HTTP/1.1 401 Unauthorized\r\nConnection: Close\r\ncontent-length: 12\r\n\r\n";
        let head = parse(text).expect("a head").expect("complete");
        assert_eq!((head.status, head.body, head.close), (401, Body::Length { bytes: 12 }, true));
    }

    #[test]
    fn every_beginning_of_a_head_is_incomplete() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for length in 0..text.len() {
            assert_eq!(parse(&text[..length]), Ok(None), "{length}");
        }
        assert_eq!(parse(text).expect("a head").expect("complete").body, Body::UntilClose);
    }

    #[test]
    fn what_is_no_head_is_an_error() {
        assert_eq!(parse(b"SSH-2.0-OpenSSH"), Err(HeadError::NotHttp));
        assert_eq!(parse(b"HTTP/1.1 abc OK\r\n\r\n"), Err(HeadError::NotHttp));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), Err(HeadError::NotHttp));
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &vec![b'x'; MAX_HEAD_BYTES]].concat();
        assert_eq!(parse(&endless), Err(HeadError::TooLong));
    }
}
