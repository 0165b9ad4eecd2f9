//! Runs a client command: its threads, the signals that end it, and its exit code.

use std::process::ExitCode;

use super::{console::say, exit::Exit};

/// Two threads: one may be held up by a full pipe on standard output while the other keeps the connection alive.
const THREADS: usize = 2;

/// Runs `command` to its end.
pub(super) fn run(command: impl Future<Output = Exit>) -> ExitCode {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("the threads cannot be started: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(command);
    // A thread that waits for standard input cannot be ended; nothing needs it any more.
    runtime.shutdown_background();
    exit.into()
}

/// Resolves when the user presses Ctrl-C or somebody sends SIGTERM. A second signal ends the process at once.
pub(super) async fn interrupted() {
    signal().await;
    tokio::spawn(async {
        signal().await;
        std::process::exit(Exit::Failed.code().into());
    });
}

/// Resolves with the next signal of either kind.
pub(crate) async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
