//! Subscribers that come back with their last id whenever their stream ends, and note all they saw.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Connection, End, EventStream, Request, TestHub, matching,
    request::{Body, Opened},
    sse::Item,
    within,
};

/// How long a follower may take to see the end marker.
const END_LIMIT: Duration = Duration::from_secs(120);

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// What is long enough to be noted as a silence.
const SILENCE: Duration = Duration::from_millis(500);

/// How long to wait before connecting is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What a follower has seen.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// The ids that came, and when.
    pub seen: Vec<(String, Instant)>,
    /// When each stream but the last one ended, unless the follower left it.
    pub ends: Vec<Instant>,
    /// How often it left a stream to come back.
    pub left: usize,
    /// Streams that were silent for long: since when, and until when. A heartbeat is not silence.
    pub silences: Vec<(Instant, Instant)>,
    /// The streams that did not end cleanly, in words.
    pub cuts: Vec<String>,
    /// Attempts to come back that were refused a connection.
    pub refused: usize,
    /// Attempts to come back that were connected and closed without an answer, or not even connected in time.
    pub unanswered: usize,
}

impl Followed {
    /// The ids, in the order in which they came.
    pub fn ids(&self) -> Vec<String> {
        self.seen.iter().map(|(id, _)| id.clone()).collect()
    }

    /// The longest time between two events.
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.seen.windows(2).map(|pair| pair[1].1 - pair[0].1);
        gaps.max().unwrap_or_default()
    }

    /// The longest time in which an open stream brought nothing, not even a heartbeat; zero where none was long.
    pub fn longest_silence(&self) -> Duration {
        self.silences.iter().map(|(since, until)| *until - *since).max().unwrap_or_default()
    }

    /// When the first event came after a moment.
    pub fn first_after(&self, moment: Instant) -> Option<Instant> {
        self.seen.iter().map(|(_, at)| *at).find(|at| *at > moment)
    }
}

/// A follower at work.
#[derive(Debug)]
pub struct Follower {
    task: JoinHandle<Followed>,
}

impl Follower {
    /// Subscribes to a topic, and follows it until an event whose data is `marker` comes. Returns when the first stream
    /// is open, from which on nothing may be missed.
    ///
    /// An answer other than a stream fails the test: after one, a browser would not come back (C01).
    pub async fn start(hub: TestHub, topic: &str, marker: &str) -> Self {
        Self::start_with(hub, topic, marker, None).await
    }

    /// As [`Self::start`], but it leaves each stream after `stay` and comes back with its cursor.
    pub async fn restless(hub: TestHub, topic: &str, marker: &str, stay: Duration) -> Self {
        Self::start_with(hub, topic, marker, Some(stay)).await
    }

    async fn start_with(hub: TestHub, topic: &str, marker: &str, stay: Option<Duration>) -> Self {
        let request = Attempt { hub, topic: topic.to_owned() };
        let (open, opened) = oneshot::channel();
        let task = tokio::spawn(follow(request, marker.to_owned(), stay, open));
        let opened = within(END_LIMIT, "the first stream of a follower", opened).await;
        opened.unwrap_or_else(|_| panic!("a follower ended before its first stream was open"));
        Self { task }
    }

    /// Waits for the marker and returns what was seen before it.
    pub async fn end(self) -> Followed {
        let followed = within(END_LIMIT, "the end of a follower", self.task).await;
        followed.unwrap_or_else(|error| panic!("a follower panicked: {error}"))
    }
}

async fn follow(
    attempt: Attempt,
    marker: String,
    stay: Option<Duration>,
    open: oneshot::Sender<()>,
) -> Followed {
    let mut followed = Followed::default();
    // With an empty cursor the answer says where the stream begins, so that the first reconnection has a cursor too.
    let mut stream = attempt.reconnect("", &mut followed).await;
    let mut cursor = stream.cursor().to_owned();
    let _ = open.send(());
    loop {
        match follow_stream(&mut stream, &marker, stay, &mut cursor, &mut followed).await {
            Left::Marker => return followed,
            Left::Stream => followed.left += 1,
            Left::End(end) => {
                followed.ends.push(Instant::now());
                if let End::Cut(why) = end {
                    followed.cuts.push(why);
                }
            }
        }
        drop(stream);
        stream = attempt.reconnect(&cursor, &mut followed).await;
        assert_eq!(stream.cursor(), cursor, "R02: a cursor that is kept is known");
    }
}

/// Why a stream is not read any more.
enum Left {
    Marker,
    Stream,
    End(End),
}

async fn follow_stream(
    stream: &mut EventStream,
    marker: &str,
    stay: Option<Duration>,
    cursor: &mut String,
    followed: &mut Followed,
) -> Left {
    let until = stay.map(|stay| tokio::time::Instant::now() + stay);
    let mut newest = Instant::now();
    loop {
        let item = match until {
            // What was read and not noted comes again, because the cursor does not know of it.
            Some(until) => match tokio::time::timeout_at(until, stream.next_item()).await {
                Ok(item) => item,
                Err(_) => return Left::Stream,
            },
            None => stream.next_item().await,
        };
        let now = Instant::now();
        if now - newest > SILENCE {
            followed.silences.push((newest, now));
        }
        newest = now;
        match item {
            Ok(Item::Event(event)) if event.data == marker => return Left::Marker,
            Ok(Item::Event(event)) => {
                cursor.clone_from(&event.id);
                followed.seen.push((event.id, now));
            }
            Ok(Item::Comment(_)) => {}
            Err(end) => return Left::End(end),
        }
    }
}

struct Attempt {
    hub: TestHub,
    topic: String,
}

impl Attempt {
    async fn reconnect(&self, cursor: &str, followed: &mut Followed) -> EventStream {
        let request = self.hub.subscribe(matching(&self.topic)).after(cursor).request();
        let trying = async {
            loop {
                match open(&request, self.hub.address()).await {
                    Ok(stream) => return stream,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => followed.refused += 1,
                    Err(_) => followed.unanswered += 1,
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        };
        within(END_LIMIT, "a stream for a follower", trying).await
    }
}

async fn open(request: &Request, address: SocketAddr) -> io::Result<EventStream> {
    let mut connection = Connection::try_open_within(address, CONNECT_LIMIT).await?;
    connection.try_send(request.bytes()).await?;
    let head = within(END_LIMIT, "the head of a stream", connection.try_head()).await?;
    let (status, headers) = (head.status, head.headers.clone());
    let body = Body::Http1(Box::new(connection), head);
    Ok(EventStream::new(Opened { status, headers, body }).await)
}

/// The ids of everything on a topic that a hub keeps, up to an event whose data is `marker`.
pub async fn log_of(hub: &TestHub, topic: &str, marker: &str) -> Vec<String> {
    let mut stream = hub.subscribe(matching(topic)).after("earliest").await;
    assert_eq!(stream.cursor(), "earliest");
    let reading = async {
        let mut ids = Vec::new();
        loop {
            let event = stream.next().await;
            if event.data == marker {
                return ids;
            }
            ids.push(event.id);
        }
    };
    within(END_LIMIT, "the end of the replay", reading).await
}
