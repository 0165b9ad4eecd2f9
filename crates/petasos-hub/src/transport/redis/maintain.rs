//! Housekeeping: retention by age while nobody publishes, what an append left to discard, and taking discarded events out
//! of the stream. Every hub does it; it is one script each time, so that they do not get into each other's way.

use std::{sync::Arc, time::Duration};

use redis::from_redis_value;

use super::{Engine, error::unexpected, error::wrong_log, group::bounds};
use crate::transport::{Retention, TransportError};

/// How often, where age counts and where it does not.
const INTERVAL_WITH_AGE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(10);

/// How long a writer may be silent before it is forgotten: longer than anything of it can be under way.
const WRITER_SILENCE: Duration = Duration::from_secs(3_600);

/// Runs until the log is closed.
pub(super) async fn run(engine: Arc<Engine>) {
    let Some(retention) = engine.config.retention else { return };
    let interval = if retention.age.is_some() { INTERVAL_WITH_AGE } else { INTERVAL };
    loop {
        if let Err(error) = discard(&engine, Some(&retention), 0, WRITER_SILENCE).await {
            // The writer tells the operator.
            tracing::debug!(%error, "housekeeping of the log failed; it is tried again");
        }
        tokio::select! {
            () = engine.closed.cancelled() => return,
            () = engine.housekeeping.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Discards what retention does not keep and everything up to `until`, in calls that are short for other clients, and
/// returns how many events that were.
pub(super) async fn discard(
    engine: &Engine,
    retention: Option<&Retention>,
    until: u64,
    silence: Duration,
) -> Result<u64, TransportError> {
    let [events, bytes, age] = bounds(retention).map(|bound| bound.to_string());
    let until = until.min(1 << 53).to_string();
    let silence = silence.as_millis().to_string();
    let arguments = [&*events, &*bytes, &*age, &*until, &*silence];
    let mut discarded = 0;
    loop {
        let answer = engine.run(&engine.programs.maintain, &arguments).await?;
        if let Ok((2, problem)) = from_redis_value::<(u64, String)>(answer.clone()) {
            return Err(wrong_log(&problem, &engine.config.prefix));
        }
        let (_, count, more) =
            from_redis_value::<(u64, u64, bool)>(answer).map_err(|_| unexpected("retention"))?;
        discarded += count;
        if !more || engine.closed.is_cancelled() {
            return Ok(discarded);
        }
    }
}
