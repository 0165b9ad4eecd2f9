//! Publishers that go on while hubs come and go, and note what came of each of their updates.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Connection, End, HUB_PATH, TestHub, form,
    ledger::{Entry, Fate, Ledger},
    within,
};

/// How long to wait before connecting is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(5);

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long publishers may take to finish what they have begun.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How long nothing may be acknowledged where something is expected to be. Tests stop hubs and engines for half of it.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);

/// How long an answer may take: longer than any hub is stopped by a test.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// What publishers send.
#[derive(Clone, Debug)]
pub struct Load {
    /// The topic of every update.
    pub topic: String,
    /// How long a publisher waits between two updates.
    pub pause: Duration,
    /// Whether the pause is counted from beginning to beginning, so that the rate does not depend on the answers.
    pub steady: bool,
    /// Whether every update has a connection of its own, as from a script that ends with its request.
    pub connects_anew: bool,
    /// Data is the id, filled up to this many bytes.
    pub data_bytes: usize,
}

impl Load {
    /// As fast as answers come.
    pub fn on(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            pause: Duration::ZERO,
            steady: false,
            connects_anew: false,
            data_bytes: 0,
        }
    }

    /// With this pause between two updates of a publisher.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// With one update of a publisher in each such time, as far as answers allow it.
    #[must_use]
    pub fn steadily(mut self, period: Duration) -> Self {
        (self.pause, self.steady) = (period, true);
        self
    }

    /// With a connection for each update.
    #[must_use]
    pub fn connecting_anew(mut self) -> Self {
        self.connects_anew = true;
        self
    }

    /// With so much data.
    #[must_use]
    pub fn of_bytes(mut self, data_bytes: usize) -> Self {
        self.data_bytes = data_bytes;
        self
    }
}

/// Publishers at work. Each has a connection that it keeps, and one update under way at a time.
#[derive(Debug)]
pub struct Publishers {
    tasks: Vec<JoinHandle<Vec<Entry>>>,
    stop: watch::Sender<bool>,
    acknowledged: Arc<AtomicUsize>,
    connecting: Arc<Connecting>,
}

/// How connecting went, over all publishers.
#[derive(Debug, Default)]
struct Connecting {
    failures: AtomicUsize,
    longest_ms: AtomicU64,
}

impl Publishers {
    /// Starts `count` publishers; `name` makes their ids unlike those of others.
    pub fn start(hub: impl Fn() -> TestHub, name: &str, count: usize, load: &Load) -> Self {
        let (stop, stopped) = watch::channel(false);
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let connecting = Arc::<Connecting>::default();
        let tasks = (0..count).map(|number| {
            let publisher = Publisher {
                hub: hub(),
                name: format!("{name}{number}"),
                load: load.clone(),
                acknowledged: Arc::clone(&acknowledged),
                connecting: Arc::clone(&connecting),
                stopped: stopped.clone(),
            };
            tokio::spawn(publisher.run())
        });
        Self { tasks: tasks.collect(), stop, acknowledged, connecting }
    }

    /// How many updates were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How many attempts to connect failed so far. They are tried again and stand in no ledger.
    pub fn unconnected(&self) -> usize {
        self.connecting.failures.load(Ordering::Relaxed)
    }

    /// The longest time that one of them could not connect.
    pub fn longest_unconnected(&self) -> Duration {
        Duration::from_millis(self.connecting.longest_ms.load(Ordering::Relaxed))
    }

    /// Waits until so many more were acknowledged, and fails the test if there is none for too long.
    pub async fn acknowledge_more(&self, count: usize) {
        let wanted = self.acknowledged() + count;
        loop {
            let before = self.acknowledged();
            if before >= wanted {
                return;
            }
            let progress = async {
                while self.acknowledged() == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            within(PROGRESS_LIMIT, "the acknowledgement of a further publish", progress).await;
        }
    }

    /// Lets each finish the update it has under way, and returns what they all noted.
    pub async fn stop(self) -> Ledger {
        // Fails only where all have ended, which the join below shows.
        let _ = self.stop.send(true);
        let mut ledger = Ledger::default();
        for task in self.tasks {
            let entries = within(STOP_LIMIT, "the end of a publisher", task).await;
            ledger.extend(entries.unwrap_or_else(|error| panic!("a publisher panicked: {error}")));
        }
        ledger
    }
}

struct Publisher {
    hub: TestHub,
    name: String,
    load: Load,
    acknowledged: Arc<AtomicUsize>,
    connecting: Arc<Connecting>,
    stopped: watch::Receiver<bool>,
}

impl Publisher {
    async fn run(self) -> Vec<Entry> {
        let token =
            self.hub.publisher().may_publish(&["*"]).claim("exp", crate::token::now() + 86_400).mint();
        let mut connection = None;
        let mut entries = Vec::new();
        let mut due = tokio::time::Instant::now();
        for number in 0_u64.. {
            if connection.is_none() {
                connection = self.connect().await;
            }
            let Some(open) = connection.as_mut() else { break };
            let id = format!("{}:{number}", self.name);
            let sent = Instant::now();
            let (fate, keep) = match self.publish(open, &token, &id).await {
                Ok((200, keep)) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    (Fate::Acknowledged(Instant::now()), keep)
                }
                Ok((status, keep)) => (Fate::Refused(status), keep),
                Err(error) => (Fate::Unknown(error.to_string()), false),
            };
            entries.push(Entry { id, sent, fate, ended: Instant::now() });
            if !keep || self.load.connects_anew {
                connection = None;
            }
            if *self.stopped.borrow() {
                break;
            }
            if self.load.steady {
                // What was late is made up for by the next ones, but not beyond one pause.
                due = (due + self.load.pause).max(tokio::time::Instant::now() - self.load.pause);
                tokio::time::sleep_until(due).await;
            } else if !self.load.pause.is_zero() {
                tokio::time::sleep(self.load.pause).await;
            }
        }
        entries
    }

    /// Tries until somebody listens; `None` where it is over first.
    async fn connect(&self) -> Option<Connection> {
        let begun = Instant::now();
        loop {
            if *self.stopped.borrow() {
                return None;
            }
            match Connection::try_open_within(self.hub.address(), CONNECT_LIMIT).await {
                Ok(connection) => {
                    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.connecting.longest_ms.fetch_max(took, Ordering::Relaxed);
                    return Some(connection);
                }
                Err(_) => {
                    self.connecting.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    /// The status, and whether the connection may be used again.
    async fn publish(&self, connection: &mut Connection, token: &str, id: &str) -> io::Result<(u16, bool)> {
        let mut data = id.to_owned();
        data.extend(std::iter::repeat_n('.', self.load.data_bytes.saturating_sub(id.len())));
        let fields = [("topic", self.load.topic.as_str()), ("id", id), ("data", &data)];
        let request = self.hub.request("POST", HUB_PATH).bearer(token).form(form::encode(fields));
        connection.try_send(request.bytes()).await?;
        let head = within(ANSWER_LIMIT, "the answer to a publish", connection.try_head()).await?;
        let (body, end) = connection.body(&head).await;
        if end != End::Clean {
            return Err(io::Error::other(format!("the answer was cut: {end:?}")));
        }
        if head.status == 200 {
            assert_eq!(body, id.as_bytes(), "P02: the body is the id");
        }
        if head.status == 503 {
            assert!(head.header("retry-after").is_some(), "a 503 says when to try again: {head:?}");
        }
        let close = head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok((head.status, !close))
    }
}
