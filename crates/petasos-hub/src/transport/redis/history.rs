//! Looking after a log by hand: what is kept, importing, discarding. Safe while hubs run on it.

use std::time::Duration;

use redis::{Value, from_redis_value};

use super::{
    Engine, entry,
    error::{translate, unexpected, wrong_log},
    group::{self, Answer, Call},
    maintain,
    read::{ask_all, look},
    writer,
};
use crate::transport::{LogStats, Position, ReadLimit, StoredEvent, TransportError, Verification};

/// How long the server may take for one piece of an import.
const IMPORT_PATIENCE: Duration = Duration::from_secs(60);

/// See [`crate::transport::Transport::stats`].
pub(super) async fn stats(engine: &Engine) -> Result<LogStats, TransportError> {
    let [state, newest] = engine
        .ask(|mut connection| async move {
            let mut pipeline = redis::pipe();
            pipeline.cmd("HMGET").arg(&engine.keys.state).arg("events").arg("bytes").arg("floor");
            pipeline.cmd("XREVRANGE").arg(&engine.keys.log).arg("+").arg("-").arg("COUNT").arg(1);
            ask_all(&mut connection, &mut pipeline).await
        })
        .await?;
    let state = from_redis_value::<Vec<Option<u64>>>(state).map_err(|_| unexpected("the log"))?;
    let number = |place: usize| state.get(place).copied().flatten().unwrap_or_default();
    let (events, bytes, floor) = (number(0), number(1), number(2));
    let oldest = engine
        .ask(|mut connection| async move {
            let mut command = redis::cmd("XRANGE");
            command.arg(&engine.keys.log).arg(format!("({floor}-0")).arg("+").arg("COUNT").arg(1);
            command.query_async::<Value>(&mut connection).await
        })
        .await?;
    let kept = |entries: Value| {
        let events = entry::decode(entries)?.events.into_iter();
        Ok::<_, TransportError>(events.filter(|event| event.position.0 > floor).last())
    };
    Ok(LogStats { events, bytes, oldest: kept(oldest)?, newest: kept(newest)?, disk_bytes: None })
}

/// See [`crate::transport::Transport::import`]. One call of the script that appends, as a writer of its own.
pub(super) async fn import(engine: &Engine, events: Vec<StoredEvent>) -> Result<(), TransportError> {
    let name = format!("import {}", uuid::Uuid::now_v7());
    let link = engine.connect(None).await?;
    writer::settle(engine, &link, &name, 0).await.map_err(|failure| failure.error)?.waited?;
    let size = events.iter().map(|event| Call::size_of(&event.update)).sum();
    let mut call = Call::by_text(engine, &name, 1, &link.server, size);
    for event in &events {
        call.imported(event);
    }
    let exchange = writer::exchange(&link, call.finish(), group::waiting(engine), IMPORT_PATIENCE);
    let (answer, waited) = exchange.await;
    match answer.map_err(|error| translate(&error)).and_then(group::read_answer) {
        Ok(Answer::Stored { more, .. }) => {
            if more {
                engine.housekeeping.notify_one();
            }
            group::check_wait(engine, &waited.map_err(|error| translate(&error))?)
        }
        Ok(Answer::OutOfTurn) => Err(unexpected("an import")),
        Ok(Answer::Wrong(problem)) => Err(wrong_log(&problem, &engine.config.prefix)),
        // It may be stored all the same.
        Err(error) => {
            let link = engine.connect(Some(IMPORT_PATIENCE)).await?;
            let settled = writer::settle(engine, &link, &name, 1).await.map_err(|failure| failure.error)?;
            match settled.outcomes.get(&1) {
                Some(_) => settled.waited,
                None => Err(error),
            }
        }
    }
}

/// See [`crate::transport::Transport::discard`].
pub(super) async fn discard(engine: &Engine, until: Position) -> Result<u64, TransportError> {
    maintain::discard(engine, None, until.0, Duration::ZERO).await
}

/// See [`crate::transport::Transport::verify`].
pub(super) async fn verify(engine: &Engine) -> Result<Verification, TransportError> {
    let mut found = Verification::default();
    let mut after = Position::START;
    loop {
        let look = look(engine, after, Position(u64::MAX), ReadLimit::default()).await?;
        found.sound += look.entries.events.len() as u64;
        if let Some(last) = look.entries.events.last() {
            after = last.position;
        }
        match look.entries.damage {
            Some((position, error)) => {
                found.note(error.to_string());
                after = position;
            }
            None if look.is_exhausted || look.entries.events.is_empty() => return Ok(found),
            None => {}
        }
    }
}

/// Whether there is a log, and how many events it keeps.
pub(super) async fn events(engine: &Engine) -> Result<Option<u64>, TransportError> {
    let answer = engine
        .ask(|mut connection| async move {
            let mut command = redis::cmd("HGET");
            command.arg(&engine.keys.state).arg("events");
            command.query_async::<Value>(&mut connection).await
        })
        .await?;
    from_redis_value(answer).map_err(|_| unexpected("the log"))
}
