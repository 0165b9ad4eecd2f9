//! The bytes of an event and of a subscription in engines that store bytes: Redis and JetStream. PostgreSQL has columns.
//!
//! An event is a version, when it was appended, its fields with their lengths, and a checksum of all that. Numbers are
//! little-endian. Positions are not among them: the engine gives them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Update,
    topic::MatchType,
    transport::{ErrorKind, NodeId, Position, StoredEvent, SubscriptionRecord, TransportError},
};

/// The first byte. Another one is of a later version of this program.
const VERSION: u8 = 1;

const PRIVATE: u8 = 1;
const TYPED: u8 = 2;
const RETRY: u8 = 4;

/// Encodes an event appended at this time, in milliseconds since the Unix epoch.
pub(in crate::transport) fn encode_event(at_ms: u64, update: &Update) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + update.id().len() + update.weight_bytes());
    let mut flags = 0;
    for (flag, is_set) in [
        (PRIVATE, update.is_private()),
        (TYPED, update.event_type().is_some()),
        (RETRY, update.retry_ms().is_some()),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    bytes.extend([VERSION, flags]);
    bytes.extend(at_ms.to_le_bytes());
    bytes.extend(update.retry_ms().unwrap_or_default().to_le_bytes());
    let topics = update.topics();
    bytes.extend((topics.len() as u64).to_le_bytes());
    for text in [update.id(), update.event_type().unwrap_or_default(), update.data()]
        .into_iter()
        .chain(topics.iter().map(String::as_str))
    {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// The reverse of [`encode_event`].
///
/// # Errors
/// [`ErrorKind::Corrupt`] where the bytes are not what was stored: they are never served, and never skipped silently.
pub(in crate::transport) fn decode_event(
    position: Position,
    bytes: &[u8],
) -> Result<StoredEvent, TransportError> {
    decode(position, bytes).ok_or_else(|| {
        TransportError::new(
            ErrorKind::Corrupt,
            format!("the event at position {position} is not what was stored: it is damaged, or of a later version"),
        )
    })
}

fn decode(position: Position, bytes: &[u8]) -> Option<StoredEvent> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut rest = body;
    let [version, flags] = take(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let at_ms = u64::from_le_bytes(take(&mut rest)?);
    let retry_ms = u64::from_le_bytes(take(&mut rest)?);
    let topics = u64::from_le_bytes(take(&mut rest)?);
    let (id, event_type, data) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    let topics = (0..topics).map(|_| text(&mut rest)).collect::<Option<Vec<_>>>()?;
    let is_set = |flag| flags & flag != 0;
    let update = Update::from_stored(
        id,
        topics,
        data,
        is_set(PRIVATE),
        is_set(TYPED).then_some(event_type),
        is_set(RETRY).then_some(retry_ms),
    );
    rest.is_empty().then(|| StoredEvent { position, at_ms, update: Arc::new(update) })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    String::from_utf8(head.to_vec()).ok()
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    node: String,
    subscriber: String,
    match_type: String,
    match_value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// A subscription as JSON, readable in any client of the engine.
pub(in crate::transport) fn encode_record(record: &SubscriptionRecord) -> String {
    let stored = StoredRecord {
        node: uuid::Uuid::from_u128(record.node.0).to_string(),
        subscriber: record.subscriber.to_string(),
        match_type: record.match_type.as_str().to_owned(),
        match_value: record.match_value.to_string(),
        payload: record.payload.as_deref().map(str::to_owned),
    };
    // Only strings: there is nothing that JSON could not say.
    serde_json::to_string(&stored).unwrap_or_default()
}

/// The reverse of [`encode_record`].
///
/// # Errors
/// [`ErrorKind::Corrupt`] for anything else.
pub(in crate::transport) fn decode_record(json: &[u8]) -> Result<SubscriptionRecord, TransportError> {
    let read = || {
        let stored: StoredRecord = serde_json::from_slice(json).ok()?;
        Some(SubscriptionRecord {
            node: NodeId(uuid::Uuid::parse_str(&stored.node).ok()?.as_u128()),
            subscriber: stored.subscriber.into(),
            match_type: MatchType::from_stored(&stored.match_type)?,
            match_value: stored.match_value.into(),
            payload: stored.payload.map(Into::into),
        })
    };
    read().ok_or_else(|| TransportError::new(ErrorKind::Corrupt, "a stored subscription cannot be read"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_comes_back_as_it_was(
            id in ".{1,20}",
            topics in prop::collection::vec(".{0,20}", 0..4),
            data in ".{0,50}",
            private: bool,
            event_type in prop::option::of(".{0,5}"),
            retry_ms: Option<u64>,
            at_ms: u64,
        ) {
            let update = Update::from_stored(id, topics, data, private, event_type, retry_ms);
            let event = decode_event(Position(3), &encode_event(at_ms, &update)).expect("sound");
            prop_assert_eq!((event.position, event.at_ms), (Position(3), at_ms));
            prop_assert_eq!(&*event.update, &update);
        }

        #[test]
        fn damage_is_noticed(place in 0_usize..60, bit in 0_u8..8) {
            let update = Update::from_stored("i".into(), vec!["t".into()], "data".into(), true, None, None);
            let mut bytes = encode_event(1, &update);
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(decode_event(Position(1), &bytes).expect_err("damaged").kind(), ErrorKind::Corrupt);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_event(Position(1), &bytes);
            let _ = decode_record(&bytes);
        }
    }

    #[test]
    fn a_subscription_comes_back_as_it_was() {
        let record = SubscriptionRecord {
            node: NodeId::random(),
            subscriber: "urn:uuid:1".into(),
            match_type: MatchType::UrlPattern,
            match_value: "https://a/*".into(),
            payload: Some("{\"a\":1}".into()),
        };
        assert_eq!(decode_record(encode_record(&record).as_bytes()).expect("sound"), record);
    }
}
