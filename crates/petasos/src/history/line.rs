//! One event as a line of JSON: the form of exports, the same for all transports.

use std::sync::Arc;

use petasos_hub::{
    Update,
    transport::{Position, StoredEvent},
};
use serde::{Deserialize, Serialize};

/// A line. Members that are absent mean: not private, no type, no retry, time unknown.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    id: String,
    topics: Vec<String>,
    data: String,
    #[serde(default)]
    private: bool,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<u64>,
    /// Milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
}

impl From<&StoredEvent> for Line {
    fn from(event: &StoredEvent) -> Self {
        let update = &event.update;
        Self {
            id: update.id().to_owned(),
            topics: update.topics().to_vec(),
            data: update.data().to_owned(),
            private: update.is_private(),
            event_type: update.event_type().map(str::to_owned),
            retry: update.retry_ms(),
            at_ms: Some(event.at_ms),
        }
    }
}

impl Line {
    /// Reads a line. `now_ms` is for events that say no time.
    pub(super) fn parse(text: &str, now_ms: u64) -> Result<StoredEvent, String> {
        let line: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if line.topics.is_empty() {
            return Err("an event needs at least one topic".into());
        }
        // An id that holds a line break would break every stream that carries it.
        let breaks = |text: &str| text.contains(['\r', '\n', '\0']);
        if line.id.is_empty() || breaks(&line.id) || line.event_type.as_deref().is_some_and(breaks) {
            return Err("an id or a type is empty or holds a line break".into());
        }
        let update =
            Update::from_stored(line.id, line.topics, line.data, line.private, line.event_type, line.retry);
        Ok(StoredEvent {
            position: Position::START,
            at_ms: line.at_ms.unwrap_or(now_ms),
            update: Arc::new(update),
        })
    }
}
