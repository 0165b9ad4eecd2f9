//! Whether the log on a server could be opened. Nothing is made or changed there.

use std::time::Duration;

use petasos_hub::transport::{ErrorKind, remote::RemoteConfig};

use super::Findings;
use crate::serve;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
