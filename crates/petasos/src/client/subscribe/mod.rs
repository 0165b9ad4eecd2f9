//! `petasos subscribe`: prints what comes, over as many connections as it takes.

pub mod follow;
pub mod output;
pub mod session;
pub mod state;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use follow::{End, Options, Sink};
use output::Format;
use session::{Cursor, Matcher};
use state::{StateError, StateFile};

use super::{
    console::say,
    duration,
    exit::Exit,
    runtime,
    sse::{Event, MAX_EVENT_BYTES},
    target::{TOKEN_VARIABLE, TargetArgs, TargetError},
};

const EXAMPLES: &str = "\
Examples:
  petasos subscribe https://example.com/books/1
  petasos subscribe --match-urlpattern 'https://example.com/books/:id' --format json
  petasos subscribe '*' --from-start --format data
  petasos subscribe orders --state /var/lib/worker/cursor --format json | ./worker
  petasos subscribe deployed --count 1 --timeout 5m && echo deployed

When the stream ends it is opened again from the last event on, after the time that the hub asked for. If the hub no \
longer knows that event, updates may be lost: a line on standard error says so, or with --fail-on-gap the command ends.

With --state an event is printed before the file names it: after a kill -9 the last events may be printed twice, none \
is left out.

Exit codes: 0 done (also when the reader of the output went away), 1 failed, ended before --count, or a gap with \
--fail-on-gap, 2 wrong usage, 3 not authorized.";

/// Flags of `petasos subscribe`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where from and with which token.
    #[command(flatten)]
    pub target: TargetArgs,

    /// Topics, compared as they stand; `*` is all of them
    #[arg(value_name = "TOPIC", required_unless_present_any = ["exact", "patterns"])]
    pub topics: Vec<String>,

    /// A topic, compared as it stands
    #[arg(long = "match", id = "exact", short = 'm', value_name = "TOPIC")]
    pub exact: Vec<String>,

    /// A URL pattern that topics are to match
    #[arg(long = "match-urlpattern", id = "patterns", short = 'p', value_name = "PATTERN")]
    pub patterns: Vec<String>,

    /// Begin with what follows this event
    #[arg(long, value_name = "ID", conflicts_with = "from_start")]
    pub last_event_id: Option<String>,

    /// Begin with the oldest update that the hub has kept
    #[arg(long)]
    pub from_start: bool,

    /// Remember the last event in this file, and begin with what follows the one in it
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// How events are printed
    #[arg(long, short, value_enum, default_value_t)]
    pub format: Format,

    /// End after so many events
    #[arg(long, short = 'n', value_name = "N")]
    pub count: Option<u64>,

    /// End after this time; a failure if --count was not reached
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,

    /// End when the stream ends
    #[arg(long)]
    pub no_reconnect: bool,

    /// End when updates may have been lost
    #[arg(long)]
    pub fail_on_gap: bool,

    /// The largest event; larger ones are reported and left out
    #[arg(long, value_name = "BYTES", default_value_t = MAX_EVENT_BYTES)]
    pub max_event_bytes: usize,

    /// No messages about lost connections and gaps
    #[arg(long, short)]
    pub quiet: bool,
}

/// Why nothing was even tried.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("an event id cannot contain control characters")]
    Id,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let (options, mut console) = match prepare(&args) {
        Ok(prepared) => prepared,
        Err(error) => {
            say(error);
            return Exit::Usage.into();
        }
    };
    runtime::run(async move {
        let end = follow::follow(&options, &mut console, runtime::interrupted()).await;
        if let Some(failure) = end.failure() {
            say(failure);
        }
        end.exit(options.count.is_some())
    })
}

fn prepare(args: &Args) -> Result<(Options, Console<io::Stdout>), UsageError> {
    let (state, remembered) = match &args.state {
        None => (None, None),
        Some(path) => {
            let (file, id) = StateFile::open(path.clone())?;
            (Some(file), id)
        }
    };
    let start = match remembered.or_else(|| args.last_event_id.clone()) {
        Some(id) if id.chars().any(char::is_control) => return Err(UsageError::Id),
        Some(id) if !id.is_empty() => Cursor::After(id),
        _ if args.from_start => Cursor::After(petasos_hub::EARLIEST.to_owned()),
        _ => Cursor::Live,
    };
    let exact = args.topics.iter().chain(&args.exact).cloned().map(Matcher::Exact);
    let options = Options {
        target: args.target.resolve(std::env::var(TOKEN_VARIABLE).ok())?,
        matchers: exact.chain(args.patterns.iter().cloned().map(Matcher::UrlPattern)).collect(),
        start,
        reconnect: !args.no_reconnect,
        fail_on_gap: args.fail_on_gap,
        count: args.count,
        timeout: args.timeout,
        max_event_bytes: args.max_event_bytes,
    };
    Ok((options, Console { output: io::stdout(), format: args.format, state, quiet: args.quiet }))
}

/// Prints events and remembers the cursor.
#[derive(Debug)]
struct Console<O> {
    output: O,
    format: Format,
    state: Option<StateFile>,
    quiet: bool,
}

impl<O: Write> Sink for Console<O> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.format.write(event, &mut self.output)
    }

    fn cursor(&mut self, id: &str) -> Result<(), StateError> {
        self.state.as_mut().map_or(Ok(()), |state| state.save(id))
    }

    fn note(&mut self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }
}

impl End {
    /// What scripts are told. With `counted`, a certain number of events was asked for.
    pub fn exit(&self, counted: bool) -> Exit {
        match self {
            Self::Count | Self::OutputClosed => Exit::Done,
            Self::Timeout | Self::Interrupted | Self::Closed => {
                if counted {
                    Exit::Failed
                } else {
                    Exit::Done
                }
            }
            Self::NotAuthorized(_) => Exit::NotAuthorized,
            Self::Gap(_) | Self::Failed(_) | Self::Output(_) | Self::State(_) => Exit::Failed,
        }
    }

    /// What the user is told, where it is worth a line.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Count | Self::OutputClosed | Self::Timeout | Self::Interrupted | Self::Closed => None,
            Self::NotAuthorized(why) => Some(format!("not authorized: {why}")),
            Self::Gap(text) | Self::Failed(text) => Some(text.clone()),
            Self::Output(error) => Some(format!("the output cannot be written: {error}")),
            Self::State(error) => Some(error.to_string()),
        }
    }
}
