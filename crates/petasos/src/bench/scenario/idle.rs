//! `petasos bench idle`.

use std::{sync::Arc, time::Duration};

use super::{Wanted, base_load, settings};
use crate::bench::{
    args::IdleArgs,
    clock::{now_ns, seconds},
    endpoint::Endpoint,
    environment::Environment,
    error::BenchError,
    files,
    limit::FanoutLimit,
    load::{Load, wait_until_open},
    marker::RunId,
    report::{Report, Run, Subject},
    session::{Hub, Session, refuse_url},
    spawn::Store,
    subscribers::Subscribers,
    usage::{self, Usage},
};

/// How long the hub has to close what was connected before, such as the bench's own look whether it is there.
const SETTLE: Duration = Duration::from_millis(300);

/// Subscribers to whom nothing is sent.
pub(crate) fn idle(args: &IdleArgs) -> Result<Report, BenchError> {
    let common = &args.common;
    let wanted = args.limit.wanted();
    if wanted == Wanted::Limit {
        refuse_url(common, "--limit")?;
    }
    let load =
        Load { subscribers: args.subscribers as usize, publishers: 0, ..base_load(common, &args.times, 1.0) };
    files::make_room(load.subscribers * if wanted.limit() { 2 } else { 1 })?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = wanted.hub().then(|| Hub::find(common, Store::Local)).transpose()?;
    let mut runs = Vec::new();
    for _ in 0..common.repeat {
        if wanted.limit() {
            runs.push(idle_limit(&mut session, &load, common.source_addresses)?);
        }
        if let Some(hub) = &hub {
            runs.push(idle_hub(&mut session, hub, &load)?);
        }
    }
    let mut settings = settings(common, hub.as_ref());
    settings.insert("subscribers".into(), load.subscribers.into());
    settings.insert("warmup_seconds".into(), load.warmup.as_secs_f64().into());
    settings.insert("duration_seconds".into(), load.duration.as_secs_f64().into());
    let mut notes = vec![
        "Memory of a subscriber is what the process grew by from before the first one to after the last one, divided by \
         their number. What the kernel keeps for sockets is not in it."
            .to_owned(),
    ];
    if hub.as_ref().is_some_and(|hub| hub.pids.is_empty()) {
        notes.push("Without --pid (or --spawn) the hub's memory and CPU time are not known.".into());
    }
    if common.repeat > 1 && hub.is_some() {
        notes.push(
            "Runs after the first one find memory that the hub has kept from the subscribers before, and grow less: look \
             at each run, or start a hub for each."
                .into(),
        );
    }
    if wanted.limit() {
        notes.push("Limit: one thread that holds the sockets; its memory is the kernel's alone.".into());
    }
    Ok(Report::new("idle", notes, settings, environment, runs))
}

/// What the open streams of a run did.
fn faults(run: &mut Run, subscribers: &Subscribers) {
    run.faults.ended_streams = subscribers.ended();
    run.faults.first_ending = subscribers.ending();
}

fn idle_hub(session: &mut Session, hub: &Hub, load: &Load) -> Result<Run, BenchError> {
    let mut run = Run::of(Subject::Hub);
    session.progress.begin("waiting for connections of before to be gone");
    std::thread::sleep(SETTLE);
    let before = usage::of(&hub.pids)?;
    let begun_ns = now_ns();
    let subscribers = load.subscribe(RunId::random(), &hub.endpoint, Some(hub), &Arc::default())?;
    wait_until_open(session, &subscribers)?;
    let opened_ns = now_ns();
    let connected = usage::of(&hub.pids)?;
    session.progress.begin("letting it settle");
    pause(session, &subscribers, load.warmup)?;
    let (from_ns, begin) = (now_ns(), usage::of(&hub.pids)?);
    session.progress.begin("measuring");
    pause(session, &subscribers, load.duration)?;
    let (until_ns, end) = (now_ns(), usage::of(&hub.pids)?);
    faults(&mut run, &subscribers);
    let count = as_f64(load.subscribers as u64);
    let figures = &mut run.figures;
    figures.set("opened_per_second", count / seconds(opened_ns - begun_ns));
    if hub.pids.is_empty() {
        return Ok(run);
    }
    let growth = |of: fn(&Usage) -> u64| (as_f64(of(&end)) - as_f64(of(&before))) / count;
    figures.set("rss_per_subscriber_bytes", growth(|usage| usage.rss_bytes));
    if end.pss_bytes > 0 {
        figures.set("pss_per_subscriber_bytes", growth(|usage| usage.pss_bytes));
        figures.set("private_per_subscriber_bytes", growth(|usage| usage.private_bytes));
    }
    figures.set("rss_before_bytes", as_f64(before.rss_bytes));
    figures.set("rss_with_subscribers_bytes", as_f64(end.rss_bytes));
    figures.set("files_per_subscriber_count", growth(|usage| usage.files));
    let opening_cpu = connected.cpu_ns.saturating_sub(before.cpu_ns);
    figures.set("cpu_per_subscriber_opened_us", as_f64(opening_cpu) / 1e3 / count);
    let idle_cpu = end.cpu_ns.saturating_sub(begin.cpu_ns);
    figures.set("idle_cpu_percent", 100.0 * seconds(idle_cpu) / seconds(until_ns - from_ns));
    Ok(run)
}

fn idle_limit(session: &mut Session, load: &Load, sources: u8) -> Result<Run, BenchError> {
    let mut run = Run::of(Subject::Limit);
    let id = RunId::random();
    let limit = FanoutLimit::start(load.subscribers, id, load.data_bytes, 1)
        .map_err(BenchError::system("the baseline cannot be started"))?;
    let begun_ns = now_ns();
    let subscribers =
        load.subscribe(id, &Endpoint::plain(limit.address(), sources), None, &Arc::default())?;
    wait_until_open(session, &subscribers)?;
    let opened_ns = now_ns();
    session.progress.begin("letting it settle");
    pause(session, &subscribers, load.warmup)?;
    let (from_ns, begin) = (now_ns(), limit.cpu_ns());
    session.progress.begin("measuring");
    pause(session, &subscribers, load.duration)?;
    let until_ns = now_ns();
    faults(&mut run, &subscribers);
    let count = as_f64(load.subscribers as u64);
    run.figures.set("opened_per_second", count / seconds(opened_ns - begun_ns));
    run.figures.set("rss_per_subscriber_bytes", 0.0);
    run.figures.set("cpu_per_subscriber_opened_us", as_f64(begin) / 1e3 / count);
    let idle_cpu = limit.cpu_ns().saturating_sub(begin);
    run.figures.set("idle_cpu_percent", 100.0 * seconds(idle_cpu) / seconds(until_ns - from_ns));
    Ok(run)
}

/// Lets time pass while nothing happens.
fn pause(session: &mut Session, subscribers: &Subscribers, time: Duration) -> Result<(), BenchError> {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(LOOK_EVERY);
        std::thread::sleep(step);
        left -= step;
        session.check()?;
        session.progress.show(&format!(
            "{:.0} s left, {} streams open",
            left.as_secs_f64(),
            subscribers.open()
        ));
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // Below 2^53.
fn as_f64(number: u64) -> f64 {
    number as f64
}
