//! `petasos history verify`.

use super::{Outcome, StoreArgs};
use crate::client::exit::Exit;

/// Flags of `petasos history verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads every event and checks it against its checksum, and the database with its own means. Exit code 1 if anything is damaged.

What to do then: stop the hubs; `petasos history export` writes what comes before the damage; move the file aside (with its
-wal, -shm and -bell); start a hub, or `petasos history import` what was exported.")]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let transport = args.store.open().await?;
    let found = transport.verify().await?;
    transport.close().await;
    for sentence in &found.damage {
        println!("damage: {sentence}");
    }
    println!("{} events are sound, {} damages found", found.sound, found.damage.len());
    Ok(if found.damage.is_empty() { Exit::Done } else { Exit::Failed })
}
