//! Takes the framing off a response body as it comes: chunked, of a known length, or to the end of the connection.

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// Something else stands where a chunk should begin or end.
    #[error("the chunked body is malformed")]
    Malformed,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// Bytes of the body.
    Data(&'b [u8]),
    /// Nothing until more is read.
    More,
    /// It is over; what is left belongs to the next response.
    End,
}

/// Where in a body a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In the line with the size of a chunk; whether it has a digit yet.
    Size {
        /// Of the digits so far.
        bytes: u64,
        /// Whether there is a digit.
        begun: bool,
    },
    /// Behind the size, before the line feed.
    Extension {
        /// The size.
        bytes: u64,
    },
    /// In a chunk; that much of it is to come.
    Chunk {
        /// At least 1.
        bytes: u64,
    },
    /// Behind a chunk, before its line feed.
    ChunkEnd,
    /// In the lines behind the last chunk; whether the present one is empty so far.
    Trailer {
        /// Nothing but a carriage return was in it.
        empty: bool,
    },
    /// With a known length; that much is to come.
    Length {
        /// May be 0.
        bytes: u64,
    },
    /// As long as the connection.
    UntilClose,
    /// Over.
    Done,
}

/// A size beyond any sense: an error in the framing, not a chunk.
const MAX_CHUNK_BYTES: u64 = 1 << 40;

impl Body {
    /// A chunked body begins.
    pub(crate) const CHUNKED: Self = Self::Size { bytes: 0, begun: false };

    /// Takes one piece from the front of `input`.
    ///
    /// # Errors
    /// The framing is broken; nothing behind this can be read.
    pub(crate) fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Piece<'b>, BodyError> {
        loop {
            match *self {
                Self::Chunk { bytes } => {
                    let data = take(input, bytes);
                    let left = bytes - data.len() as u64;
                    *self = if left == 0 { Self::ChunkEnd } else { Self::Chunk { bytes: left } };
                    return Ok(if data.is_empty() { Piece::More } else { Piece::Data(data) });
                }
                Self::Length { bytes: 0 } => *self = Self::Done,
                Self::Length { bytes } => {
                    let data = take(input, bytes);
                    *self = Self::Length { bytes: bytes - data.len() as u64 };
                    return Ok(if data.is_empty() { Piece::More } else { Piece::Data(data) });
                }
                Self::UntilClose => {
                    let data = take(input, u64::MAX);
                    return Ok(if data.is_empty() { Piece::More } else { Piece::Data(data) });
                }
                Self::Done => return Ok(Piece::End),
                _ => {
                    let Some((byte, rest)) = input.split_first() else { return Ok(Piece::More) };
                    *input = rest;
                    *self = self.framing(*byte)?;
                }
            }
        }
    }

    fn framing(self, byte: u8) -> Result<Self, BodyError> {
        Ok(match (self, byte) {
            (Self::Size { bytes, .. }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = if byte.is_ascii_digit() { byte - b'0' } else { (byte | 0x20) - b'a' + 10 };
                let bytes = bytes << 4 | u64::from(digit);
                if bytes > MAX_CHUNK_BYTES {
                    return Err(BodyError::Malformed);
                }
                Self::Size { bytes, begun: true }
            }
            (Self::Size { bytes, begun: true } | Self::Extension { bytes }, b'\n') => match bytes {
                0 => Self::Trailer { empty: true },
                bytes => Self::Chunk { bytes },
            },
            (Self::Size { bytes, begun: true }, b'\r' | b';' | b' ' | b'\t') => Self::Extension { bytes },
            (Self::Extension { bytes }, _) => Self::Extension { bytes },
            (Self::ChunkEnd, b'\r') => Self::ChunkEnd,
            (Self::ChunkEnd, b'\n') => Self::CHUNKED,
            (Self::Trailer { empty: true }, b'\n') => Self::Done,
            (Self::Trailer { empty: true }, b'\r') => Self::Trailer { empty: true },
            (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Trailer { .. }, _) => Self::Trailer { empty: false },
            _ => return Err(BodyError::Malformed),
        })
    }
}

fn take<'b>(input: &mut &'b [u8], most: u64) -> &'b [u8] {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (data, rest) = input.split_at(count);
    *input = rest;
    data
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the pieces hold, whether the body is over, and what is left.
    fn decoded(mut body: Body, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), BodyError> {
        let (mut data, mut left, mut over) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut input = *piece;
            while !over {
                match body.next(&mut input)? {
                    Piece::Data(bytes) => data.extend(bytes),
                    Piece::More => break,
                    Piece::End => over = true,
                }
            }
            left.extend(input);
        }
        // The end of a body that is complete shows without another byte.
        over = over || body.next(&mut &b""[..])? == Piece::End;
        Ok((data, over, left))
    }

    proptest! {
        #[test]
        fn a_chunked_body_is_the_same_however_it_is_split(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8),
            extension in prop::sample::select(vec!["", ";a=b", " "]),
            trailer in prop::sample::select(vec!["", "Field: value\r\n"]),
            splits in proptest::collection::vec(0..1_000_usize, 0..30),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:X}{extension}\r\n", chunk.len()).into_bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(format!("0\r\n{trailer}\r\nnext").into_bytes());
            let mut cuts: Vec<usize> = splits.iter().map(|cut| cut % (wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let (data, over, left) = decoded(Body::CHUNKED, &pieces).expect("well-formed");
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(over);
            prop_assert_eq!(left, b"next");
        }
    }

    #[test]
    fn a_known_length_ends_where_it_says() {
        let (data, over, left) = decoded(Body::Length { bytes: 5 }, &[b"ab", b"cdefg"]).expect("well-formed");
        assert_eq!((data.as_slice(), over, left.as_slice()), (&b"abcde"[..], true, &b"fg"[..]));
        assert!(decoded(Body::Length { bytes: 0 }, &[]).expect("well-formed").1);
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for wire in ["x\r\n", "\r\n", "2\r\nabc\r\n", "fffffffffffffff\r\n", ";\r\n"] {
            assert_eq!(decoded(Body::CHUNKED, &[wire.as_bytes()]), Err(BodyError::Malformed), "{wire:?}");
        }
    }

    #[test]
    fn a_body_that_was_cut_is_not_over() {
        for wire in ["3\r\nab", "3\r\nabc\r\n", "0\r\n", "0\r\nField: x\r\n"] {
            assert!(!decoded(Body::CHUNKED, &[wire.as_bytes()]).expect("well-formed").1, "{wire:?}");
        }
    }
}
