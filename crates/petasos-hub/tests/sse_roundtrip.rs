//! S11: whatever data is published, an SSE parser reads it back, and reads nothing else.

use petasos_hub::{Update, sse};
use petasos_testkit::sse::{Event, Item, Parser};
use proptest::prelude::*;

/// Data with many line breaks, colons, spaces and field names among everything else.
fn data() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\0".to_owned()),
        Just(" ".to_owned()),
        Just(":".to_owned()),
        Just("\u{2028}".to_owned()),
        Just("\u{85}".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("data: x".to_owned()),
        Just("id: evil".to_owned()),
        Just("event: evil".to_owned()),
        Just("retry: 1".to_owned()),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What P09 and P10 let through: no C0, DEL, C1.
fn clean_text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}\\p{Cf}#]{1,20}"
}

fn update() -> impl Strategy<Value = Update> {
    (clean_text(), data(), prop::option::of(clean_text()), prop::option::of(any::<u64>())).prop_map(
        |(id, data, kind, retry_ms)| Update::from_stored(id, vec!["t".into()], data, false, kind, retry_ms),
    )
}

/// What a browser would make of it.
fn expected(update: &Update) -> Event {
    // A leading space is a value's own: the parser drops the one that the encoder adds.
    Event {
        id: update.id().to_owned(),
        kind: update.event_type().unwrap_or_default().to_owned(),
        data: update.data().replace("\r\n", "\n").replace('\r', "\n"),
        retry_ms: update.retry_ms(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s11_any_update_survives_encoding_and_parsing(update in update()) {
        let mut parser = Parser::default();
        let items = parser.feed(&sse::encode(&update));
        prop_assert_eq!(items, vec![Item::Event(expected(&update))]);
        prop_assert!(parser.is_between_items());
    }

    #[test]
    fn s11_events_are_told_apart_however_the_bytes_are_cut(
        updates in prop::collection::vec(update(), 1..6),
        cut_bytes in 1_usize..40,
    ) {
        let bytes: Vec<u8> =
            updates.iter().flat_map(|update| [&sse::encode(update)[..], sse::HEARTBEAT].concat()).collect();
        let mut parser = Parser::default();
        let items: Vec<Item> = bytes.chunks(cut_bytes).flat_map(|chunk| parser.feed(chunk)).collect();
        let expected: Vec<Item> = updates
            .iter()
            .flat_map(|update| [Item::Event(expected(update)), Item::Comment(String::new())])
            .collect();
        prop_assert_eq!(items, expected);
    }
}
