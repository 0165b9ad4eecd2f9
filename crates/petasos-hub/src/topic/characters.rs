//! The characters of topics: which ones are forbidden (the set F), and how a topic becomes one segment of a path.

use icu_properties::{CodePointMapData, props::GeneralCategory};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986 unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The first character of `text` that no topic, matcher, id or type may contain (the set F): C0, DEL, C1 and general
/// category Cf.
pub fn forbidden_character(text: &str) -> Option<char> {
    // Nearly every topic is printable ASCII, which one pass over the bytes settles.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    text.chars()
        .find(|&character| character.is_control() || categories.get(character) == GeneralCategory::Format)
}

/// Percent-encodes one variable of a subscription topic (E01): everything but RFC 3986 unreserved characters, once.
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// General category Cf of Unicode 17.0, from UnicodeData.
    const FORMAT_CHARACTERS: &[(u32, u32)] = &[
        (0xAD, 0xAD),
        (0x600, 0x605),
        (0x61C, 0x61C),
        (0x6DD, 0x6DD),
        (0x70F, 0x70F),
        (0x890, 0x891),
        (0x8E2, 0x8E2),
        (0x180E, 0x180E),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x2064),
        (0x2066, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0x110BD, 0x110BD),
        (0x110CD, 0x110CD),
        (0x13430, 0x1343F),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
        (0xE0001, 0xE0001),
        (0xE0020, 0xE007F),
    ];

    fn is_in_f(code_point: u32) -> bool {
        matches!(code_point, 0..=0x1F | 0x7F..=0x9F)
            || FORMAT_CHARACTERS.iter().any(|&(first, last)| (first..=last).contains(&code_point))
    }

    /// The Unicode data comes from a dependency that moves on; this notices when the set F would move with it.
    #[test]
    fn p04_the_set_f_is_exactly_c0_del_c1_and_cf_of_unicode_17() {
        for character in '\0'..=char::MAX {
            let expected = is_in_f(character.into()).then_some(character);
            let text = format!("a{character}b");
            assert_eq!(forbidden_character(&text), expected, "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn p04_the_first_forbidden_character_is_named() {
        assert_eq!(forbidden_character("a\u{200b}b\u{7}"), Some('\u{200b}'));
        assert_eq!(forbidden_character("\u{7}\u{200b}"), Some('\u{7}'));
        assert_eq!(forbidden_character("caf\u{e9} \u{1f6b2} \u{2028} \u{a0} \u{fffd}"), None);
        assert_eq!(forbidden_character(""), None);
    }

    #[test]
    fn e01_a_segment_keeps_unreserved_characters_only() {
        assert_eq!(encode_segment("AZaz09-._~"), "AZaz09-._~");
        assert_eq!(
            encode_segment("https://example.com/{id}?a=%20#\u{e9}"),
            "https%3A%2F%2Fexample.com%2F%7Bid%7D%3Fa%3D%2520%23%C3%A9"
        );
        assert_eq!(encode_segment("*"), "%2A");
    }

    proptest! {
        #[test]
        fn e01_a_segment_decodes_to_what_it_was(text in any::<String>()) {
            let segment = encode_segment(&text);
            prop_assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            prop_assert_eq!(percent_encoding::percent_decode_str(&segment).decode_utf8().unwrap(), text);
        }
    }
}
