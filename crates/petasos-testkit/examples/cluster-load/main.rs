//! The load of the tests on a cluster, as a program that runs in a pod: publishers and subscribers that come back, a count of
//! everything that went wrong, and stand-ins. `scripts/test-kubernetes` builds an image of it, which holds nothing else.
//!
//! ```text
//! cluster-load run       works until it is told to stop; see `load` for what may be set
//! cluster-load status    how far it has come; fails before all subscribers are there
//! cluster-load more N    waits until so many further updates were acknowledged
//! cluster-load stop      ends the load and prints what it came to, as JSON
//! cluster-load hold FROM TO   poses as a hub that holds the lock of its history file TO, a copy of FROM
//! ```
//!
//! The last four are run in the same pod by `kubectl exec` and talk to the first one (see `control`).

#![allow(clippy::unwrap_used)] // As in tests: where something is amiss, the run has failed.

mod control;
mod hold;
mod load;
mod report;

use std::process::ExitCode;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run"] => load::run().await,
        ["status"] => return control::ask("status").await,
        ["more", count] => return control::ask(&format!("more {count}")).await,
        ["stop"] => return control::ask("stop").await,
        ["hold", from, to] => hold::hold(from.as_ref(), to.as_ref()).await,
        _ => {
            eprintln!("usage: cluster-load run | status | more N | stop | hold FROM TO");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
