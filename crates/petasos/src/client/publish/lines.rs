//! Cuts standard input into lines, as they come, without holding more than one line in memory.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The default for the longest line, in bytes: what a hub takes by default as a whole body.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// How much is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A line of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The first line is 1.
    pub number: u64,
    /// The line without its line break, or why it cannot be published.
    pub content: Result<String, BadLine>,
}

/// Why a line cannot be published. The hub is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Longer than the bound.
    #[error("line_too_long: longer than {0} bytes")]
    TooLong(usize),
    /// Data must be UTF-8 (P07).
    #[error("invalid_utf8: not UTF-8 from byte {} on; --lossy replaces such bytes", .0 + 1)]
    NotUtf8(usize),
}

/// Reads lines that end with LF or CRLF; the last one may end without either. A CR elsewhere is part of the line.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    max_line_bytes: usize,
    lossy: bool,
    /// Bytes read; those before `read` are used up.
    buffer: Vec<u8>,
    read: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The line is over the bound; the rest of it is passed over.
    too_long: bool,
    /// Whether anything of the line, even its overlong part, has come.
    begun: bool,
    lines: u64,
    ended: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads from `input`. With `lossy`, bytes that are no UTF-8 are replaced by U+FFFD.
    pub fn new(input: R, max_line_bytes: usize, lossy: bool) -> Self {
        Self {
            input,
            max_line_bytes,
            lossy,
            buffer: Vec::new(),
            read: 0,
            line: Vec::new(),
            too_long: false,
            begun: false,
            lines: 0,
            ended: false,
        }
    }

    /// The next line; `None` at the end. Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// The input cannot be read.
    pub async fn next_line(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let rest = &self.buffer[self.read..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                self.take_until(end);
                self.read += 1;
                return Ok(Some(self.finish(true)));
            }
            self.take_until(rest.len());
            if self.ended {
                return Ok(self.begun.then(|| self.finish(false)));
            }
            self.buffer.clear();
            self.read = 0;
            self.buffer.reserve(CHUNK_BYTES);
            self.ended = self.input.read_buf(&mut self.buffer).await? == 0;
        }
    }

    /// Moves the next `count` bytes of the buffer to the line.
    fn take_until(&mut self, count: usize) {
        let bytes = &self.buffer[self.read..self.read + count];
        self.begun |= count > 0;
        // One byte more than the bound may be the CR of a CRLF.
        if self.too_long || self.line.len() + count > self.max_line_bytes + 1 {
            self.too_long = true;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(bytes);
        }
        self.read += count;
    }

    fn finish(&mut self, terminated: bool) -> Line {
        self.lines += 1;
        self.begun = false;
        let too_long = std::mem::take(&mut self.too_long);
        let mut bytes = std::mem::take(&mut self.line);
        if terminated && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let content = if too_long || bytes.len() > self.max_line_bytes {
            Err(BadLine::TooLong(self.max_line_bytes))
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => Ok(text),
                Err(error) if self.lossy => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
                Err(error) => Err(BadLine::NotUtf8(error.utf8_error().valid_up_to())),
            }
        };
        Line { number: self.lines, content }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_util::io::StreamReader;

    use super::*;

    /// Reads `chunks`, each of which comes as one piece.
    async fn lines_of(chunks: &[&[u8]], max_line_bytes: usize, lossy: bool) -> Vec<Result<String, BadLine>> {
        let chunks: Vec<std::io::Result<bytes::Bytes>> =
            chunks.iter().map(|chunk| Ok(bytes::Bytes::copy_from_slice(chunk))).collect();
        let mut reader =
            LineReader::new(StreamReader::new(futures_util::stream::iter(chunks)), max_line_bytes, lossy);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().await.expect("readable") {
            lines.push(line.content);
            assert_eq!(line.number, lines.len() as u64);
        }
        lines
    }

    fn good(lines: &[&str]) -> Vec<Result<String, BadLine>> {
        lines.iter().map(|line| Ok((*line).to_owned())).collect()
    }

    #[tokio::test]
    async fn lf_and_crlf_end_lines_and_a_lone_cr_does_not() {
        assert_eq!(
            lines_of(&[b"a\nb\r\nc\rd\n\n\r\ne"], 10, false).await,
            good(&["a", "b", "c\rd", "", "", "e"])
        );
        assert_eq!(lines_of(&[b"a\r", b"\nb\r"], 10, false).await, good(&["a", "b\r"]));
        assert_eq!(lines_of(&[b""], 10, false).await, good(&[]));
    }

    #[tokio::test]
    async fn a_line_over_the_bound_is_reported_and_passed_over() {
        for cut in 0..40 {
            let input = b"12345\r\n123456\n1234567890123456789\nabc\n";
            let (left, right) = input.split_at(cut.min(input.len()));
            assert_eq!(
                lines_of(&[left, right], 5, false).await,
                [Ok("12345".into()), Err(BadLine::TooLong(5)), Err(BadLine::TooLong(5)), Ok("abc".into())],
                "cut at {cut}"
            );
        }
        assert_eq!(lines_of(&[b"123456789"], 5, false).await, [Err(BadLine::TooLong(5))]);
    }

    #[tokio::test]
    async fn p07_a_line_that_is_no_utf_8_is_reported_or_mended() {
        assert_eq!(lines_of(&[b"ab\xFFc\nd\n"], 10, false).await, [Err(BadLine::NotUtf8(2)), Ok("d".into())]);
        assert_eq!(lines_of(&[b"ab\xFFc\nd\n"], 10, true).await, good(&["ab\u{fffd}c", "d"]));
        assert_eq!(
            BadLine::NotUtf8(2).to_string(),
            "invalid_utf8: not UTF-8 from byte 3 on; --lossy replaces such bytes"
        );
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_input_is_cut(
            input in "[a\r\n\u{e9}]{0,60}",
            cut in 0usize..60,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let (left, right) = input.as_bytes().split_at(cut.min(input.len()));
            let mut expected: Vec<&str> = input.split('\n').collect();
            let last = expected.pop().filter(|last| !last.is_empty());
            let mut expected: Vec<&str> =
                expected.into_iter().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
            expected.extend(last);
            prop_assert_eq!(runtime.block_on(lines_of(&[left, right], 1000, false)), good(&expected));
        }
    }
}
