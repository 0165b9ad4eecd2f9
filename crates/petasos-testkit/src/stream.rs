//! An open event stream: what a subscriber sees. On HTTP/1.1 every stream of every test also checks that no event
//! spans two chunks (C03).

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    Chunk, End, PATIENCE,
    connection::single_header,
    request::{Body, Opened},
    sse::{Event, Item, Parser},
};

/// A stream that has begun.
#[derive(Debug)]
pub struct EventStream {
    headers: HeaderMap,
    body: Body,
    parser: Parser,
    waiting: VecDeque<Item>,
    last_id: Option<String>,
    end: Option<End>,
}

impl EventStream {
    /// Takes an answer that must be an event stream.
    pub(crate) async fn new(mut opened: Opened) -> Self {
        if opened.status != 200 {
            let body = opened.body.next().await;
            panic!("no stream but {}: {:?} {body:?}", opened.status, opened.headers);
        }
        // Without parameters (C04): some clients compare the whole value.
        assert_eq!(opened.header("content-type"), Some("text/event-stream"), "C04");
        Self {
            headers: opened.headers,
            body: opened.body,
            parser: Parser::default(),
            waiting: VecDeque::new(),
            last_id: None,
            end: None,
        }
    }

    /// The header fields of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A field that must not come twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        single_header(&self.headers, name)
    }

    /// `Mercure-Last-Event-ID`, which must be there (R02).
    #[track_caller]
    pub fn cursor(&self) -> &str {
        self.header("mercure-last-event-id").unwrap_or_else(|| panic!("no cursor came: {:?}", self.headers))
    }

    /// The id of the newest event that was taken from this stream: what a client resumes with.
    #[track_caller]
    pub fn last_id(&self) -> &str {
        self.last_id.as_deref().unwrap_or_else(|| panic!("no event has come yet"))
    }

    /// The next event; comments are skipped.
    pub async fn next(&mut self) -> Event {
        match tokio::time::timeout(PATIENCE, self.next_or_end()).await {
            Ok(Ok(event)) => event,
            Ok(Err(end)) => panic!("the stream ended ({end:?}) where an event was expected"),
            Err(_) => panic!("no event came within {PATIENCE:?}"),
        }
    }

    /// The data of the next event.
    pub async fn next_data(&mut self) -> String {
        self.next().await.data
    }

    /// The data of the next `count` events.
    pub async fn next_data_of(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            data.push(self.next_data().await);
        }
        data
    }

    /// The next event, or how the stream ended. Waits as long as it takes.
    ///
    /// # Errors
    /// The end.
    pub async fn next_or_end(&mut self) -> Result<Event, End> {
        loop {
            if let Item::Event(event) = self.next_item().await? {
                return Ok(event);
            }
        }
    }

    /// The next event or comment, or how the stream ended. Waits as long as it takes.
    ///
    /// # Errors
    /// The end.
    pub async fn next_item(&mut self) -> Result<Item, End> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                if let Item::Event(event) = &item {
                    self.last_id = Some(event.id.clone());
                }
                return Ok(item);
            }
            if let Some(end) = &self.end {
                return Err(end.clone());
            }
            match self.body.next_unhurried().await {
                Chunk::Data(bytes) => self.take(&bytes),
                Chunk::End(end) => self.end = Some(end),
            }
        }
    }

    /// The next chunk as it came over the wire. Not to be mixed with the other readers.
    pub async fn next_chunk(&mut self) -> Bytes {
        match self.body.next().await {
            Chunk::Data(bytes) => bytes,
            Chunk::End(end) => panic!("the stream ended ({end:?}) where a chunk was expected"),
        }
    }

    /// Waits for the end, within `limit`, and returns the events that still came before it.
    pub async fn end_within(&mut self, limit: Duration) -> (Vec<Event>, End) {
        let mut events = Vec::new();
        let reading = async {
            loop {
                match self.next_or_end().await {
                    Ok(event) => events.push(event),
                    Err(end) => return end,
                }
            }
        };
        let end = crate::within(limit, "the end of the stream", reading).await;
        (events, end)
    }

    /// Waits for the clean end of a stream that sends no more events (S13).
    pub async fn ends_cleanly(&mut self) {
        let (events, end) = self.end_within(PATIENCE).await;
        assert_eq!(events, [], "events came before the end");
        assert_eq!(end, End::Clean, "S13: the end of a stream is clean");
    }

    /// Asserts that no event comes for this long. Only where there is nothing to wait for instead.
    pub async fn stays_silent(&mut self, length: Duration) {
        if let Ok(next) = tokio::time::timeout(length, self.next_or_end()).await {
            panic!("nothing was expected, but {next:?} came");
        }
    }

    /// Vanishes without a word: the connection is reset.
    pub fn vanish(self) {
        if let Body::Http1(connection, _) = self.body {
            connection.reset();
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.waiting.extend(self.parser.feed(bytes));
        if matches!(self.body, Body::Http1(..)) {
            let text = String::from_utf8_lossy(bytes);
            assert!(
                self.parser.is_between_items(),
                "C03: an event spans two chunks, this one ends inside: {text:?}"
            );
        }
    }
}
