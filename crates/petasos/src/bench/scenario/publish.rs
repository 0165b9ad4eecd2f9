//! `petasos bench publish`.

use super::{Wanted, base_load, latency_note, load_settings, settings};
use crate::bench::{
    args::PublishArgs,
    environment::Environment,
    error::BenchError,
    files,
    limit::PublishLimit,
    load::{Load, drive_hub, drive_publish_limit},
    report::{Report, Subject},
    session::{Hub, Session, refuse_url},
    spawn::Store,
};

/// Publishers, and few subscribers or none.
pub(crate) fn publish(args: &PublishArgs) -> Result<Report, BenchError> {
    let common = &args.common;
    let disk = args.limit_disk.as_ref().or(args.with_limit_disk.as_ref());
    let wanted = if args.limit_disk.is_some() { Wanted::Limit } else { args.limit.wanted() };
    if wanted == Wanted::Limit {
        refuse_url(common, "a baseline alone")?;
    }
    let with_limit = wanted.limit() && args.limit_disk.is_none();
    let load = Load {
        subscribers: args.subscribers as usize,
        publishers: args.publishers as usize,
        streams: args.publishers,
        streams_each: args.publishers,
        ..base_load(common, &args.times, args.rate)
    };
    files::make_room(load.connections() + if disk.is_some() || with_limit { load.publishers } else { 0 })?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = wanted.hub().then(|| Hub::find(common, Store::Local)).transpose()?;
    let sources = common.source_addresses;
    let mut runs = Vec::new();
    for _ in 0..common.repeat {
        if with_limit {
            runs.push(drive_publish_limit(&mut session, &load, sources, || PublishLimit::start(None))?);
        }
        if let Some(directory) = disk {
            let start = || PublishLimit::start(Some(directory));
            let mut run = drive_publish_limit(&mut session, &load, sources, start)?;
            run.subject = Subject::LimitDisk;
            runs.push(run);
        }
        if let Some(hub) = &hub {
            runs.push(drive_hub(&mut session, hub, &load)?);
        }
    }
    let mut settings = settings(common, hub.as_ref());
    load_settings(&mut settings, &load);
    let mut notes = vec![latency_note(&load)];
    if with_limit {
        notes.push("Limit: one thread, one recv() and one send() of ready bytes for each publish.".into());
    }
    if disk.is_some() {
        notes.push(
            "One sync per publish: the same thread with a write and an fdatasync() before each answer."
                .into(),
        );
    }
    Ok(Report::new("publish", notes, settings, environment, runs))
}
