//! The read path: a few connections, used from blocking threads, each call one short transaction. A long transaction
//! would keep the write-ahead log from being reset, so that long reads are many pages.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Transaction};
use tokio::sync::Semaphore;

use super::{
    error::{DAMAGE_ADVICE, translate},
    index::{Index, Kind},
    row,
    schema::{self, FIRST_POSITION},
    segment::hash,
    state::LogState,
};
use crate::transport::{
    ErrorKind, Head, Page, Position, ReadHint, ReadLimit, Retention, TransportError, now_ms,
};

/// Reads that run at once; more wait.
const CONNECTIONS: usize = 4;

/// An index look-up of more topics than this costs more than reading everything.
const HINT_TOPICS: usize = 64;

/// A pool of reading connections and the index beside them.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    retention: Retention,
    pub(super) index: Mutex<Index>,
}

impl Readers {
    /// Opens the first connection and loads the index up to the head. `even_damaged` opens a store whose events cannot
    /// all be read: what can be is read then, and the index meets the damage when it is asked.
    pub(super) fn open(
        path: PathBuf,
        retention: Retention,
        even_damaged: bool,
    ) -> Result<Self, TransportError> {
        let conn = schema::open_reader(&path)?;
        let index = match load_index(&conn, &path) {
            Err(error) if even_damaged && error.kind() == ErrorKind::Corrupt => Index::default(),
            loaded => loaded?,
        };
        Ok(Self {
            path,
            idle: Mutex::new(vec![conn]),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            retention,
            index: Mutex::new(index),
        })
    }

    /// Runs `work` in a read transaction on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>, &Self) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, TransportError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| TransportError::closed())?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            // Goes with the read: one that nobody waits for any more still uses a thread and a connection.
            let _permit = permit;
            readers.run_blocking(work)
        })
        .await
        .map_err(|error| TransportError::unavailable(format!("a read of the store was aborted: {error}")))?
    }

    fn run_blocking<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>, &Self) -> Result<T, ReadError>,
    ) -> Result<T, TransportError> {
        let idle = self.idle.lock().pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => schema::open_reader(&self.path)?,
        };
        let outcome =
            conn.transaction().map_err(ReadError::Engine).and_then(|transaction| work(&transaction, self));
        match outcome {
            Ok(value) => {
                if !self.permits.is_closed() {
                    self.idle.lock().push(conn);
                }
                Ok(value)
            }
            // The connection is not used again: whatever is wrong with it ends here.
            Err(ReadError::Engine(error)) => Err(translate(&error, "cannot read the store", &self.path)),
            Err(ReadError::Event(error)) => Err(error),
        }
    }

    /// No more reads; connections that are idle are closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }

    /// The time before which events are too old to be given out.
    pub(super) fn oldest_ms(&self) -> u64 {
        self.retention
            .age
            .map_or(0, |age| now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The position of the earliest event kept with this id (R05).
    pub(super) fn find(&self, conn: &Connection, id: &str) -> Result<Option<Position>, ReadError> {
        let state = LogState::load(conn)?;
        let hash = hash(id);
        let candidates = self.candidates(conn, Kind::Ids, hash, state.floor + 1, state.head())?;
        let oldest_ms = self.oldest_ms().cast_signed();
        let mut statement =
            conn.prepare_cached("SELECT id FROM events WHERE position = ?1 AND at_ms >= ?2")?;
        for (_, candidate) in candidates {
            for position in candidate.positions(conn, Kind::Ids, hash)? {
                if position <= state.floor {
                    continue;
                }
                let found: Option<String> =
                    statement.query_row((position.cast_signed(), oldest_ms), |row| row.get(0)).optional()?;
                if found.as_deref() == Some(id) {
                    return Ok(Some(Position(position)));
                }
            }
        }
        Ok(None)
    }

    /// See [`crate::transport::Transport::read`].
    pub(super) fn page(
        &self,
        conn: &Connection,
        after: Position,
        until: Position,
        limit: ReadLimit,
        hint: &ReadHint,
    ) -> Result<Page, ReadError> {
        let state = LogState::load(conn)?;
        let mut page = Page { events: Vec::new(), next: after, truncated: after.0 < state.floor };
        let from = after.0.max(state.floor);
        let until = until.0.min(state.head());
        if from >= until {
            page.next = after.max(Position(until));
            return Ok(page);
        }
        // What has become too old since the last commit is below no floor yet.
        page.truncated |= self.is_too_old_after(conn, from)?;
        let complete = if hint.exact_topics.is_empty() || hint.exact_topics.len() > HINT_TOPICS {
            scan(conn, from, until, limit, self.oldest_ms(), &mut page)?
        } else {
            self.pick(conn, from, until, limit, &hint.exact_topics, &mut page)?
        };
        if complete {
            page.next = Position(until);
        } else if let Some(last) = page.events.last() {
            page.next = last.position;
        }
        Ok(page)
    }

    /// Whether the next event is not served any more because of its age.
    fn is_too_old_after(&self, conn: &Connection, from: u64) -> Result<bool, ReadError> {
        let oldest_ms = self.oldest_ms();
        if oldest_ms == 0 {
            return Ok(false);
        }
        let next: Option<i64> = conn
            .prepare_cached("SELECT at_ms FROM events WHERE position > ?1 ORDER BY position LIMIT 1")?
            .query_row([from.cast_signed()], |row| row.get(0))
            .optional()?;
        Ok(next.is_some_and(|at_ms| at_ms.cast_unsigned() < oldest_ms))
    }

    /// What a live tail has not seen yet, whatever its age. Retention may have discarded it in the commit that brought it:
    /// then its rows stay a while, and are read all the same.
    pub(super) fn follow(
        &self,
        conn: &Connection,
        after: Position,
        limit: ReadLimit,
    ) -> Result<Page, ReadError> {
        let state = LogState::load(conn)?;
        let mut page = Page { events: Vec::new(), next: after, truncated: false };
        // Below the store's own positions there may be rows that are not part of the log yet.
        let from = if after.0 < FIRST_POSITION - 1 { after.0.max(state.floor) } else { after.0 };
        if from >= state.head() {
            return Ok(page);
        }
        let complete = scan(conn, from, state.head(), limit, 0, &mut page)?;
        // Own positions are consecutive, and rows are removed oldest first.
        let first = page.events.first().map_or(state.head() + 1, |event| event.position.0);
        page.truncated = first > from + 1 && from >= FIRST_POSITION - 1;
        page.next = match page.events.last() {
            Some(last) if !complete => last.position,
            _ => Position(state.head()),
        };
        Ok(page)
    }

    /// Only events with one of `topics`, through the index. Returns whether it reached the end.
    fn pick(
        &self,
        conn: &Connection,
        after: u64,
        until: u64,
        limit: ReadLimit,
        topics: &[String],
        page: &mut Page,
    ) -> Result<bool, ReadError> {
        let oldest_ms = self.oldest_ms();
        let mut candidates = Vec::new();
        for topic in topics {
            let hash = hash(topic);
            let found = self.candidates(conn, Kind::Topics, hash, after + 1, until)?;
            candidates.extend(found.into_iter().map(|(segment, candidate)| (segment, hash, candidate)));
        }
        candidates.sort_by_key(|(segment, _, _)| *segment);
        let mut statement =
            conn.prepare_cached(&format!("SELECT {} FROM events WHERE position = ?1", row::COLUMNS))?;
        let mut bytes = 0;
        let mut candidates = candidates.into_iter().peekable();
        while let Some((segment, hash, candidate)) = candidates.next() {
            let mut positions = candidate.positions(conn, Kind::Topics, hash)?;
            // The same segment for all topics at once, so that the order of the log is kept.
            while let Some((_, hash, candidate)) = candidates.next_if(|(other, _, _)| *other == segment) {
                positions.extend(candidate.positions(conn, Kind::Topics, hash)?);
            }
            positions.sort_unstable();
            positions.dedup();
            for position in positions.into_iter().filter(|position| *position > after && *position <= until) {
                if !page.events.is_empty() && (page.events.len() >= limit.events || bytes >= limit.bytes) {
                    return Ok(false);
                }
                let mut rows = statement.query([position.cast_signed()])?;
                let event = match rows.next()?.map(row::decode) {
                    None => continue,
                    Some(Ok(event)) => event,
                    // As in a scan.
                    Some(Err(_)) if !page.events.is_empty() => return Ok(false),
                    Some(Err(error)) => return Err(ReadError::Event(error)),
                };
                let wanted = event.update.topics().iter().any(|topic| topics.contains(topic));
                if wanted && event.at_ms >= oldest_ms {
                    bytes += event.update.weight_bytes();
                    page.events.push(event);
                }
            }
        }
        Ok(true)
    }

    /// Where `hash` may occur, from an index that covers everything acknowledged.
    fn candidates(
        &self,
        conn: &Connection,
        kind: Kind,
        hash: u64,
        from: u64,
        until: u64,
    ) -> Result<Vec<(u64, super::index::Candidate)>, ReadError> {
        let mut index = self.index.lock();
        index.catch_up(conn)?;
        Ok(index.candidates(kind, hash, from, until))
    }
}

/// Everything between two positions that is not older than `oldest_ms`. Returns whether it reached the end.
fn scan(
    conn: &Connection,
    after: u64,
    until: u64,
    limit: ReadLimit,
    oldest_ms: u64,
    page: &mut Page,
) -> Result<bool, ReadError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM events WHERE position > ?1 AND position <= ?2 ORDER BY position",
        row::COLUMNS
    ))?;
    let mut rows = statement.query((after.cast_signed(), until.cast_signed()))?;
    let mut bytes = 0;
    loop {
        let event = match rows.next() {
            Ok(None) => return Ok(true),
            Ok(Some(_))
                if !page.events.is_empty() && (page.events.len() >= limit.events || bytes >= limit.bytes) =>
            {
                return Ok(false);
            }
            Ok(Some(row)) => row::decode(row).map_err(ReadError::Event),
            Err(error) => Err(error.into()),
        };
        let event = match event {
            Ok(event) => event,
            // What comes before a damage is given out; the next read meets it again.
            Err(_) if !page.events.is_empty() => return Ok(false),
            Err(error) => return Err(error),
        };
        if event.at_ms < oldest_ms {
            continue;
        }
        bytes += event.update.weight_bytes();
        page.events.push(event);
    }
}

/// The newest event of the log.
pub(super) fn head(conn: &Connection) -> Result<Head, ReadError> {
    let state = LogState::load(conn)?;
    Ok(Head { position: Position(state.head()), id: state.newest_id })
}

fn load_index(conn: &Connection, path: &Path) -> Result<Index, TransportError> {
    let fail = |error: rusqlite::Error| translate(&error, "cannot read the store", path);
    let mut index = Index::load(conn).map_err(fail)?;
    index.catch_up(conn).map_err(fail)?;
    // Nothing is served from a store whose newest event is damaged.
    newest_is_readable(conn, path)?;
    Ok(index)
}

fn newest_is_readable(conn: &Connection, path: &Path) -> Result<(), TransportError> {
    let fail = |error: rusqlite::Error| translate(&error, "cannot read the store", path);
    let mut statement = conn
        .prepare(&format!("SELECT {} FROM events ORDER BY position DESC LIMIT 1", row::COLUMNS))
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    match rows.next().map_err(fail)? {
        Some(newest) => match row::decode(newest) {
            Ok(_) => Ok(()),
            Err(error) => Err(TransportError::new(
                error.kind(),
                format!("cannot serve the store {}: {error}: {DAMAGE_ADVICE}", path.display()),
            )),
        },
        None => Ok(()),
    }
}

/// What ends a read: the engine, or an event that is not what was stored.
#[derive(Debug)]
pub(super) enum ReadError {
    Engine(rusqlite::Error),
    Event(TransportError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}
