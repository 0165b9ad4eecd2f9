//! Opening the file: pragmas, the schema and its migrations, and the checks that refuse what cannot be served.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{
    config::{SqliteConfig, Sync},
    error::translate,
    filesystem,
};
use crate::transport::{ErrorKind, TransportError};

/// Marks the file as ours in its header ("Peta").
const APPLICATION_ID: i32 = 0x5065_7461;

/// The store's own events begin here (see `schema_1.sql`); a history that is taken over gets positions below.
pub(super) const FIRST_POSITION: u64 = 1 << 40;

/// Each entry brings the schema from its index to the next version. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql")];

/// How long a writer waits for the lock of another process. A commit takes milliseconds; a disk that stalls longer than
/// this counts as unavailable.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Pages of the write-ahead log after which a writer checkpoints itself. The maintenance task does it long before; this
/// is the net below it (64 MiB).
const WAL_LIMIT_PAGES: u32 = 16_384;

/// Opens the store for writing, creating or migrating it. Two processes may do so at the same moment.
pub(super) fn open_writer(config: &SqliteConfig) -> Result<Connection, TransportError> {
    let path = &config.path;
    filesystem::check(path)?;
    let fail = |error: rusqlite::Error| translate(&error, "cannot open the store", path);
    let mut conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(fail)?;
    conn.busy_handler(Some(wait_for_lock)).map_err(fail)?;
    // Only takes effect while the file is still empty: freed pages can then be given back to the file system.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(fail)?;
    let mode = set_journal_mode(&conn).map_err(fail)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!("{}: this file system does not support SQLite's write-ahead log", path.display()),
        ));
    }
    let sync = match config.sync {
        Sync::Full => "FULL",
        Sync::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", sync).map_err(fail)?;
    conn.pragma_update(None, "wal_autocheckpoint", WAL_LIMIT_PAGES).map_err(fail)?;
    // The journal would otherwise keep its largest size for ever.
    conn.pragma_update(None, "journal_size_limit", 8 << 20).map_err(fail)?;
    migrate(&mut conn, path)?;
    Ok(conn)
}

/// Opens the store for reading. The file exists and has its schema.
pub(super) fn open_reader(path: &Path) -> Result<Connection, TransportError> {
    let fail = |error: rusqlite::Error| translate(&error, "cannot read the store", path);
    // A reader of a write-ahead log needs to write its index, so that the file is opened for writing all the same.
    let mut conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(fail)?;
    conn.busy_handler(Some(wait_for_lock)).map_err(fail)?;
    conn.pragma_update(None, "query_only", true).map_err(fail)?;
    Ok(conn)
}

/// Turns the write-ahead log on, and returns the mode that it is in. SQLite does not ask the handler of busy locks here:
/// where two processes create the store at once, one would be refused.
fn set_journal_mode(conn: &Connection) -> rusqlite::Result<String> {
    let mut tries = 0;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && wait_for_lock(tries) =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// SQLite's own handler sleeps ever longer and starves the second of two busy writers; short sleeps share the lock.
fn wait_for_lock(tries: i32) -> bool {
    const SHORT: Duration = Duration::from_micros(100);
    const LONG: Duration = Duration::from_micros(500);
    let tries = u32::try_from(tries).unwrap_or(0);
    if LONG * tries > LOCK_WAIT {
        return false;
    }
    std::thread::sleep(if tries < 10 { SHORT } else { LONG });
    true
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), TransportError> {
    let fail = |error: rusqlite::Error| translate(&error, "cannot prepare the store", path);
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    let application: i32 =
        transaction.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fail)?;
    let version: u32 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fail)?;
    let known = MIGRATIONS.len() as u32;
    let tables: u32 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!("{} is an SQLite database of another program: choose another path", path.display()),
        ));
    }
    if version > known {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "{} was written by a newer version of Petasos (schema {version}, this one knows {}): run that version",
                path.display(),
                known
            ),
        ));
    }
    if version < known {
        for migration in &MIGRATIONS[version as usize..] {
            transaction.execute_batch(migration).map_err(fail)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
        transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    }
    transaction.commit().map_err(fail)
}
