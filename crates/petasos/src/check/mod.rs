//! `petasos check`: would the hub start like this? Reads the configuration, the keys and the certificates, and looks at
//! the place of the store, without creating or binding anything.

mod keys;
mod remote;
mod store;
#[cfg(test)]
mod tests;
mod tls;

use std::process::ExitCode;

use crate::config::{self, Config, ConfigArgs, Loaded, Surroundings, TransportConfig, report};

/// Everything is as it should be.
const DONE: u8 = 0;

/// The configuration is sound, but not what it meets.
const FAILED: u8 = 1;

/// The configuration is wrong.
const MISCONFIGURED: u8 = 2;

/// Flags of `petasos check`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  petasos check                              would `petasos serve` start like this?
  petasos check --config new.toml            check a file before it is rolled out
  petasos check --print                      every value in force, and where it is from
  petasos check --print --format json | jq   the same for programs
  petasos check --apply --grant petasos      make the hub's tables in PostgreSQL, for the role petasos

Exit codes: 0 all is well, 1 something in the surroundings is not (the store), 2 the configuration is wrong.")]
pub struct Args {
    /// What to check.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Show every value in force and where it is from. Secrets are not shown.
    #[arg(long)]
    pub print: bool,
    /// How to show them.
    #[arg(long, value_enum, default_value_t, requires = "print")]
    pub format: Format,
    /// Make the tables that a hub needs on the server of its log, or migrate them, and say what was done. A hub does so
    /// itself at its start if its role may.
    #[arg(long, conflicts_with = "print")]
    pub apply: bool,
    /// Print the SQL that `--apply` would run, for those who run it themselves.
    #[arg(long, conflicts_with_all = ["print", "apply"])]
    pub print_sql: bool,
    /// A role of the database that may use the tables: the hub's, where another one makes them.
    #[arg(long, value_name = "ROLE")]
    pub grant: Option<String>,
}

/// The form in which `--print` shows values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: an array of objects with `option`, `value` and `source`.
    Json,
}

/// What a check found, one line each.
#[derive(Debug, Default)]
struct Findings {
    fine: Vec<String>,
    warnings: Vec<String>,
    failures: Vec<String>,
    misconfigured: Vec<String>,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let Args { config, print, format, apply, print_sql, grant } = args;
    let loaded = match config::load_from(&config, &Surroundings::of_process()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in &errors.0 {
                eprintln!("error: {error}");
            }
            return MISCONFIGURED.into();
        }
    };
    for notice in &loaded.config.notices {
        eprintln!("{}: {}", if notice.warning { "warning" } else { "note" }, notice.text);
    }
    if print {
        return print_entries(&loaded, format);
    }
    if apply || print_sql {
        return remote::prepare(&loaded.config.transport, grant.as_deref(), print_sql).into();
    }
    let findings = examine(&loaded.config);
    for line in &findings.fine {
        println!("ok: {line}");
    }
    for (kind, lines) in
        [("warning", &findings.warnings), ("error", &findings.failures), ("error", &findings.misconfigured)]
    {
        for line in lines {
            eprintln!("{kind}: {line}");
        }
    }
    findings.exit_code().into()
}

fn print_entries(loaded: &Loaded, format: Format) -> ExitCode {
    match format {
        Format::Text => print!("{}", report::text(&loaded.entries)),
        Format::Json => match serde_json::to_string_pretty(&loaded.entries) {
            Ok(json) => println!("{json}"),
            Err(error) => {
                eprintln!("error: {error}");
                return FAILED.into();
            }
        },
    }
    DONE.into()
}

/// Looks at all that the configuration names.
fn examine(config: &Config) -> Findings {
    let mut findings = Findings::default();
    findings.fine.push("the configuration".to_owned());
    keys::examine(&config.auth, &mut findings);
    if let Some(files) = &config.tls {
        match tls::examine(files) {
            Ok(line) => findings.fine.push(line),
            Err(error) => findings.misconfigured.push(error),
        }
    }
    match &config.transport {
        TransportConfig::Local => findings.fine.push("the log: in memory, without history".to_owned()),
        TransportConfig::Sqlite(store) => store::examine(store, &mut findings),
        TransportConfig::Remote(log) => remote::examine(log, &mut findings),
    }
    findings
}

impl Findings {
    fn exit_code(&self) -> u8 {
        match (self.misconfigured.is_empty(), self.failures.is_empty()) {
            (false, _) => MISCONFIGURED,
            (true, false) => FAILED,
            (true, true) => DONE,
        }
    }
}
