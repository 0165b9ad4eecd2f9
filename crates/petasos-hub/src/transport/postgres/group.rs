//! A group of appends that becomes one transaction: its columns, and what it came to.

use std::{collections::HashSet, sync::Arc};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    connect::{Fault, Session},
    row,
    sql::Sql,
};
use crate::transport::{
    Append, AttemptId, ErrorKind, Position, PresenceChange, Retention, StoredEvent, TransportError,
    remote::Job,
};

/// Who sends a group: it is stored once for each sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) writer: Uuid,
    pub(super) session: Uuid,
    pub(super) sequence: i64,
}

/// Jobs that are stored together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) sequence: i64,
    pub(super) jobs: Vec<Job>,
    /// More calls with attempts that are among `jobs`.
    pub(super) repeated: Vec<Job>,
    pub(super) at_ms: u64,
    pub(super) sent: tokio::time::Instant,
}

/// What the database says of a group that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    base: u64,
    /// Entries that were no-ops, counted from one, as SQL does.
    skipped: HashSet<i32>,
}

impl Stored {
    pub(super) fn new(base: i64, skipped: Vec<i32>) -> Self {
        Self { base: base.cast_unsigned(), skipped: skipped.into_iter().collect() }
    }
}

impl Group {
    /// All entries in their order.
    pub(super) fn entries(&self) -> Vec<Append> {
        self.jobs.iter().flat_map(|job| &job.entries).cloned().collect()
    }

    /// Whether it holds this attempt.
    pub(super) fn has(&self, attempt: AttemptId) -> bool {
        self.jobs.iter().any(|job| job.attempt == attempt)
    }

    /// Its events, and the position of the last one of each job.
    pub(super) fn events(&self, stored: &Stored) -> (Vec<StoredEvent>, Vec<Option<Position>>) {
        let mut events = Vec::with_capacity(self.jobs.len());
        let mut outcomes = Vec::with_capacity(self.jobs.len());
        let (mut position, mut place) = (stored.base, 0);
        for job in &self.jobs {
            let mut last = None;
            for entry in &job.entries {
                place += 1;
                if stored.skipped.contains(&place) {
                    continue;
                }
                last = Some(Position(position));
                let update = Arc::clone(&entry.update);
                events.push(StoredEvent { position: Position(position), at_ms: self.at_ms, update });
                position += 1;
            }
            outcomes.push(last);
        }
        (events, outcomes)
    }
}

/// What is kept, as the functions of the schema take it.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) events: i64,
    pub(super) bytes: i64,
    pub(super) age_ms: Option<i64>,
}

impl Bounds {
    pub(super) fn of(retention: Option<Retention>) -> Self {
        let Some(retention) = retention else { return Self { events: 0, bytes: 0, age_ms: None } };
        // More than a column can hold is no bound.
        let bound = |value: u64| i64::try_from(value).unwrap_or(0);
        let age_ms = retention.age.and_then(|age| i64::try_from(age.as_millis()).ok());
        Self { events: bound(retention.events), bytes: bound(retention.bytes), age_ms }
    }
}

/// Appends entries in one transaction. `at_ms` has the time of each.
pub(super) async fn append(
    session: &Session,
    sql: &Sql,
    sender: Option<Sender>,
    retention: Option<Retention>,
    entries: &[Append],
    at_ms: &[u64],
) -> Result<Stored, Fault> {
    let statement = session.prepared(&sql.append).await?;
    let columns = Columns::of(entries, at_ms).map_err(Fault::Answer)?;
    let writer = sender.map(|sender| sender.writer);
    let session_id = sender.map(|sender| sender.session);
    let sequence = sender.map(|sender| sender.sequence);
    let Bounds { events: max_events, bytes: max_bytes, age_ms } = Bounds::of(retention);
    let parameters: [&(dyn ToSql + Sync); 25] = [
        &writer,
        &session_id,
        &sequence,
        &max_events,
        &max_bytes,
        &age_ms,
        &columns.at_ms,
        &columns.retry_ms,
        &columns.id_hash,
        &columns.topic_hash,
        &columns.weight,
        &columns.checksum,
        &columns.private,
        &columns.id,
        &columns.kind,
        &columns.topics,
        &columns.data,
        &columns.changes,
        &columns.starts,
        &columns.keys,
        &columns.match_types,
        &columns.match_values,
        &columns.subscribers,
        &columns.nodes,
        &columns.payloads,
    ];
    let row = session.client.query_one(&statement, &parameters).await?;
    Ok(Stored::new(row.try_get(0)?, row.try_get(1)?))
}

/// The parameters of the statement that appends: an array for each column.
#[derive(Debug, Default)]
struct Columns<'a> {
    at_ms: Vec<i64>,
    retry_ms: Vec<Option<i64>>,
    id_hash: Vec<i64>,
    topic_hash: Vec<i64>,
    weight: Vec<i32>,
    checksum: Vec<i32>,
    private: Vec<bool>,
    id: Vec<&'a [u8]>,
    kind: Vec<Option<&'a [u8]>>,
    topics: Vec<Vec<u8>>,
    data: Vec<&'a [u8]>,
    changes: Vec<i32>,
    starts: Vec<bool>,
    keys: Vec<Uuid>,
    match_types: Vec<&'static str>,
    match_values: Vec<&'a [u8]>,
    subscribers: Vec<&'a [u8]>,
    nodes: Vec<Uuid>,
    payloads: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [Append], at_ms: &[u64]) -> Result<Self, TransportError> {
        let mut columns = Self::default();
        for ((place, entry), &at_ms) in (1..).zip(entries).zip(at_ms) {
            let update = &*entry.update;
            let topics = row::encode_topics(update.topics());
            let weight = i32::try_from(update.weight_bytes()).map_err(|_| {
                TransportError::new(ErrorKind::Invalid, "an update is larger than PostgreSQL can store")
            })?;
            columns.at_ms.push(at_ms.cast_signed());
            columns.retry_ms.push(update.retry_ms().map(u64::cast_signed));
            columns.id_hash.push(row::id_hash(update.id()));
            columns.topic_hash.push(row::topics_hash(update.topics()));
            columns.weight.push(weight);
            columns.checksum.push(row::checksum(at_ms, update, &topics));
            columns.private.push(update.is_private());
            columns.id.push(update.id().as_bytes());
            columns.kind.push(update.event_type().map(str::as_bytes));
            columns.topics.push(topics);
            columns.data.push(update.data().as_bytes());
            if let Some(change) = &entry.presence {
                columns.add_change(place, change);
            }
        }
        Ok(columns)
    }

    fn add_change(&mut self, place: i32, change: &'a PresenceChange) {
        let (record, starts) = match change {
            PresenceChange::Start(record) => (record, true),
            PresenceChange::End(record) => (record, false),
        };
        self.changes.push(place);
        self.starts.push(starts);
        self.keys.push(row::subscription_key(record));
        self.match_types.push(record.match_type.as_str());
        self.match_values.push(record.match_value.as_bytes());
        self.subscribers.push(record.subscriber.as_bytes());
        self.nodes.push(Uuid::from_u128(record.node.0));
        self.payloads.push(record.payload.as_deref().map(str::as_bytes));
    }
}
