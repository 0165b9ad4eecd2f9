//! Taking over the history of the reference hub's Bolt file, ids and order kept.
//!
//! It happens once per file, at the first start, or as soon as the old process lets go of its lock. Events get positions
//! below the store's own, so that they come before everything that was published here meanwhile. They are written in
//! pieces below the floor, where nobody sees them, and become visible in one commit that lowers the floor; a crash in
//! between leaves rows that the next attempt removes. A lease keeps two processes from doing it at once.

use std::{sync::Arc, time::Duration};

use rusqlite::{OptionalExtension, params};
use tokio::sync::{mpsc, watch};

use super::{
    Store,
    config::BoltSource,
    index::{ClosedSegment, OpenSegment},
    row,
    schema::FIRST_POSITION,
    segment::{SEGMENT_POSITIONS, segment_of},
    task,
    writer::Group,
};
use crate::{
    Update,
    bolt::{BoltError, BoltFile},
    transport::{ErrorKind, Position, StoredEvent, TransportError},
};

/// How often a locked file is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait after an error of the disk.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Events written in one transaction, whichever comes first: a few pieces are in memory at a time.
const PIECE_EVENTS: usize = 1_000;
const PIECE_BYTES: usize = 1 << 20;

/// How long the lease of the process that takes over lasts; renewed with every piece.
const LEASE_MS: u64 = 10_000;

/// Where the take-over stands, for readers that need the whole history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is under way, or about to be: readers of the past wait.
    Running,
    /// The old process still holds its lock, or the file cannot be read now: readers get what is there.
    Locked,
    /// There is nothing to take over (any more).
    Done,
}

/// Starts the take-over if one is due, and says where it stands.
pub(super) fn start(store: &Arc<Store>, progress: watch::Sender<Progress>) {
    match store.config.bolt.clone() {
        Some(source) if source.path.exists() => {
            tokio::spawn(run(Arc::clone(store), source, progress));
        }
        _ => {
            progress.send_replace(Progress::Done);
        }
    }
}

async fn run(store: Arc<Store>, source: BoltSource, progress: watch::Sender<Progress>) {
    let mut told = false;
    loop {
        let mut pause = LOCK_INTERVAL;
        match attempt(&store, &source, &progress).await {
            Ok(Outcome::Done) => break,
            Ok(Outcome::Locked) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(
                        file = %source.path.display(),
                        "another process still holds the lock of the history to take over: serving, and waiting for it"
                    );
                }
                progress.send_replace(Progress::Locked);
            }
            Ok(Outcome::Elsewhere) => {}
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                pause = RETRY_INTERVAL;
                // It may never be readable (its permissions, say): nobody's stream waits for that.
                progress.send_replace(Progress::Locked);
                tracing::warn!(%error, file = %source.path.display(), "the history cannot be taken over; it is tried again");
            }
            Err(error) => {
                tracing::error!(
                    %error,
                    file = %source.path.display(),
                    "the history cannot be taken over: serving without it; `petasos history import` does it by hand"
                );
                break;
            }
        }
        tokio::select! {
            () = store.closed.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
    progress.send_replace(Progress::Done);
}

enum Outcome {
    /// The history is here.
    Done,
    /// The old process runs.
    Locked,
    /// Another process of this store is at it.
    Elsewhere,
}

async fn attempt(
    store: &Arc<Store>,
    source: &BoltSource,
    progress: &watch::Sender<Progress>,
) -> Result<Outcome, TransportError> {
    if is_done(store, &source.path).await? {
        return Ok(Outcome::Done);
    }
    let path = source.path.clone();
    let opened = tokio::task::spawn_blocking(move || BoltFile::open(&path))
        .await
        .map_err(|error| TransportError::unavailable(format!("opening was aborted: {error}")))?;
    let file = match opened {
        Ok(file) => file,
        Err(BoltError::Locked) => return Ok(Outcome::Locked),
        Err(BoltError::Empty) => return Ok(Outcome::Done),
        Err(error) => return Err(translate(&error)),
    };
    match claim(store, &source.path).await? {
        Claim::Taken => {}
        Claim::Elsewhere => return Ok(Outcome::Elsewhere),
        Claim::NoRoom => {
            return Err(TransportError::new(
                ErrorKind::Invalid,
                "the history of another file was taken over into this store before",
            ));
        }
    }
    progress.send_replace(Progress::Running);
    let taken = stage(store, source, file).await?;
    finish(store, &source.path, taken).await
}

/// Whether rows below the floor are being written by somebody. They are nobody else's to remove.
pub(super) fn is_under_way(group: &Group<'_>) -> rusqlite::Result<bool> {
    group
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM takeovers WHERE NOT done AND lease_ms >= ?1)")?
        .query_row([group.now_ms.cast_signed()], |row| row.get(0))
}

async fn is_done(store: &Arc<Store>, path: &std::path::Path) -> Result<bool, TransportError> {
    let path = path.display().to_string();
    store
        .readers
        .run(move |conn, _| {
            Ok(conn
                .query_row("SELECT done FROM takeovers WHERE path = ?1", [path], |row| row.get(0))
                .optional()?
                .unwrap_or(false))
        })
        .await
}

/// How asking for the lease went.
enum Claim {
    Taken,
    /// Another process has it.
    Elsewhere,
    /// The positions below the store's own belong to the history of another file.
    NoRoom,
}

/// Takes the lease, and removes what an attempt that did not come to its end left behind.
async fn claim(store: &Arc<Store>, path: &std::path::Path) -> Result<Claim, TransportError> {
    let (path, instance) = (path.display().to_string(), store.instance);
    task::write(&store.writer, move |group| {
        // Two files would be given the same positions: one at a time. Another process may just have finished this one.
        let elsewhere: bool = group
            .conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM takeovers
                 WHERE CASE WHEN done THEN path = ?1 ELSE lease_ms >= ?2 AND instance <> ?3 END)",
            )?
            .query_row(params![path, group.now_ms.cast_signed(), instance.cast_signed()], |row| row.get(0))?;
        if elsewhere {
            return Ok(Claim::Elsewhere);
        }
        if group.state.floor < FIRST_POSITION - 1 {
            return Ok(Claim::NoRoom);
        }
        let claimed = group
            .conn
            .prepare_cached(
                "INSERT INTO takeovers (path, instance, lease_ms, done) VALUES (?1, ?2, ?3, FALSE)
                 ON CONFLICT (path) DO UPDATE SET instance = ?2, lease_ms = ?3
                 WHERE NOT done AND (instance = ?2 OR lease_ms < ?4)",
            )?
            .execute(params![
                path,
                instance.cast_signed(),
                (group.now_ms + LEASE_MS).cast_signed(),
                group.now_ms.cast_signed()
            ])?;
        if claimed > 0 {
            group.conn.execute("DELETE FROM events WHERE position < ?1", [FIRST_POSITION.cast_signed()])?;
            group.conn.execute(
                "DELETE FROM segments WHERE segment < ?1",
                [segment_of(FIRST_POSITION).cast_signed()],
            )?;
        }
        Ok(if claimed > 0 { Claim::Taken } else { Claim::Elsewhere })
    })
    .await
}

/// What was written below the floor.
#[derive(Debug, Default)]
struct Staged {
    /// The position before the first one.
    floor: u64,
    events: u64,
    bytes: u64,
    newest_id: Option<String>,
    unreadable: u64,
}

/// Writes the updates and their index below the floor, where nobody sees them.
async fn stage(store: &Arc<Store>, source: &BoltSource, file: BoltFile) -> Result<Staged, TransportError> {
    let (hand, mut pieces) = mpsc::channel(2);
    let (bucket, wanted) = (source.bucket.clone(), store.config.retention.events);
    let reader = tokio::task::spawn_blocking(move || read(&file, &bucket, wanted, &hand));
    let mut staged = Staged { floor: FIRST_POSITION - 1, ..Staged::default() };
    let mut index = IndexBuilder::default();
    let mut start = None;
    while let Some(piece) = pieces.recv().await {
        let Piece { room, events } = piece;
        let first = *start.get_or_insert(FIRST_POSITION.saturating_sub(room));
        let events: Vec<_> = events
            .into_iter()
            .map(|(update, at_ms)| {
                let position = Position(first + staged.events);
                staged.events += 1;
                staged.bytes += update.weight_bytes() as u64;
                staged.newest_id = Some(update.id().to_owned());
                StoredEvent { position, at_ms, update: Arc::new(update) }
            })
            .collect();
        let is_first = events.first().is_some_and(|event| event.position.0 == first);
        let closed = index.add(&events);
        write_piece(store, &source.path, events, closed, is_first).await?;
    }
    let unreadable = reader
        .await
        .map_err(|error| TransportError::unavailable(format!("reading was aborted: {error}")))??;
    write_piece(store, &source.path, Vec::new(), index.finish(), staged.events == 0).await?;
    staged.floor = start.unwrap_or(FIRST_POSITION).saturating_sub(1);
    staged.unreadable = unreadable;
    Ok(staged)
}

/// Updates on their way, and how many positions the whole needs.
struct Piece {
    room: u64,
    events: Vec<(Update, u64)>,
}

/// Reads the newest `wanted` updates (all, where it is zero) and returns how many could not be read.
fn read(
    file: &BoltFile,
    bucket: &str,
    wanted: u64,
    hand: &mpsc::Sender<Piece>,
) -> Result<u64, TransportError> {
    let total = file.stats(bucket).map_err(|error| translate(&error))?.updates;
    let room = if wanted == 0 { total } else { total.min(wanted) };
    let mut unreadable = 0;
    let mut events = Vec::new();
    let mut bytes = 0;
    for (number, update) in (0..).zip(file.timed_updates(bucket).map_err(|error| translate(&error))?) {
        match update {
            _ if number < total - room => {}
            Ok(read) => {
                bytes += read.update.weight_bytes();
                events.push((read.update, read.at_ms.unwrap_or_default()));
            }
            Err(BoltError::Io { action, source }) => {
                return Err(translate(&BoltError::Io { action, source }));
            }
            Err(error) => {
                unreadable += 1;
                tracing::warn!(%error, "a part of the history to take over cannot be read; the rest is taken");
            }
        }
        if events.len() >= PIECE_EVENTS || bytes >= PIECE_BYTES {
            bytes = 0;
            if hand.blocking_send(Piece { room, events: std::mem::take(&mut events) }).is_err() {
                return Ok(unreadable);
            }
        }
    }
    if !events.is_empty() {
        // Fails only where the take-over was given up.
        let _ = hand.blocking_send(Piece { room, events });
    }
    Ok(unreadable)
}

async fn write_piece(
    store: &Arc<Store>,
    path: &std::path::Path,
    events: Vec<StoredEvent>,
    closed: Vec<ClosedSegment>,
    is_first: bool,
) -> Result<(), TransportError> {
    let (path, instance) = (path.display().to_string(), store.instance);
    let ours = task::write(&store.writer, move |group| {
        let ours = group
            .conn
            .prepare_cached(
                "UPDATE takeovers SET lease_ms = ?3
                 WHERE path = ?1 AND instance = ?2 AND NOT done AND (?4 OR lease_ms >= ?5)",
            )?
            .execute(params![
                path,
                instance.cast_signed(),
                (group.now_ms + LEASE_MS).cast_signed(),
                // Counting a large file may outlast the lease. Nothing is lost by it before something is written.
                is_first,
                group.now_ms.cast_signed()
            ])?;
        if ours > 0 {
            for event in &events {
                row::insert(group.conn, event.position, event.at_ms, &event.update)?;
            }
            for segment in &closed {
                segment.store(group.conn)?;
            }
        }
        Ok(ours > 0)
    })
    .await?;
    if ours {
        Ok(())
    } else {
        Err(TransportError::unavailable(
            "the take-over was stalled for so long that another process may have begun it anew",
        ))
    }
}

/// Makes everything visible in one commit.
async fn finish(
    store: &Arc<Store>,
    path: &std::path::Path,
    staged: Staged,
) -> Result<Outcome, TransportError> {
    let name = path.display().to_string();
    let instance = store.instance;
    let Staged { floor, events, bytes, newest_id, unreadable } = staged;
    let kept = task::write(&store.writer, move |group| {
        let ours = group
            .conn
            .prepare_cached(
                "UPDATE takeovers SET done = TRUE
                 WHERE path = ?1 AND instance = ?2 AND NOT done AND lease_ms >= ?3",
            )?
            .execute(params![name, instance.cast_signed(), group.now_ms.cast_signed()])?;
        if ours == 0 {
            return Ok(None);
        }
        // Where retention has discarded events of the store's own already, everything older is beyond it too.
        if group.state.floor >= FIRST_POSITION {
            return Ok(Some(0));
        }
        let before = group.state.events;
        group.state.floor = floor;
        group.state.events += events;
        group.state.bytes += bytes;
        if group.state.next_position == FIRST_POSITION {
            group.state.newest_id.clone_from(&newest_id);
        }
        group.state.retain(group.conn, group.retention, None)?;
        group.state.store(group.conn)?;
        group.conn.execute("UPDATE log_state SET takeovers = takeovers + 1", [])?;
        Ok(Some(group.state.events.saturating_sub(before)))
    })
    .await?;
    let Some(kept) = kept else { return Ok(Outcome::Elsewhere) };
    store.readers.run(|conn, readers| Ok(readers.index.lock().catch_up(conn)?)).await?;
    tracing::info!(
        file = %path.display(),
        found = events,
        kept,
        unreadable,
        "the history of the Bolt file was taken over; the file is not changed"
    );
    Ok(Outcome::Done)
}

/// Builds the segments of the index while events pass.
#[derive(Debug, Default)]
struct IndexBuilder {
    current: Option<(u64, OpenSegment)>,
}

impl IndexBuilder {
    /// Adds events in their order, and returns the segments that are complete.
    fn add(&mut self, events: &[StoredEvent]) -> Vec<ClosedSegment> {
        let mut closed = Vec::new();
        for event in events {
            let segment = segment_of(event.position.0);
            if self.current.as_ref().is_some_and(|(current, _)| *current != segment) {
                closed.extend(self.finish());
            }
            let (_, open) = self.current.get_or_insert_with(|| (segment, OpenSegment::default()));
            // The remainder of a division by the size of a segment fits.
            let offset = (event.position.0 % SEGMENT_POSITIONS) as u16;
            open.add(offset, event.update.id(), event.update.topics());
        }
        closed
    }

    fn finish(&mut self) -> Vec<ClosedSegment> {
        self.current.take().map(|(segment, open)| open.close(segment)).into_iter().collect()
    }
}

fn translate(error: &BoltError) -> TransportError {
    let kind = match error {
        BoltError::Io { .. } | BoltError::Locked | BoltError::Empty => ErrorKind::Unavailable,
        BoltError::NoBucket { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Corrupt,
    };
    TransportError::new(kind, format!("the Bolt file {error}"))
}
