//! S11: what is encoded is read back by a parser of the standard, and the program's own client reads any bytes the way
//! that parser does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use petasos::client::sse::{Item as ClientItem, MAX_EVENT_BYTES, Parser as ClientParser};
use petasos_hub::{Update, sse};
use petasos_testkit::sse::{Item, Parser};

fuzz_target!(|input: (&str, u64, bool)| {
    let (data, retry_ms, with_retry) = input;
    let update = Update::from_stored(
        "urn:x:1".into(),
        vec!["t".into()],
        data.to_owned(),
        false,
        Some("kind".into()),
        with_retry.then_some(retry_ms),
    );
    let bytes = sse::encode(&update);
    let expected = data.replace("\r\n", "\n").replace('\r', "\n");
    let items = Parser::default().feed(&bytes);
    let [Item::Event(event)] = &items[..] else { panic!("not one event: {items:?}") };
    assert_eq!((event.id.as_str(), event.kind.as_str(), &event.data), ("urn:x:1", "kind", &expected));
    assert_eq!(event.retry_ms, with_retry.then_some(retry_ms));

    // Any text as a stream, whole and byte by byte.
    let events: Vec<String> = Parser::default().feed(data.as_bytes()).into_iter().filter_map(data_of).collect();
    let mut client = ClientParser::after("", MAX_EVENT_BYTES);
    data.bytes().for_each(|byte| client.feed(&[byte]));
    let mut seen = Vec::new();
    while let Some(item) = client.next_item() {
        if let ClientItem::Event(event) = item {
            seen.push(event.data);
        }
    }
    assert_eq!(seen, events);
});

fn data_of(item: Item) -> Option<String> {
    match item {
        Item::Event(event) => Some(event.data),
        Item::Comment(_) => None,
    }
}
