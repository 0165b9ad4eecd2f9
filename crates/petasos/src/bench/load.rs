//! A run of publishers and subscribers: connect, make sure that everybody gets everything, warm up, measure, stop, wait
//! for the rest, and account for every update.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    choice::Distribution,
    endpoint::Endpoint,
    error::BenchError,
    histogram::Latencies,
    limit::{FanoutLimit, PublishLimit},
    marker::RunId,
    measure::{self, Measurable, Measured},
    publishers::{self, Job, Publishers, Record},
    report::{Run, Subject},
    request::{Ids, Publish, PublishForm, Topics},
    session::{Hub, Session},
    subscribers::{self, Matching, Subscribers, Subscriptions},
    usage,
    window::Window,
};

/// How long all connections together may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(120);
/// How long the first update may take to everybody.
const FIRST_LIMIT: Duration = Duration::from_secs(60);
/// How long the last answers may take.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the last updates may take to everybody.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// When nothing has come for so long, what is missing will not come.
const QUIET_LIMIT: Duration = Duration::from_secs(3);
/// From the order to the first update of a pace, so that no thread is late for it.
const LEAD_NS: u64 = 20_000_000;

/// A load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// How many subscribers.
    pub(crate) subscribers: usize,
    /// How they ask for what they get.
    pub(crate) matching: Matching,
    /// How many streams a subscriber gets; all of them where they share a topic.
    pub(crate) streams_each: u32,
    /// How many streams there are: topics, or publishers where they share a topic.
    pub(crate) streams: u32,
    /// How many publishers.
    pub(crate) publishers: usize,
    /// Updates a second; `None` for full speed.
    pub(crate) per_second: Option<f64>,
    /// How they are spread over streams.
    pub(crate) distribution: Distribution,
    /// Bytes of data.
    pub(crate) data_bytes: usize,
    /// Private updates.
    pub(crate) private: bool,
    /// Whether the bench gives ids.
    pub(crate) named: bool,
    /// Before it is measured.
    pub(crate) warmup: Duration,
    /// Measured.
    pub(crate) duration: Duration,
    /// Of latencies.
    pub(crate) sample_every: u64,
    /// Threads of subscribers.
    pub(crate) threads: usize,
    /// Threads of publishers.
    pub(crate) publisher_threads: usize,
    /// Connections that may be opening at once.
    pub(crate) opening: usize,
}

impl Load {
    /// How many connections it needs.
    pub(crate) fn connections(&self) -> usize {
        self.subscribers + self.publishers
    }

    /// The topics of a run.
    pub(crate) fn topics(&self, run: RunId) -> Topics {
        match self.matching {
            Matching::OneTopic => Topics::one(run),
            Matching::Topics => Topics::of_run(run),
            Matching::Patterns => Topics::with_segment(run),
        }
    }

    /// Who gives ids.
    pub(crate) fn ids(&self, run: RunId) -> Ids {
        if self.named { Ids::Named(format!("urn:bench:{}", &run.as_str()[2..])) } else { Ids::OfTheHub }
    }

    /// What the subscribers of a run ask for; without a hub, of the baseline.
    pub(crate) fn subscriptions(&self, run: RunId, hub: Option<&Hub>) -> Subscriptions {
        Subscriptions {
            path: hub.map_or_else(|| "/".to_owned(), |hub| hub.path.clone()),
            token: hub.and_then(|hub| hub.subscriber.clone()),
            topics: self.topics(run),
            matching: self.matching,
            streams: self.streams,
            streams_each: self.streams_each,
            ids: self.ids(run),
        }
    }

    /// Starts the subscribers of a run.
    ///
    /// # Errors
    /// The system has no threads or files.
    pub(crate) fn subscribe(
        &self,
        run: RunId,
        endpoint: &Endpoint,
        hub: Option<&Hub>,
        window: &Arc<Window>,
    ) -> Result<Subscribers, BenchError> {
        let plan = subscribers::Plan {
            count: self.subscribers,
            threads: self.threads,
            endpoint: endpoint.clone(),
            subscriptions: self.subscriptions(run, hub),
            run,
            data_bytes: self.data_bytes,
            sample_every: self.sample_every,
            opening: self.opening,
            window: Arc::clone(window),
        };
        Subscribers::start(&plan).map_err(BenchError::system("subscribers cannot be started"))
    }

    /// Starts the publishers of a run.
    ///
    /// # Errors
    /// The system has no threads or files.
    pub(crate) fn publish(
        &self,
        run: RunId,
        endpoint: &Endpoint,
        hub: Option<&Hub>,
        window: &Arc<Window>,
    ) -> Result<Publishers, BenchError> {
        let (topics, ids) = (self.topics(run), self.ids(run));
        let form = PublishForm {
            authority: &endpoint.authority,
            path: hub.map_or("/", |hub| &hub.path),
            topics: &topics,
            ids: &ids,
            data_bytes: self.data_bytes,
            private: self.private,
            token: hub.and_then(|hub| hub.publisher.as_ref()),
        };
        let plan = publishers::Plan {
            count: self.publishers,
            threads: self.publisher_threads,
            endpoint: endpoint.clone(),
            request: Publish::new(run, &form),
            streams: self.streams,
            distribution: self.distribution,
            window: Arc::clone(window),
        };
        Publishers::start(&plan).map_err(BenchError::system("publishers cannot be started"))
    }

    /// How many deliveries these updates make.
    pub(crate) fn expected(&self, subscriptions: impl Fn(usize) -> (u32, u32), published: &[u64]) -> u64 {
        let of = |subscriber| {
            let (first, count) = subscriptions(subscriber);
            published[first as usize..(first + count) as usize].iter().sum::<u64>()
        };
        (0..self.subscribers).map(of).sum()
    }

    /// The streams of a subscriber.
    pub(crate) fn streams_of(&self, run: RunId) -> impl Fn(usize) -> (u32, u32) {
        let subscriptions = self.subscriptions(run, None);
        move |subscriber| subscriptions.streams_of(subscriber)
    }
}

/// Who makes the load.
pub(crate) enum Source<'s> {
    /// Publishers and a hub.
    Hub(&'s Hub, Publishers),
    /// Publishers and the baseline.
    PublishLimit(&'s PublishLimit, Publishers),
    /// The baseline, which needs no publishers.
    FanoutLimit(FanoutLimit),
}

/// A load that runs.
pub(crate) struct Running<'s> {
    pub(crate) subscribers: Option<Subscribers>,
    pub(crate) source: Source<'s>,
}

impl Measurable for Running<'_> {
    fn deliveries(&self) -> u64 {
        self.subscribers.as_ref().map_or(0, Subscribers::deliveries)
    }

    fn publishes(&self) -> u64 {
        match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => publishers.acknowledged(),
            Source::FanoutLimit(limit) => limit.updates(),
        }
    }

    fn server_cpu_ns(&self) -> Result<Option<u64>, BenchError> {
        Ok(match &self.source {
            Source::Hub(hub, _) if hub.pids.is_empty() => None,
            Source::Hub(hub, _) => Some(usage::cpu_ns(&hub.pids)?),
            Source::PublishLimit(limit, _) => Some(limit.cpu_ns()),
            Source::FanoutLimit(limit) => Some(limit.cpu_ns()),
        })
    }

    fn server_rss_bytes(&self) -> Result<Option<u64>, BenchError> {
        Ok(match &self.source {
            Source::Hub(hub, _) if !hub.pids.is_empty() => Some(usage::rss_bytes(&hub.pids)?),
            _ => None,
        })
    }

    fn subscriber_cpu_ns(&self) -> u64 {
        self.subscribers.as_ref().map_or(0, Subscribers::cpu_ns)
    }

    fn take_recent(&self, to: &mut Latencies) {
        match (&self.subscribers, &self.source) {
            (Some(subscribers), _) => subscribers.take_recent(to),
            (None, Source::Hub(_, publishers) | Source::PublishLimit(_, publishers)) => {
                publishers.take_recent(to)
            }
            (None, Source::FanoutLimit(_)) => {}
        }
    }

    fn check(&self) -> Result<(), BenchError> {
        let failure = self.subscribers.as_ref().and_then(Subscribers::failure);
        let failure = failure.or_else(|| match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => publishers.failure(),
            Source::FanoutLimit(_) => None,
        });
        failure.map_or(Ok(()), |text| Err(BenchError::Failed(text)))
    }
}

/// Drives a hub.
///
/// # Errors
/// It cannot be driven.
pub(crate) fn drive_hub(session: &mut Session, hub: &Hub, load: &Load) -> Result<Run, BenchError> {
    let (run, window) = (RunId::random(), Arc::default());
    let subscribers =
        open_subscribers(session, load, || load.subscribe(run, &hub.endpoint, Some(hub), &window))?;
    let publishers = open_publishers(session, || load.publish(run, &hub.endpoint, Some(hub), &window))?;
    let running = Running { subscribers, source: Source::Hub(hub, publishers) };
    running.run(session, load, run, &window)
}

/// Drives the baseline of fan-out.
///
/// # Errors
/// It cannot be driven.
pub(crate) fn drive_fanout_limit(
    session: &mut Session,
    load: &Load,
    sources: u8,
    events_per_send: usize,
) -> Result<Run, BenchError> {
    let (run, window) = (RunId::random(), Arc::default());
    let limit = FanoutLimit::start(load.subscribers, run, load.data_bytes, events_per_send)
        .map_err(BenchError::system("the baseline cannot be started"))?;
    let endpoint = Endpoint::plain(limit.address(), sources);
    // One thread makes the updates: one stream.
    let load = Load { streams: 1, streams_each: 1, ..load.clone() };
    let subscribers = open_subscribers(session, &load, || load.subscribe(run, &endpoint, None, &window))?;
    let running = Running { subscribers, source: Source::FanoutLimit(limit) };
    running.run(session, &load, run, &window)
}

/// Drives the baseline of publishing.
///
/// # Errors
/// It cannot be driven.
pub(crate) fn drive_publish_limit(
    session: &mut Session,
    load: &Load,
    sources: u8,
    start: impl FnOnce() -> io::Result<PublishLimit>,
) -> Result<Run, BenchError> {
    let (run, window) = (RunId::random(), Arc::default());
    let limit = start().map_err(BenchError::system("the baseline cannot be started"))?;
    let endpoint = Endpoint::plain(limit.address(), sources);
    let load = Load { subscribers: 0, ..load.clone() };
    let publishers = open_publishers(session, || load.publish(run, &endpoint, None, &window))?;
    let running = Running { subscribers: None, source: Source::PublishLimit(&limit, publishers) };
    running.run(session, &load, run, &window)
}

/// Opens all subscribers of a load; `None` where it has none.
pub(crate) fn open_subscribers(
    session: &mut Session,
    load: &Load,
    start: impl FnOnce() -> Result<Subscribers, BenchError>,
) -> Result<Option<Subscribers>, BenchError> {
    if load.subscribers == 0 {
        return Ok(None);
    }
    let subscribers = start()?;
    wait_until_open(session, &subscribers)?;
    Ok(Some(subscribers))
}

/// Waits until all subscribers have a stream.
pub(crate) fn wait_until_open(session: &mut Session, subscribers: &Subscribers) -> Result<(), BenchError> {
    session.progress.begin("connecting subscribers");
    let all = || match subscribers.failure() {
        Some(text) => Err(BenchError::Failed(text)),
        None => Ok(subscribers.open() == subscribers.count()),
    };
    let text = || format!("{} of {}", subscribers.open(), subscribers.count());
    session.wait_for("the last subscriber's stream", CONNECT_LIMIT, all, text)
}

/// Opens all publishers.
pub(crate) fn open_publishers(
    session: &mut Session,
    start: impl FnOnce() -> Result<Publishers, BenchError>,
) -> Result<Publishers, BenchError> {
    let publishers = start()?;
    session.progress.begin("connecting publishers");
    let all = || match publishers.failure() {
        Some(text) => Err(BenchError::Failed(text)),
        None => Ok(publishers.connected() == publishers.count()),
    };
    let text = || format!("{} of {}", publishers.connected(), publishers.count());
    session.wait_for("the last publisher's connection", CONNECT_LIMIT, all, text)?;
    Ok(publishers)
}

impl Running<'_> {
    fn run(self, session: &mut Session, load: &Load, run: RunId, window: &Window) -> Result<Run, BenchError> {
        self.send_first(session)?;
        self.begin(load);
        measure::warm_up(session, &self, load.warmup)?;
        let measured = measure::measure(session, &self, window, load.duration)?;
        self.stop(session)?;
        let record = self.record();
        self.wait_for_the_rest(session, load.expected(load.streams_of(run), &record.published))?;
        Ok(self.account(&measured, &record))
    }

    /// One update on each stream: whoever has had it is subscribed, whatever the hub does between its answer and that.
    pub(crate) fn send_first(&self, session: &mut Session) -> Result<(), BenchError> {
        session.progress.begin("sending a first update to everybody");
        match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => publishers.begin(&Job::Each),
            Source::FanoutLimit(limit) => limit.send_one(),
        }
        let all = self.subscribers.as_ref().map_or(0, Subscribers::count);
        let ready = || self.subscribers.as_ref().map_or(0, Subscribers::ready);
        let done = || {
            self.check()?;
            Ok(self.is_idle() && ready() == all)
        };
        session.wait_for("the first update at every subscriber", FIRST_LIMIT, done, || {
            format!("{} of {all} have it", ready())
        })
    }

    /// Begins the load.
    pub(crate) fn begin(&self, load: &Load) {
        let start_ns = super::clock::now_ns() + LEAD_NS;
        let per_second = load.per_second;
        match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => {
                publishers.begin(&Job::Load { per_second, start_ns });
            }
            Source::FanoutLimit(limit) => limit.begin(per_second, start_ns),
        }
    }

    fn is_idle(&self) -> bool {
        match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => publishers.is_idle(),
            Source::FanoutLimit(limit) => limit.is_idle(),
        }
    }

    /// Ends it, and waits for the last answers.
    pub(crate) fn stop(&self, session: &mut Session) -> Result<(), BenchError> {
        session.progress.begin("waiting for the last answers");
        match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => publishers.stop(),
            Source::FanoutLimit(limit) => limit.stop(),
        }
        let done = || {
            self.check()?;
            Ok(self.is_idle())
        };
        session.wait_for("the last answer", STOP_LIMIT, done, String::new)
    }

    /// What was published.
    pub(crate) fn record(&self) -> Record {
        match &self.source {
            Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) => publishers.record(),
            Source::FanoutLimit(limit) => Record { published: vec![limit.updates()], ..Record::default() },
        }
    }

    /// Waits until everything has come, or nothing comes any more.
    pub(crate) fn wait_for_the_rest(&self, session: &mut Session, expected: u64) -> Result<(), BenchError> {
        let Some(subscribers) = &self.subscribers else { return Ok(()) };
        session.progress.begin("waiting for the last deliveries");
        let deadline = Instant::now() + DRAIN_LIMIT;
        let mut last = (subscribers.deliveries(), Instant::now());
        while last.0 < expected && last.1.elapsed() < QUIET_LIMIT && Instant::now() < deadline {
            session.check()?;
            session.progress.show(&format!("{} of {expected}", last.0));
            std::thread::sleep(super::session::LOOK_AGAIN);
            let now = subscribers.deliveries();
            if now != last.0 {
                last = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Sums it up.
    pub(crate) fn account(&self, measured: &Measured, record: &Record) -> Run {
        let server_is_here = !matches!(self.source, Source::Hub(..));
        let mut run = Run::of(if server_is_here { Subject::Limit } else { Subject::Hub });
        run.publish_latency = record.latencies.summary();
        if let Some(subscribers) = &self.subscribers {
            let account = subscribers.account(&record.published, &record.excused);
            run.delivery_latency = account.latencies.summary();
            run.faults.updates = account.faults;
            run.faults.ended_streams = subscribers.ended();
            run.faults.first_ending = subscribers.ending();
        }
        if let Source::Hub(_, publishers) | Source::PublishLimit(_, publishers) = &self.source {
            run.faults.refused = publishers.refused();
            run.faults.broken_publishes = publishers.errors();
            run.faults.unsent = publishers.unsent();
        }
        if let Source::FanoutLimit(limit) = &self.source {
            run.faults.unsent = limit.unsent();
        }
        measured.report(&mut run, server_is_here);
        run
    }
}
