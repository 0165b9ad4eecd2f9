//! `petasos bench resume`.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use super::{base_load, settings};
use crate::bench::{
    args::{ResumeArgs, Times},
    clock::{now_ns, seconds},
    environment::Environment,
    error::BenchError,
    figures::{Figures, median},
    files,
    load::{Load, open_publishers},
    marker::{Finder, RunId},
    publishers::{Fill, Job},
    replay::{Replay, replay},
    report::{Report, Run, Subject},
    request,
    session::{Hub, Session},
    spawn::Store,
    subscribers::Matching,
    usage,
};

/// Hits of the rare topic among all updates.
const RARE_HITS: u64 = 10;
/// How long the filling may take.
const FILL_LIMIT: Duration = Duration::from_secs(3600);
/// So many of the first and of the last updates are published one after the other, so that their order is known.
const ALONE: u64 = 50;

/// Resumes from near and far.
pub(crate) fn resume(args: &ResumeArgs) -> Result<Report, BenchError> {
    let common = &args.common;
    let back = distances(args)?;
    let times = Times { duration: Duration::ZERO, warmup: Duration::ZERO };
    let load = Load {
        publishers: args.publishers as usize,
        matching: Matching::Topics,
        streams: 2,
        named: true,
        ..base_load(common, &times, 0.0)
    };
    files::make_room(load.connections())?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = Hub::find(common, Store::Sqlite)?;
    let run = args.name.as_deref().map_or_else(RunId::random, RunId::named);
    let fill =
        Fill { next: Arc::new(AtomicU64::new(0)), end: args.events, rare_every: args.events / RARE_HITS };
    let mut filling = Figures::default();
    if !args.no_fill {
        fill_history(&mut session, &hub, &load, run, &fill, &mut filling)?;
    }
    let resumes = Resumes { hub: &hub, load: &load, run, fill: &fill, tries: args.tries };
    let mut runs = Vec::new();
    for _ in 0..common.repeat {
        let mut run = Run::of(Subject::Hub);
        resumes.measure(&mut session, &back, &mut run.figures)?;
        runs.push(run);
    }
    if let Some(first) = runs.first_mut() {
        for (name, value) in filling.iter() {
            first.figures.set(name, value);
        }
    }
    let mut settings = settings(common, Some(&hub));
    settings.insert("events".into(), args.events.into());
    settings.insert("tries".into(), args.tries.into());
    settings.insert("filled".into(), (!args.no_fill).into());
    let notes = vec![
        format!("Times are medians of {} tries, from the request on an open connection.", args.tries),
        format!(
            "The rare topic has {RARE_HITS} updates among all, and is resumed from behind the first update."
        ),
        "The whole replay goes through a URL pattern that matches everything, to one subscriber.".into(),
    ];
    Ok(Report::new("resume", notes, settings, environment, runs))
}

fn distances(args: &ResumeArgs) -> Result<Vec<u64>, BenchError> {
    // From behind the very first update there is one less to come than there are.
    let most = args.events - 1;
    let back = if args.back.is_empty() { vec![10, args.events / 2, most] } else { args.back.clone() };
    if let Some(wrong) = back.iter().find(|back| **back == 0 || **back > args.events) {
        return Err(BenchError::Usage(format!("--back {wrong}: there are {} events", args.events)));
    }
    Ok(back.into_iter().map(|back| back.min(most)).collect())
}

#[allow(clippy::cast_precision_loss)] // Counts below 2^53.
fn fill_history(
    session: &mut Session,
    hub: &Hub,
    load: &Load,
    run: RunId,
    fill: &Fill,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let begun = now_ns();
    let one = Load { publishers: 1, ..load.clone() };
    for (load, end) in [(&one, ALONE), (load, fill.end.saturating_sub(ALONE)), (&one, fill.end)] {
        let publishers =
            open_publishers(session, || load.publish(run, &hub.endpoint, Some(hub), &Arc::default()))?;
        session.progress.begin("filling the history");
        publishers.begin(&Job::Fill(Fill { end, next: Arc::clone(&fill.next), ..*fill }));
        let done = || match publishers.failure() {
            Some(text) => Err(BenchError::Failed(text)),
            None => Ok(publishers.is_idle()),
        };
        let text = || format!("{} of {end} updates", publishers.acknowledged());
        session.wait_for("the end of the filling", FILL_LIMIT, done, text)?;
        // Publishers that found no number left have counted on.
        fill.next.store(end, std::sync::atomic::Ordering::Relaxed);
        if publishers.errors() > 0 {
            return Err(BenchError::Failed(
                "publishers' connections broke while the history was filled".into(),
            ));
        }
    }
    figures.set("filled_per_second", fill.end as f64 / seconds(now_ns() - begun));
    Ok(())
}

struct Resumes<'r> {
    hub: &'r Hub,
    load: &'r Load,
    run: RunId,
    fill: &'r Fill,
    tries: u32,
}

impl Resumes<'_> {
    #[allow(clippy::cast_precision_loss)] // Counts below 2^53.
    fn measure(&self, session: &mut Session, back: &[u64], figures: &mut Figures) -> Result<(), BenchError> {
        let topics = self.load.topics(self.run);
        let usual = request::match_exact(&topics.topic(0));
        for back in back {
            session.progress.begin(format!("resuming from {back} back"));
            let number = self.fill.end - 1 - back;
            let tries = self.try_often(session, &usual, number, 1)?;
            figures
                .set(format!("first_event_from_{back}_back_us"), middle_us(&tries, |replay| replay.first_ns));
            figures.set(format!("head_from_{back}_back_us"), middle_us(&tries, |replay| replay.head_ns));
        }
        session.progress.begin("resuming a rare topic");
        let rare = request::match_exact(&topics.topic(1));
        let tries = self.try_often(session, &rare, 0, RARE_HITS)?;
        figures.set("first_event_of_rare_topic_us", middle_us(&tries, |replay| replay.first_ns));
        figures.set("all_events_of_rare_topic_us", middle_us(&tries, |replay| replay.all_ns));
        session.progress.begin("replaying everything");
        // Relative patterns would mean the hub's own host; this one matches the topics of this run alone.
        let everything = topics.topic(0);
        let everything = everything.rsplit_once('/').map_or("*", |(prefix, _)| prefix);
        let everything = request::match_pattern(&format!("{everything}/:topic"));
        let before = usage::cpu_ns(&self.hub.pids)?;
        let whole = self.try_once(&everything, 0, self.fill.end - 1)?;
        let events = (self.fill.end - 1) as f64;
        figures.set("replayed_per_second", events / seconds(whole.all_ns));
        if !self.hub.pids.is_empty() {
            let cpu_ns = usage::cpu_ns(&self.hub.pids)?.saturating_sub(before);
            figures.set("cpu_per_replayed_event_us", cpu_ns as f64 / 1e3 / events);
        }
        Ok(())
    }

    fn try_often(
        &self,
        session: &mut Session,
        query: &str,
        number: u64,
        wanted: u64,
    ) -> Result<Vec<Replay>, BenchError> {
        let once = |number_of_try| {
            session.check()?;
            session.progress.show(&format!("{} of {}", number_of_try + 1, self.tries));
            self.try_once(query, number, wanted)
        };
        (0..self.tries).map(once).collect()
    }

    /// Resumes behind the update of this number.
    fn try_once(&self, query: &str, number: u64, wanted: u64) -> Result<Replay, BenchError> {
        let separator = if self.hub.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{separator}{query}", self.hub.path);
        let id = self.load.ids(self.run).id(self.fill.stream_of(number), number);
        let endpoint = &self.hub.endpoint;
        let request =
            request::subscribe(&endpoint.authority, &path, self.hub.subscriber.as_ref(), id.as_deref());
        replay(endpoint, &request, &mut Finder::new(self.run, self.load.data_bytes), wanted)
    }
}

#[allow(clippy::cast_precision_loss)] // Microseconds below 2^53.
fn middle_us(tries: &[Replay], of: impl Fn(&Replay) -> u64) -> f64 {
    median(tries.iter().map(|replay| of(replay) as f64 / 1e3).collect())
}
