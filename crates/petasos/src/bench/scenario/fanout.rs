//! `petasos bench fanout`.

use super::{Wanted, base_load, latency_note, load_settings, settings};
use crate::bench::{
    args::FanoutArgs,
    environment::Environment,
    error::BenchError,
    files,
    load::{Load, drive_fanout_limit, drive_hub},
    report::Report,
    session::{Hub, Session, refuse_url},
    spawn::Store,
};

/// Subscribers of one topic.
pub(crate) fn fanout(args: &FanoutArgs) -> Result<Report, BenchError> {
    let common = &args.common;
    let wanted = args.limit.wanted();
    if wanted == Wanted::Limit {
        refuse_url(common, "--limit")?;
    }
    let load = Load {
        subscribers: args.subscribers as usize,
        publishers: args.publishers as usize,
        streams: args.publishers,
        streams_each: args.publishers,
        ..base_load(common, &args.times, args.rate)
    };
    // The baseline's ends of the connections are in this process as well.
    files::make_room(load.connections() + if wanted.limit() { load.subscribers } else { 0 })?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = wanted.hub().then(|| Hub::find(common, Store::Local)).transpose()?;
    let mut runs = Vec::new();
    for _ in 0..common.repeat {
        if wanted.limit() {
            let events_per_send = args.limit_coalesce as usize;
            runs.push(drive_fanout_limit(&mut session, &load, common.source_addresses, events_per_send)?);
        }
        if let Some(hub) = &hub {
            runs.push(drive_hub(&mut session, hub, &load)?);
        }
    }
    let mut settings = settings(common, hub.as_ref());
    load_settings(&mut settings, &load);
    if wanted.limit() {
        settings.insert("limit_coalesce".into(), args.limit_coalesce.into());
    }
    let mut notes = vec![latency_note(&load)];
    if wanted.limit() {
        notes.push("Limit: one thread, one send() of ready bytes for each subscriber and update.".into());
    }
    Ok(Report::new("fanout", notes, settings, environment, runs))
}
