//! One group of appends: the call of the script, and what its answer means. A group has a writer and a number, by which the
//! server knows it again: one whose answer was lost is stored once, and one that comes late is refused.

use std::collections::HashMap;

use redis::{Cmd, ToRedisArgs, Value};

use super::{Engine, error::unexpected, server::Server};
use crate::{
    Update,
    transport::{
        Position, PresenceChange, Retention, StoredEvent, SubscriptionRecord, TransportError,
        remote::wire::{encode_event, encode_record},
    },
};

/// What an entry costs in a call beside its text.
const ENTRY_OVERHEAD_BYTES: usize = 200;

/// A call of the append script that is being put together.
#[derive(Debug)]
pub(super) struct Call {
    command: Cmd,
}

impl Call {
    /// A group without entries: it is numbered and acknowledged like any other.
    pub(super) fn new(engine: &Engine, writer: &str, number: u64, server: &Server, size: usize) -> Self {
        Self::begin(engine.programs.append.call(&engine.keys, size), engine, writer, number, server)
    }

    /// Likewise, for a server that may not know the script.
    pub(super) fn by_text(engine: &Engine, writer: &str, number: u64, server: &Server, size: usize) -> Self {
        Self::begin(engine.programs.append.eval(&engine.keys, size), engine, writer, number, server)
    }

    fn begin(mut command: Cmd, engine: &Engine, writer: &str, number: u64, server: &Server) -> Self {
        // Without replicas to wait for, one that took over may lack what was acknowledged.
        let may_lack = server.was_promoted && engine.config.replicas == 0;
        command.arg(writer).arg(number).arg(engine.seen().0);
        command.arg(&server.run_id).arg(u8::from(may_lack));
        for bound in bounds(engine.config.retention.as_ref()) {
            command.arg(bound);
        }
        Self { command }
    }

    /// What an entry adds to the size.
    pub(super) fn size_of(update: &Update) -> usize {
        update.weight_bytes() + update.id().len() + ENTRY_OVERHEAD_BYTES
    }

    /// An event of another log, with its time there.
    pub(super) fn imported(&mut self, event: &StoredEvent) {
        let bytes = encode_event(event.at_ms, &event.update);
        self.command.arg("I").arg(bytes).arg(event.update.weight_bytes());
    }

    pub(super) fn entry(&mut self, at_ms: u64, update: &Update, presence: Option<&PresenceChange>) {
        let change = match presence {
            None => None,
            Some(PresenceChange::Start(record)) => Some(("S", record)),
            Some(PresenceChange::End(record)) => Some(("E", record)),
        };
        self.command
            .arg(change.map_or("", |(kind, _)| kind))
            .arg(encode_event(at_ms, update))
            .arg(update.weight_bytes());
        if let Some((_, record)) = change {
            self.command.arg(field(record)).arg(stored_record(record));
        }
    }

    pub(super) fn finish(self) -> Cmd {
        self.command
    }
}

/// Which subscription this is: that of one subscriber with one matcher.
fn field(record: &SubscriptionRecord) -> String {
    let (kind, value, subscriber) = (record.match_type.as_str(), &record.match_value, &record.subscriber);
    format!("{kind} {} {subscriber} {value}", subscriber.len())
}

/// The node, so that the scripts need not read JSON, and the record.
fn stored_record(record: &SubscriptionRecord) -> String {
    format!("{}{}", uuid::Uuid::from_u128(record.node.0), encode_record(record))
}

/// How a bound is written where it may be none.
pub(super) fn bounds(retention: Option<&Retention>) -> [u64; 3] {
    retention.map_or([0; 3], |retention| {
        let age_ms = retention.age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1));
        // Scripts count in floating point.
        [retention.events, retention.bytes, age_ms].map(|bound| bound.min(1 << 52))
    })
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    first: u64,
    /// The places of entries that were not stored, in order.
    no_ops: Vec<usize>,
}

impl Outcome {
    /// The position of the last entry stored among these.
    pub(super) fn last_of(&self, entries: std::ops::Range<usize>) -> Option<Position> {
        entries.rev().find_map(|index| {
            let before = self.no_ops.partition_point(|no_op| *no_op < index);
            (self.no_ops.get(before) != Some(&index)).then(|| Position(self.first + (index - before) as u64))
        })
    }
}

/// The answer to an append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Stored {
        outcome: Outcome,
        /// Retention is not done.
        more: bool,
    },
    /// It is not the writer's next group.
    OutOfTurn,
    /// Nothing can be written to this log, for this reason.
    Wrong(String),
}

/// Reads the answer to an append.
pub(super) fn read_answer(value: Value) -> Result<Answer, TransportError> {
    let not_understood = || unexpected("an append");
    let Value::Array(parts) = value else { return Err(not_understood()) };
    let numbers: Vec<u64> = parts
        .iter()
        .map_while(|part| match part {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        })
        .collect();
    match (numbers.as_slice(), parts.get(1)) {
        ([0, first, more, no_ops @ ..], _) if numbers.len() == parts.len() => Ok(Answer::Stored {
            outcome: Outcome {
                first: *first,
                no_ops: no_ops.iter().filter_map(|index| usize::try_from(*index).ok()).collect(),
            },
            more: *more != 0,
        }),
        ([1], _) => Ok(Answer::OutOfTurn),
        ([2], Some(Value::BulkString(problem))) => {
            Ok(Answer::Wrong(String::from_utf8_lossy(problem).into_owned()))
        }
        _ => Err(not_understood()),
    }
}

/// Reads the answer to a settling: what became of the writer's newest groups, or what is wrong with the log.
pub(super) fn read_outcomes(value: Value) -> Result<Result<HashMap<u64, Outcome>, String>, TransportError> {
    let not_understood = || unexpected("what was appended");
    let Value::Array(parts) = value else { return Err(not_understood()) };
    let (Some(Value::Int(code)), Some(Value::BulkString(text))) = (parts.first(), parts.get(1)) else {
        return Err(not_understood());
    };
    let text = String::from_utf8_lossy(text);
    match code {
        0 => {
            let outcomes = text.split(';').filter(|part| !part.is_empty()).map(read_outcome);
            Ok(Ok(outcomes.collect::<Option<_>>().ok_or_else(not_understood)?))
        }
        _ => Ok(Err(text.into_owned())),
    }
}

/// `number:first:no-ops`.
fn read_outcome(text: &str) -> Option<(u64, Outcome)> {
    let mut parts = text.splitn(3, ':');
    let number = parts.next()?.parse().ok()?;
    let first = parts.next()?.parse().ok()?;
    let no_ops = parts.next()?.split(',').filter(|part| !part.is_empty());
    let no_ops = no_ops.map(|index| index.parse().ok()).collect::<Option<_>>()?;
    Some((number, Outcome { first, no_ops }))
}

/// How long replicas and disks may take, shorter than the patience of publishers: a server may sync its disk only once a
/// second.
const WAIT_MS: u64 = 1_150;

/// What must follow a write on its connection before it counts as durable: nothing, or waiting for replicas or disks.
pub(super) fn waiting(engine: &Engine) -> Option<Cmd> {
    let replicas = engine.config.replicas;
    if engine.config.fsync {
        return Some(command("WAITAOF", &[1, u64::from(replicas), WAIT_MS]));
    }
    (replicas > 0).then(|| command("WAIT", &[u64::from(replicas), WAIT_MS]))
}

/// Whether those that were waited for have the write.
pub(super) fn check_wait(engine: &Engine, answer: &Value) -> Result<(), TransportError> {
    let wanted = i64::from(engine.config.replicas);
    let number = |value: Option<&Value>| match value {
        Some(Value::Int(number)) => *number,
        _ => -1,
    };
    let (local, replicas) = match answer {
        Value::Array(parts) => (number(parts.first()), number(parts.get(1))),
        value => (1, number(Some(value))),
    };
    if local < 1 {
        return Err(TransportError::unavailable("the server did not get the update to its disk in time"));
    }
    if replicas < wanted {
        return Err(TransportError::unavailable(format!(
            "{} of the {wanted} replicas asked for (replicas={wanted}) have the update",
            replicas.max(0)
        )));
    }
    Ok(())
}

fn command(name: &str, arguments: &[impl ToRedisArgs]) -> Cmd {
    let mut command = redis::cmd(name);
    for argument in arguments {
        command.arg(argument);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_pass_over_entries_that_were_no_ops() {
        let outcome = Outcome { first: 10, no_ops: vec![0, 2, 3] };
        let positions: Vec<_> =
            (0..6).map(|index| outcome.last_of(index..index + 1).map(|position| position.0)).collect();
        assert_eq!(positions, [None, Some(10), None, None, Some(11), Some(12)]);
        assert_eq!(outcome.last_of(0..4), Some(Position(10)));
        assert_eq!(outcome.last_of(2..4), None);
        assert_eq!(outcome.last_of(4..4), None);
    }

    #[test]
    fn answers_are_read_or_refused() {
        let ints = |numbers: &[i64]| Value::Array(numbers.iter().map(|number| Value::Int(*number)).collect());
        let stored = Answer::Stored { outcome: Outcome { first: 7, no_ops: vec![1] }, more: true };
        assert_eq!(read_answer(ints(&[0, 7, 1, 1])).expect("an answer"), stored);
        assert_eq!(read_answer(ints(&[1])).expect("an answer"), Answer::OutOfTurn);
        let wrong = Value::Array(vec![Value::Int(2), Value::BulkString(b"format".to_vec())]);
        assert_eq!(read_answer(wrong).expect("an answer"), Answer::Wrong("format".into()));
        for odd in [Value::Nil, ints(&[]), ints(&[0]), ints(&[3]), ints(&[0, -1, 0])] {
            assert!(read_answer(odd).is_err());
        }
    }

    #[test]
    fn outcomes_are_read_or_refused() {
        let settled =
            |text: &str| read_outcomes(Value::Array(vec![Value::Int(0), Value::BulkString(text.into())]));
        let outcomes = settled("5:40:0,2;4:39:").expect("outcomes").expect("a sound log");
        assert_eq!(outcomes.get(&5), Some(&Outcome { first: 40, no_ops: vec![0, 2] }));
        assert_eq!(outcomes.get(&4), Some(&Outcome { first: 39, no_ops: Vec::new() }));
        assert!(settled("").expect("outcomes").expect("a sound log").is_empty());
        assert!(settled("5:x:").is_err());
        assert!(read_outcomes(Value::Nil).is_err());
    }
}
