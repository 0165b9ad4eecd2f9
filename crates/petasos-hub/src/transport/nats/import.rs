//! Appends events of another log with the times they had there.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    Store,
    api::{CALL_TIMEOUT, CallError, PubAck, parse},
};
use crate::transport::{AttemptId, StoredEvent, TransportError, remote::wire::encode_event};

/// Events that are under way together.
const BATCH: usize = 256;

/// One batch after the other; within one they are stored in the order in which the connection sends them.
pub(super) async fn import(store: &Store, events: Vec<StoredEvent>) -> Result<(), TransportError> {
    let attempt = AttemptId::new();
    for (number, batch) in events.chunks(BATCH).enumerate() {
        let storing =
            tokio::time::timeout(CALL_TIMEOUT * 5, store_batch(store, attempt, number * BATCH, batch));
        storing.await.unwrap_or(Err(CallError::Silent)).map_err(|error| match error {
            CallError::Refused { .. } => error.into(),
            _ => TransportError::unavailable(
                "the import was interrupted: empty the log with petasos history purge before another attempt",
            ),
        })?;
    }
    Ok(())
}

async fn store_batch(
    store: &Store,
    attempt: AttemptId,
    first: usize,
    batch: &[StoredEvent],
) -> Result<(), CallError> {
    let client = &store.api.link().client;
    store.api.link().wait_up(CALL_TIMEOUT).await.map_err(|_| CallError::Lost)?;
    let inbox = client.new_inbox();
    let mut acks = client.subscribe(inbox.clone()).await.map_err(|_| CallError::Lost)?;
    for (index, event) in batch.iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{:032x}.{}", attempt.0, first + index));
        let subject = store.streams.event_subject(event.update.id());
        let payload = Bytes::from(encode_event(event.at_ms, &event.update));
        let sending = client.publish_with_reply_and_headers(subject, inbox.clone(), headers, payload);
        sending.await.map_err(|_| link_or_size(store))?;
    }
    for _ in batch {
        let ack = acks.next().await.ok_or(CallError::Lost)?;
        if ack.status.is_some() {
            return Err(CallError::NoResponders);
        }
        store.streams.saw(parse::<PubAck>(&ack.payload)?.seq);
    }
    Ok(())
}

/// Why the library took no message: it looks at nothing else.
fn link_or_size(store: &Store) -> CallError {
    if !store.api.link().state().is_up {
        return CallError::Lost;
    }
    let most = store.api.link().client.max_payload();
    CallError::Refused {
        code: 0,
        text: format!("an event is larger than the server's max_payload, {most} bytes"),
    }
}
