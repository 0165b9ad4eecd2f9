//! The read path: each call one question.

use tokio_postgres::{Row, types::ToSql};

use super::{
    Store,
    connect::{Fault, PROMPT},
    continuity::{self, Mark},
    row,
};
use crate::transport::{Head, Page, Position, ReadHint, ReadLimit, StoredEvent, TransportError};

/// More rows than this are never asked for at once.
const PAGE_ROWS: usize = 2_000;

/// A search through the index for more topics than this costs more than reading everything.
const HINT_TOPICS: usize = 64;

/// What a live tail has not seen yet.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) page: Page,
    /// The event that the tail had read last is not there any more, and another one may be.
    pub(super) broken: bool,
}

/// See [`crate::transport::Transport::head`].
pub(super) async fn head(store: &Store) -> Result<Head, TransportError> {
    let (head, mark) = store
        .pool
        .ask("cannot read the head of the log", |session| async move {
            continuity::head(&session, &store.sql).await
        })
        .await?;
    store.continuity.note(mark);
    Ok(head)
}

/// See [`crate::transport::Transport::find`].
pub(super) async fn find(store: &Store, id: &str) -> Result<Option<Position>, TransportError> {
    let (hash, age_ms) = (row::id_hash(id), store.age_ms());
    store
        .pool
        .ask("cannot look for an event", |session| async move {
            let statement = session.prepared(&store.sql.find).await?;
            let found = session.client.query_opt(&statement, &[&hash, &id.as_bytes(), &age_ms]).await?;
            found.map(|row| row::get::<i64>(&row, 0)).transpose().map_err(Fault::Answer)
        })
        .await
        .map(|found| found.map(|position| Position(position.cast_unsigned())))
}

/// See [`crate::transport::Transport::read`].
pub(super) async fn page(
    store: &Store,
    after: Position,
    until: Position,
    limit: ReadLimit,
    hint: &ReadHint,
) -> Result<Page, TransportError> {
    let (from, to) = (signed(after.0), signed(until.0));
    let (rows, bytes) = limits(limit);
    let age_ms = store.age_ms();
    let is_narrow = !hint.exact_topics.is_empty() && hint.exact_topics.len() <= HINT_TOPICS;
    let hashes = row::wanted_hashes(&hint.exact_topics);
    let found = store
        .pool
        .ask("cannot read the log", |session| {
            let hashes = &hashes;
            async move {
                let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&from, &to, &rows, &bytes, &age_ms];
                let sql = if is_narrow {
                    parameters.push(hashes);
                    &store.sql.pick
                } else {
                    &store.sql.page
                };
                let statement = session.prepared(sql).await?;
                Ok(session.client.query(&statement, &parameters).await?)
            }
        })
        .await?;
    let Some(first) = found.first() else { return Err(no_state()) };
    let (newest, floor) = (position(first, 0)?, position(first, 1)?);
    // Rows that are too old are as good as discarded.
    let too_old: bool = row::get(first, 2)?;
    let (events, complete) = decode(&found, 3, limit)?;
    let next = match events.last() {
        Some(last) if !complete => last.position,
        _ => after.max(until.min(newest)),
    };
    Ok(Page { events, next, truncated: after < floor || too_old })
}

/// What a live tail has not seen yet, whatever its age. Retention may have discarded it in the commit that brought it: then
/// its rows stay a while, and are read all the same.
pub(super) async fn follow(
    store: &Store,
    after: Position,
    known: Option<Mark>,
    limit: ReadLimit,
) -> Result<Followed, TransportError> {
    let from = signed(after.0);
    let (rows, bytes) = limits(limit);
    let checksum = known.filter(|mark| mark.position == after.0 && after.0 > 0).map(|mark| mark.checksum);
    let found = store
        .urgent
        .ask_for("cannot follow the log", PROMPT, |session| async move {
            let statement = session.prepared(&store.sql.follow).await?;
            Ok(session.client.query(&statement, &[&from, &rows, &bytes, &checksum]).await?)
        })
        .await?;
    let Some(first) = found.first() else { return Err(no_state()) };
    let (newest, removed) = (position(first, 0)?, position(first, 1)?);
    if !row::get::<bool>(first, 2)? {
        return Ok(Followed { page: Page::default(), broken: true });
    }
    let (events, complete) = decode(&found, 3, limit)?;
    let next = match events.last() {
        Some(last) if !complete => last.position,
        _ => after.max(newest),
    };
    // Rows go oldest first.
    let truncated = after < removed;
    Ok(Followed { page: Page { events, next, truncated }, broken: false })
}

/// The events of a page, and whether it goes on to where it was to end.
fn decode(
    rows: &[Row],
    first_column: usize,
    limit: ReadLimit,
) -> Result<(Vec<StoredEvent>, bool), TransportError> {
    let mut events = Vec::with_capacity(rows.len());
    let mut bytes = 0;
    for row in rows {
        match row::decode(row, first_column) {
            Ok(None) => break,
            Ok(Some(event)) => {
                bytes += event.update.weight_bytes();
                events.push(event);
            }
            // What comes before a damage is given out; the next read meets it again.
            Err(_) if !events.is_empty() => return Ok((events, false)),
            Err(error) => return Err(error),
        }
    }
    let complete =
        events.len() < limit.events.clamp(1, PAGE_ROWS) && (events.is_empty() || bytes < limit.bytes);
    Ok((events, complete))
}

/// As the statements take them: at least one event.
fn limits(limit: ReadLimit) -> (i64, i64) {
    let rows = limit.events.clamp(1, PAGE_ROWS);
    (signed(rows as u64), signed(limit.bytes.max(1) as u64))
}

/// Positions beyond what a column can hold are those of nothing.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn position(row: &Row, index: usize) -> Result<Position, TransportError> {
    Ok(Position(row::get::<i64>(row, index)?.cast_unsigned()))
}

pub(super) fn no_state() -> TransportError {
    TransportError::new(
        crate::transport::ErrorKind::Corrupt,
        "the log's state is not there: somebody has emptied its tables; restore them, or drop the schema to begin anew",
    )
}

impl Store {
    /// How old events may be to be given out, by the server's clock; zero is any age.
    pub(super) fn age_ms(&self) -> i64 {
        let age = self.config.retention.and_then(|retention| retention.age);
        age.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX).max(1))
    }
}
