//! `petasos history stats`.

use std::time::{Duration, UNIX_EPOCH};

use petasos_hub::transport::StoredEvent;

use super::{Outcome, StoreArgs};
use crate::client::exit::Exit;

/// Flags of `petasos history stats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Outcome {
    let transport = args.store.open().await?;
    let stats = transport.stats().await?;
    let location = transport.info().location;
    transport.close().await;
    if args.json {
        let edge = |event: &Option<StoredEvent>| {
            event.as_ref().map(|event| serde_json::json!({"id": event.update.id(), "at_ms": event.at_ms}))
        };
        println!(
            "{}",
            serde_json::json!({
                "location": location,
                "events": stats.events,
                "bytes": stats.bytes,
                "disk_bytes": stats.disk_bytes,
                "oldest": edge(&stats.oldest),
                "newest": edge(&stats.newest),
            })
        );
        return Ok(Exit::Done);
    }
    println!("store    {location}");
    println!("events   {}", stats.events);
    println!("bytes    {} of topics and data", stats.bytes);
    if let Some(disk_bytes) = stats.disk_bytes {
        println!("on disk  {disk_bytes} bytes");
    }
    for (name, event) in [("oldest", stats.oldest), ("newest", stats.newest)] {
        match event {
            Some(event) => println!("{name}   {}  {}", time(event.at_ms), event.update.id()),
            None => println!("{name}   none"),
        }
    }
    Ok(Exit::Done)
}

fn time(at_ms: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(at_ms));
    at.map_or_else(|| "?".into(), |at| humantime::format_rfc3339_millis(at).to_string())
}
