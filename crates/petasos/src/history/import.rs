//! `petasos history import`: from JSON lines or a Bolt file, streaming, ids and order kept.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use petasos_hub::{
    bolt::{BoltError, BoltFile},
    transport::{Position, StoredEvent, Transport},
};
use tokio::sync::mpsc;

use super::{Failure, Outcome, StoreArgs, export::bar, line::Line};
use crate::client::exit::Exit;

/// Events appended in one transaction.
const PIECE_EVENTS: usize = 1_000;

/// No more events are added to a piece that has so many bytes.
const PIECE_BYTES: usize = 4 << 20;

/// The longest line that is read, in bytes: no event is larger than what a hub takes, but a line escapes it.
const LINE_BYTES: usize = 256 << 20;

/// Flags of `petasos history import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ids, order and times are kept. The log must be empty unless --force is given: events are put behind what is there.

Examples:
  petasos history import history.jsonl
  petasos history import bolt:/data/mercure.db
  petasos history import bolt:/data/mercure.db --bucket my-updates --store new.db")]
pub struct Args {
    /// A file of JSON lines, `-` for standard input, or bolt:PATH for the history file of the reference hub.
    source: String,
    #[command(flatten)]
    store: StoreArgs,
    /// The bucket of a Bolt file.
    #[arg(long, default_value = "updates")]
    bucket: String,
    /// Also into a log that is not empty.
    #[arg(long)]
    force: bool,
}

type Piece = Result<Vec<StoredEvent>, Failure>;

pub(super) async fn run(args: Args) -> Outcome {
    let (hand, mut pieces) = mpsc::channel::<Piece>(2);
    let (source, bucket) = (args.source.clone(), args.bucket.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let outcome = match source.strip_prefix("bolt:") {
            Some(path) => read_bolt(&PathBuf::from(path), &bucket, &hand),
            None => read_lines(&source, &hand),
        };
        if let Err(failure) = outcome {
            // Fails only where nobody imports any more.
            let _ = hand.blocking_send(Err(failure));
        }
    });
    // Nothing is made or opened before the source has been found to be one.
    let Some(first) = pieces.recv().await else {
        eprintln!("0 events imported: the source is empty");
        return Ok(Exit::Done);
    };
    let first = first?;
    let transport = args.store.open_or_create().await?;
    let held = transport.stats().await?.events;
    if held > 0 && !args.force {
        return Err(Failure::Usage(format!(
            "the log holds {held} events already: import into an empty one, or append to it with --force"
        )));
    }
    let progress = bar(0);
    progress.unset_length();
    let mut count = append(&transport, first).await?;
    while let Some(piece) = pieces.recv().await {
        count += match piece {
            Ok(piece) => append(&transport, piece).await?,
            Err(failure) => {
                eprintln!("{count} events were imported before this:");
                return Err(failure);
            }
        };
        progress.set_position(count);
    }
    progress.finish_and_clear();
    if let Err(error) = reader.await {
        return Err(Failure::Failed(format!("reading was aborted: {error}")));
    }
    transport.close().await;
    eprintln!("{count} events imported");
    Ok(Exit::Done)
}

async fn append(transport: &Arc<dyn Transport>, piece: Vec<StoredEvent>) -> Result<u64, Failure> {
    let count = piece.len() as u64;
    transport.import(piece).await?;
    Ok(count)
}

fn read_lines(source: &str, hand: &mpsc::Sender<Piece>) -> Result<(), Failure> {
    let mut input: Box<dyn BufRead> = if source == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file =
            File::open(source).map_err(|error| Failure::Usage(format!("cannot open {source}: {error}")))?;
        Box::new(BufReader::new(file))
    };
    let now_ms = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    let mut piece = Vec::with_capacity(PIECE_EVENTS);
    let mut bytes = 0;
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let limit = LINE_BYTES as u64;
        let read = std::io::Read::take(&mut input, limit).read_line(&mut line);
        let read = read.map_err(|error| Failure::Failed(format!("line {number} cannot be read: {error}")))?;
        if read == 0 {
            break;
        }
        if read as u64 == limit {
            return Err(Failure::Failed(format!("line {number} is longer than {LINE_BYTES} bytes")));
        }
        if line.trim().is_empty() {
            continue;
        }
        let event = Line::parse(&line, now_ms)
            .map_err(|problem| Failure::Failed(format!("line {number} is no event: {problem}")))?;
        bytes += event.update.weight_bytes();
        piece.push(event);
        if is_full(&piece, &mut bytes) && hand.blocking_send(Ok(std::mem::take(&mut piece))).is_err() {
            return Ok(());
        }
    }
    send_rest(piece, hand);
    Ok(())
}

fn read_bolt(path: &PathBuf, bucket: &str, hand: &mpsc::Sender<Piece>) -> Result<(), Failure> {
    let failed = |error: BoltError| Failure::Failed(format!("{}: {error}", path.display()));
    let file = BoltFile::open(path).map_err(failed)?;
    let mut piece = Vec::with_capacity(PIECE_EVENTS);
    let mut bytes = 0;
    for update in file.timed_updates(bucket).map_err(failed)? {
        match update {
            Ok(update) => {
                bytes += update.update.weight_bytes();
                piece.push(StoredEvent {
                    position: Position::START,
                    at_ms: update.at_ms.unwrap_or_default(),
                    update: Arc::new(update.update),
                });
            }
            Err(error @ BoltError::Io { .. }) => return Err(failed(error)),
            Err(error) => eprintln!("warning: {}: {error}", path.display()),
        }
        if is_full(&piece, &mut bytes) && hand.blocking_send(Ok(std::mem::take(&mut piece))).is_err() {
            return Ok(());
        }
    }
    send_rest(piece, hand);
    Ok(())
}

/// Whether a piece of so many bytes is to be handed over; then they are counted anew.
fn is_full(piece: &[StoredEvent], bytes: &mut usize) -> bool {
    let is_full = piece.len() >= PIECE_EVENTS || *bytes >= PIECE_BYTES;
    if is_full {
        *bytes = 0;
    }
    is_full
}

fn send_rest(piece: Vec<StoredEvent>, hand: &mpsc::Sender<Piece>) {
    if !piece.is_empty() {
        // Fails only where nobody imports any more.
        let _ = hand.blocking_send(Ok(piece));
    }
}
