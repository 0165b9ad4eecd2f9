//! `petasos bench storm`.

use std::{sync::Arc, time::Duration};

use super::{base_load, settings};
use crate::bench::{
    args::{StormArgs, Times},
    clock::{now_ns, seconds},
    environment::Environment,
    error::BenchError,
    files,
    load::{Load, open_publishers, wait_until_open},
    marker::RunId,
    publishers::{Job, Publishers},
    report::{Report, Run, Subject},
    session::{Hub, Session},
    spawn::Store,
    subscribers::Subscribers,
    usage,
};

/// How long single steps may take: publishing what is missed, coming back.
const STEP_LIMIT: Duration = Duration::from_secs(300);
/// When nothing has come for so long, what is missing will not come.
const QUIET_LIMIT_NS: u64 = 5_000_000_000;

/// Everybody is cut off and comes back.
pub(crate) fn storm(args: &StormArgs) -> Result<Report, BenchError> {
    let common = &args.common;
    let times = Times { duration: Duration::ZERO, warmup: Duration::ZERO };
    let load = Load { subscribers: args.subscribers as usize, named: true, ..base_load(common, &times, 0.0) };
    files::make_room(load.connections())?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = Hub::find(common, Store::Sqlite)?;
    let one = |_| Storm::raise(&mut session, &hub, &load, args.missed);
    let runs = (0..common.repeat).map(one).collect::<Result<_, _>>()?;
    let mut settings = settings(common, Some(&hub));
    settings.insert("subscribers".into(), load.subscribers.into());
    settings.insert("missed".into(), args.missed.into());
    settings.insert("opening".into(), load.opening.into());
    let notes = vec![format!(
        "All connections are reset at once; the updates are published; then all come back with their last event id, {} \
         connections opening at a time.",
        load.opening
    )];
    Ok(Report::new("storm", notes, settings, environment, runs))
}

struct Storm {
    subscribers: Subscribers,
    publishers: Publishers,
}

impl Storm {
    #[allow(clippy::cast_precision_loss)] // Counts below 2^53.
    fn raise(session: &mut Session, hub: &Hub, load: &Load, missed: u64) -> Result<Run, BenchError> {
        let (run, window) = (RunId::random(), Arc::default());
        let subscribers = load.subscribe(run, &hub.endpoint, Some(hub), &window)?;
        wait_until_open(session, &subscribers)?;
        let publishers = open_publishers(session, || load.publish(run, &hub.endpoint, Some(hub), &window))?;
        let storm = Storm { subscribers, publishers };
        storm.publish(session, &Job::Each)?;
        let all = storm.subscribers.count();
        storm.wait(session, "the first update at every subscriber", || storm.subscribers.ready() == all)?;
        session.progress.begin("cutting everybody off");
        storm.subscribers.cut();
        storm.wait(session, "the end of all connections", || storm.subscribers.open() == 0)?;
        storm.publish(session, &Job::Count(missed))?;
        let had = storm.subscribers.deliveries();
        let wanted = missed * all as u64;
        session.progress.begin("everybody comes back");
        let (begun, before) = (now_ns(), usage::cpu_ns(&hub.pids)?);
        storm.subscribers.reopen();
        let mut all_open_ns = None;
        let done = || {
            if all_open_ns.is_none() && storm.subscribers.open() == all {
                all_open_ns = Some(now_ns());
            }
            let quiet_ns = now_ns().saturating_sub(storm.subscribers.last_delivery_ns().max(begun));
            storm.subscribers.deliveries() - had >= wanted || quiet_ns > QUIET_LIMIT_NS
        };
        storm.wait(session, "everything at everybody", done)?;
        let cpu_ns = usage::cpu_ns(&hub.pids)?.saturating_sub(before);
        let took = seconds(storm.subscribers.last_delivery_ns().saturating_sub(begun));
        let replayed = (storm.subscribers.deliveries() - had) as f64;
        let mut result = Run::of(Subject::Hub);
        let figures = &mut result.figures;
        figures.set("everything_back_seconds", took);
        figures.set("replayed_per_second", replayed / took);
        if let Some(all_open_ns) = all_open_ns {
            figures.set("reconnected_per_second", all as f64 / seconds(all_open_ns - begun));
        }
        if !hub.pids.is_empty() {
            figures.set("cpu_per_replayed_event_us", cpu_ns as f64 / 1e3 / replayed);
            figures.set("cpu_per_subscriber_us", cpu_ns as f64 / 1e3 / all as f64);
            figures.set("server_rss_bytes", usage::rss_bytes(&hub.pids)? as f64);
        }
        storm.account(&mut result);
        Ok(result)
    }

    fn publish(&self, session: &mut Session, job: &Job) -> Result<(), BenchError> {
        session.progress.begin("publishing");
        self.publishers.begin(job);
        self.wait(session, "the last answer to a publisher", || self.publishers.is_idle())
    }

    fn wait(
        &self,
        session: &mut Session,
        what: &str,
        mut done: impl FnMut() -> bool,
    ) -> Result<(), BenchError> {
        let done = || match self.subscribers.failure().or_else(|| self.publishers.failure()) {
            Some(text) => Err(BenchError::Failed(text)),
            None => Ok(done()),
        };
        let text = || {
            format!("{} streams open, {} deliveries", self.subscribers.open(), self.subscribers.deliveries())
        };
        session.wait_for(what, STEP_LIMIT, done, text)
    }

    fn account(&self, run: &mut Run) {
        let record = self.publishers.record();
        let account = self.subscribers.account(&record.published, &record.excused);
        run.faults.updates = account.faults;
        run.faults.ended_streams = self.subscribers.ended();
        run.faults.first_ending = self.subscribers.ending();
        run.faults.refused = self.publishers.refused();
        run.faults.broken_publishes = self.publishers.errors();
    }
}
