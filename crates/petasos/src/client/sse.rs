//! Reads an event stream as the WHATWG HTML standard describes it, from chunks cut anywhere. Pure: bytes in, events
//! out; no I/O, no time.

use std::collections::VecDeque;

/// The default for the size of one event, in bytes. Far above the 1 MiB that a hub takes by default.
pub const MAX_EVENT_BYTES: usize = 16 << 20;

/// The byte order mark that a stream may begin with.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event to hand on.
    Event(Event),
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// An event larger than the bound was left out; the cursor has moved past it all the same.
    Oversized {
        /// The last event id behind it.
        id: String,
    },
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The last event id of the stream at this event.
    pub id: String,
    /// The type; empty where none was given, which means `message`.
    pub event_type: String,
    /// The data, lines joined with LF.
    pub data: String,
}

/// The state of one stream. The last event id outlives streams; hand it over with [`Parser::after`].
///
/// Memory is bounded: a line and the data of an event together never take more than the bound given, however long the
/// peer makes them.
#[derive(Debug)]
pub struct Parser {
    max_event_bytes: usize,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// How much of the byte order mark has been seen; `None` once the beginning is behind us.
    bom_seen: Option<usize>,
    /// The last byte was a CR that ended a line: a LF directly behind it belongs to it.
    skip_line_feed: bool,
    /// The rest of the current event is thrown away.
    oversized: bool,
    /// The rest of the current line is thrown away.
    line_oversized: bool,
    data: String,
    event_type: String,
    /// What `id` fields said, in force from the end of their event on.
    id: String,
    last_event_id: String,
    items: VecDeque<Item>,
}

impl Parser {
    /// A stream that continues after event `id` (empty: none).
    pub fn after(id: impl Into<String>, max_event_bytes: usize) -> Self {
        let id = id.into();
        Self {
            max_event_bytes,
            line: Vec::new(),
            bom_seen: Some(0),
            skip_line_feed: false,
            oversized: false,
            line_oversized: false,
            data: String::new(),
            event_type: String::new(),
            last_event_id: id.clone(),
            id,
            items: VecDeque::new(),
        }
    }

    /// The id of the last complete event: what to ask for after a reconnection.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Takes the next bytes of the stream. What they complete comes out of [`Self::next_item`]. An event that is not
    /// complete when the stream ends is dropped with the parser.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        if self.bom_seen.is_some() {
            chunk = self.skip_bom(chunk);
        }
        if self.skip_line_feed && !chunk.is_empty() {
            self.skip_line_feed = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.extend_line(&chunk[..end]);
            self.end_line();
            let carriage_return = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if carriage_return {
                // The line is complete whether or not a LF follows: waiting for it would hold the event back.
                self.skip_line_feed = chunk.is_empty();
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
        }
        self.extend_line(chunk);
    }

    /// The next item that is complete.
    pub fn next_item(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// Drops a byte order mark at the beginning, which may come in pieces.
    fn skip_bom<'a>(&mut self, mut chunk: &'a [u8]) -> &'a [u8] {
        let Some(mut seen) = self.bom_seen else { return chunk };
        while let Some((&first, rest)) = chunk.split_first() {
            if first != BOM[seen] {
                // What looked like a mark was the beginning of a line.
                self.bom_seen = None;
                self.line.extend_from_slice(&BOM[..seen]);
                return chunk;
            }
            chunk = rest;
            seen += 1;
            if seen == BOM.len() {
                self.bom_seen = None;
                return chunk;
            }
        }
        self.bom_seen = Some(seen);
        chunk
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        if self.line_oversized || bytes.is_empty() {
            return;
        }
        if self.line.len() + bytes.len() + self.data.len() > self.max_event_bytes {
            // Comments may be as long as they like: they are no part of an event.
            let comment = self.line.first().or(bytes.first()) == Some(&b':');
            self.oversized |= !comment;
            self.line_oversized = true;
            self.line = Vec::new();
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.line_oversized) {
            return;
        }
        if self.line.is_empty() {
            self.dispatch();
            return;
        }
        let line = std::mem::take(&mut self.line);
        self.field(&line);
        self.line = line;
        self.line.clear();
    }

    fn field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(0) => return,
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"data" if !self.oversized => {
                self.data.push_str(&String::from_utf8_lossy(value));
                self.data.push('\n');
            }
            b"event" => self.event_type = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                // Digits only, so the text is ASCII; what does not fit is as good as never.
                let retry_ms =
                    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
                self.items.push_back(Item::Retry(retry_ms));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let event_type = std::mem::take(&mut self.event_type);
        let mut data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.oversized) {
            self.items.push_back(Item::Oversized { id: self.id.clone() });
            return;
        }
        if data.pop().is_some() {
            self.items.push_back(Item::Event(Event { id: self.id.clone(), event_type, data }));
        }
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
