//! The bytes of an event on the wire. Pure.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Update;

/// The keep-alive comment, exactly this (S09): with a blank line behind it, several libraries dispatch an empty event
/// (C02).
pub const HEARTBEAT: &[u8] = b":\n";

/// Encodes an update (S11): `id`, `event` and `retry` if given, one `data:` line per line of data, a blank line.
///
/// Lines of data end at CR, LF and CRLF and nowhere else, so that data can never inject a field and everything but the
/// spelling of its line breaks arrives as published.
pub fn encode(update: &Update) -> Bytes {
    // Enough for the field names and a few lines of data; more lines make it grow.
    let mut out = BytesMut::with_capacity(update.weight_bytes() + update.id().len() + 64);
    out.put_slice(b"id: ");
    out.put_slice(update.id().as_bytes());
    out.put_u8(b'\n');
    if let Some(name) = update.event_type() {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_u8(b'\n');
    }
    if let Some(retry_ms) = update.retry_ms() {
        out.put_slice(format!("retry: {retry_ms}\n").as_bytes());
    }
    for line in lines(update.data()) {
        out.put_slice(b"data: ");
        out.put_slice(line.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
    out.freeze()
}

/// Splits at CR, LF and CRLF. The empty text is one empty line, and so is what follows a final line break.
fn lines(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.bytes().position(|byte| byte == b'\r' || byte == b'\n') {
            None => {
                rest = None;
                Some(text)
            }
            Some(at) => {
                let break_bytes = if text[at..].starts_with("\r\n") { 2 } else { 1 };
                rest = Some(&text[at + break_bytes..]);
                Some(&text[..at])
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(data: &str) -> Update {
        Update {
            id: "urn:x:1".into(),
            topics: vec!["t".into()],
            data: data.into(),
            private: false,
            event_type: None,
            retry_ms: None,
        }
    }

    #[test]
    fn s11_data_is_split_at_every_kind_of_line_break_and_at_nothing_else() {
        let encoded = encode(&update("a\rb\nc\r\nd\n\re\u{2028}f\u{85}g\u{b}h"));
        assert_eq!(
            encoded,
            "id: urn:x:1\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\u{2028}f\u{85}g\u{b}h\n\n"
        );
    }

    #[test]
    fn s11_an_update_without_data_has_an_empty_data_line() {
        assert_eq!(encode(&update("")), "id: urn:x:1\ndata: \n\n");
    }

    #[test]
    fn s11_leading_spaces_and_trailing_breaks_are_kept() {
        assert_eq!(encode(&update(" a\n")), "id: urn:x:1\ndata:  a\ndata: \n\n");
    }

    #[test]
    fn s11_type_and_retry_come_between_id_and_data() {
        let update = Update { event_type: Some("tick".into()), retry_ms: Some(1500), ..update("x") };
        assert_eq!(encode(&update), "id: urn:x:1\nevent: tick\nretry: 1500\ndata: x\n\n");
    }
}
