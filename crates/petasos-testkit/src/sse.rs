//! A parser for event streams, written from the WHATWG HTML standard (9.2.6) and not from the encoder it checks.

use bytes::{Buf, BytesMut};

/// One of these at the very beginning is no content.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a browser would dispatch, and the comments that it would drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A dispatched event.
    Event(Event),
    /// The text behind the colon of a comment line.
    Comment(String),
}

/// A dispatched event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The last event id when it was dispatched: this event's own one where it has one.
    pub id: String,
    /// The `event` field; empty where none came (a browser then says `message`).
    pub kind: String,
    /// The lines of data, joined by LF.
    pub data: String,
    /// The `retry` field, in milliseconds.
    pub retry_ms: Option<u64>,
}

/// Turns bytes into items, however they are cut into pieces.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: BytesMut,
    begun: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    last_id: String,
    pending: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    kind: String,
    data: Option<String>,
    retry_ms: Option<u64>,
}

impl Parser {
    /// Takes more bytes and returns the items they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Item> {
        self.buffer.extend_from_slice(bytes);
        if !self.begun {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return Vec::new();
            }
            self.begun = true;
            if self.buffer.starts_with(BOM) {
                self.buffer.advance(BOM.len());
            }
        }
        let mut items = Vec::new();
        while let Some(line) = self.next_line() {
            items.extend(self.take_line(&line));
        }
        items
    }

    /// Whether nothing is half done: the last byte ended an event or a comment.
    pub fn is_between_items(&self) -> bool {
        let pending = &self.pending;
        self.buffer.is_empty()
            && pending.kind.is_empty()
            && pending.data.is_none()
            && pending.retry_ms.is_none()
    }

    fn next_line(&mut self) -> Option<String> {
        if self.after_cr && !self.buffer.is_empty() {
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
            self.after_cr = false;
        }
        let at = self.buffer.iter().position(|byte| *byte == b'\n' || *byte == b'\r')?;
        let line = self.buffer.split_to(at);
        self.after_cr = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        Some(String::from_utf8(line.to_vec()).unwrap_or_else(|_| panic!("the stream is not UTF-8: {line:?}")))
    }

    fn take_line(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            return self.dispatch().map(Item::Event);
        }
        if let Some(text) = line.strip_prefix(':') {
            return Some(Item::Comment(text.to_owned()));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.pending.kind),
            "data" => {
                let data = self.pending.data.get_or_insert_default();
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.pending.retry_ms = value.parse().ok();
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let pending = std::mem::take(&mut self.pending);
        // Without a data line nothing is dispatched: this is why an update without data still has one (S11).
        let mut data = pending.data?;
        data.pop();
        Some(Event { id: self.last_id.clone(), kind: pending.kind, data, retry_ms: pending.retry_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8]) -> Vec<Item> {
        Parser::default().feed(bytes)
    }

    fn event(id: &str, data: &str) -> Item {
        Item::Event(Event { id: id.into(), data: data.into(), ..Event::default() })
    }

    #[test]
    fn lines_of_data_are_joined_and_one_space_is_dropped() {
        assert_eq!(events(b"id: 1\ndata:a\ndata:  b\ndata\n\n"), [event("1", "a\n b\n")]);
    }

    #[test]
    fn every_line_break_ends_a_line_even_when_cut_in_two() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(b"id: 1\r\ndata: a\rdata: b\r"), []);
        assert_eq!(parser.feed(b"\n\r"), [event("1", "a\nb")]);
        assert_eq!(parser.feed(b"\n:x\n"), [Item::Comment("x".into())]);
        assert!(parser.is_between_items());
    }

    #[test]
    fn an_event_without_data_is_not_dispatched_and_resets_its_fields() {
        assert_eq!(events(b"event: lost\nid: 7\n\ndata:\n\n"), [event("7", "")]);
    }

    #[test]
    fn type_and_retry_belong_to_their_event_only() {
        let first = Event { id: "1".into(), kind: "k".into(), data: "a".into(), retry_ms: Some(5) };
        assert_eq!(
            events(b"\xEF\xBB\xBFid: 1\nevent: k\nretry: 5\ndata: a\n\nretry: 5x\ndata: b\n\n"),
            [Item::Event(first), event("1", "b")]
        );
    }

    #[test]
    fn a_cut_event_is_not_between_items() {
        let mut parser = Parser::default();
        parser.feed(b"data: a\n");
        assert!(!parser.is_between_items());
    }
}
