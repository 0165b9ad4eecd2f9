//! `petasos history`: looking after what the log keeps. Safe while hubs run on it.

mod export;
mod import;
mod line;
mod purge;
mod stats;
mod store;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use crate::client::exit::Exit;
pub use store::StoreArgs;

/// Flags of `petasos history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `petasos history`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is kept: events, bytes, the oldest and the newest.
    Stats(stats::Args),
    /// Write the history as JSON lines.
    Export(export::Args),
    /// Read JSON lines, or the history file of the reference hub.
    Import(import::Args),
    /// Discard what is older than a time, or what comes up to an id.
    Purge(purge::Args),
    /// Read everything and check it.
    Verify(verify::Args),
}

/// What a command came to, or the sentence that says why it did not.
type Outcome = Result<Exit, Failure>;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// It did not work.
    #[error("{0}")]
    Failed(String),
}

impl From<petasos_hub::transport::TransportError> for Failure {
    fn from(error: petasos_hub::transport::TransportError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return Exit::Failed.into();
        }
    };
    let outcome = runtime.block_on(async {
        match args.command {
            Command::Stats(args) => stats::run(args).await,
            Command::Export(args) => export::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Purge(args) => purge::run(args).await,
            Command::Verify(args) => verify::run(args).await,
        }
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            match failure {
                Failure::Usage(_) => Exit::Usage.into(),
                Failure::Failed(_) => Exit::Failed.into(),
            }
        }
    }
}
