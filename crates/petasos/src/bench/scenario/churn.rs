//! `petasos bench churn`.

use std::{sync::Arc, time::Duration};

use super::{base_load, latency_note, load_settings, settings};
use crate::bench::{
    args::ChurnArgs,
    churn::{Churn, Plan},
    environment::Environment,
    error::BenchError,
    files,
    load::{Load, Running, Source, open_publishers, wait_until_open},
    marker::RunId,
    measure,
    report::{Report, Run},
    session::{Hub, Session},
    spawn::Store,
    usage::{self, Usage},
};

/// Subscribers that stay among others that come and go.
pub(crate) fn churn(args: &ChurnArgs) -> Result<Report, BenchError> {
    let common = &args.common;
    if args.never_read + args.vanish + args.half_close > 1.0 {
        let text = "--never-read, --vanish and --half-close are fractions of the same: together at most 1";
        return Err(BenchError::Usage(text.into()));
    }
    let load = Load {
        subscribers: args.subscribers as usize,
        publishers: args.publishers as usize,
        streams: args.publishers,
        streams_each: args.publishers,
        ..base_load(common, &args.times, args.rate)
    };
    files::make_room(load.connections() + present_at_most(args))?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = Hub::find(common, Store::Local)?;
    let runs = (0..common.repeat).map(|_| one(&mut session, &hub, &load, args)).collect::<Result<_, _>>()?;
    let mut settings = settings(common, Some(&hub));
    load_settings(&mut settings, &load);
    for (name, value) in [
        ("churn_per_second", f64::from(args.churn)),
        ("stay_seconds", args.stay.as_secs_f64()),
        ("never_read", args.never_read),
        ("vanish", args.vanish),
        ("half_close", args.half_close),
        ("settle_seconds", args.settle.as_secs_f64()),
    ] {
        settings.insert(name.into(), value.into());
    }
    let notes = vec![
        latency_note(&load),
        "Deliveries and latencies are those of the subscribers that stay; CPU time is that of the whole process.".into(),
        "Before: with the subscribers that stay, under load. During: at the end of the measured time. After: when those \
         that came have gone, under the same load."
            .into(),
    ];
    Ok(Report::new("churn", notes, settings, environment, runs))
}

/// Connections of those that come, at most: while they stay, and those that misbehave to the end.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A few millions at most.
fn present_at_most(args: &ChurnArgs) -> usize {
    let kept = args.never_read + args.vanish + args.half_close;
    (f64::from(args.churn) * (args.stay.as_secs_f64() + kept * args.times.duration.as_secs_f64())).ceil()
        as usize
}

#[allow(clippy::cast_precision_loss)] // Counts below 2^53.
fn one(session: &mut Session, hub: &Hub, load: &Load, args: &ChurnArgs) -> Result<Run, BenchError> {
    let (id, window) = (RunId::random(), Arc::default());
    let subscribers = load.subscribe(id, &hub.endpoint, Some(hub), &window)?;
    wait_until_open(session, &subscribers)?;
    let publishers = open_publishers(session, || load.publish(id, &hub.endpoint, Some(hub), &window))?;
    let running = Running { subscribers: Some(subscribers), source: Source::Hub(hub, publishers) };
    running.send_first(session)?;
    running.begin(load);
    measure::warm_up(session, &running, load.warmup)?;
    let before = usage::of(&hub.pids)?;
    let plan = Plan {
        endpoint: hub.endpoint.clone(),
        subscriptions: load.subscriptions(id, Some(hub)),
        per_second: args.churn,
        stay: args.stay,
        never_read: args.never_read,
        vanish: args.vanish,
        half_close: args.half_close,
    };
    let mut churn =
        Churn::start(plan).map_err(BenchError::system("those that come and go cannot be started"))?;
    let measured = measure::measure(session, &running, &window, load.duration)?;
    let (during, present) = (usage::of(&hub.pids)?, churn.present());
    churn.stop();
    settle(session, &running, args.settle)?;
    let after = usage::of(&hub.pids)?;
    running.stop(session)?;
    let record = running.record();
    running.wait_for_the_rest(session, load.expected(load.streams_of(id), &record.published))?;
    let mut run = running.account(&measured, &record);
    // They are of those that stay, and the CPU time is not.
    for name in ["cpu_per_delivery_us", "cpu_per_publish_us"] {
        run.figures.remove(name);
    }
    run.figures.set("came_per_second", churn.opened() as f64 / measured.seconds);
    run.figures.set("present_at_the_end_count", present as f64);
    run.figures.set("closed_by_the_hub_count", churn.closed_by_hub() as f64);
    run.figures.set("could_not_come_count", churn.failed() as f64);
    if !hub.pids.is_empty() {
        for (when, usage) in [("before", before), ("during", during), ("after", after)] {
            set_usage(&mut run, when, &usage);
        }
    }
    if let Some(failure) = churn.failure() {
        run.faults.ended_streams += churn.failed();
        run.faults.first_ending.get_or_insert(failure);
    }
    Ok(run)
}

#[allow(clippy::cast_precision_loss)] // Bytes below 2^53.
fn set_usage(run: &mut Run, when: &str, usage: &Usage) {
    run.figures.set(format!("rss_{when}_bytes"), usage.rss_bytes as f64);
    run.figures.set(format!("files_{when}_count"), usage.files as f64);
}

/// Lets the load go on for a while.
fn settle(session: &mut Session, running: &Running<'_>, time: Duration) -> Result<(), BenchError> {
    session.progress.begin("letting the hub recover");
    measure::let_run(session, running, time)
}
