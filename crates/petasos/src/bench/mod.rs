//! `petasos bench`: drives a hub, any hub of the protocol, and says what it can do and what that costs.
//!
//! - [`scenario`] turns flags into runs, [`load`] is a run of publishers and subscribers.
//! - [`subscribers`] and [`publishers`] are the load: few threads, nonblocking sockets, no work per event that can be
//!   avoided, because they share the machine with the hub that is measured. [`wire`], [`head`] and [`body`] are as much
//!   HTTP as they need, [`marker`] and [`sequence`] how they account for every update.
//! - [`limit`] is the baseline that figures are compared with, [`spawn`] starts a hub, [`usage`] looks at its process.
//! - [`report`] is the result, [`text`] and [`html`] say it, [`compare`] sets two beside each other.

mod args;
mod body;
mod chart;
mod choice;
mod churn;
mod clock;
mod compare;
mod endpoint;
mod environment;
mod error;
mod figures;
mod files;
mod head;
mod histogram;
mod html;
mod limit;
mod load;
mod marker;
mod measure;
mod pacing;
mod progress;
mod publishers;
mod replay;
mod report;
mod request;
mod scenario;
mod sequence;
mod session;
mod spawn;
mod subscribers;
mod text;
mod timer;
mod usage;
mod window;
mod wire;
mod workers;

use std::{io::Write, process::ExitCode};

pub(crate) use self::args::SUBSCRIBER_TOKEN_VARIABLE;
pub use self::{
    args::{
        Args, ChurnArgs, Common, CompareArgs, FanoutArgs, IdleArgs, LimitArgs, PatternsArgs, PublishArgs,
        ResumeArgs, Scenario, SpreadArgs, StormArgs, Times, TopicsArgs,
    },
    choice::Distribution,
    spawn::Store,
};
use self::{error::BenchError, report::Report};
use crate::client::{console::say, exit::Exit};

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let (common, result) = match &args.scenario {
        Scenario::Fanout(args) => (&args.common, scenario::fanout(args)),
        Scenario::Publish(args) => (&args.common, scenario::publish(args)),
        Scenario::Topics(args) => (&args.spread.common, scenario::topics(args)),
        Scenario::Patterns(args) => (&args.spread.common, scenario::patterns(args)),
        Scenario::Resume(args) => (&args.common, scenario::resume(args)),
        Scenario::Storm(args) => (&args.common, scenario::storm(args)),
        Scenario::Churn(args) => (&args.common, scenario::churn(args)),
        Scenario::Idle(args) => (&args.common, scenario::idle(args)),
        Scenario::Compare(args) => {
            return end(compare::compare(&args.first, &args.second).map(|text| {
                print(&text);
                Exit::Done
            }));
        }
    };
    end(result.and_then(|report| conclude(common, &report)))
}

fn end(result: Result<Exit, BenchError>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(&error);
            error.exit().into()
        }
    }
}

fn conclude(common: &args::Common, report: &Report) -> Result<Exit, BenchError> {
    if let Some(path) = &common.json {
        report.save(path)?;
    }
    if let Some(path) = &common.html {
        html::save(report, path)?;
    }
    print(&text::report(report));
    if report.is_sound() {
        return Ok(Exit::Done);
    }
    say("the result is not sound: see the last lines");
    Ok(Exit::Failed)
}

/// Prints to standard output. Whoever read it may have gone; files are written already.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// What a refusal says, for people. Its text comes from a server, so that it cannot steer the terminal.
fn refusal(who: &str, status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("the hub refuses a {who}: {status} {}", text.trim())
}
