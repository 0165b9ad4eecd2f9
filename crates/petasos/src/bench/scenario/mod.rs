//! The scenarios: each turns its flags into runs.

mod churn;
mod fanout;
mod idle;
mod publish;
mod resume;
mod spread;
mod storm;

pub(crate) use churn::churn;
pub(crate) use fanout::fanout;
pub(crate) use idle::idle;
pub(crate) use publish::publish;
pub(crate) use resume::resume;
pub(crate) use spread::{patterns, topics};
pub(crate) use storm::storm;

use serde_json::{Map, Value};

use super::{
    args::{Common, LimitArgs, Times},
    choice::Distribution,
    load::Load,
    session::Hub,
    subscribers::Matching,
};

/// Every so many-th latency at full speed, where each update would cost the bench more than it tells.
const FULL_SPEED_SAMPLE: u64 = 16;

/// The load that the common flags describe, with one topic and without subscribers.
fn base_load(common: &Common, times: &Times, rate: f64) -> Load {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let per_second = (rate > 0.0).then_some(rate);
    Load {
        subscribers: 0,
        matching: Matching::OneTopic,
        streams_each: 1,
        streams: 1,
        publishers: 1,
        per_second,
        distribution: Distribution::Uniform,
        data_bytes: usize::try_from(common.size).unwrap_or(usize::MAX),
        private: common.private,
        named: false,
        warmup: times.warmup,
        duration: times.duration,
        sample_every: common.sample.unwrap_or(if per_second.is_some() { 1 } else { FULL_SPEED_SAMPLE }),
        threads: common.threads.map_or_else(|| (cores / 2).max(1), usize::from),
        publisher_threads: usize::from(common.publisher_threads),
        opening: common.opening as usize,
    }
}

/// The settings that all reports have.
fn settings(common: &Common, hub: Option<&Hub>) -> Map<String, Value> {
    let mut settings = Map::new();
    let mut set = |name: &str, value: Value| settings.insert(name.to_owned(), value);
    if let Some(hub) = hub {
        set("hub", hub.name.clone().into());
    }
    if !common.serve_arg.is_empty() {
        set("serve_args", common.serve_arg.join(" ").into());
    }
    set("size_bytes", common.size.into());
    set("repeat", common.repeat.into());
    set("source_addresses", common.source_addresses.into());
    set("private", common.private.into());
    settings
}

/// Adds those of a load.
fn load_settings(settings: &mut Map<String, Value>, load: &Load) {
    let mut set = |name: &str, value: Value| settings.insert(name.to_owned(), value);
    set("subscribers", load.subscribers.into());
    set("publishers", load.publishers.into());
    set("rate_per_second", load.per_second.map_or_else(|| "full speed".into(), Value::from));
    set("warmup_seconds", load.warmup.as_secs_f64().into());
    set("duration_seconds", load.duration.as_secs_f64().into());
    set("sample_every", load.sample_every.into());
    set("subscriber_threads", load.threads.into());
    set("publisher_threads", load.publisher_threads.into());
}

/// What the latencies of a load mean.
fn latency_note(load: &Load) -> String {
    match load.per_second {
        Some(_) => "Paced (open loop): latency counts from the time at which an update was due, so that time it waited \
                    behind others is part of it."
            .into(),
        None => "Full speed (closed loop): each publisher sends when it is answered, so latency counts from the send, and \
                 a hub that slows down is sent less."
            .into(),
    }
}

/// Which subjects a run is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Hub,
    Limit,
    Both,
}

impl LimitArgs {
    fn wanted(&self) -> Wanted {
        match (self.limit, self.with_limit) {
            (true, _) => Wanted::Limit,
            (false, true) => Wanted::Both,
            (false, false) => Wanted::Hub,
        }
    }
}

impl Wanted {
    fn hub(self) -> bool {
        self != Self::Limit
    }

    fn limit(self) -> bool {
        self != Self::Hub
    }
}
