//! The command line: which commands there are. Each command's flags live beside its code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{bench, check, client, health, history, serve, token};

/// The engines that this binary was built with, by their URL schemes.
pub const ENGINES: &[&str] = &[
    "local",
    #[cfg(feature = "sqlite")]
    "sqlite",
    #[cfg(feature = "redis")]
    "redis",
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "nats")]
    "nats",
];

/// What `-V` says.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const EXAMPLES: &str = "\
Examples:
  petasos --dev                      a hub to try things on, with a token to paste
  petasos -c /etc/petasos.toml       the hub of this configuration
  petasos check --print              what that configuration comes to
  petasos completions bash           completions for your shell

Without a command, petasos serves. `petasos help serve` lists the options of a hub.";

/// A hub for the Mercure protocol: publish with POST, subscribe with EventSource.
#[derive(Debug, Parser)]
#[command(
    name = "petasos",
    version = VERSION,
    long_version = long_version(),
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES,
)]
pub struct Cli {
    /// What to do; without a command, `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`, for when it is not written.
    #[command(flatten)]
    pub serve: serve::Args,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the hub (the default)
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<serve::Args>),
    /// Mint a token, or check one
    Token(Box<token::Args>),
    /// Publish updates
    Publish(Box<client::publish::Args>),
    /// Subscribe and print what comes
    Subscribe(Box<client::subscribe::Args>),
    /// Validate the configuration, keys and store
    Check(Box<check::Args>),
    /// Ask a running hub whether it is healthy (for exec probes)
    Health(Box<health::Args>),
    /// Look after the history: stats, export, import, purge, verify
    History(Box<history::Args>),
    /// Measure what a hub can do, and what that costs
    Bench(Box<bench::Args>),
    /// Print completions for a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

const SERVE_EXAMPLES: &str = "\
Examples:
  petasos serve --dev
  PETASOS_PUBLISHER_JWT_KEY_FILE=/run/secrets/key petasos serve --listen :8080 --cors-origins https://app.example.com

Signals: SIGTERM and SIGINT stop the hub gracefully, a second one ends it at once (exit code 1);
SIGHUP reloads keys and certificates.

Exit codes: 0 stopped as asked, 1 failed, 2 usage or configuration.";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  petasos completions bash > /etc/bash_completion.d/petasos
  petasos completions zsh > \"${fpath[1]}/_petasos\"
  petasos completions fish > ~/.config/fish/completions/petasos.fish";

/// Prints completions.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "petasos", &mut script);
    // A reader that went away (`| head`) has all it wants.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    ExitCode::SUCCESS
}

/// What `--version` says: enough for a report of a defect.
fn long_version() -> String {
    let engines = ENGINES.join(", ");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "{VERSION}\nengines: {engines}\nprotocols: HTTP/1.1, HTTP/2, TLS 1.2 and 1.3\nbuilt for: {arch}-{os}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves_with_the_flags_of_serve() {
        let bare = Cli::try_parse_from(["petasos", "--dev"]).expect("flags");
        let said = Cli::try_parse_from(["petasos", "serve", "--dev"]).expect("flags");
        assert!(bare.command.is_none());
        let Some(Command::Serve(said)) = said.command else { panic!("not serve") };
        assert_eq!(bare.serve.config.options, said.config.options);
        assert_ne!(bare.serve.config.options, serve::Args::default().config.options);
    }

    #[test]
    fn flags_of_serve_do_not_mix_with_other_commands() {
        assert!(Cli::try_parse_from(["petasos", "--dev", "health"]).is_err());
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "petasos", &mut script);
            assert!(String::from_utf8_lossy(&script).contains("subscribe"), "{shell}");
        }
    }

    #[test]
    fn the_long_version_names_the_engines() {
        let text = Cli::command().render_long_version();
        assert!(text.contains(VERSION) && text.contains("engines: local"), "{text}");
    }
}
