//! `petasos bench topics` and `petasos bench patterns`: updates that reach few of many.

use super::{base_load, latency_note, load_settings, settings};
use crate::bench::{
    args::{PatternsArgs, SpreadArgs, TopicsArgs},
    environment::Environment,
    error::BenchError,
    files,
    load::{Load, drive_hub},
    report::Report,
    session::{Hub, Session},
    spawn::Store,
    subscribers::Matching,
};

/// Many exact topics.
pub(crate) fn topics(args: &TopicsArgs) -> Result<Report, BenchError> {
    spread("topics", &args.spread, args.topics, Matching::Topics)
}

/// Many URL patterns.
pub(crate) fn patterns(args: &PatternsArgs) -> Result<Report, BenchError> {
    spread("patterns", &args.spread, args.patterns, Matching::Patterns)
}

fn spread(
    scenario: &'static str,
    args: &SpreadArgs,
    streams: u32,
    matching: Matching,
) -> Result<Report, BenchError> {
    let common = &args.common;
    if args.publishers > streams {
        let text = format!(
            "{} publishers need at least as many {scenario}, and there are {streams}",
            args.publishers
        );
        return Err(BenchError::Usage(text));
    }
    let streams_each = args.matchers_per_subscriber.min(streams);
    let load = Load {
        subscribers: args.subscribers.unwrap_or(streams.div_ceil(streams_each)) as usize,
        matching,
        streams,
        streams_each,
        publishers: args.publishers as usize,
        distribution: args.distribution,
        ..base_load(common, &args.times, args.rate)
    };
    files::make_room(load.connections())?;
    let environment = Environment::here();
    let mut session = Session::begin(common.quiet)?;
    let hub = Hub::find(common, Store::Local)?;
    let runs = (0..common.repeat).map(|_| drive_hub(&mut session, &hub, &load)).collect::<Result<_, _>>()?;
    let mut settings = settings(common, Some(&hub));
    load_settings(&mut settings, &load);
    settings.insert(scenario.into(), streams.into());
    settings.insert("matchers_per_subscriber".into(), streams_each.into());
    settings.insert("distribution".into(), serde_json::to_value(args.distribution).unwrap_or_default());
    let notes = vec![
        latency_note(&load),
        "Each update goes to one topic; CPU per publish is to be compared with that of few topics.".into(),
    ];
    Ok(Report::new(scenario, notes, settings, environment, runs))
}
