//! `petasos history purge`: discards by hand what retention would discard some day.

use std::time::{SystemTime, UNIX_EPOCH};

use petasos_hub::transport::{Position, ReadHint, ReadLimit, Transport};

use super::{Failure, Outcome, StoreArgs};
use crate::client::{duration, exit::Exit};

/// What is read at a time to find a point in time.
const PAGE: ReadLimit = ReadLimit { events: 1_000, bytes: 4 << 20 };

/// Flags of `petasos history purge`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["before", "up_to"]),
    after_help = "\
Examples:
  petasos history purge --before 7d                      what is older than seven days
  petasos history purge --before 2026-01-31T00:00:00Z    what is older than this moment
  petasos history purge --up-to urn:uuid:…               this event and everything before it"
)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// An age like 7d, or a time like 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// The id of the last event to discard.
    #[arg(long, value_name = "ID")]
    up_to: Option<String>,
}

pub(super) async fn run(args: Args) -> Outcome {
    let before_ms = args.before.as_deref().map(point_in_time).transpose()?;
    let transport = args.store.open().await?;
    let until = match (before_ms, &args.up_to) {
        (Some(before_ms), _) => last_before(&*transport, before_ms).await?,
        (None, Some(id)) => Some(
            transport
                .find(id)
                .await?
                .ok_or_else(|| Failure::Failed(format!("no event with the id {id} is kept")))?,
        ),
        (None, None) => None,
    };
    let discarded = match until {
        Some(until) => transport.discard(until).await?,
        None => 0,
    };
    transport.close().await;
    println!("{discarded} events discarded");
    Ok(Exit::Done)
}

/// The last event of the run of events at the beginning that are older than this.
async fn last_before(transport: &dyn Transport, before_ms: u64) -> Result<Option<Position>, Failure> {
    let mut after = Position::START;
    let mut last = None;
    loop {
        let page = transport.read(after, Position(u64::MAX), PAGE, &ReadHint::default()).await?;
        for event in &page.events {
            if event.at_ms >= before_ms {
                return Ok(last);
            }
            last = Some(event.position);
        }
        if page.events.is_empty() {
            return Ok(last);
        }
        after = page.next;
    }
}

fn point_in_time(text: &str) -> Result<u64, Failure> {
    let at = match duration::parse(text) {
        Ok(age) => SystemTime::now().checked_sub(age),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    at.and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .ok_or_else(|| {
            Failure::Usage(format!("{text:?} is neither an age like 7d nor a time like 2026-01-31T00:00:00Z"))
        })
}
