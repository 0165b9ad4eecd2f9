//! The measured time of a run: counters at its beginning and end, and its course in between.

use std::time::Duration;

use super::{
    clock::{now_ns, process_cpu_ns, seconds},
    error::BenchError,
    figures::plain,
    histogram::Latencies,
    report::{Run, Sample},
    session::Session,
    window::Window,
};

/// Between two points of the course.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// What is measured: counters that only grow.
pub(crate) trait Measurable {
    /// Updates received by subscribers.
    fn deliveries(&self) -> u64;
    /// Updates acknowledged, or sent by the baseline.
    fn publishes(&self) -> u64;
    /// Processor time of the server; `None` where it is not known.
    ///
    /// # Errors
    /// It has ended.
    fn server_cpu_ns(&self) -> Result<Option<u64>, BenchError>;
    /// Memory of the server; `None` where it is not known.
    ///
    /// # Errors
    /// It has ended.
    fn server_rss_bytes(&self) -> Result<Option<u64>, BenchError>;
    /// Processor time of the threads that receive.
    fn subscriber_cpu_ns(&self) -> u64;
    /// Adds the latencies since the last call.
    fn take_recent(&self, to: &mut Latencies);
    /// Why it cannot go on.
    ///
    /// # Errors
    /// It cannot.
    fn check(&self) -> Result<(), BenchError>;
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at_ns: u64,
    deliveries: u64,
    publishes: u64,
    server_cpu_ns: Option<u64>,
    subscriber_cpu_ns: u64,
    process_cpu_ns: u64,
}

impl Moment {
    fn of(subject: &impl Measurable) -> Result<Self, BenchError> {
        Ok(Self {
            at_ns: now_ns(),
            deliveries: subject.deliveries(),
            publishes: subject.publishes(),
            server_cpu_ns: subject.server_cpu_ns()?,
            subscriber_cpu_ns: subject.subscriber_cpu_ns(),
            process_cpu_ns: process_cpu_ns(),
        })
    }
}

/// What the measured time came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) deliveries: u64,
    pub(crate) publishes: u64,
    pub(crate) server_cpu_ns: Option<u64>,
    pub(crate) subscriber_cpu_ns: u64,
    /// Of this whole process, the baseline's thread included.
    pub(crate) process_cpu_ns: u64,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) course: Vec<Sample>,
}

/// Lets the load run without measuring.
///
/// # Errors
/// It cannot go on.
pub(crate) fn warm_up(
    session: &mut Session,
    subject: &impl Measurable,
    time: Duration,
) -> Result<(), BenchError> {
    session.progress.begin("warming up");
    let_run(session, subject, time)
}

/// Lets the load run, and shows it.
///
/// # Errors
/// It cannot go on.
pub(crate) fn let_run(
    session: &mut Session,
    subject: &impl Measurable,
    time: Duration,
) -> Result<(), BenchError> {
    Course::new(subject)?.run(session, subject, time)
}

/// Measures for `time`; updates that are sent meanwhile count in `window`.
///
/// # Errors
/// It cannot go on.
pub(crate) fn measure(
    session: &mut Session,
    subject: &impl Measurable,
    window: &Window,
    time: Duration,
) -> Result<Measured, BenchError> {
    session.progress.begin("measuring");
    let mut course = Course::new(subject)?;
    let begin = course.begin;
    window.open(begin.at_ns);
    course.run(session, subject, time)?;
    let end = course.last;
    window.close(end.at_ns);
    Ok(Measured {
        seconds: seconds(end.at_ns - begin.at_ns),
        deliveries: end.deliveries - begin.deliveries,
        publishes: end.publishes - begin.publishes,
        server_cpu_ns: end
            .server_cpu_ns
            .zip(begin.server_cpu_ns)
            .map(|(end, begin)| end.saturating_sub(begin)),
        subscriber_cpu_ns: end.subscriber_cpu_ns.saturating_sub(begin.subscriber_cpu_ns),
        process_cpu_ns: end.process_cpu_ns - begin.process_cpu_ns,
        rss_bytes: subject.server_rss_bytes()?,
        course: course.samples,
    })
}

struct Course {
    begin: Moment,
    last: Moment,
    samples: Vec<Sample>,
    recent: Latencies,
}

impl Course {
    fn new(subject: &impl Measurable) -> Result<Self, BenchError> {
        let mut recent = Latencies::default();
        // What came before is not of interest.
        subject.take_recent(&mut recent);
        recent.clear();
        let begin = Moment::of(subject)?;
        Ok(Self { begin, last: begin, samples: Vec::new(), recent })
    }

    fn run(
        &mut self,
        session: &mut Session,
        subject: &impl Measurable,
        time: Duration,
    ) -> Result<(), BenchError> {
        // Tens of thousands of years fit.
        let end_ns = self.begin.at_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        loop {
            let left = Duration::from_nanos(end_ns.saturating_sub(now_ns()));
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SAMPLE_EVERY));
            session.check()?;
            subject.check()?;
            self.sample(subject)?;
            let passed = seconds(self.last.at_ns - self.begin.at_ns);
            session.progress.show_part(passed / time.as_secs_f64(), &self.text(time));
        }
    }

    #[allow(clippy::cast_precision_loss)] // Counts below 2^53.
    fn sample(&mut self, subject: &impl Measurable) -> Result<(), BenchError> {
        let now = Moment::of(subject)?;
        self.recent.clear();
        subject.take_recent(&mut self.recent);
        let passed = seconds(now.at_ns - self.last.at_ns);
        let cpu_ns =
            now.server_cpu_ns.zip(self.last.server_cpu_ns).map(|(now, last)| now.saturating_sub(last));
        let some = self.recent.len() > 0;
        self.samples.push(Sample {
            at_seconds: round(seconds(now.at_ns - self.begin.at_ns)),
            deliveries_per_second: round((now.deliveries - self.last.deliveries) as f64 / passed),
            publishes_per_second: round((now.publishes - self.last.publishes) as f64 / passed),
            p50_us: some.then(|| self.recent.percentile_us(50.0)),
            p99_us: some.then(|| self.recent.percentile_us(99.0)),
            cpu_percent: cpu_ns.map(|cpu_ns| round(100.0 * seconds(cpu_ns) / passed)),
            rss_bytes: subject.server_rss_bytes()?,
        });
        self.last = now;
        Ok(())
    }

    fn text(&self, time: Duration) -> String {
        let Some(sample) = self.samples.last() else { return String::new() };
        let mut text = format!("{:.0} of {:.0} s", sample.at_seconds, time.as_secs_f64());
        if self.last.deliveries > 0 {
            text.push_str(&format!(", {} deliveries/s", plain(sample.deliveries_per_second)));
        }
        text.push_str(&format!(", {} publishes/s", plain(sample.publishes_per_second)));
        if let (Some(p50), Some(p99)) = (sample.p50_us, sample.p99_us) {
            text.push_str(&format!(", p50 {p50} µs, p99 {p99} µs"));
        }
        if let Some(cpu) = sample.cpu_percent {
            text.push_str(&format!(", CPU {cpu:.0} %"));
        }
        text
    }
}

/// To thousandths: more would be noise in a file.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Measured {
    /// Writes what every run has into `run`. `server_is_here` tells that the server is a thread of this process.
    #[allow(clippy::cast_precision_loss)] // Counts below 2^53.
    pub(crate) fn report(&self, run: &mut Run, server_is_here: bool) {
        let figures = &mut run.figures;
        if self.deliveries > 0 {
            figures.set("deliveries_per_second", self.deliveries as f64 / self.seconds);
        }
        if self.publishes > 0 {
            figures.set("publishes_per_second", self.publishes as f64 / self.seconds);
        }
        for (name, latency) in [("delivery", &run.delivery_latency), ("publish", &run.publish_latency)] {
            if let Some(latency) = latency {
                for (suffix, percent) in [("p50", 50.0), ("p99", 99.0), ("p999", 99.9), ("max", 100.0)] {
                    let value = latency.percentile_us(percent).unwrap_or(latency.max_us);
                    figures.set(format!("{name}_{suffix}_us"), value as f64);
                }
            }
        }
        if let Some(cpu_ns) = self.server_cpu_ns {
            if self.deliveries > 0 {
                figures.set("cpu_per_delivery_us", cpu_ns as f64 / 1e3 / self.deliveries as f64);
            }
            if self.publishes > 0 {
                figures.set("cpu_per_publish_us", cpu_ns as f64 / 1e3 / self.publishes as f64);
            }
            figures.set("server_cpu_percent", 100.0 * seconds(cpu_ns) / self.seconds);
        }
        if let Some(rss_bytes) = self.rss_bytes {
            figures.set("server_rss_bytes", rss_bytes as f64);
        }
        let server = self.server_cpu_ns.filter(|_| server_is_here).unwrap_or(0);
        let own = self.process_cpu_ns.saturating_sub(server);
        figures.set("bench_cpu_percent", 100.0 * seconds(own) / self.seconds);
        if self.deliveries > 0 {
            figures.set(
                "bench_cpu_per_delivery_us",
                self.subscriber_cpu_ns as f64 / 1e3 / self.deliveries as f64,
            );
        }
        run.course.clone_from(&self.course);
    }
}
