//! What is published: a [`Draft`] as it came in, and the [`Update`] that it becomes once every rule about its fields
//! has been checked. Knows nothing of HTTP or tokens.

use crate::topic::{self, Base};

/// The cursor that stands before everything still kept (R03), and the answer where nothing precedes (R02).
pub const EARLIEST: &str = "earliest";

/// The SSE type of the hub's own events (E01). Publishers may not use it (P10).
pub(crate) const HUB_EVENT_TYPE: &str = "mercure";

/// An update whose fields follow the rules P03 to P11. Only [`Draft::validate`] and the hub itself make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The event id: the publisher's, or an opaque random one (P09).
    pub(crate) id: String,
    /// At least one; the first is the canonical topic.
    pub(crate) topics: Vec<String>,
    /// Opaque text, empty where none was given.
    pub(crate) data: String,
    /// Only for subscribers whose token grants one of the topics (A15).
    pub(crate) private: bool,
    /// The SSE event type.
    pub(crate) event_type: Option<String>,
    /// The reconnection time in milliseconds.
    pub(crate) retry_ms: Option<u64>,
}

impl Update {
    /// The event id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All topics, canonical first.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The data as it was published, line breaks included.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Whether only authorized subscribers may see it.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// The SSE event type, if one was given.
    pub fn event_type(&self) -> Option<&str> {
        self.event_type.as_deref()
    }

    /// The reconnection time in milliseconds, if one was given.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Rebuilds an update that was validated when it was stored: for transports reading their log, and for imports,
    /// which take over reserved topics as they are.
    pub fn from_stored(
        id: String,
        topics: Vec<String>,
        data: String,
        private: bool,
        event_type: Option<String>,
        retry_ms: Option<u64>,
    ) -> Self {
        Self { id, topics, data, private, event_type, retry_ms }
    }

    /// What one update weighs, in bytes, wherever queues and histories are bounded in bytes: topics and data, as
    /// `max_bytes` of the retention counts them.
    pub fn weight_bytes(&self) -> usize {
        self.data.len() + self.topics.iter().map(String::len).sum::<usize>()
    }
}

/// Makes an opaque random event id (P09): it tells nobody how many private updates there were.
pub(crate) fn random_id() -> String {
    uuid::Uuid::new_v4().urn().to_string()
}

/// The fields of a publish as they came in, decoded but unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The `topic` fields in their order.
    pub topics: Vec<String>,
    /// The `data` field.
    pub data: Option<String>,
    /// Whether a `private` field was present, whatever its value (P08).
    pub private: bool,
    /// The `id` field; empty counts as absent.
    pub id: Option<String>,
    /// The `type` field; empty counts as absent.
    pub event_type: Option<String>,
    /// The `retry` field; empty counts as absent.
    pub retry: Option<String>,
}

/// Limits on one update (P12).
#[derive(Clone, Debug)]
pub struct UpdateLimits {
    /// How many topics one update may have.
    pub topics: usize,
    /// The length of one topic, id or type, in bytes.
    pub field_bytes: usize,
}

impl Default for UpdateLimits {
    fn default() -> Self {
        Self { topics: 1_000, field_bytes: 8 << 10 }
    }
}

/// Why a draft is no update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// P03.
    #[error("at least one topic is required")]
    NoTopic,
    /// P04, P09, P10.
    #[error("the field {field} contains the forbidden character U+{character:04X}")]
    ForbiddenCharacter {
        /// The name of the form field.
        field: &'static str,
        /// Its code point.
        character: u32,
    },
    /// P05.
    #[error("the topic lies in the namespace reserved for the hub, /.well-known/mercure")]
    ReservedTopic,
    /// P06.
    #[error("the topic * cannot be published: it is the matcher of all topics")]
    WildcardTopic,
    /// P09.
    #[error("the id must not start with # and must not be earliest")]
    ReservedId,
    /// P10.
    #[error("the type mercure is reserved for the hub")]
    ReservedType,
    /// P11.
    #[error("retry must consist of ASCII digits and fit 64 bits")]
    BadRetry,
    /// P12.
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit that is in force, in bytes or in pieces.
        limit: usize,
    },
}

impl Draft {
    /// Checks P03 to P11 and the limits of P12, and gives the update an id where it has none.
    ///
    /// `base` is the hub's URL of this request, against which relative topics are resolved (P05).
    ///
    /// # Errors
    /// The first rule that is broken, in the order of the rules.
    pub fn validate(self, base: &Base, limits: &UpdateLimits) -> Result<Update, UpdateError> {
        if self.topics.is_empty() {
            return Err(UpdateError::NoTopic);
        }
        if self.topics.len() > limits.topics {
            return Err(UpdateError::TooLarge { what: "the number of topics", limit: limits.topics });
        }
        for topic in &self.topics {
            check_length("the length of a topic", topic, limits)?;
            check_characters("topic", topic)?;
            if topic == topic::WILDCARD {
                return Err(UpdateError::WildcardTopic);
            }
            if topic::is_reserved(topic, base) {
                return Err(UpdateError::ReservedTopic);
            }
        }
        let id = match self.id.filter(|id| !id.is_empty()) {
            Some(id) => {
                check_length("the length of the id", &id, limits)?;
                check_characters("id", &id)?;
                if id.starts_with('#') || id == EARLIEST {
                    return Err(UpdateError::ReservedId);
                }
                id
            }
            None => random_id(),
        };
        let event_type = self.event_type.filter(|name| !name.is_empty());
        if let Some(name) = &event_type {
            check_length("the length of the type", name, limits)?;
            check_characters("type", name)?;
            if name == HUB_EVENT_TYPE {
                return Err(UpdateError::ReservedType);
            }
        }
        let retry_ms = match self.retry.filter(|digits| !digits.is_empty()) {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| UpdateError::BadRetry)?)
            }
            Some(_) => return Err(UpdateError::BadRetry),
            None => None,
        };
        Ok(Update {
            id,
            topics: self.topics,
            data: self.data.unwrap_or_default(),
            private: self.private,
            event_type,
            retry_ms,
        })
    }
}

fn check_length(what: &'static str, value: &str, limits: &UpdateLimits) -> Result<(), UpdateError> {
    if value.len() > limits.field_bytes {
        return Err(UpdateError::TooLarge { what, limit: limits.field_bytes });
    }
    Ok(())
}

fn check_characters(field: &'static str, value: &str) -> Result<(), UpdateError> {
    match topic::forbidden_character(value) {
        Some(character) => Err(UpdateError::ForbiddenCharacter { field, character: character.into() }),
        None => Ok(()),
    }
}
