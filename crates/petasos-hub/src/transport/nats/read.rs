//! Reading the log: its head, an id, a page, figures. What was acknowledged is always seen: questions are answered by the
//! leader of the stream, and a page that comes from another server is not taken for complete before the leader says so.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Store,
    api::{CallError, StoredMessage, StreamInfo},
    pull::Puller,
};
use crate::transport::{
    Head, LogStats, Page, Position, ReadLimit, StoredEvent, TransportError, remote::wire::decode_event,
};

/// How long a page waits for a message before the leader is asked whether there is one.
const LAG: Duration = Duration::from_millis(250);

/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The newest event. It is nobody's where all were discarded.
pub(super) async fn head(store: &Store) -> Result<Head, TransportError> {
    loop {
        let info = log_info(store).await?;
        let last = info.state.last_seq;
        store.streams.saw(last);
        if info.state.messages == 0 {
            return Ok(Head { position: Position(last), id: None });
        }
        if let Some(message) = message(store, json!({ "seq": last })).await? {
            let event = decode(&message)?;
            return Ok(Head { position: event.position, id: Some(event.update.id().to_owned()) });
        }
        // It was discarded between the two questions, or somebody deleted it.
        let subject = store.streams.event_subjects();
        if let Some(message) = message(store, json!({ "last_by_subj": subject })).await?
            && message.sequence <= last
        {
            let event = decode(&message)?;
            return Ok(Head { position: Position(last), id: Some(event.update.id().to_owned()) });
        }
    }
}

/// The earliest event with this id: those that share its subject are looked at one by one.
pub(super) async fn find(store: &Store, id: &str) -> Result<Option<Position>, TransportError> {
    let subject = store.streams.event_subject(id);
    let mut from = 1;
    loop {
        let selector = json!({ "seq": from, "next_by_subj": subject });
        let Some(message) = message(store, selector).await? else { return Ok(None) };
        // Damaged ones are found by whoever reads them.
        if decode(&message).is_ok_and(|event| event.update.id() == id) {
            return Ok(Some(Position(message.sequence)));
        }
        from = message.sequence + 1;
    }
}

/// A page of events.
pub(super) async fn page(
    store: &Store,
    after: Position,
    until: Position,
    limit: ReadLimit,
) -> Result<Page, TransportError> {
    let info = log_info(store).await?;
    let state = info.state;
    let mut page = Page { events: Vec::new(), next: after, truncated: after.0 + 1 < state.first_seq };
    let target = until.0.min(state.last_seq);
    let mut from = (after.0 + 1).max(state.first_seq);
    if from > target || state.messages == 0 {
        page.next = after.max(Position(target));
        return Ok(page);
    }
    let span = usize::try_from(target - from + 1).unwrap_or(usize::MAX);
    let mut puller =
        Puller::open(&store.reads, &store.streams.log, None, from, span.min(limit.events)).await?;
    let deadline = Instant::now() + PAGE_TIMEOUT;
    let mut bytes = 0;
    loop {
        let pulled = match tokio::time::timeout(LAG, puller.next()).await {
            Ok(Ok(pulled)) if pulled.sequence < from => continue,
            Ok(Ok(pulled)) => pulled,
            Ok(Err(ended)) if Instant::now() >= deadline => {
                return Err(TransportError::unavailable(format!("reading the log: {}", ended.0)));
            }
            Ok(Err(_)) => {
                store.reads.link().wait_up(LAG).await?;
                let batch = limit.events - page.events.len();
                puller = Puller::open(&store.reads, &store.streams.log, None, from, span.min(batch)).await?;
                continue;
            }
            Err(_) => {
                let selector = json!({ "seq": from, "next_by_subj": store.streams.event_subjects() });
                match message(store, selector).await? {
                    // The server that reads for us is behind.
                    Some(next) if next.sequence <= target && Instant::now() < deadline => continue,
                    Some(next) if next.sequence <= target => {
                        return Err(TransportError::unavailable(
                            "the server is too far behind to read the log",
                        ));
                    }
                    _ => break,
                }
            }
        };
        if pulled.sequence > target {
            break;
        }
        let event = decode_event(Position(pulled.sequence), &pulled.payload)?;
        from = pulled.sequence + 1;
        bytes += event.update.weight_bytes();
        page.next = event.position;
        page.events.push(event);
        if page.events.len() >= limit.events || bytes >= limit.bytes {
            return Ok(page);
        }
        if pulled.sequence == target {
            break;
        }
    }
    page.next = after.max(Position(target));
    Ok(page)
}

/// What is kept. Bytes are as JetStream counts them, with its own.
pub(super) async fn stats(store: &Store) -> Result<LogStats, TransportError> {
    let info = log_info(store).await?;
    let is_on_disk = info.config["storage"] == "file";
    let state = info.state;
    let event = async |selector: Value| -> Result<Option<StoredEvent>, TransportError> {
        message(store, selector).await?.map(|message| decode(&message)).transpose()
    };
    let subject = store.streams.event_subjects();
    Ok(LogStats {
        events: state.messages,
        bytes: state.bytes,
        oldest: event(json!({ "seq": state.first_seq.max(1), "next_by_subj": subject })).await?,
        newest: event(json!({ "last_by_subj": subject })).await?,
        disk_bytes: is_on_disk.then_some(state.bytes),
    })
}

/// Discards what stands up to a position.
pub(super) async fn discard(store: &Store, until: Position) -> Result<u64, TransportError> {
    let state = log_info(store).await?.state;
    // One further than the last would give the next event another position than others expect.
    let body = json!({ "seq": until.0.min(state.last_seq) + 1 });
    let answer: Value = store.api.call(&format!("STREAM.PURGE.{}", store.streams.log), &body).await?;
    Ok(answer["purged"].as_u64().unwrap_or_default())
}

/// The log's description.
pub(super) async fn log_info(store: &Store) -> Result<StreamInfo, TransportError> {
    let info = store.api.stream(&store.streams.log).await?;
    info.ok_or_else(|| {
        TransportError::unavailable(format!(
            "the stream {} is gone; the next update makes it",
            store.streams.log
        ))
    })
}

async fn message(store: &Store, selector: Value) -> Result<Option<StoredMessage>, CallError> {
    store.api.message(&store.streams.log, selector).await
}

fn decode(message: &StoredMessage) -> Result<StoredEvent, TransportError> {
    decode_event(Position(message.sequence), &message.payload)
}
