//! Entries of the stream, as the server answers them.

use redis::Value;

use super::error::unexpected;
use crate::transport::{Position, StoredEvent, TransportError, remote::wire};

/// Events in order, up to the first that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) events: Vec<StoredEvent>,
    pub(super) damage: Option<(Position, TransportError)>,
}

impl Entries {
    /// How many there are, with the damaged one.
    pub(super) fn len(&self) -> usize {
        self.events.len() + usize::from(self.damage.is_some())
    }
}

/// The entries of an `XRANGE` or of one stream of an `XREAD`.
pub(super) fn decode(entries: Value) -> Result<Entries, TransportError> {
    let mut decoded = Entries::default();
    match entries {
        Value::Nil => {}
        Value::Array(entries) => {
            for value in entries {
                let (position, bytes) = entry(value).ok_or_else(|| unexpected("events"))?;
                match wire::decode_event(position, &bytes) {
                    Ok(event) => decoded.events.push(event),
                    Err(error) => {
                        decoded.damage = Some((position, error));
                        break;
                    }
                }
            }
        }
        _ => return Err(unexpected("events")),
    }
    Ok(decoded)
}

/// The entries of an `XREAD` of one stream; none where it waited in vain.
pub(super) fn decode_read(answer: Value) -> Result<Entries, TransportError> {
    let Value::Array(mut streams) = answer else { return decode(answer) };
    match streams.pop() {
        None => Ok(Entries::default()),
        Some(Value::Array(mut stream)) => decode(stream.pop().unwrap_or_default()),
        Some(_) => Err(unexpected("events")),
    }
}

/// The position and the bytes of one entry. One that somebody else has put into the stream has no bytes of ours.
fn entry(value: Value) -> Option<(Position, Vec<u8>)> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let (Some(Value::BulkString(id)), Some(Value::Array(fields))) = (parts.next(), parts.next()) else {
        return None;
    };
    let position = str::from_utf8(&id).ok()?.split_once('-')?.0.parse().ok()?;
    match fields.into_iter().nth(1) {
        Some(Value::BulkString(bytes)) => Some((Position(position), bytes)),
        _ => Some((Position(position), Vec::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn stored(id: &str, bytes: Vec<u8>) -> Value {
        Value::Array(vec![
            text(id),
            Value::Array(vec![text("e"), Value::BulkString(bytes), text("w"), text("5")]),
        ])
    }

    #[test]
    fn entries_are_read_up_to_a_damaged_one() {
        let update =
            crate::Update::from_stored("i".into(), vec!["t".into()], "data".into(), false, None, None);
        let bytes = wire::encode_event(1, &update);
        let stream = Value::Array(vec![
            stored("7-0", bytes.clone()),
            stored("8-0", b"x".to_vec()),
            stored("9-0", bytes),
        ]);
        let entries =
            decode_read(Value::Array(vec![Value::Array(vec![text("log"), stream])])).expect("entries");
        assert_eq!(entries.events.iter().map(|event| event.position).collect::<Vec<_>>(), [Position(7)]);
        assert_eq!(entries.damage.as_ref().map(|(position, _)| *position), Some(Position(8)));
        assert_eq!(entries.len(), 2);
        assert_eq!(decode_read(Value::Nil).expect("nothing").len(), 0);
        assert!(decode(Value::Int(1)).is_err());
        assert!(decode(Value::Array(vec![text("x")])).is_err());
    }
}
