//! Reading the log: its head, an id, a run of events.

use std::io;

use redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection, from_redis_value};

use super::{
    Engine,
    entry::{self, Entries},
    error::unexpected,
};
use crate::transport::{Head, Page, Position, ReadLimit, TransportError};

/// Entries of the first look, and of any: what a look may bring in bytes is only known by what came before.
const FIRST_ENTRIES: usize = 64;
const MOST_ENTRIES: usize = 1_000;

/// Bytes that one look shall bring at most, as far as that can be foreseen.
const LOOK_BYTES: usize = 1 << 20;

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
    let id = state.next().flatten().filter(|_| position > 0);
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
    let mut page = Page { next: after, ..Page::default() };
    let mut is_first = true;
    let (mut bytes, mut count) = (0, FIRST_ENTRIES);
    while page.next < until {
        let wanted = count.min(limit.events.saturating_sub(page.events.len())).max(1);
        let (floor, look) = look(engine, page.next, until, wanted).await?;
        if page.next < floor {
            if !is_first {
                // Retention has come past: who reads on is told.
                break;
            }
            page.truncated = true;
            page.next = floor;
        }
        is_first = false;
        let (found, mut look_bytes) = (look.len(), 0);
        for event in look.events {
            look_bytes += event.update.weight_bytes();
            if event.position <= floor {
                continue;
            }
            if !page.events.is_empty() && (page.events.len() >= limit.events || bytes >= limit.bytes) {
                return Ok(page);
            }
            bytes += event.update.weight_bytes();
            page.next = event.position;
            page.events.push(event);
        }
        if let Some((position, error)) = look.damage
            && position > floor
        {
            // What comes before it is served; who reads on is told.
            return if page.events.is_empty() { Err(error) } else { Ok(page) };
        }
        if found < wanted || page.events.len() >= limit.events || bytes >= limit.bytes {
            break;
        }
        let average = (look_bytes / found).max(1);
        let room = limit.bytes.saturating_sub(bytes).min(LOOK_BYTES);
        count = (room / average + 1).min(MOST_ENTRIES).min(count * 4);
    }
    Ok(page)
}

/// The floor, and up to `count` events with `after < position <= until`; some may be below the floor.
async fn look(
    engine: &Engine,
    after: Position,
    until: Position,
    count: usize,
) -> Result<(Position, Entries), TransportError> {
    let answer = engine
        .ask(|mut connection| async move {
            // The floor is asked for after the events, so that none that was discarded by then passes for kept, and
            // none that is missing for never having been there.
            let mut pipeline = redis::pipe();
            let range = pipeline.cmd("XRANGE").arg(&engine.keys.log);
            range.arg(format!("({after}-0")).arg(format!("{until}-0")).arg("COUNT").arg(count);
            pipeline.cmd("HGET").arg(&engine.keys.state).arg("floor");
            ask_all(&mut connection, &mut pipeline).await
        })
        .await?;
    let [entries, floor] = answer;
    let floor = from_redis_value::<Option<u64>>(floor).map_err(|_| unexpected("the log"))?;
    Ok((Position(floor.unwrap_or_default()), entry::decode(entries)?))
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
