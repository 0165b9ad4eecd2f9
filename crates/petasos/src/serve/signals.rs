//! What signals mean: the first SIGTERM or SIGINT stops the hub gracefully, the second one ends the process at once,
//! SIGHUP reloads keys and certificates.

use std::{future::poll_fn, io, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that a second signal ended: streams were cut, nothing that was acknowledged is lost.
const IMPATIENT_EXIT_CODE: i32 = 1;

/// Resolves at the first SIGTERM or SIGINT; a second one ends the process. From the call on these signals do not end the
/// process by themselves.
///
/// # Errors
/// The system allows no handler.
pub(super) fn shutdown() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    Ok(async move {
        next(&mut signals).await;
        tokio::spawn(async move {
            next(&mut signals).await;
            tracing::warn!("second signal: ending at once");
            std::process::exit(IMPATIENT_EXIT_CODE);
        });
    })
}

/// SIGHUP, which from now on does not end the process.
///
/// # Errors
/// The system allows no handler.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

async fn next(signals: &mut [Signal]) {
    poll_fn(|cx| {
        if signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
