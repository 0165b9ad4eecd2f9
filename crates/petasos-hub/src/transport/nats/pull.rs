//! Messages of a stream in their order: an ephemeral pull consumer with one request under way at a time. What a request
//! may bring is bounded in messages and bytes, so that nothing piles up here that nobody takes.
//!
//! The server says every [`HEARTBEAT`] that a request is still under way. Silence, a lost connection and every refusal end
//! the puller; whoever owns it makes another one.

use std::{sync::Arc, time::Duration};

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    api::{Api, CallError},
    link::LinkState,
};

/// How often the server must be heard.
const HEARTBEAT: Duration = Duration::from_millis(750);

/// Silence for so long means that the request is forgotten.
const SILENCE: Duration = Duration::from_millis(2_500);

/// How long a request stays under way.
const EXPIRES: Duration = Duration::from_secs(30);

/// When the server forgets a consumer that nobody asks.
const FORGET: Duration = Duration::from_secs(60);

/// Messages of one request.
pub(super) const BATCH_MESSAGES: usize = 1_000;

/// Bytes of one request, where no single message is larger.
const BATCH_BYTES: usize = 1 << 20;

/// What the server counts beside the payload of a message, at most: its subjects and headers.
const MESSAGE_OVERHEAD_BYTES: usize = 64 << 10;

/// A reader of a stream.
#[derive(Debug)]
pub(super) struct Puller {
    api: Api,
    /// The subject of requests.
    next: String,
    /// The call that deletes the consumer.
    delete: String,
    inbox: String,
    subscription: Subscriber,
    link: watch::Receiver<LinkState>,
    generation: u64,
    batch: usize,
    /// What the request under way may still bring; zero: there is none.
    expected: usize,
    heard: Instant,
}

/// A message that was pulled.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) sequence: u64,
    pub(super) at_ms: u64,
    pub(super) payload: Bytes,
    pub(super) subject: String,
}

/// Why a puller ended, for a log.
#[derive(Debug)]
pub(super) struct Ended(pub(super) String);

impl Puller {
    /// A reader of `stream` from the sequence `start` on, of the messages whose subject matches.
    pub(super) async fn open(
        api: &Api,
        stream: &str,
        filter: Option<&str>,
        start: u64,
        batch: usize,
    ) -> Result<Self, CallError> {
        let link = api.link().watch();
        let generation = link.borrow().generation;
        let name = format!("petasos-{:016x}", rand::random::<u64>());
        let inbox = api.link().client.new_inbox();
        let subscription =
            tokio::time::timeout(super::api::CALL_TIMEOUT, api.link().client.subscribe(inbox.clone()));
        let subscription = subscription.await.map_err(|_| CallError::Silent)?.map_err(|_| CallError::Lost)?;
        let mut config = json!({
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start.max(1),
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": nanos(FORGET),
            "num_replicas": 1,
            "mem_storage": true,
        });
        let mut call = format!("CONSUMER.CREATE.{stream}.{name}");
        if let Some(filter) = filter {
            config["filter_subject"] = json!(filter);
            call = format!("{call}.{filter}");
        }
        let body = json!({ "stream_name": stream, "config": config });
        api.call::<Value>(&call, &body).await?;
        Ok(Self {
            next: api.subject(&format!("CONSUMER.MSG.NEXT.{stream}.{name}")),
            delete: api.subject(&format!("CONSUMER.DELETE.{stream}.{name}")),
            api: api.clone(),
            inbox,
            subscription,
            link,
            generation,
            batch: batch.clamp(1, BATCH_MESSAGES),
            expected: 0,
            heard: Instant::now(),
        })
    }

    /// The next message. Cancellation: safe.
    pub(super) async fn next(&mut self) -> Result<Pulled, Ended> {
        loop {
            if let Some(pulled) = self.ready()? {
                return Ok(pulled);
            }
            if self.expected == 0 {
                self.ask().await?;
            }
            let generation = self.generation;
            let link = &mut self.link;
            let lost = async move {
                let _ = link.wait_for(|state| state.generation != generation || !state.is_up).await;
            };
            tokio::select! {
                biased;
                message = self.subscription.next() => {
                    if let Some(pulled) = self.take(message)? {
                        return Ok(pulled);
                    }
                }
                () = lost => {
                    return Err(Ended("the connection is lost".to_owned()));
                }
                () = tokio::time::sleep_until(self.heard + SILENCE) => {
                    return Err(Ended("the server is silent".to_owned()));
                }
            }
        }
    }

    /// A message that has come already.
    pub(super) fn ready(&mut self) -> Result<Option<Pulled>, Ended> {
        while let Some(message) = self.subscription.next().now_or_never() {
            if let Some(pulled) = self.take(message)? {
                return Ok(Some(pulled));
            }
        }
        Ok(None)
    }

    async fn ask(&mut self) -> Result<(), Ended> {
        let client = &self.api.link().client;
        let body = json!({
            "batch": self.batch,
            "max_bytes": BATCH_BYTES.max(client.max_payload() + MESSAGE_OVERHEAD_BYTES),
            "expires": nanos(EXPIRES),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        let asking =
            client.publish_with_reply(self.next.clone(), self.inbox.clone(), body.to_string().into());
        match tokio::time::timeout(SILENCE, asking).await {
            Ok(Ok(())) => {
                self.expected = self.batch;
                self.heard = Instant::now();
                Ok(())
            }
            _ => Err(Ended("the request for messages could not be sent".to_owned())),
        }
    }

    fn take(&mut self, message: Option<Message>) -> Result<Option<Pulled>, Ended> {
        let message = message.ok_or_else(|| Ended("the connection is closed".to_owned()))?;
        self.heard = Instant::now();
        match message.status {
            None | Some(StatusCode::OK) => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return Ok(None),
            Some(StatusCode::NO_RESPONDERS) => {
                return Err(Ended("the server does not know the consumer any more".to_owned()));
            }
            Some(status) => {
                let text = message.description.unwrap_or_default();
                // The request is over: expired, or no room for the next message.
                let is_usual = status == StatusCode::TIMEOUT
                    || status == StatusCode::NOT_FOUND
                    || text.contains("MaxBytes")
                    || text.contains("Batch Completed");
                if is_usual {
                    self.expected = 0;
                    return Ok(None);
                }
                return Err(Ended(format!("the server ended the consumer: {text}")));
            }
        }
        self.expected = self.expected.saturating_sub(1);
        let place = message.reply.as_deref().and_then(Place::parse);
        let Some(place) = place else {
            return Err(Ended("a message lacks its place in the stream".to_owned()));
        };
        Ok(Some(Pulled {
            sequence: place.sequence,
            at_ms: place.at_ms,
            payload: message.payload,
            subject: message.subject.to_string(),
        }))
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        // The server would forget it by itself; this is sooner. Whoever has no runtime any more has no connection either.
        let link = Arc::clone(self.api.link());
        let (delete, inbox) = (std::mem::take(&mut self.delete), std::mem::take(&mut self.inbox));
        if link.state().is_up
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _ =
                    link.client.publish_with_reply(delete, format!("{inbox}.deleted"), Bytes::new()).await;
            });
        }
    }
}

/// Where a message stands, as the subject says on which it would be acknowledged.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    sequence: u64,
    at_ms: u64,
}

impl Place {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<time>.<pending>`, in its newer form with the domain
    /// and a hash of the account before the stream, and possibly more behind.
    fn parse(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let skip = match tokens.len() {
            7 => 3,
            9.. => 5,
            _ => return None,
        };
        let number = |index: usize| tokens.get(skip + index)?.parse::<u64>().ok();
        Some(Self { sequence: number(0)?, at_ms: number(2)? / 1_000_000 })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_message_is_read_in_both_forms() {
        let expected = Some(Place { sequence: 7, at_ms: 1_795_812_576_123 });
        assert_eq!(Place::parse("$JS.ACK.s.c.1.7.3.1795812576123456789.2"), expected);
        assert_eq!(Place::parse("$JS.ACK._.hash.s.c.1.7.3.1795812576123456789.2"), expected);
        assert_eq!(Place::parse("$JS.ACK._.hash.s.c.1.7.3.1795812576123456789.2.random"), expected);
        assert_eq!(Place::parse("$JS.ACK.s.c.1.x.3.1795812576123456789.2"), None);
        assert_eq!(Place::parse("reply"), None);
    }
}
