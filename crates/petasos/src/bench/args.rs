//! The flags of `petasos bench`.

use std::{path::PathBuf, time::Duration};

use petasos_hub::auth::{Algorithm, Secret};

use super::{choice::Distribution, marker::MARKER_BYTES, spawn::Store};
use crate::client::{duration, target::TargetArgs};

/// The variable that holds the subscribers' token.
pub(crate) const SUBSCRIBER_TOKEN_VARIABLE: &str = "PETASOS_SUBSCRIBER_TOKEN";

/// Updates have at least this much data: the marker.
const LEAST_DATA_BYTES: u64 = MARKER_BYTES as u64;
/// As much as an event that the bench reads may have.
const MOST_DATA_BYTES: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  petasos bench fanout --spawn                                    a first figure, with a hub of its own
  petasos bench fanout --spawn --subscribers 5000 --rate 50 --with-limit --repeat 3
  petasos bench publish --spawn --store sqlite --publishers 64
  petasos bench topics --url https://hub.example.com --token-file token --topics 5000 --matchers-per-subscriber 500
  petasos bench idle --url http://127.0.0.1:3000 --pid $(pidof petasos) --subscribers 10000
  petasos bench compare before.json after.json

Do not drive a hub that others need. docs/bench.md says how each figure is taken.

Exit codes: 0 done, 1 failed, or updates were lost, doubled or out of order, 2 wrong usage, 3 not authorized.";

/// Flags of `petasos bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// The scenarios.
#[derive(Debug, clap::Subcommand)]
pub enum Scenario {
    /// Many subscribers of one topic: deliveries a second, latency, CPU per delivery
    Fanout(Box<FanoutArgs>),
    /// Publishers alone: publishes a second, latency, CPU per publish
    Publish(Box<PublishArgs>),
    /// Many topics, each with few subscribers: does the cost of an update grow with topics that it does not reach?
    Topics(Box<TopicsArgs>),
    /// The same with URL patterns, of which each update matches one
    Patterns(Box<PatternsArgs>),
    /// Subscribers that come back after a long time: how soon does the first missed update come?
    Resume(Box<ResumeArgs>),
    /// All subscribers are cut off and come back at once
    Storm(Box<StormArgs>),
    /// Subscribers that come and go, and some that behave badly: memory and files before, during, after
    Churn(Box<ChurnArgs>),
    /// Idle subscribers: memory of each, and what they cost while nothing happens
    Idle(Box<IdleArgs>),
    /// Compare two results that were written with --json
    Compare(CompareArgs),
}

/// Flags that all scenarios share.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Which hub, and the publishers' token.
    #[command(flatten)]
    pub target: TargetArgs,

    /// The subscribers' token, if they need one. Other users of this machine can see it in the list of processes:
    /// better put it into the variable PETASOS_SUBSCRIBER_TOKEN or a file
    #[arg(long, value_name = "TOKEN", value_parser = secret, conflicts_with = "subscriber_token_file", help_heading = "Tokens")]
    pub subscriber_token: Option<Secret>,

    /// A file that holds the subscribers' token
    #[arg(long, value_name = "FILE", help_heading = "Tokens")]
    pub subscriber_token_file: Option<PathBuf>,

    /// Mint the tokens with this secret. Other users of this machine can see it: better use --key-file
    #[arg(long, value_name = "SECRET", value_parser = secret, conflicts_with_all = ["key_file", "token", "token_file"], requires = "issuer", help_heading = "Tokens")]
    pub key: Option<Secret>,

    /// Mint the tokens with the secret, or the private key in PEM, in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "token_file"], requires = "issuer", help_heading = "Tokens")]
    pub key_file: Option<PathBuf>,

    /// Who issues minted tokens (iss)
    #[arg(long, value_name = "ID", help_heading = "Tokens")]
    pub issuer: Option<String>,

    /// The hub that minted tokens are for (aud) [default: the URL]
    #[arg(long, value_name = "URL", help_heading = "Tokens")]
    pub audience: Option<String>,

    /// The algorithm of minted tokens [default: what the key is for]
    #[arg(long, value_name = "ALG", value_parser = algorithm, help_heading = "Tokens")]
    pub alg: Option<Algorithm>,

    /// Publish private updates, and subscribe with a token that may read them
    #[arg(long, help_heading = "Tokens")]
    pub private: bool,

    /// Start a hub of this program for the bench, and stop it at the end
    #[arg(long, conflicts_with_all = ["token", "token_file", "key", "key_file", "pid"], help_heading = "Hub")]
    pub spawn: bool,

    /// Where the started hub keeps its log: `local` (nowhere), `sqlite` (in the directory for temporary files), or a
    /// directory
    #[arg(long, value_name = "STORE", value_parser = Store::parse, requires = "spawn", help_heading = "Hub")]
    pub store: Option<Store>,

    /// A flag for the started hub; may be repeated, such as --serve-arg=--heartbeat=10s
    #[arg(long, value_name = "FLAG", requires = "spawn", allow_hyphen_values = true, help_heading = "Hub")]
    pub serve_arg: Vec<String>,

    /// The server's process, whose CPU time and memory are read; may be repeated, their sum counts
    #[arg(long, value_name = "PID", help_heading = "Hub")]
    pub pid: Vec<u32>,

    /// Bytes of data of each update, at least 40
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u64).range(LEAST_DATA_BYTES..=MOST_DATA_BYTES), help_heading = "Load")]
    pub size: u64,

    /// Runs of each subject; the medians are reported, all are kept
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Load")]
    pub repeat: u32,

    /// Threads of subscribers [default: one for two cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Load")]
    pub threads: Option<u16>,

    /// Threads of publishers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Load")]
    pub publisher_threads: u16,

    /// Take the latency of every N-th update of a publisher, a power of two [default: every one where the load is
    /// paced, every 16th at full speed]
    #[arg(long, value_name = "N", value_parser = power_of_two, help_heading = "Load")]
    pub sample: Option<u64>,

    /// Come from so many addresses of 127.0.0.0/8 in turn: each has 28,000 ports. For targets there only
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=250), help_heading = "Load")]
    pub source_addresses: u8,

    /// Connections that may be opening at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub opening: u32,

    /// Write the result to this file, for programs and for `compare`
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub json: Option<PathBuf>,

    /// Write the result with its charts to this file, one page that needs nothing else
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub html: Option<PathBuf>,

    /// Show no progress
    #[arg(long, short, help_heading = "Report")]
    pub quiet: bool,
}

/// How long.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Times {
    /// How long to measure
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse, help_heading = "Load")]
    pub duration: Duration,

    /// How long the load runs before that
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse, help_heading = "Load")]
    pub warmup: Duration,
}

/// The baseline.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LimitArgs {
    /// Measure the baseline instead of a hub: a thread that does nothing but the system calls
    #[arg(long, conflicts_with_all = ["spawn", "pid", "with_limit"], help_heading = "Baseline")]
    pub limit: bool,

    /// Measure the baseline and the hub in turn, and report the ratio
    #[arg(long, help_heading = "Baseline")]
    pub with_limit: bool,
}

/// Flags of `petasos bench fanout`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FanoutArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// How long.
    #[command(flatten)]
    pub times: Times,
    /// The baseline.
    #[command(flatten)]
    pub limit: LimitArgs,

    /// How many subscribers
    #[arg(long, short = 's', value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub subscribers: u32,

    /// How many publishers
    #[arg(long, short = 'p', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub publishers: u32,

    /// Updates a second of all publishers together; 0 for full speed
    #[arg(long, short = 'r', value_name = "N", default_value_t = 50.0, value_parser = rate, help_heading = "Load")]
    pub rate: f64,

    /// Updates that the baseline sends at once, to see what the bench itself can take in
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Baseline")]
    pub limit_coalesce: u32,
}

/// Flags of `petasos bench publish`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PublishArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// How long.
    #[command(flatten)]
    pub times: Times,
    /// The baseline.
    #[command(flatten)]
    pub limit: LimitArgs,

    /// Measure the baseline of durable publishing instead of a hub: a thread that writes each update to a file in this
    /// directory and syncs it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["spawn", "pid", "with_limit", "limit"], help_heading = "Baseline")]
    pub limit_disk: Option<PathBuf>,

    /// Measure that baseline and the hub in turn, and report the ratio
    #[arg(long, value_name = "DIR", conflicts_with_all = ["limit", "limit_disk"], help_heading = "Baseline")]
    pub with_limit_disk: Option<PathBuf>,

    /// How many publishers
    #[arg(long, short = 'p', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub publishers: u32,

    /// How many subscribers, who get every update
    #[arg(long, short = 's', value_name = "N", default_value_t = 0, help_heading = "Load")]
    pub subscribers: u32,

    /// Updates a second of all publishers together; 0 for full speed
    #[arg(long, short = 'r', value_name = "N", default_value_t = 0.0, value_parser = rate, help_heading = "Load")]
    pub rate: f64,
}

/// Flags of `petasos bench idle`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IdleArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// How long.
    #[command(flatten)]
    pub times: Times,
    /// The baseline.
    #[command(flatten)]
    pub limit: LimitArgs,

    /// How many subscribers
    #[arg(long, short = 's', value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub subscribers: u32,
}

/// Flags that `topics` and `patterns` share.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SpreadArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// How long.
    #[command(flatten)]
    pub times: Times,

    /// How many of them each subscriber asks for, so that not each needs a connection
    #[arg(long, short = 'm', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub matchers_per_subscriber: u32,

    /// How many subscribers [default: as many as it takes that each topic has one]
    #[arg(long, short = 's', value_name = "N", help_heading = "Load")]
    pub subscribers: Option<u32>,

    /// How many publishers; each has topics of its own
    #[arg(long, short = 'p', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub publishers: u32,

    /// Updates a second of all publishers together; 0 for full speed
    #[arg(long, short = 'r', value_name = "N", default_value_t = 0.0, value_parser = rate, help_heading = "Load")]
    pub rate: f64,

    /// How updates are spread
    #[arg(long, value_enum, default_value_t, help_heading = "Load")]
    pub distribution: Distribution,
}

/// Flags of `petasos bench topics`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TopicsArgs {
    /// Most of them.
    #[command(flatten)]
    pub spread: SpreadArgs,

    /// How many topics
    #[arg(long, short = 't', value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Load")]
    pub topics: u32,
}

/// Flags of `petasos bench patterns`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PatternsArgs {
    /// Most of them.
    #[command(flatten)]
    pub spread: SpreadArgs,

    /// How many distinct URL patterns
    #[arg(long, short = 't', value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Load")]
    pub patterns: u32,
}

/// Flags of `petasos bench resume`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ResumeArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,

    /// How many updates the history is filled with
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..), help_heading = "Load")]
    pub events: u64,

    /// The name of the filling; a later bench with --no-fill finds it again under this name [default: a new one]
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    pub name: Option<String>,

    /// The history has been filled before, with the same --name and --events
    #[arg(long, requires = "name", help_heading = "Load")]
    pub no_fill: bool,

    /// How many publishers fill it
    #[arg(long, short = 'p', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Load")]
    pub publishers: u32,

    /// From how far back to resume, in updates [default: 10, the middle, all]
    #[arg(long, value_name = "N,N…", value_delimiter = ',', help_heading = "Load")]
    pub back: Vec<u64>,

    /// How often each resume is tried in a run; the medians are reported
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Load")]
    pub tries: u32,
}

/// Flags of `petasos bench storm`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StormArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,

    /// How many subscribers
    #[arg(long, short = 's', value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub subscribers: u32,

    /// How many updates each of them misses
    #[arg(long, short = 'm', value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000_000), help_heading = "Load")]
    pub missed: u64,
}

/// Flags of `petasos bench churn`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ChurnArgs {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// How long.
    #[command(flatten)]
    pub times: Times,

    /// How many subscribers stay; they must get every update
    #[arg(long, short = 's', value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub subscribers: u32,

    /// How many publishers
    #[arg(long, short = 'p', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub publishers: u32,

    /// Updates a second of all publishers together; 0 for full speed
    #[arg(long, short = 'r', value_name = "N", default_value_t = 50.0, value_parser = rate, help_heading = "Load")]
    pub rate: f64,

    /// How many subscribers come, and go again, each second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub churn: u32,

    /// How long each of them stays
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse, help_heading = "Load")]
    pub stay: Duration,

    /// The fraction of them that never reads anything, and is reset at the end of the run
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction, help_heading = "Load")]
    pub never_read: f64,

    /// The fraction that vanishes instead of going: it stops reading, and is reset at the end of the run
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction, help_heading = "Load")]
    pub vanish: f64,

    /// The fraction that goes by closing its half of the connection, and leaves the rest to the hub
    #[arg(long, value_name = "FRACTION", default_value_t = 0.05, value_parser = fraction, help_heading = "Load")]
    pub half_close: f64,

    /// How long the hub has to recover before it is looked at again
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse, help_heading = "Load")]
    pub settle: Duration,
}

/// Flags of `petasos bench compare`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CompareArgs {
    /// The first result
    #[arg(value_name = "A.json")]
    pub first: PathBuf,

    /// The second one
    #[arg(value_name = "B.json")]
    pub second: PathBuf,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::as_str).collect();
        format!("there are {}", names.join(", "))
    })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate == 0.0 || (0.001..=100_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("it must be a number of updates a second, or 0 for full speed".into()),
    }
}

fn power_of_two(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if number.is_power_of_two() => Ok(number),
        _ => Err("it must be a power of two: 1, 2, 4, 8 …".into()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("it must be a number from 0 to 1".into()),
    }
}
