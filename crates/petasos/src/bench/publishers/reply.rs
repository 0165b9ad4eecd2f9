//! The answer to a publish, read as it comes.

use crate::bench::{
    body::{Body, Piece},
    head::{self, Head},
};

/// How much of a body is kept: an id, or the reason of a refusal.
const KEPT_BYTES: usize = 400;

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The head, as long as it is not complete.
    head_bytes: Vec<u8>,
    head: Option<(Head, Body)>,
    /// The beginning of the body.
    pub(super) text: Vec<u8>,
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The connection cannot be used again.
    pub(super) close: bool,
}

impl Reply {
    /// Takes what was read. `Ok(None)` until the answer is complete.
    ///
    /// # Errors
    /// It is no answer, in words.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Answer>, String> {
        let mut input = bytes;
        let kept;
        if self.head.is_none() {
            if !self.head_bytes.is_empty() {
                self.head_bytes.extend(bytes);
                kept = std::mem::take(&mut self.head_bytes);
                input = &kept;
            }
            match head::parse(input).map_err(|error| error.to_string())? {
                Some(head) => {
                    self.head = Some((head, head.body));
                    input = &input[head.length..];
                }
                None => {
                    self.head_bytes = input.to_vec();
                    return Ok(None);
                }
            }
        }
        let Some((head, body)) = &mut self.head else { return Ok(None) };
        loop {
            match body.next(&mut input).map_err(|error| error.to_string())? {
                Piece::Data(data) => {
                    let room = KEPT_BYTES.saturating_sub(self.text.len()).min(data.len());
                    self.text.extend(&data[..room]);
                }
                Piece::More => return Ok(None),
                Piece::End => return Ok(Some(Answer { status: head.status, close: head.close })),
            }
        }
    }

    /// For the next answer.
    pub(super) fn clear(&mut self) {
        self.head = None;
        self.head_bytes.clear();
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nurn:uuid:";

    #[test]
    fn an_answer_is_whole_when_its_last_byte_has_come() {
        for split in 0..ANSWER.len() {
            let mut reply = Reply::default();
            assert_eq!(reply.take(&ANSWER[..split]), Ok(None), "{split}");
            assert_eq!(reply.take(&ANSWER[split..]), Ok(Some(Answer { status: 200, close: false })));
            assert_eq!(reply.text, b"urn:uuid:");
        }
    }

    #[test]
    fn one_that_comes_byte_by_byte_is_read_and_the_next_one_as_well() {
        let mut reply = Reply::default();
        for _ in 0..2 {
            for byte in &ANSWER[..ANSWER.len() - 1] {
                assert_eq!(reply.take(std::slice::from_ref(byte)), Ok(None));
            }
            assert!(reply.take(b":").expect("an answer").is_some());
            reply.clear();
        }
    }
}
