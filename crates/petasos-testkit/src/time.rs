//! How long a test waits before it fails.

use std::time::Duration;

/// How long anything may take that should happen at once. Generous, because the machine may be busy; it is only ever
/// used up by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits `future`, and fails the test if it takes longer than [`PATIENCE`].
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    within(PATIENCE, what, future).await
}

/// Awaits `future`, and fails the test if it takes longer than `limit`.
pub async fn within<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not happen within {limit:?}"),
    }
}
