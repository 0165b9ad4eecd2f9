//! Whether the log on a server could be opened. Nothing is made or changed there, unless that is what is asked for.

use std::time::Duration;

use petasos_hub::transport::{ErrorKind, remote::RemoteConfig};

use super::{DONE, FAILED, Findings, MISCONFIGURED};
use crate::{
    config::TransportConfig,
    serve::{self, transport::Preparation},
};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a migration may take.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(3_600);

/// Makes what a hub needs on the server of its log, or prints how, and returns the exit code.
pub(super) fn prepare(transport: &TransportConfig, role: Option<&str>, only_print: bool) -> u8 {
    let TransportConfig::Remote(config) = transport else {
        eprintln!("error: there is nothing to apply: this log is not on a server");
        return MISCONFIGURED;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return FAILED;
        }
    };
    let work = serve::transport::prepare_remote(config, role, only_print);
    match runtime.block_on(async { tokio::time::timeout(MIGRATION_PATIENCE, work).await }) {
        Ok(Ok(Preparation::Done(lines))) => {
            lines.iter().for_each(|line| println!("applied: {line}"));
            DONE
        }
        Ok(Ok(Preparation::Sql(sql))) => {
            print!("{sql}");
            DONE
        }
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            if error.kind() == ErrorKind::Invalid { MISCONFIGURED } else { FAILED }
        }
        Err(_) => {
            eprintln!("error: the server did not answer within {} s", MIGRATION_PATIENCE.as_secs());
            FAILED
        }
    }
}

pub(super) fn examine(config: &RemoteConfig, findings: &mut Findings) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            findings.failures.push(format!("the log cannot be looked at: {error}"));
            return;
        }
    };
    let looked = async { tokio::time::timeout(PATIENCE, serve::transport::examine_remote(config)).await };
    match runtime.block_on(looked) {
        Ok(Ok(line)) => findings.fine.push(line),
        Ok(Err(error)) if error.kind() == ErrorKind::Invalid => {
            findings.misconfigured.push(error.to_string())
        }
        Ok(Err(error)) => findings.failures.push(error.to_string()),
        Err(_) => findings.failures.push(format!(
            "{}: the server did not answer within {} s",
            config.address.scheme,
            PATIENCE.as_secs()
        )),
    }
}
