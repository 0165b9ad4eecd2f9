//! The event stream parser against the standard's examples, and against itself at every way of cutting the bytes.

use proptest::prelude::*;

use super::*;

fn items_of(chunks: &[&[u8]]) -> (Vec<Item>, String) {
    let mut parser = Parser::after("", MAX_EVENT_BYTES);
    let mut items = Vec::new();
    for chunk in chunks {
        parser.feed(chunk);
        while let Some(item) = parser.next_item() {
            items.push(item);
        }
    }
    (items, parser.last_event_id().to_owned())
}

fn events_of(stream: &str) -> Vec<(String, String, String)> {
    let (items, _) = items_of(&[stream.as_bytes()]);
    items
        .into_iter()
        .map(|item| match item {
            Item::Event(event) => (event.id, event.event_type, event.data),
            other => panic!("{other:?} where only events were expected"),
        })
        .collect()
}

fn event(id: &str, event_type: &str, data: &str) -> (String, String, String) {
    (id.into(), event_type.into(), data.into())
}

#[test]
fn several_data_lines_are_joined_with_line_feeds() {
    assert_eq!(events_of("data: YHOO\ndata: +2\ndata: 10\n\n"), [event("", "", "YHOO\n+2\n10")]);
}

#[test]
fn an_id_stays_in_force_until_another_comes_and_an_empty_one_resets_it() {
    let stream =
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    assert_eq!(
        events_of(stream),
        [event("1", "", "first event"), event("", "", "second event"), event("", "", " third event")]
    );
    assert_eq!(events_of("id: 7\ndata: a\n\ndata: b\n\n"), [event("7", "", "a"), event("7", "", "b")]);
}

#[test]
fn an_event_without_a_data_line_is_not_dispatched_but_moves_the_cursor() {
    let (items, last) = items_of(&[b"id: 5\nevent: x\n\n"]);
    assert_eq!((items, last.as_str()), (vec![], "5"));
    assert_eq!(
        events_of("event: x\n\ndata: a\n\n"),
        [event("", "", "a")],
        "the type does not leak into the next"
    );
}

#[test]
fn an_empty_data_line_is_an_event() {
    assert_eq!(events_of("data\n\ndata\ndata\n\ndata:"), [event("", "", ""), event("", "", "\n")]);
}

#[test]
fn one_space_after_the_colon_is_dropped_and_no_more() {
    assert_eq!(
        events_of("data:test\n\ndata: test\n\ndata:  test\n\n").into_iter().map(|e| e.2).collect::<Vec<_>>(),
        ["test", "test", " test"]
    );
}

#[test]
fn an_event_that_is_not_complete_at_the_end_is_dropped_and_its_id_with_it() {
    let (items, last) = items_of(&[b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]);
    assert_eq!(items.len(), 1);
    assert_eq!(last, "1");
}

#[test]
fn an_id_with_nul_is_ignored_and_so_are_retry_values_that_are_no_digits() {
    let (items, last) = items_of(&[b"id: a\nid: b\0\nretry: 1500\nretry: -1\nretry: 5s\nretry\ndata\n\n"]);
    assert_eq!(last, "a");
    assert_eq!(items, [Item::Retry(1500), Item::Event(Event { id: "a".into(), ..Event::default() })]);
}

#[test]
fn every_kind_of_line_end_counts_once_wherever_the_chunks_are_cut() {
    let expected = vec![Item::Event(Event { data: "a\nb".into(), ..Event::default() })];
    for stream in ["data: a\r\ndata: b\r\n\r\n", "data: a\rdata: b\r\r", "data: a\ndata: b\n\n"] {
        for cut in 0..=stream.len() {
            let (left, right) = stream.as_bytes().split_at(cut);
            assert_eq!(items_of(&[left, right]).0, expected, "{stream:?} cut at {cut}");
        }
    }
}

#[test]
fn a_carriage_return_ends_an_event_without_waiting_for_the_next_byte() {
    assert_eq!(items_of(&[b"data: a\r\r"]).0.len(), 1);
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_beginning_only() {
    assert_eq!(events_of("\u{feff}data: a\n\n\u{feff}data: b\n\n"), [event("", "", "a")]);
    let mark_in_pieces: [&[u8]; 4] = [b"\xEF", b"\xBB", b"\xBF", b"data: a\n\n"];
    assert_eq!(items_of(&mark_in_pieces).0.len(), 1);
    let no_mark: [&[u8]; 2] = [b"\xEF\xBB", b"data: a\ndata: b\n\n"];
    assert_eq!(items_of(&no_mark).0, [Item::Event(Event { data: "b".into(), ..Event::default() })]);
}

#[test]
fn bytes_that_are_no_utf_8_become_replacement_characters() {
    assert_eq!(
        items_of(&[b"data: a\xFFb\n\n"]).0,
        [Item::Event(Event { data: "a\u{fffd}b".into(), ..Event::default() })]
    );
}

#[test]
fn an_event_over_the_bound_is_left_out_and_the_stream_goes_on_behind_it() {
    let long = "x".repeat(100);
    for stream in [
        format!("id: 1\ndata: {long}\n\nid: 2\ndata: b\n\n"),
        format!("id: 1\n{}\nid: 2\ndata: b\n\n", "data: 0123456789\n".repeat(10)),
    ] {
        for size in [1, 7, 1000] {
            let mut parser = Parser::after("", 64);
            let mut items = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                parser.feed(chunk);
                assert!(parser.line.len() + parser.data.len() <= 64);
                items.extend(std::iter::from_fn(|| parser.next_item()));
            }
            assert_eq!(
                items,
                [
                    Item::Oversized { id: "1".into() },
                    Item::Event(Event { id: "2".into(), event_type: String::new(), data: "b".into() }),
                ]
            );
        }
    }
}

#[test]
fn a_long_comment_harms_nothing() {
    let mut parser = Parser::after("", 16);
    parser.feed(format!("data: a\n:{}\n\n", "x".repeat(100)).as_bytes());
    assert_eq!(parser.next_item(), Some(Item::Event(Event { data: "a".into(), ..Event::default() })));
}

/// Streams made of what a parser may stumble over, joined at random.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(&b"\n"[..]),
        2 => Just(&b"\r"[..]),
        3 => Just(&b"\r\n"[..]),
        1 => Just(&b"\n\n"[..]),
        2 => Just(&b"data"[..]),
        3 => Just(&b"data: x"[..]),
        1 => Just(&b"data:"[..]),
        1 => Just(&b"id: 1"[..]),
        1 => Just(&b"id: \0"[..]),
        1 => Just(&b"event: e"[..]),
        1 => Just(&b"retry: 10"[..]),
        1 => Just(&b":"[..]),
        1 => Just(&b" "[..]),
        1 => Just(&b"\xEF\xBB\xBF"[..]),
        1 => Just("\u{e9}\u{1f600}".as_bytes()),
        1 => Just(&b"\xC3"[..]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// The standard, read literally on the whole text at once.
fn by_the_book(bytes: &[u8]) -> (Vec<Item>, String) {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut items, mut last, mut id) = (Vec::new(), String::new(), String::new());
    let (mut data, mut event_type) = (String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            last.clone_from(&id);
            if let Some(data) = data.strip_suffix('\n') {
                items.push(Item::Event(Event {
                    id: id.clone(),
                    event_type: event_type.clone(),
                    data: data.into(),
                }));
            }
            data.clear();
            event_type.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data = data + value + "\n",
            "event" => event_type = value.into(),
            "id" if !value.contains('\0') => id = value.into(),
            "retry" => items.extend(value.parse().ok().map(Item::Retry)),
            _ => {}
        }
    }
    (items, last)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_result_is_the_standards_however_the_bytes_are_cut(
        stream in streams(),
        cuts in prop::collection::vec(0usize..200, 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.sort_unstable();
        let mut chunks: Vec<&[u8]> = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(&stream[from..cut]);
            from = cut;
        }
        chunks.push(&stream[from..]);
        let expected = by_the_book(&stream);
        prop_assert_eq!(&items_of(&chunks), &expected);
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(items_of(&single), expected);
    }

    #[test]
    fn any_bytes_at_all_are_taken_within_the_bound(stream in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut parser = Parser::after("", 32);
        for chunk in stream.chunks(3) {
            parser.feed(chunk);
            // A byte that is no UTF-8 becomes three.
            prop_assert!(parser.line.len() + parser.data.len() <= 3 * 32 + 1);
        }
    }
}
