//! Calls of the JetStream API, in the few forms that the transport needs, and what its refusals mean. Each call has a
//! limit in time; none is made while there is no connection.

use std::{sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message, RequestErrorKind, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{link::Link, time};
use crate::transport::{ErrorKind, TransportError};

/// How long a call may take, the wait for a connection included.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Refusals that somebody reacts to, by their numbers.
pub(super) const STREAM_NOT_FOUND: u64 = 10_059;
const MESSAGE_NOT_FOUND: u64 = 10_037;
const WRONG_LAST_SEQUENCE: u64 = 10_071;
const WRONG_LAST_SEQUENCE_CONSTANT: u64 = 10_164;
/// Another write of the same subject is under way.
const LAST_SEQUENCE_NOT_READY: u64 = 10_163;
/// No leader, or more messages than the server takes at once: the same message may be taken a moment later.
const NOT_NOW: [u64; 4] = [10_007, 10_008, 10_009, 10_167];
const INSUFFICIENT_STORAGE: [u64; 4] = [10_023, 10_028, 10_047, 10_077];
const JETSTREAM_OFF: [u64; 2] = [10_039, 10_076];

/// The API over one connection.
#[derive(Clone, Debug)]
pub(super) struct Api {
    link: Arc<Link>,
    prefix: Arc<str>,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum CallError {
    /// JetStream answered no.
    Refused { code: u64, text: String },
    /// Nobody serves that subject: JetStream is off, or a cluster has no leader now.
    NoResponders,
    /// No answer in time: it may have happened.
    Silent,
    /// There is no connection, or it was lost before the answer came: it may have happened.
    Lost,
}

/// What JetStream says to a message that it stored.
#[derive(Debug, Deserialize)]
pub(super) struct PubAck {
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) duplicate: bool,
}

/// A message of a stream.
#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) sequence: u64,
    /// When it was stored, by the server's clock.
    pub(super) at_ms: u64,
    pub(super) payload: Bytes,
}

/// The part of a stream's description that is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    /// As it is: what is not understood goes back unchanged.
    pub(super) config: Value,
    /// Another one is another stream of the same name.
    pub(super) created: String,
    pub(super) state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    #[serde(default)]
    pub(super) subjects: Option<std::collections::BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Api {
    pub(super) fn new(link: Arc<Link>, domain: Option<&str>) -> Self {
        let prefix = match domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        };
        Self { link, prefix: prefix.into() }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The subject of a call.
    pub(super) fn subject(&self, call: &str) -> String {
        format!("{}.{call}", self.prefix)
    }

    /// Makes a call.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &str, body: &Value) -> Result<T, CallError> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.request(self.subject(call), HeaderMap::new(), body).await?;
        parse(&answer.payload)
    }

    /// Publishes a message that a stream stores.
    pub(super) async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PubAck, CallError> {
        parse(&self.request(subject, headers, payload).await?.payload)
    }

    /// The description of a stream; `None` where there is none.
    pub(super) async fn stream(&self, name: &str) -> Result<Option<StreamInfo>, CallError> {
        self.stream_with(name, &Value::Null).await
    }

    /// As [`Self::stream`], with the number of messages for each of the subjects that match.
    pub(super) async fn stream_with_subjects(
        &self,
        name: &str,
        subjects: &str,
    ) -> Result<Option<StreamInfo>, CallError> {
        self.stream_with(name, &json!({ "subjects_filter": subjects })).await
    }

    async fn stream_with(&self, name: &str, body: &Value) -> Result<Option<StreamInfo>, CallError> {
        match self.call(&format!("STREAM.INFO.{name}"), body).await {
            Ok(info) => Ok(Some(info)),
            Err(CallError::Refused { code: STREAM_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The message that `selector` selects, from the leader of the stream: what was acknowledged is seen.
    pub(super) async fn message(
        &self,
        stream: &str,
        selector: Value,
    ) -> Result<Option<StoredMessage>, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            message: Raw,
        }
        #[derive(Deserialize)]
        struct Raw {
            seq: u64,
            #[serde(default)]
            data: String,
            time: String,
        }
        match self.call(&format!("STREAM.MSG.GET.{stream}"), &selector).await {
            Ok(Answer { message }) => Ok(Some(StoredMessage {
                sequence: message.seq,
                at_ms: time::parse_ms(&message.time).unwrap_or_default(),
                payload: STANDARD.decode(&message.data).map_err(|_| malformed())?.into(),
            })),
            Err(CallError::Refused { code: MESSAGE_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn request(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, CallError> {
        let calling = async {
            let generation = self.link.wait_up(CALL_TIMEOUT).await.map_err(|_| CallError::Lost)?.generation;
            // With an inbox of its own: in the shared one the library keeps a place for ever for what is never answered.
            let inbox = self.link.client.new_inbox();
            let request =
                async_nats::Request::new().payload(payload).headers(headers).timeout(None).inbox(inbox);
            // No answer comes over another connection than the one that the question went over.
            let mut changes = self.link.watch();
            let lost = changes.wait_for(|state| state.generation != generation || !state.is_up);
            let answer = tokio::select! {
                biased;
                answer = self.link.client.send_request(subject, request) => answer,
                _ = lost => return Err(CallError::Lost),
            };
            match answer {
                Ok(message) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                    Err(CallError::NoResponders)
                }
                Ok(message) => Ok(message),
                Err(error) => Err(match error.kind() {
                    RequestErrorKind::NoResponders => CallError::NoResponders,
                    RequestErrorKind::TimedOut => CallError::Silent,
                    RequestErrorKind::MaxPayloadExceeded => CallError::Refused {
                        code: 0,
                        text: "the message is larger than the server's max_payload".to_owned(),
                    },
                    _ => CallError::Lost,
                }),
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, calling).await.unwrap_or(Err(CallError::Silent))
    }
}

/// Reads an answer.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    #[derive(Deserialize)]
    struct Outcome {
        #[serde(default)]
        error: Option<Refusal>,
    }
    let outcome: Outcome = serde_json::from_slice(bytes).map_err(|_| malformed())?;
    match outcome.error {
        Some(refusal) => Err(CallError::Refused {
            // Old servers give the numbers of HTTP only.
            code: if refusal.err_code == 0 { refusal.code } else { refusal.err_code },
            text: refusal.description,
        }),
        None => serde_json::from_slice(bytes).map_err(|_| malformed()),
    }
}

fn malformed() -> CallError {
    CallError::Refused { code: 0, text: "the answer cannot be read".to_owned() }
}

impl CallError {
    /// Somebody else wrote to the subject since it was read.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_CONSTANT | LAST_SEQUENCE_NOT_READY,
                ..
            }
        )
    }

    /// The same call may be answered otherwise a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => NOT_NOW.contains(code),
            Self::NoResponders | Self::Silent | Self::Lost => true,
        }
    }
}

impl From<CallError> for TransportError {
    fn from(error: CallError) -> Self {
        let text = match error {
            CallError::Refused { code, text } if INSUFFICIENT_STORAGE.contains(&code) => format!(
                "JetStream has no room: {text}; raise max_file_store or the account's limits, or lower history.max_bytes, \
                 which is reserved"
            ),
            CallError::Refused { code, text } if JETSTREAM_OFF.contains(&code) => {
                format!("{text}: start nats-server with -js, or enable JetStream for this account")
            }
            CallError::Refused { text, .. } => format!("JetStream refuses: {text}"),
            CallError::NoResponders => {
                "JetStream does not answer: start nats-server with -js, enable it for this account, check the domain; in a \
                 cluster, a majority must be there"
                    .to_owned()
            }
            CallError::Silent => "JetStream did not answer in time".to_owned(),
            CallError::Lost => return super::link::lost(),
        };
        Self::new(ErrorKind::Unavailable, text)
    }
}
