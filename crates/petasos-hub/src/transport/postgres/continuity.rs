//! Whether the log is still the one that this node has seen. A server that takes over from another one, or that was
//! restored from a copy, may have less than was seen, and then others in its place.

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    connect::{Fault, Session},
    row,
    sql::Sql,
};
use crate::transport::{Head, Position, StoredEvent};

/// The newest event that this node has seen, and how often the log turned out to be another one.
#[derive(Debug)]
pub(super) struct Continuity {
    seen: Mutex<Mark>,
    breaks: watch::Sender<Break>,
}

/// An event that can be recognized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) checksum: i32,
}

/// Where the log broke off last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Break {
    /// How many there were.
    pub(super) count: u64,
    /// The head of the log that is there now.
    pub(super) head: u64,
}

impl Mark {
    pub(super) fn of(event: &StoredEvent) -> Self {
        let topics = row::encode_topics(event.update.topics());
        Self { position: event.position.0, checksum: row::checksum(event.at_ms, &event.update, &topics) }
    }
}

impl Continuity {
    pub(super) fn new() -> Self {
        Self { seen: Mutex::default(), breaks: watch::Sender::default() }
    }

    /// Notes what was seen.
    pub(super) fn note(&self, mark: Mark) {
        let mut seen = self.seen.lock();
        if mark.position > seen.position {
            *seen = mark;
        }
    }

    /// The mark at this position, if it is the newest.
    pub(super) fn at(&self, position: Position) -> Option<Mark> {
        Some(*self.seen.lock()).filter(|mark| mark.position == position.0)
    }

    pub(super) fn breaks(&self) -> watch::Receiver<Break> {
        self.breaks.subscribe()
    }

    /// Looks whether the log still has what was seen, and sees to it that no position that was seen is given to another
    /// event. To be asked on every new connection that is written on, before the first append.
    pub(super) async fn check(&self, session: &Session, sql: &Sql) -> Result<(), Fault> {
        let seen = *self.seen.lock();
        if seen.position > 0 {
            let statement = session.prepared(&sql.go_on).await?;
            let intact: bool = session
                .client
                .query_one(&statement, &[&seen.position.cast_signed(), &seen.checksum])
                .await?
                .try_get(0)?;
            if !intact {
                let (_, head) = head(session, sql).await?;
                self.broke(seen, head);
                return Ok(());
            }
        }
        let (_, head) = head(session, sql).await?;
        self.note(head);
        Ok(())
    }

    /// Tells everybody that the log is another one, where one reader has noticed it that had seen other events.
    pub(super) fn distrust(&self, position: Position) {
        tracing::error!(
            seen = position.0,
            "an event that this node has seen is not in the log any more; subscribers are told"
        );
        let head = self.seen.lock().position;
        self.breaks.send_modify(|last| *last = Break { count: last.count + 1, head });
    }

    fn broke(&self, seen: Mark, head: Mark) {
        let mut newest = self.seen.lock();
        if *newest != seen && newest.position <= head.position {
            // Somebody else has found it out.
            return;
        }
        *newest = head;
        drop(newest);
        tracing::error!(
            seen = seen.position,
            head = head.position,
            "the log is not the one that this node has seen: the server took over from another one that had more, or was \
             restored from a copy; subscribers are told"
        );
        self.breaks.send_modify(|last| *last = Break { count: last.count + 1, head: head.position });
    }
}

/// The newest event of the log.
pub(super) async fn head(session: &Session, sql: &Sql) -> Result<(Head, Mark), Fault> {
    let statement = session.prepared(&sql.head).await?;
    let row = session.client.query_one(&statement, &[]).await?;
    read_head(&row).map_err(Fault::Answer)
}

/// Reads a row that begins with position, id and checksum.
pub(super) fn read_head(row: &tokio_postgres::Row) -> Result<(Head, Mark), crate::transport::TransportError> {
    let position = row::get::<i64>(row, 0)?.cast_unsigned();
    let id = row::get::<Option<Vec<u8>>>(row, 1)?;
    let checksum = row::get(row, 2)?;
    let id = id.map(|id| String::from_utf8_lossy(&id).into_owned());
    Ok((Head { position: Position(position), id }, Mark { position, checksum }))
}
