//! Reading the log: its head, an id, a run of events.

use std::io;

use redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection, from_redis_value};

use super::{
    Engine,
    entry::{self, Entries},
    error::{unexpected, wrong_log},
};
use crate::transport::{Head, Page, Position, ReadLimit, TransportError};

/// See [`crate::transport::Transport::head`].
pub(super) async fn head(engine: &Engine) -> Result<Head, TransportError> {
    let state = engine
        .ask(|mut connection| async move {
            let mut command = redis::cmd("HMGET");
            command.arg(&engine.keys.state).arg("position").arg("id");
            command.query_async::<Vec<Option<String>>>(&mut connection).await
        })
        .await?;
    Ok(read_head(engine, state))
}

/// The head, from `position` and `id` of the state.
pub(super) fn read_head(engine: &Engine, state: Vec<Option<String>>) -> Head {
    let mut state = state.into_iter();
    let position = state.next().flatten().and_then(|text| text.parse().ok()).unwrap_or_default();
    let id = state.next().flatten().filter(|id| !id.is_empty());
    engine.saw(Position(position));
    Head { position: Position(position), id }
}

/// See [`crate::transport::Transport::find`].
pub(super) async fn find(engine: &Engine, id: &str) -> Result<Option<Position>, TransportError> {
    let found = engine
        .ask(|mut connection| async move {
            let mut command = redis::cmd("HGET");
            command.arg(&engine.keys.ids).arg(id);
            command.query_async::<Option<String>>(&mut connection).await
        })
        .await?;
    let Some(found) = found else { return Ok(None) };
    let first = found.split(' ').next().and_then(|text| text.parse().ok());
    first.map(|position| Some(Position(position))).ok_or_else(|| unexpected("an id"))
}

/// See [`crate::transport::Transport::read`].
pub(super) async fn page(
    engine: &Engine,
    after: Position,
    until: Position,
    limit: ReadLimit,
) -> Result<Page, TransportError> {
    if until <= after {
        return Ok(Page { next: after, ..Page::default() });
    }
    // Few at a time: what they bring waits in the memory of the server and of this process.
    let _turn = engine.turns.acquire().await.map_err(|_| TransportError::closed())?;
    let look = look(engine, after, until, limit).await?;
    // From the very beginning nothing is missing as long as nothing was discarded.
    let start = if after == Position::START { look.base } else { after };
    let mut page = Page { next: after.max(look.floor), truncated: start < look.floor, ..Page::default() };
    if let Some(last) = look.entries.events.last() {
        page.next = last.position;
    } else if let Some((_, error)) = look.entries.damage {
        // What comes before it was served; who reads on is told.
        return Err(error);
    }
    if look.is_exhausted && look.entries.damage.is_none() {
        page.next = page.next.max(until.min(look.head));
    }
    page.events = look.entries.events;
    Ok(page)
}

/// What there is at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) entries: Entries,
    pub(super) head: Position,
    pub(super) floor: Position,
    base: Position,
    /// There is nothing more up to where it looked.
    pub(super) is_exhausted: bool,
}

/// Reads events that are kept.
pub(super) async fn look(
    engine: &Engine,
    after: Position,
    until: Position,
    limit: ReadLimit,
) -> Result<Look, TransportError> {
    let arguments = page_arguments(after, until, limit, false);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    read_look(engine, engine.run_on(&engine.pages, &engine.programs.page, &arguments).await?)
}

/// The arguments of the script; `discarded`: also what is in the stream although it was discarded.
pub(super) fn page_arguments(
    after: Position,
    until: Position,
    limit: ReadLimit,
    discarded: bool,
) -> [String; 5] {
    // Scripts count in floating point.
    let bounded = |bound: usize| bound.min(1 << 50).to_string();
    let discarded = u8::from(discarded).to_string();
    [after.to_string(), until.to_string(), bounded(limit.events.max(1)), bounded(limit.bytes), discarded]
}

/// The answer of the script.
pub(super) fn read_look(engine: &Engine, answer: Value) -> Result<Look, TransportError> {
    let Value::Array(parts) = answer else { return Err(unexpected("the log")) };
    let mut parts = parts.into_iter();
    let mut next = || parts.next().ok_or_else(|| unexpected("the log"));
    if next()? != Value::Int(0) {
        let problem = from_redis_value::<String>(next()?).unwrap_or_default();
        return Err(wrong_log(&problem, &engine.config.prefix));
    }
    let mut number = || from_redis_value::<u64>(next()?).map_err(|_| unexpected("the log"));
    let (head, floor, base, is_exhausted) = (number()?, number()?, number()?, number()?);
    let entries = entry::decode(next()?)?;
    Ok(Look {
        entries,
        head: Position(head),
        floor: Position(floor),
        base: Position(base),
        is_exhausted: is_exhausted == 1,
    })
}

/// Sends commands together, not as a transaction: a server that is out of memory refuses those even for reading.
pub(super) async fn ask_all<const N: usize>(
    connection: &mut MultiplexedConnection,
    pipeline: &mut Pipeline,
) -> RedisResult<[Value; N]> {
    pipeline.ignore_errors();
    let answers = pipeline.query_async::<Vec<Value>>(connection).await?;
    let answers = answers.into_iter().map(Value::extract_error).collect::<RedisResult<Vec<_>>>()?;
    answers.try_into().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof).into())
}
