//! `petasos history export`: the history as JSON lines, read page by page.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use indicatif::{ProgressBar, ProgressStyle};
use petasos_hub::transport::{Position, ReadHint, ReadLimit};

use super::{Outcome, StoreArgs, line::Line};
use crate::client::exit::Exit;

/// What is read at a time.
const PAGE: ReadLimit = ReadLimit { events: 1_000, bytes: 4 << 20 };

/// Flags of `petasos history export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line is an event: id, topics, data, private, type, retry, at_ms (milliseconds since 1970).
The file holds private updates too: keep it as safe as the store.

Examples:
  petasos history export > history.jsonl
  petasos history export --output history.jsonl && petasos history import --store new.db history.jsonl")]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Where to; without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Outcome {
    let transport = args.store.open().await?;
    // Only for the progress bar: the newest event, which it looks at, may be damaged.
    let total = transport.stats().await.map_or(0, |stats| stats.events);
    // What comes while the export runs is not in it: it would never end under load.
    let until = transport.head().await?.position;
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create(path)?)),
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let progress = bar(total);
    let mut after = Position::START;
    let mut count = 0_u64;
    loop {
        let page = transport.read(after, until, PAGE, &ReadHint::default()).await?;
        for event in &page.events {
            serde_json::to_writer(&mut out, &Line::from(event)).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        count += page.events.len() as u64;
        progress.set_position(count);
        if page.events.is_empty() {
            break;
        }
        after = page.next;
    }
    out.flush()?;
    progress.finish_and_clear();
    transport.close().await;
    eprintln!("{count} events exported");
    Ok(Exit::Done)
}

/// A progress bar on standard error; nothing where that is no terminal.
pub(super) fn bar(total: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} events, {per_sec}, {eta} left");
    let bar = ProgressBar::new(total);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
