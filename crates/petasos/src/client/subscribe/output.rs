//! How an event is printed.

use std::io::{self, Write};

use serde::Serialize;

use crate::client::{answer::is_bidi_control, sse::Event};

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: id and type, then the data, indented. Control characters are shown as their code
    #[default]
    Text,
    /// One JSON object per line with the members id, type and data
    Json,
    /// The data as it is, and a line feed
    Data,
}

#[derive(Serialize)]
struct JsonEvent<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    data: &'a str,
}

impl Format {
    /// Writes one event, in one piece as far as the output allows, and flushes it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(self, event: &Event, output: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(event.data.len() + event.id.len() + 64);
        match self {
            Self::Text => text(event, &mut bytes),
            Self::Json => {
                let event_type = if event.event_type.is_empty() { "message" } else { &event.event_type };
                serde_json::to_writer(
                    &mut bytes,
                    &JsonEvent { id: &event.id, event_type, data: &event.data },
                )?;
                bytes.push(b'\n');
            }
            Self::Data => {
                bytes.extend_from_slice(event.data.as_bytes());
                bytes.push(b'\n');
            }
        }
        output.write_all(&bytes)?;
        output.flush()
    }
}

fn text(event: &Event, bytes: &mut Vec<u8>) {
    let mut shown = visible(&event.id);
    if !event.event_type.is_empty() {
        shown.push_str(&format!(" ({})", visible(&event.event_type)));
    }
    shown.push('\n');
    for line in event.data.split('\n') {
        shown.push_str("  ");
        shown.push_str(&visible(line));
        shown.push('\n');
    }
    bytes.extend_from_slice(shown.as_bytes());
}

/// Whoever may publish must not be able to steer the terminal of whoever reads.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\t' && (character.is_control() || is_bidi_control(character)) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, id: &str, event_type: &str, data: &str) -> String {
        let mut output = Vec::new();
        let event = Event { id: id.into(), event_type: event_type.into(), data: data.into() };
        format.write(&event, &mut output).expect("memory takes everything");
        String::from_utf8(output).expect("text")
    }

    #[test]
    fn text_is_for_people() {
        assert_eq!(printed(Format::Text, "urn:x:1", "tick", "a\n b\n"), "urn:x:1 (tick)\n  a\n   b\n  \n");
        assert_eq!(
            printed(Format::Text, "1", "", "\u{1b}[2J\t\u{202e}\u{7}"),
            "1\n  \\u{1b}[2J\t\\u{202e}\\u{7}\n"
        );
    }

    #[test]
    fn json_is_one_line_whatever_the_data() {
        assert_eq!(
            printed(Format::Json, "1", "", "a\n\"b\"\u{1b}"),
            "{\"id\":\"1\",\"type\":\"message\",\"data\":\"a\\n\\\"b\\\"\\u001b\"}\n"
        );
    }

    #[test]
    fn data_is_left_as_it_is() {
        assert_eq!(printed(Format::Data, "1", "tick", "a\u{1b}\n b"), "a\u{1b}\n b\n");
    }
}
