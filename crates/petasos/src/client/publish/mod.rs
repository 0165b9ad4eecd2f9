//! `petasos publish`: one update from the command line, or one for each line of standard input.

mod channel;
pub mod form;
pub mod lines;
pub mod pipeline;
pub mod report;
mod sniff;
pub mod source;
mod window;

use std::{
    io::{self, IsTerminal, Read},
    process::ExitCode,
    time::Duration,
};

pub use channel::Broken;
use form::{Fields, Form};
use lines::{LineReader, MAX_LINE_BYTES};
use pipeline::Options;
use report::{Console, Summary};
use source::Source;

use super::{
    console::say,
    duration,
    exit::Exit,
    runtime,
    target::{TOKEN_VARIABLE, TargetArgs, TargetError},
};

/// The most that is read from standard input for one update, in bytes. No hub takes this much in one update.
const MAX_DATA_BYTES: u64 = 256 << 20;

/// How long a single update is tried again: a script wants to know soon.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  petasos publish --topic https://example.com/books/1 --data '{\"status\":\"sold out\"}'
  petasos publish --topic news --private --type alert --data 'Water is boiling'
  git log -1 --format=%s | petasos publish --topic commits
  tail -F access.log | petasos publish --lines --topic access-log > /dev/null

The ids of the updates go to standard output, one per line; everything else goes to standard error.

Lines are stored in their order. Several are under way at once on one HTTP/2 connection, which Petasos keeps in order; \
when a proxy answers in between, or the server speaks only HTTP/1.1, lines go one at a time. A line that the hub refuses \
is reported with its number, and the others go on. When the connection is lost, lines without an answer are sent again \
and may be stored twice: each line has an id of its own, by which a reader can drop the second one.

Exit codes: 0 all published, 1 some refused or given up, 2 wrong usage, 3 not authorized.";

/// Flags of `petasos publish`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to and with which token.
    #[command(flatten)]
    pub target: TargetArgs,

    /// A topic of the update; the first is the canonical one, the others are alternates
    #[arg(long = "topic", short, value_name = "TOPIC", required = true)]
    pub topics: Vec<String>,

    /// The data. With `-`, or without this flag when something is piped in, the whole of standard input
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "lines")]
    pub data: Option<String>,

    /// Only subscribers with a token for one of the topics receive it
    #[arg(long)]
    pub private: bool,

    /// The id of the update; a random one if absent
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    pub id: Option<String>,

    /// The event type that subscribers see
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,

    /// How long subscribers wait before they reconnect, in milliseconds
    #[arg(long = "retry", value_name = "MS")]
    pub retry_ms: Option<u64>,

    /// Publish each line of standard input as an update of its own, as it comes
    #[arg(long, short)]
    pub lines: bool,

    /// How many lines may be under way at once [default: 100, or 1 behind a proxy]
    #[arg(long, value_name = "N", requires = "lines", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub window: Option<u16>,

    /// The longest line; longer ones are reported as refused
    #[arg(long, value_name = "BYTES", requires = "lines", default_value_t = MAX_LINE_BYTES)]
    pub max_line_bytes: usize,

    /// Replace what is not UTF-8 by U+FFFD; without it such data is refused
    #[arg(long)]
    pub lossy: bool,

    /// End at the first failure; without it failures that may pass are tried again
    #[arg(long)]
    pub no_retry: bool,

    /// How long to go on trying without any answer [default: 30s; for ever with --lines]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "no_retry")]
    pub give_up_after: Option<Duration>,

    /// No summary at the end of --lines
    #[arg(long, short)]
    pub quiet: bool,
}

/// Why nothing was even tried.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("standard input cannot be read: {0}")]
    Input(io::Error),
    #[error("standard input is larger than {MAX_DATA_BYTES} bytes")]
    TooLarge,
    #[error("the data is not UTF-8 from byte {} on; --lossy replaces such bytes", .0 + 1)]
    NotUtf8(usize),
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let prepared = options(&args).and_then(|options| Ok((options, source(&args)?)));
    let (options, mut source) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            say(&error);
            return match error {
                UsageError::Target(_) => Exit::Usage,
                _ => Exit::Failed,
            }
            .into();
        }
    };
    let mut console = Console::new(io::stdout(), io::stderr(), args.lines);
    runtime::run(async move {
        let stop = runtime::interrupted();
        let summary = pipeline::run(&options, &mut source, &mut console, stop).await;
        conclude(&summary, args.lines && !args.quiet)
    })
}

fn conclude(summary: &Summary, figures: bool) -> Exit {
    if let Some(failure) = summary.failure() {
        say(failure);
    }
    if figures {
        say(summary);
    }
    summary.exit()
}

fn options(args: &Args) -> Result<Options, UsageError> {
    Ok(Options {
        target: args.target.resolve(std::env::var(TOKEN_VARIABLE).ok())?,
        window: args.window.map(usize::from),
        http1_only: !args.lines,
        retry: !args.no_retry,
        give_up_after: args.give_up_after.or((!args.lines).then_some(GIVE_UP_AFTER)),
    })
}

fn source(args: &Args) -> Result<Source<tokio::io::Stdin>, UsageError> {
    let form = Form::new(&Fields {
        topics: args.topics.clone(),
        private: args.private,
        event_type: args.event_type.clone(),
        retry_ms: args.retry_ms,
    });
    if args.lines {
        // Reads in a thread of its own, a chunk at a time and only on demand.
        let reader = LineReader::new(tokio::io::stdin(), args.max_line_bytes, args.lossy);
        return Ok(Source::Lines { reader, form });
    }
    let data = match args.data.as_deref() {
        Some("-") => Some(read_all(args.lossy)?),
        Some(text) => Some(text.to_owned()),
        None if io::stdin().is_terminal() => None,
        None => Some(read_all(args.lossy)?),
    };
    let id = args.id.clone().unwrap_or_else(source::random_id);
    Ok(Source::One(Some(form.body(&id, data.as_deref()))))
}

fn read_all(lossy: bool) -> Result<String, UsageError> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_DATA_BYTES + 1).read_to_end(&mut bytes).map_err(UsageError::Input)?;
    if bytes.len() as u64 > MAX_DATA_BYTES {
        return Err(UsageError::TooLarge);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if lossy => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        Err(error) => Err(UsageError::NotUtf8(error.utf8_error().valid_up_to())),
    }
}
