//! `petasos token`: mints tokens, and `petasos token check` says why one is refused.

mod check;
mod defaults;
pub mod mint;
mod mint_command;
mod report;

use std::{io::Write, path::PathBuf, process::ExitCode};

pub use check::{CheckArgs, RoleArg};
pub use mint::{MintError, MintRequest, OldMintRequest, demo_token};
pub use mint_command::MintArgs;

use crate::{
    client::{console::say, exit::Exit},
    config::ConfigArgs,
};

const EXAMPLES: &str = "\
Examples:
  petasos token --publish '*'
  petasos token --publish https://example.com/books/1 --expires-in 8h
  petasos token --subscribe orders --subscribe-pattern 'https://example.com/users/:id'
  petasos token --subscribe orders --payload '{\"user\":\"ada\"}' --subject ada
  petasos token --publish '*' --issuer https://issuer.example --key-file private.pem \\
      --audience https://hub.example.com/.well-known/mercure
  export PETASOS_TOKEN=$(petasos token --dev --publish '*' --subscribe '*')
  petasos token --legacy --publish 'https://example.com/books/{id}' --subscribe '*'
  petasos token check --topic https://example.com/books/1 < token

Issuer, key and audience come from the configuration of the hub (file and environment) unless they are given. Only the \
token goes to standard output.

--publish and --subscribe take topics, compared as they stand; --publish-pattern and --subscribe-pattern take URL \
patterns. Each takes several values and may be repeated.

Exit codes: 0 done, 1 the token cannot be minted, 2 wrong usage or configuration.";

const CHECK_EXAMPLES: &str = "\
Examples:
  petasos token check < token
  petasos token check --role publisher --topic https://example.com/books/1 < token
  petasos token check --audience https://hub.example.com/.well-known/mercure < token

Every rule is checked with the keys of this configuration, also after one has failed. Tokens of version 0.x are \
understood as well, and of either version it is said what the other one would need. The names of the rules are those \
of docs/protocol.md. The token itself is never printed, but what it says is.

Exit codes: 0 accepted (and every --topic granted), 1 refused, 2 wrong usage or configuration.";

/// Flags of `petasos token`.
#[derive(Debug, Default, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    /// Without a further command a token is minted.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to mint.
    #[command(flatten)]
    pub mint: MintArgs,
}

/// What else can be done with tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say whether the hub accepts a token, and if not, which rule refuses it and what to do
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    match args.command {
        None => run_mint(&args.mint),
        Some(Command::Check(args)) => run_check(&args),
    }
    .into()
}

fn run_mint(args: &MintArgs) -> Exit {
    use mint_command::MintCommandError;
    match mint_command::mint(args) {
        Ok(minted) => {
            for warning in &minted.warnings {
                say(warning);
            }
            print(&format!("{}\n", minted.token))
        }
        Err(error) => {
            say(&error);
            match error {
                MintCommandError::NoGrants | MintCommandError::Defaults(_) => Exit::Usage,
                MintCommandError::KeyFile { .. } | MintCommandError::Mint(_) => Exit::Failed,
            }
        }
    }
}

/// Mints what the flags ask for, for a command that needs a token itself.
///
/// # Errors
/// Why there is none, for the operator.
pub(crate) fn mint_for(args: &MintArgs) -> Result<String, String> {
    mint_command::mint(args).map(|minted| minted.token).map_err(|error| error.to_string())
}

fn run_check(args: &CheckArgs) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("the key sets cannot be fetched: {error}"));
            return Exit::Failed;
        }
    };
    match runtime.block_on(check::check(args)) {
        Ok(checked) => match print(&checked.text) {
            Exit::Done if checked.accepted => Exit::Done,
            _ => Exit::Failed,
        },
        Err(error) => {
            say(&error);
            Exit::Usage
        }
    }
}

/// Prints to standard output; whoever reads it may have gone.
fn print(text: &str) -> Exit {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

/// The configuration as `serve` would read it with these two flags.
fn config_args(config: Option<PathBuf>, dev: bool) -> ConfigArgs {
    let mut args = ConfigArgs { config, ..ConfigArgs::default() };
    if dev {
        args.options.set("dev", "true");
    }
    args
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
