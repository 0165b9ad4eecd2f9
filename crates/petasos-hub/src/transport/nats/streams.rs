//! The two streams of a log: that of its events and that of presence. Made where they are missing, fitted to this hub's
//! settings, refused where they are somebody else's.
//!
//! An event's subject ends in a number made of its id, one of [`BUCKETS`], so that an id is found by asking for the next
//! message of its subject, and so that the server's memory for subjects is bounded (it keeps up to 300 bytes for each).
//! One subject for each id would save the few messages that are looked at in vain, and cost that memory for each event.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    api::{Api, CallError, StreamInfo},
    config::{NatsConfig, Storage},
};
use crate::transport::{ErrorKind, Retention, TransportError};

/// Subjects of events. Never changes: it is part of what is stored.
const BUCKETS: u64 = 1 << 18;

/// For how long JetStream knows the attempts that it stored, where it keeps events for so long.
const DUPLICATE_WINDOW_MS: u64 = 120_000;

const NANOS_PER_MS: u64 = 1_000_000;

/// What JetStream takes for an age at least.
const LEAST_AGE_MS: u64 = 100;

/// The streams of one log.
#[derive(Debug)]
pub(super) struct Streams {
    /// The stream of events.
    pub(super) log: String,
    /// The stream of subscriptions and leases.
    pub(super) presence: String,
    /// The highest position that this process has seen. No other event may ever get it.
    highest: AtomicU64,
    /// For how long the log knows the attempts that it stored.
    duplicate_window_ms: AtomicU64,
    /// When the stream of presence was made that this process knows.
    presence_created: Mutex<Option<String>>,
}

impl Streams {
    pub(super) fn new(config: &NatsConfig) -> Self {
        let log = config.stream.clone();
        let presence = format!("{log}-presence");
        Self {
            log,
            presence,
            highest: AtomicU64::new(0),
            duplicate_window_ms: AtomicU64::new(DUPLICATE_WINDOW_MS),
            presence_created: Mutex::new(None),
        }
    }

    /// The subject of an event with this id.
    pub(super) fn event_subject(&self, id: &str) -> String {
        format!("{}.log.{:x}", self.log, xxh3_64(id.as_bytes()) % BUCKETS)
    }

    /// All events.
    pub(super) fn event_subjects(&self) -> String {
        format!("{}.log.*", self.log)
    }

    /// A subject of presence.
    pub(super) fn presence_subject(&self, rest: &str) -> String {
        format!("{}.presence.{rest}", self.log)
    }

    /// Notes that this position was given to an event.
    pub(super) fn saw(&self, position: u64) {
        self.highest.fetch_max(position, Ordering::AcqRel);
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Acquire)
    }

    /// How long after an attempt its retry is surely known to the log: half of what the stream is set to.
    pub(super) fn surely_known(&self) -> Duration {
        Duration::from_millis(self.duplicate_window_ms.load(Ordering::Acquire) / 2)
    }

    fn note_window(&self, log: &StreamInfo) {
        if let Some(window_ns) = log.config["duplicate_window"].as_u64() {
            self.duplicate_window_ms.store(window_ns / NANOS_PER_MS, Ordering::Release);
        }
    }

    /// Makes the streams, or fits them to this configuration.
    pub(super) async fn open(&self, api: &Api, config: &NatsConfig) -> Result<(), TransportError> {
        match api.stream(&self.log).await? {
            None => self.create(api, &self.log, log_config(self, config)).await?,
            Some(info) => {
                self.check(&info, &self.log, &self.event_subjects())?;
                fit(api, &self.log, info, log_settings(config), config).await?;
            }
        }
        if let Some(log) = api.stream(&self.log).await? {
            self.note_window(&log);
        }
        match api.stream(&self.presence).await? {
            None => {
                self.create(api, &self.presence, presence_config(self, config)).await?;
                let made = api.stream(&self.presence).await?;
                *self.presence_created.lock() = made.map(|info| info.created);
                Ok(())
            }
            Some(info) => {
                self.check(&info, &self.presence, &self.presence_subject(">"))?;
                *self.presence_created.lock() = Some(info.created.clone());
                fit(api, &self.presence, info, json!({}), config).await
            }
        }
    }

    /// Sees to it, on a new connection and before anything is written, that the streams are there, and that an empty log
    /// does not give out positions that were given before: after a restart of a server that kept it in memory, or when
    /// somebody deleted it. Returns whether the stream of presence is still the same.
    pub(super) async fn ensure(&self, api: &Api, config: &NatsConfig) -> Result<bool, TransportError> {
        let highest = self.highest();
        let log = match api.stream(&self.log).await? {
            Some(log) => log,
            None => {
                tracing::warn!(stream = self.log, "the log is gone; an empty one is made");
                let mut settings = log_config(self, config);
                if highest > 0 {
                    // In one step: between two of them another hub could append. Servers before 2.10 do not know it.
                    settings["first_seq"] = json!(highest + 1);
                }
                self.create(api, &self.log, settings).await?;
                api.stream(&self.log).await?.ok_or(CallError::NoResponders)?
            }
        };
        self.note_window(&log);
        // Only where nobody has done so: what another hub has appended meanwhile would go with it.
        if highest > 0 && log.state.last_seq == 0 {
            let body = json!({ "seq": highest + 1 });
            api.call::<Value>(&format!("STREAM.PURGE.{}", self.log), &body).await?;
        }
        let presence = match api.stream(&self.presence).await? {
            Some(presence) => presence,
            None => {
                tracing::warn!(
                    stream = self.presence,
                    "presence is gone; hubs announce what they have again"
                );
                self.create(api, &self.presence, presence_config(self, config)).await?;
                api.stream(&self.presence).await?.ok_or(CallError::NoResponders)?
            }
        };
        let before = self.presence_created.lock().replace(presence.created.clone());
        Ok(before.is_none_or(|before| before == presence.created))
    }

    async fn create(&self, api: &Api, name: &str, config: Value) -> Result<(), TransportError> {
        match api.call::<Value>(&format!("STREAM.CREATE.{name}"), &config).await {
            Ok(_) => Ok(()),
            // Another hub was faster, or the answer was lost.
            Err(error) => match api.stream(name).await {
                Ok(Some(_)) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// Whether a stream that is there is one of ours.
    pub(super) fn check(&self, info: &StreamInfo, name: &str, subjects: &str) -> Result<(), TransportError> {
        let config = &info.config;
        let is_ours = config["subjects"] == json!([subjects])
            && config["retention"] == "limits"
            && config["discard"].as_str().unwrap_or("old") == "old"
            && config["sealed"].as_bool() != Some(true)
            && config["no_ack"].as_bool() != Some(true);
        let is_ours = is_ours
            && if name == self.presence {
                config["max_msgs_per_subject"] == 1
                    && config["max_age"].as_u64().unwrap_or(0) == 0
                    && config["deny_delete"].as_bool() != Some(true)
            } else {
                config["max_msgs_per_subject"].as_i64().unwrap_or(-1) <= 0
            };
        if is_ours {
            return Ok(());
        }
        Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "the stream {name} is not the log of a hub (that has the subject {subjects}, retention limits, discard \
                 old and acknowledgements; {}): name another one with the parameter stream",
                if name == self.presence {
                    "one message for each subject, of any age, that can be deleted"
                } else {
                    "any number of messages for each subject"
                }
            ),
        ))
    }
}

fn log_config(streams: &Streams, config: &NatsConfig) -> Value {
    let mut settings = json!({
        "name": streams.log,
        "description": "The log of a Petasos hub",
        "subjects": [streams.event_subjects()],
        "max_msgs_per_subject": -1,
        "duplicate_window": DUPLICATE_WINDOW_MS * NANOS_PER_MS,
    });
    merge(&mut settings, common(config));
    merge(&mut settings, log_settings(config));
    settings
}

fn presence_config(streams: &Streams, config: &NatsConfig) -> Value {
    let mut settings = json!({
        "name": streams.presence,
        "description": "Subscriptions and leases of Petasos hubs",
        "subjects": [streams.presence_subject(">")],
        "max_msgs_per_subject": 1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
    });
    merge(&mut settings, common(config));
    settings
}

fn common(config: &NatsConfig) -> Value {
    json!({
        "retention": "limits",
        "discard": "old",
        "max_consumers": -1,
        "max_msg_size": -1,
        "storage": config.storage.unwrap_or(Storage::File).as_str(),
        "num_replicas": config.replicas.unwrap_or(1),
    })
}

/// What retention makes of a log's settings; nothing where it is left to others.
fn log_settings(config: &NatsConfig) -> Value {
    let Some(Retention { events, bytes, age }) = config.retention else { return json!({}) };
    let bound =
        |value: u64| if value == 0 { json!(-1) } else { json!(i64::try_from(value).unwrap_or(i64::MAX)) };
    let age_ms = age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(LEAST_AGE_MS));
    let age_ns = i64::try_from(age_ms.saturating_mul(NANOS_PER_MS)).unwrap_or(i64::MAX);
    let mut settings = json!({ "max_msgs": bound(events), "max_bytes": bound(bytes), "max_age": age_ns });
    if age_ms > 0 {
        // JetStream does not remember an attempt for longer than its message.
        settings["duplicate_window"] = json!(age_ms.min(DUPLICATE_WINDOW_MS) * NANOS_PER_MS);
    } else {
        settings["duplicate_window"] = json!(DUPLICATE_WINDOW_MS * NANOS_PER_MS);
    }
    settings
}

/// Changes a stream's settings where they differ.
async fn fit(
    api: &Api,
    name: &str,
    info: StreamInfo,
    mut wanted: Value,
    config: &NatsConfig,
) -> Result<(), TransportError> {
    if let Some(storage) = config.storage
        && info.config["storage"] != storage.as_str()
    {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "the stream {name} is kept in another storage than {}: leave the parameter storage away, or move the \
                 history to another stream with petasos history export and import",
                storage.as_str()
            ),
        ));
    }
    if let Some(replicas) = config.replicas {
        wanted["num_replicas"] = json!(replicas);
    }
    let mut settings = info.config;
    let before = settings.clone();
    merge(&mut settings, wanted);
    if settings == before {
        return Ok(());
    }
    tracing::info!(stream = name, "the settings of the stream are changed to those of this hub");
    api.call::<Value>(&format!("STREAM.UPDATE.{name}"), &settings).await.map_err(|error| match error {
        CallError::Refused { text, .. } => TransportError::new(
            ErrorKind::Unavailable,
            format!(
                "JetStream does not change the settings of the stream {name} to those of this hub: {text}"
            ),
        ),
        error => error.into(),
    })?;
    Ok(())
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
