//! The one row that says where the log stands, and the retention that moves its floor.

use rusqlite::{Connection, params};

use crate::transport::Retention;

/// See `schema_1.sql`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogState {
    pub(super) next_position: u64,
    pub(super) newest_id: Option<String>,
    pub(super) floor: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl LogState {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached("SELECT next_position, newest_id, floor, events, bytes FROM log_state")?
            .query_row([], |row| {
                Ok(Self {
                    next_position: row.get::<_, i64>(0)?.cast_unsigned(),
                    newest_id: row.get(1)?,
                    floor: row.get::<_, i64>(2)?.cast_unsigned(),
                    events: row.get::<_, i64>(3)?.cast_unsigned(),
                    bytes: row.get::<_, i64>(4)?.cast_unsigned(),
                })
            })
    }

    pub(super) fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "UPDATE log_state SET next_position = ?1, newest_id = ?2, floor = ?3, events = ?4, bytes = ?5",
        )?
        .execute(params![
            self.next_position.cast_signed(),
            self.newest_id,
            self.floor.cast_signed(),
            self.events.cast_signed(),
            self.bytes.cast_signed()
        ])?;
        Ok(())
    }

    /// The newest position ever given out.
    pub(super) fn head(&self) -> u64 {
        self.next_position - 1
    }

    /// Raises the floor until no more is kept than `retention` allows. `oldest_ms` is the time before which events are
    /// too old, if age counts.
    pub(super) fn retain(
        &mut self,
        conn: &Connection,
        retention: &Retention,
        oldest_ms: Option<u64>,
    ) -> rusqlite::Result<()> {
        let too_much = |state: &Self| {
            (retention.events > 0 && state.events > retention.events)
                || (retention.bytes > 0 && state.bytes > retention.bytes)
        };
        if !too_much(self) && oldest_ms.is_none() {
            return Ok(());
        }
        let mut statement = conn.prepare_cached(
            "SELECT position, weight, at_ms FROM events WHERE position > ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([self.floor.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let at_ms = row.get::<_, i64>(2)?.cast_unsigned();
            if !too_much(self) && oldest_ms.is_none_or(|oldest_ms| at_ms >= oldest_ms) {
                break;
            }
            self.floor = row.get::<_, i64>(0)?.cast_unsigned();
            self.events = self.events.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(row.get::<_, i64>(1)?.cast_unsigned());
        }
        Ok(())
    }
}
