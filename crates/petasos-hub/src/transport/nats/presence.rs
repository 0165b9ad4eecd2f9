//! Presence in a stream of its own, one message for each subscription and for each node's lease.
//!
//! JetStream has no transaction across two streams, so that the log and the list can differ for a moment, or for as long as
//! a lease when a hub dies in between; then anybody repairs it:
//!
//! - **Start**: the record is written, then the event appended. Without the event, the record is listed until its node's
//!   lease has run out, and ended then like others.
//! - **End**: the record is replaced, if it is still the one that is meant, by one that says `ending` and holds the event
//!   and the attempt under which it is appended. Then the event is appended, then the record deleted. Without the event
//!   or the deletion, [`expired`] gives the record out, and the next End of it takes the event from the record, looks
//!   whether the log has it, and goes on. Of any number of ends one replaces the record; of any number of repairs one is
//!   stored.
//!
//! - A server that is killed can forget that it deleted a message, and a record that was ended is there again, of a node
//!   that is alive. That node knows what it has written: [`expired`] gives out what is said to be its and is not, on every
//!   new connection.
//!
//! The clock is that of the servers: the times of messages.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Store,
    api::{CallError, PubAck, StoredMessage},
    pull::{BATCH_MESSAGES, Pulled, Puller},
    read,
};
use crate::{
    Update,
    transport::{
        ErrorKind, NodeId, Position, PresenceFilter, PresenceSnapshot, SubscriptionRecord, TransportError,
        now_ms,
        remote::wire::{decode_event, decode_record, encode_event, encode_record},
    },
};

/// The subject whose newest message gives the time, and the place up to which a reader must have come.
const CLOCK: &str = "clock";

/// How often everything is looked through even where every known lease runs.
const FULL_LOOK: Duration = Duration::from_secs(60);

/// How long an end may stand half done before somebody else finishes it.
const HALF_DONE_MS: u64 = 10_000;

/// For how long a record may be there before its writer has noted that it wrote it.
const NOTED_AFTER_MS: u64 = 5_000;

/// How long reading the list may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an end is tried against others that write the same record.
const CONFLICTS: usize = 10;

/// What this process knows about the records.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Records that were written here and not ended: their sequences, so that an end needs no look.
    written: Mutex<HashMap<String, (NodeId, u64)>>,
    /// Who this process is: the node whose lease it renewed last.
    node: Mutex<Option<NodeId>>,
    /// When, and on which connection, everything was looked through and nothing was to be ended.
    looked: Mutex<Option<(Instant, u64)>>,
}

impl Known {
    /// Whether the record of this subject was written here for a node, and not ended.
    fn wrote(&self, subject: &str, node: NodeId) -> bool {
        self.written.lock().get(subject).is_some_and(|(writer, _)| *writer == node)
    }
}

/// What becomes of an entry's event.
#[derive(Debug)]
pub(super) enum Step {
    /// It is appended under the caller's attempt.
    Append,
    /// This one is appended under this attempt, and the record with this sequence deleted then.
    Finish { at_ms: u64, update: Arc<Update>, attempt: String, record: u64 },
    /// Nothing is: the subscription was not there.
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    record: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<Ending>,
}

/// An end that is under way.
#[derive(Serialize, Deserialize)]
struct Ending {
    attempt: String,
    /// As the log has it, in Base64.
    event: String,
}

#[derive(Serialize, Deserialize)]
struct Lease {
    lease_ms: u64,
}

/// A record as it was read.
struct Found {
    sequence: u64,
    at_ms: u64,
    record: SubscriptionRecord,
    ending: Option<Ending>,
}

/// Writes that a subscription has begun. Its event comes after it.
pub(super) async fn start(store: &Store, record: &SubscriptionRecord) -> Result<(), TransportError> {
    let subject = subject(store, record);
    let ack = put(store, subject.clone(), stored(record, None)?, None).await?;
    store.known.written.lock().insert(subject, (record.node, ack.seq));
    Ok(())
}

/// Writes that a subscription is ending, if it is there and of this node, and says what becomes of the event.
pub(super) async fn end(
    store: &Store,
    record: &SubscriptionRecord,
    update: &Arc<Update>,
    attempt: &str,
) -> Result<Step, TransportError> {
    let subject = subject(store, record);
    let mut known = store.known.written.lock().remove(&subject).filter(|(node, _)| *node == record.node);
    for _ in 0..CONFLICTS {
        let sequence = match known.take() {
            Some((_, sequence)) => sequence,
            None => match look(store, &subject).await? {
                Some(found) if found.record.node != record.node => return Ok(Step::Nothing),
                None => return Ok(Step::Nothing),
                Some(Found { sequence, ending: Some(ending), .. }) => {
                    return finish(store, ending, sequence).await;
                }
                Some(found) => found.sequence,
            },
        };
        let at_ms = now_ms();
        let event = STANDARD.encode(encode_event(at_ms, update));
        let ending = Ending { attempt: attempt.to_owned(), event };
        match put(store, subject.clone(), stored(record, Some(ending))?, Some(sequence)).await {
            Ok(ack) => {
                let (update, attempt) = (Arc::clone(update), attempt.to_owned());
                return Ok(Step::Finish { at_ms, update, attempt, record: ack.seq });
            }
            // It was written again, or ended, by somebody else.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(TransportError::unavailable("a subscription is written by others all the time"))
}

/// Goes on with an end that somebody began.
async fn finish(store: &Store, ending: Ending, record: u64) -> Result<Step, TransportError> {
    let bytes = STANDARD.decode(&ending.event).unwrap_or_default();
    let event = decode_event(Position(record), &bytes)?;
    if read::find(store, event.update.id()).await?.is_some() {
        delete(store, record).await;
        return Ok(Step::Nothing);
    }
    Ok(Step::Finish { at_ms: event.at_ms, update: event.update, attempt: ending.attempt, record })
}

/// Deletes a record whose end is announced. One that stays is found by [`expired`].
pub(super) async fn delete(store: &Store, sequence: u64) {
    let call = store.api.subject(&format!("STREAM.MSG.DELETE.{}", store.streams.presence));
    let body = json!({ "seq": sequence, "no_erase": true }).to_string();
    let reply = store.api.link().client.new_inbox();
    let _ = store.api.link().client.publish_with_reply(call, reply, body.into()).await;
}

/// Says that a node is alive, and whether its last lease was still running.
pub(super) async fn renew(store: &Store, node: NodeId, lease: Duration) -> Result<bool, TransportError> {
    *store.known.node.lock() = Some(node);
    let subject = store.streams.presence_subject(&format!("node.{}", hex(node)));
    let selector = json!({ "last_by_subj": subject });
    let before = message(store, selector).await?;
    let lease = Lease { lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX) };
    let ack = put(store, subject, json!(lease).to_string().into(), None).await?;
    let now_ms = time_of(store, ack.seq).await?;
    Ok(before.is_some_and(|message| {
        let lease_ms = serde_json::from_slice::<Lease>(&message.payload).map_or(0, |lease| lease.lease_ms);
        message.at_ms.saturating_add(lease_ms) >= now_ms
    }))
}

/// The active subscriptions that pass. Those that begin or end while it is made may be in it or not: their events come
/// after the head, which is taken first.
pub(super) async fn list(store: &Store, filter: &PresenceFilter) -> Result<PresenceSnapshot, TransportError> {
    let head = read::head(store).await?;
    let matcher = filter.matcher.as_ref().map(|(match_type, value)| matcher_hash(match_type.as_str(), value));
    let subscriber = filter.subscriber.as_ref().map(|subscriber| hash(subscriber));
    let any = || "*".to_owned();
    let is_narrow = subscriber.is_some();
    let narrow = format!("sub.{}.{}", matcher.unwrap_or_else(any), subscriber.unwrap_or_else(any));
    // A subscriber has few subscriptions: asking for each is less than reading all.
    let found = if is_narrow { pick(store, &narrow).await? } else { scan(store, &narrow).await? };
    let mut subscriptions: Vec<_> = found
        .into_iter()
        .filter(|found| found.ending.is_none() && filter.accepts(&found.record))
        .map(|found| found.record)
        .collect();
    subscriptions.sort_by(SubscriptionRecord::order);
    Ok(PresenceSnapshot { head, subscriptions })
}

/// Subscriptions of nodes without a running lease, ends that somebody left half done, and what is said to be of this node and
/// is not.
pub(super) async fn expired(store: &Store, limit: usize) -> Result<Vec<SubscriptionRecord>, TransportError> {
    let generation = store.api.link().state().generation;
    let now_ms = clock(store).await?.1;
    let leases = leases(store).await?;
    let is_due = {
        let looked = store.known.looked.lock();
        looked.is_none_or(|(at, connection)| at.elapsed() >= FULL_LOOK || connection != generation)
    };
    if !is_due && leases.values().all(|lease| lease.until_ms >= now_ms) {
        return Ok(Vec::new());
    }
    let found = scan(store, "sub.*.*").await?;
    // Read after the records: a node takes its lease before it writes any.
    let leases = self::leases(store).await?;
    let running: HashSet<NodeId> =
        leases.iter().filter(|(_, lease)| lease.until_ms >= now_ms).map(|(node, _)| *node).collect();
    let own = *store.known.node.lock();
    let mut must_look_again = false;
    let expired: Vec<_> = found
        .into_iter()
        .filter(|found| {
            let is_half_done = found.ending.is_some() && found.at_ms + HALF_DONE_MS < now_ms;
            let node = found.record.node;
            let is_strange = own == Some(node) && !store.known.wrote(&subject(store, &found.record), node);
            let is_certain = found.at_ms + NOTED_AFTER_MS < now_ms;
            must_look_again |= is_strange && !is_certain;
            is_half_done || is_strange && is_certain || !running.contains(&node)
        })
        .map(|found| found.record)
        .take(limit)
        .collect();
    if expired.is_empty() {
        if !must_look_again {
            *store.known.looked.lock() = Some((Instant::now(), generation));
        }
        for lease in leases.values().filter(|lease| lease.until_ms < now_ms) {
            // By its sequence: a node that takes it again meanwhile keeps the new one.
            delete(store, lease.sequence).await;
        }
    }
    Ok(expired)
}

/// Whether the stream of presence is there.
pub(super) async fn info(store: &Store) -> Result<(), TransportError> {
    let info = store.api.stream(&store.streams.presence).await?;
    info.map(drop)
        .ok_or_else(|| TransportError::unavailable(format!("the stream {} is gone", store.streams.presence)))
}

/// Whether a write of the same kind as all others is taken now.
pub(super) async fn probe(store: &Store) -> Result<(), TransportError> {
    clock(store).await.map(|_| ())
}

#[derive(Debug)]
struct RunningLease {
    sequence: u64,
    until_ms: u64,
}

async fn leases(store: &Store) -> Result<BTreeMap<NodeId, RunningLease>, TransportError> {
    let prefix = store.streams.presence_subject("node.");
    let info = store.api.stream_with_subjects(&store.streams.presence, &format!("{prefix}*")).await?;
    let subjects = info.and_then(|info| info.state.subjects).unwrap_or_default();
    let read = subjects.into_keys().map(|subject| {
        let prefix = &prefix;
        async move {
            let selector = json!({ "last_by_subj": subject });
            let Some(message) = message(store, selector).await? else {
                return Ok::<_, CallError>(None);
            };
            let node = subject.strip_prefix(prefix).and_then(|node| u128::from_str_radix(node, 16).ok());
            let lease_ms =
                serde_json::from_slice::<Lease>(&message.payload).map_or(0, |lease| lease.lease_ms);
            let until_ms = message.at_ms.saturating_add(lease_ms);
            Ok(node.map(|node| (NodeId(node), RunningLease { sequence: message.sequence, until_ms })))
        }
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}

/// Writes to the clock, and returns the sequence and the time of that.
async fn clock(store: &Store) -> Result<(u64, u64), TransportError> {
    let ack = put(store, store.streams.presence_subject(CLOCK), Bytes::new(), None).await?;
    Ok((ack.seq, time_of(store, ack.seq).await?))
}

/// When the message with this sequence was stored, or a later one of those that are written all the time.
async fn time_of(store: &Store, sequence: u64) -> Result<u64, TransportError> {
    let selector = json!({ "seq": sequence, "next_by_subj": store.streams.presence_subject(">") });
    let message = message(store, selector).await?;
    message
        .map(|message| message.at_ms)
        .ok_or_else(|| TransportError::unavailable("the stream of presence was emptied while it was read"))
}

/// All records whose subjects match, asked for one by one.
async fn pick(store: &Store, narrow: &str) -> Result<Vec<Found>, TransportError> {
    let subjects = store.streams.presence_subject(narrow);
    let mut records = Vec::new();
    let mut from = 1;
    loop {
        let selector = json!({ "seq": from, "next_by_subj": subjects });
        let Some(message) = message(store, selector).await? else {
            return Ok(records);
        };
        records.push(found(message.sequence, message.at_ms, &message.payload)?);
        from = message.sequence + 1;
    }
}

/// All records whose subjects match.
async fn scan(store: &Store, narrow: &str) -> Result<Vec<Found>, TransportError> {
    let scanning = async {
        // What is read may be a replica that is behind: it has come far enough when it has this.
        let (fence, _) = clock(store).await?;
        let everything = store.streams.presence_subject(">");
        let mut puller = store.heed(
            Puller::open(&store.reads, &store.streams.presence, Some(&everything), 1, BATCH_MESSAGES).await,
        )?;
        let mut found = Vec::new();
        loop {
            let pulled = puller.next().await.map_err(|ended| {
                TransportError::unavailable(format!("the subscriptions cannot be read: {}", ended.0))
            })?;
            if matches(&pulled.subject, &store.streams.presence_subject(narrow)) {
                found.push(read_record(&pulled)?);
            }
            if pulled.sequence >= fence {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(LIST_TIMEOUT, scanning)
        .await
        .unwrap_or_else(|_| Err(TransportError::unavailable("the subscriptions cannot be read in time")))
}

fn read_record(pulled: &Pulled) -> Result<Found, TransportError> {
    found(pulled.sequence, pulled.at_ms, &pulled.payload)
}

async fn look(store: &Store, subject: &str) -> Result<Option<Found>, TransportError> {
    let message = message(store, json!({ "last_by_subj": subject })).await?;
    message.map(|message| found(message.sequence, message.at_ms, &message.payload)).transpose()
}

fn found(sequence: u64, at_ms: u64, payload: &[u8]) -> Result<Found, TransportError> {
    let stored: Stored<'_> = serde_json::from_slice(payload)
        .map_err(|_| TransportError::new(ErrorKind::Corrupt, "a stored subscription cannot be read"))?;
    let record = decode_record(stored.record.get().as_bytes())?;
    Ok(Found { sequence, at_ms, record, ending: stored.ending })
}

fn stored(record: &SubscriptionRecord, ending: Option<Ending>) -> Result<Bytes, TransportError> {
    let invalid = |_| TransportError::new(ErrorKind::Invalid, "a subscription cannot be written as JSON");
    let json = encode_record(record);
    let record: &RawValue = serde_json::from_str(&json).map_err(invalid)?;
    serde_json::to_vec(&Stored { record, ending }).map(Bytes::from).map_err(invalid)
}

/// A message of the stream of presence.
async fn message(store: &Store, selector: Value) -> Result<Option<StoredMessage>, CallError> {
    store.heed(store.api.message(&store.streams.presence, selector).await)
}

async fn put(
    store: &Store,
    subject: String,
    payload: Bytes,
    replaces: Option<u64>,
) -> Result<PubAck, CallError> {
    let mut headers = HeaderMap::new();
    if let Some(sequence) = replaces {
        headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.to_string());
    }
    store.heed(store.api.publish(subject, headers, payload).await)
}

/// The record of a subscription: of all that a matcher has or a subscriber has, subjects with a wildcard are read.
fn subject(store: &Store, record: &SubscriptionRecord) -> String {
    let matcher = matcher_hash(record.match_type.as_str(), &record.match_value);
    store.streams.presence_subject(&format!("sub.{matcher}.{}", hash(&record.subscriber)))
}

fn matcher_hash(match_type: &str, value: &str) -> String {
    hash(&format!("{match_type}/{value}"))
}

fn hash(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

fn hex(node: NodeId) -> String {
    format!("{:032x}", node.0)
}

/// Whether a subject matches a pattern whose wildcards are whole tokens.
fn matches(subject: &str, pattern: &str) -> bool {
    let (mut subject, mut pattern) = (subject.split('.'), pattern.split('.'));
    loop {
        match (subject.next(), pattern.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other || other == "*" => {}
            _ => return false,
        }
    }
}
