//! The `petasos` program.

use std::process::ExitCode;

use clap::Parser;
use petasos::{
    bench, check,
    cli::{self, Cli, Command},
    client, health, history, serve, token,
};

/// Tens of thousands of connections that come and go fragment the memory of other allocators.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // One provider for everything that speaks TLS. An error means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    match cli.command.unwrap_or_else(|| Command::Serve(Box::new(cli.serve))) {
        Command::Serve(args) => serve::run(*args),
        Command::Token(args) => token::run(*args),
        Command::Publish(args) => client::publish::run(*args),
        Command::Subscribe(args) => client::subscribe::run(*args),
        Command::Check(args) => check::run(*args),
        Command::Health(args) => health::run(*args),
        Command::History(args) => history::run(*args),
        Command::Bench(args) => bench::run(*args),
        Command::Completions { shell } => cli::completions(shell),
    }
}
