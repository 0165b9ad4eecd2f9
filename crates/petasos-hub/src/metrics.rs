//! What the hub counts, for Prometheus. Labels never carry topics, ids or addresses: their number is bounded
//! (invariant 8).

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::EndReason;

/// A label with one of a fixed set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Why; see [`crate::EndReason::as_str`] and [`crate::auth::Reason::as_str`].
    pub reason: &'static str,
}

/// A label for requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The resource: `hub`, `subscriptions`, `metadata`, `health`, `other`.
    pub resource: &'static str,
    /// The method, or `other`.
    pub method: &'static str,
    /// The status.
    pub status: u16,
}

/// A label for requests by the generation of the protocol that the client speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GenerationLabels {
    /// `0.x` or `1.0`.
    pub generation: &'static str,
    /// What shows that it is 0.x: `topic_parameter`, `old_token`, `old_cookie`, `authorization_parameter`, `old_cursor`;
    /// else `none`.
    pub kind: &'static str,
}

/// All metrics of a hub. Counting is lock-free; the names are fixed when they are registered.
#[derive(Debug)]
#[allow(missing_docs)] // The help texts in `register` are the documentation.
pub struct Metrics {
    pub subscribers_connected: Gauge,
    pub subscribers_total: Counter,
    pub updates_total: Counter,
    pub updates_failed_total: Counter,
    pub deliveries_total: Counter,
    pub delivered_bytes_total: Counter,
    pub disconnects_total: Family<ReasonLabel, Counter>,
    pub refusals_total: Family<ReasonLabel, Counter>,
    pub requests_total: Family<RequestLabels, Counter>,
    pub requests_by_generation_total: Family<GenerationLabels, Counter>,
    pub publish_to_write_seconds: Histogram,
    pub append_seconds: Histogram,
    pub backlog_bytes: Gauge,
    pub recent_bytes: Gauge,
    pub replays_active: Gauge,
    pub replayed_events_total: Counter,
    pub fanout_lag_bytes: Gauge,
    pub transport_errors_total: Counter,
    pub connections_open: Gauge,
    pub accept_errors_total: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        // 100 µs to 13 s: from a delivery in memory to a disk that is nearly stuck.
        let latency = || Histogram::new(exponential_buckets(0.000_1, 2.0, 18));
        // A series that begins with its first event looks to Prometheus as if nothing had happened.
        let disconnects_total = Family::<ReasonLabel, Counter>::default();
        for reason in EndReason::ALL {
            drop(disconnects_total.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
        Self {
            subscribers_connected: Gauge::default(),
            subscribers_total: Counter::default(),
            updates_total: Counter::default(),
            updates_failed_total: Counter::default(),
            deliveries_total: Counter::default(),
            delivered_bytes_total: Counter::default(),
            disconnects_total,
            refusals_total: Family::default(),
            requests_total: Family::default(),
            requests_by_generation_total: Family::default(),
            publish_to_write_seconds: latency(),
            append_seconds: latency(),
            backlog_bytes: Gauge::default(),
            recent_bytes: Gauge::default(),
            replays_active: Gauge::default(),
            replayed_events_total: Counter::default(),
            fanout_lag_bytes: Gauge::default(),
            transport_errors_total: Counter::default(),
            connections_open: Gauge::default(),
            accept_errors_total: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers everything. The four `mercure_*` names are those that existing dashboards use.
    pub fn register(&self, registry: &mut Registry) {
        let mercure = registry.sub_registry_with_prefix("mercure");
        mercure.register("subscribers_connected", "Streams open now", self.subscribers_connected.clone());
        // The encoder appends `_total` to counters.
        mercure.register("subscribers", "Streams opened", self.subscribers_total.clone());
        mercure.register("updates", "Updates accepted and stored", self.updates_total.clone());
        mercure.register(
            "updates_failed",
            "Updates that could not be stored",
            self.updates_failed_total.clone(),
        );
        let own = registry.sub_registry_with_prefix("petasos");
        own.register("deliveries", "Events handed to streams", self.deliveries_total.clone());
        own.register(
            "delivered_bytes",
            "Bytes of events handed to streams",
            self.delivered_bytes_total.clone(),
        );
        own.register("disconnects", "Streams that ended, by reason", self.disconnects_total.clone());
        own.register("refusals", "Requests that were refused, by reason code", self.refusals_total.clone());
        own.register("requests", "Requests answered", self.requests_total.clone());
        own.register(
            "requests_by_generation",
            "Requests by the generation of the protocol, and by what shows that it is 0.x",
            self.requests_by_generation_total.clone(),
        );
        own.register(
            "publish_to_write_seconds",
            "From an update's acceptance to its bytes being handed to the streams",
            self.publish_to_write_seconds.clone(),
        );
        own.register(
            "append_seconds",
            "From an append to the log's acknowledgement",
            self.append_seconds.clone(),
        );
        own.register("backlog_bytes", "Bytes waiting for slow streams", self.backlog_bytes.clone());
        own.register("recent_bytes", "Bytes of the newest events kept encoded", self.recent_bytes.clone());
        own.register("replays_active", "Streams that are replaying history", self.replays_active.clone());
        own.register("replayed_events", "Events handed out from history", self.replayed_events_total.clone());
        own.register(
            "fanout_lag_bytes",
            "Bytes stored and not yet fanned out",
            self.fanout_lag_bytes.clone(),
        );
        own.register("transport_errors", "Errors of the log", self.transport_errors_total.clone());
        own.register("connections_open", "TCP connections open now", self.connections_open.clone());
        own.register(
            "accept_errors",
            "Connections that could not be accepted",
            self.accept_errors_total.clone(),
        );
    }
}
