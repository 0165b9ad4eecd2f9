//! Where the messages of an HTTP/1 connection begin and end, by the strict grammar of RFC 9112. Every byte that hyper
//! will read passes here first, so that two readers of the same bytes (a proxy in front and this hub) can never come
//! to different messages: what the grammar does not allow is refused, whatever hyper would make of it.
//!
//! Refused are in particular: `Content-Length` twice (even if equal, which hyper takes), with `Transfer-Encoding`, or
//! with anything but digits; any `Transfer-Encoding` but a single `chunked`; bare CR and bare LF; obsolete folding;
//! white space before the colon; control characters.
//!
//! Nothing is buffered, and nothing is answered here. The byte at which the grammar is broken is replaced by NUL, which
//! no rule of HTTP/1 allows in a place that is looked at here, and nothing after it is passed on: hyper then answers 400
//! (or fails the body) and closes the connection, with all it has to send before.

/// `transfer-encoding` is the longest name that matters.
const NAME_BYTES: usize = 17;

/// `chunked` is the only value that is allowed; one more byte shows that another is longer.
const CODING_BYTES: usize = 8;

/// A chunk size has at most so many digits: 2^64 is not reached, and leading zeros do not go on for ever.
const MAX_CHUNK_DIGITS: u8 = 15;

/// Follows one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    head: Head,
    /// How many heads have come to their end.
    heads: u64,
}

/// What the current head has said about its body.
#[derive(Debug, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between messages.
    #[default]
    Idle,
    /// An empty line before the request line (RFC 9112, 2.2).
    EmptyLine,
    RequestLine,
    /// At the first byte of a field line of a head or of trailers.
    Field(Section),
    FieldName(Section, Name),
    FieldValue(Section, Value),
    /// After the CR that ends a line.
    LineEnd(Section, Value),
    /// After the CR of the empty line.
    SectionEnd(Section),
    Body(u64),
    ChunkSize {
        digits: u8,
        size: u64,
    },
    /// White space between a size and an extension.
    ChunkGap(u64),
    ChunkExtension(u64),
    ChunkSizeEnd(u64),
    Chunk(u64),
    ChunkEnd,
    ChunkEndLf,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Head,
    Trailers,
}

/// A field name as far as it was read, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    bytes: [u8; NAME_BYTES],
    /// More than the array holds means: a name that does not matter.
    len: u8,
}

/// A field value as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// Of a field that does not matter here.
    Any,
    Length {
        digits: Option<u64>,
        /// White space after the digits: only more of it may come.
        ended: bool,
    },
    Coding {
        bytes: [u8; CODING_BYTES],
        len: u8,
        ended: bool,
    },
}

/// The grammar was broken.
struct Broken;

impl Framing {
    /// Looks at bytes that came from the peer, in their order, and returns how many of them may be passed on. If that
    /// is not all, the last one has been replaced and the connection is [refused](Self::is_refused).
    pub(super) fn inspect(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            // The contents of bodies are skipped, not looked at.
            if let State::Body(left) | State::Chunk(left) = &mut self.state {
                let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= skipped as u64;
                at += skipped;
                match self.state {
                    State::Body(0) => self.state = State::Idle,
                    State::Chunk(0) => self.state = State::ChunkEnd,
                    _ => {}
                }
                continue;
            }
            // So is most of a head: targets and tokens are long, and only control characters matter in them.
            if matches!(self.state, State::RequestLine | State::FieldValue(_, Value::Any)) {
                let rest = &bytes[at..];
                at += rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len());
                if at == bytes.len() {
                    break;
                }
            }
            match self.step(bytes[at]) {
                Ok(next) => self.state = next,
                Err(Broken) => {
                    self.state = State::Refused;
                    bytes[at] = 0;
                    return at + 1;
                }
            }
            at += 1;
        }
        at
    }

    /// Whether a head has begun and is not finished.
    pub(super) fn in_head(&self) -> bool {
        match self.state {
            State::EmptyLine | State::RequestLine => true,
            State::Field(section)
            | State::FieldName(section, _)
            | State::FieldValue(section, _)
            | State::LineEnd(section, _)
            | State::SectionEnd(section) => section == Section::Head,
            _ => false,
        }
    }

    /// Whether a message has come to its end and none has begun after it.
    pub(super) fn is_between_messages(&self) -> bool {
        self.state == State::Idle
    }

    /// How many heads have come to their end.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the grammar was broken: nothing more is to be read from this connection.
    pub(super) fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    fn step(&mut self, byte: u8) -> Result<State, Broken> {
        Ok(match self.state {
            State::Idle => match byte {
                b'\r' => State::EmptyLine,
                b'\n' => return Err(Broken),
                _ => {
                    self.head = Head::default();
                    request_line(byte)?
                }
            },
            State::EmptyLine => expect(byte, b'\n', State::Idle)?,
            State::RequestLine => request_line(byte)?,
            State::Field(section) => match byte {
                b'\r' => State::SectionEnd(section),
                _ => State::FieldName(section, Name::EMPTY.push(byte)?),
            },
            State::FieldName(section, name) => match byte {
                b':' => State::FieldValue(section, self.value_of(section, name)?),
                _ => State::FieldName(section, name.push(byte)?),
            },
            State::FieldValue(section, value) => match byte {
                b'\r' => State::LineEnd(section, value),
                _ => State::FieldValue(section, value.push(byte)?),
            },
            State::LineEnd(section, value) => {
                self.finish_field(value)?;
                expect(byte, b'\n', State::Field(section))?
            }
            State::SectionEnd(section) => {
                self.heads += u64::from(section == Section::Head);
                expect(byte, b'\n', self.after(section))?
            }
            State::ChunkSize { digits, size } => match byte {
                b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' if digits < MAX_CHUNK_DIGITS => {
                    let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
                    State::ChunkSize { digits: digits + 1, size: size << 4 | u64::from(digit) }
                }
                _ if digits == 0 => return Err(Broken),
                _ => after_chunk_size(byte, size)?,
            },
            State::ChunkGap(size) => after_chunk_size(byte, size)?,
            State::ChunkExtension(size) => match byte {
                b'\r' => State::ChunkSizeEnd(size),
                _ if is_control(byte) => return Err(Broken),
                _ => State::ChunkExtension(size),
            },
            State::ChunkSizeEnd(0) => expect(byte, b'\n', State::Field(Section::Trailers))?,
            State::ChunkSizeEnd(size) => expect(byte, b'\n', State::Chunk(size))?,
            State::ChunkEnd => expect(byte, b'\r', State::ChunkEndLf)?,
            State::ChunkEndLf => expect(byte, b'\n', State::ChunkSize { digits: 0, size: 0 })?,
            // `inspect` skips the contents of bodies itself, and is not called again after a refusal.
            State::Body(_) | State::Chunk(_) | State::Refused => return Err(Broken),
        })
    }

    fn value_of(&self, section: Section, name: Name) -> Result<Value, Broken> {
        match (section, name.as_bytes()) {
            // Framing that comes after the body it would frame.
            (Section::Trailers, b"content-length" | b"transfer-encoding") => Err(Broken),
            (Section::Head, b"content-length" | b"transfer-encoding")
                if self.head.length.is_some() || self.head.chunked =>
            {
                Err(Broken)
            }
            (Section::Head, b"content-length") => Ok(Value::Length { digits: None, ended: false }),
            (Section::Head, b"transfer-encoding") => {
                Ok(Value::Coding { bytes: [0; CODING_BYTES], len: 0, ended: false })
            }
            _ => Ok(Value::Any),
        }
    }

    fn finish_field(&mut self, value: Value) -> Result<(), Broken> {
        match value {
            Value::Any => {}
            Value::Length { digits, .. } => self.head.length = Some(digits.ok_or(Broken)?),
            Value::Coding { bytes, len, .. } => {
                if &bytes[..usize::from(len)] != b"chunked" {
                    return Err(Broken);
                }
                self.head.chunked = true;
            }
        }
        Ok(())
    }

    fn after(&self, section: Section) -> State {
        match (section, self.head.length) {
            (Section::Trailers, _) => State::Idle,
            (Section::Head, _) if self.head.chunked => State::ChunkSize { digits: 0, size: 0 },
            (Section::Head, None | Some(0)) => State::Idle,
            (Section::Head, Some(length)) => State::Body(length),
        }
    }
}

impl Name {
    const EMPTY: Self = Self { bytes: [0; NAME_BYTES], len: 0 };

    /// Only the characters of a token: so neither folding nor white space before the colon passes.
    fn push(mut self, byte: u8) -> Result<Self, Broken> {
        if !is_token(byte) {
            return Err(Broken);
        }
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte.to_ascii_lowercase();
        }
        self.len = self.len.saturating_add(1);
        Ok(self)
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Value {
    fn push(self, byte: u8) -> Result<Self, Broken> {
        if is_control(byte) {
            return Err(Broken);
        }
        let space = matches!(byte, b' ' | b'\t');
        Ok(match self {
            Self::Any => Self::Any,
            Self::Length { digits, .. } if space => Self::Length { digits, ended: digits.is_some() },
            Self::Length { digits, ended: false } if byte.is_ascii_digit() => {
                let digits =
                    digits.unwrap_or(0).checked_mul(10).and_then(|ten| ten.checked_add((byte - b'0').into()));
                Self::Length { digits: Some(digits.ok_or(Broken)?), ended: false }
            }
            Self::Coding { bytes, len, .. } if space => Self::Coding { bytes, len, ended: len > 0 },
            Self::Coding { mut bytes, len, ended: false } => {
                *bytes.get_mut(usize::from(len)).ok_or(Broken)? = byte.to_ascii_lowercase();
                Self::Coding { bytes, len: len + 1, ended: false }
            }
            Self::Length { .. } | Self::Coding { .. } => return Err(Broken),
        })
    }
}

/// Method and target are hyper's to judge; here it matters only where the line ends.
fn request_line(byte: u8) -> Result<State, Broken> {
    match byte {
        b'\r' => Ok(State::LineEnd(Section::Head, Value::Any)),
        b'\t' => Err(Broken),
        _ if is_control(byte) => Err(Broken),
        _ => Ok(State::RequestLine),
    }
}

fn after_chunk_size(byte: u8, size: u64) -> Result<State, Broken> {
    match byte {
        b' ' | b'\t' => Ok(State::ChunkGap(size)),
        b';' => Ok(State::ChunkExtension(size)),
        b'\r' => Ok(State::ChunkSizeEnd(size)),
        _ => Err(Broken),
    }
}

fn expect(byte: u8, expected: u8, next: State) -> Result<State, Broken> {
    if byte == expected { Ok(next) } else { Err(Broken) }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// `tchar` of RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
