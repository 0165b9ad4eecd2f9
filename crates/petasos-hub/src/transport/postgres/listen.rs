//! What other nodes announce. Concurrency: one task with a connection of its own, which also asks for the head of the log
//! every second: so a connection that is dead without a sign, and an announcement that never came, are noticed.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_postgres::Notification;

use super::{
    Store,
    connect::{Fault, Session},
    continuity,
    error::translate,
};
use crate::transport::TransportError;

/// How often the head is asked for: the net below announcements.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the answer may take.
const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(5);

/// The pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the transport is closed.
pub(super) async fn run(store: Arc<Store>) {
    let mut pause = FIRST_PAUSE;
    let mut is_first = true;
    loop {
        let ended = tokio::select! {
            () = store.closed.cancelled() => return,
            ended = listen(&store, &mut pause, &mut is_first) => ended,
        };
        tracing::warn!(error = %ended, "the log's announcements cannot be heard; trying again");
        tokio::select! {
            () = store.closed.cancelled() => return,
            () = sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
        }
    }
}

/// Listens until the connection fails, and says why it did.
async fn listen(store: &Arc<Store>, pause: &mut Duration, is_first: &mut bool) -> TransportError {
    let session = {
        let store = Arc::clone(store);
        let config = store.config.clone();
        Session::open(&config, Some(Arc::new(move |notification| hear(&store, &notification)))).await
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => return error,
    };
    let fail = |fault| match fault {
        Fault::Engine(error) => translate(&error, "cannot listen"),
        Fault::Answer(error) => error,
    };
    // Heard from here on; then what came before is looked for.
    let listen = format!("LISTEN \"{}\"", store.config.channel());
    if let Err(error) = session.client.batch_execute(&listen).await {
        return translate(&error, "cannot listen");
    }
    if let Err(fault) = store.continuity.check(&session, &store.sql).await {
        return fail(fault);
    }
    *pause = FIRST_PAUSE;
    if !std::mem::take(is_first) {
        // Tails and leases may wait on connections that were lost as this one was.
        store.pool.renew();
        store.urgent.renew();
    }
    loop {
        match timeout(HEARTBEAT_PATIENCE, continuity::head(&session, &store.sql)).await {
            Ok(Ok((head, _))) => tell(store, head.position.0),
            Ok(Err(fault)) => return fail(fault),
            Err(_) => return TransportError::unavailable("the server does not answer"),
        }
        tokio::select! {
            () = session.closed() => return TransportError::unavailable("the server ended the connection"),
            () = sleep(HEARTBEAT) => {}
        }
    }
}

fn hear(store: &Store, notification: &Notification) {
    // What this node's writer appends goes to its tails directly.
    if notification.process_id() == store.writer_backend.load(std::sync::atomic::Ordering::Acquire) {
        return;
    }
    match notification.payload().parse() {
        Ok(position) => tell(store, position),
        Err(_) => tracing::debug!("an announcement that is none"),
    }
}

fn tell(store: &Store, position: u64) {
    store.heard.send_if_modified(|heard| std::mem::replace(heard, position) != position);
}
