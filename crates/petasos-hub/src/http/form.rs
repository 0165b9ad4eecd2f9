//! The WHATWG form-urlencoded parser (S04), for query components and bodies. Unlike the stock one it hands out the decoded
//! bytes, so that invalid UTF-8 is an error of the field that has it and never a silent replacement character.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// A name and a value, percent-decoded, `+` read as a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    /// Compared as bytes with known names; it need not be UTF-8.
    pub(crate) name: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
}

impl Pair<'_> {
    /// The value as text: to be asked of every pair whose name is known.
    ///
    /// # Errors
    /// Where it is not UTF-8 after decoding. The names that are not known are ignored whatever their values are (S08,
    /// P01), so nobody asks for theirs.
    pub(crate) fn into_text(self) -> Result<String, InvalidUtf8> {
        String::from_utf8(self.value.into_owned()).map_err(|_| InvalidUtf8)
    }
}

/// A value that is not UTF-8 after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

/// More pairs than the caller wants to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyPairs;

/// The pairs of `input` in their order, or an error after `max_pairs` of them.
pub(crate) fn parse(input: &[u8], max_pairs: usize) -> impl Iterator<Item = Result<Pair<'_>, TooManyPairs>> {
    input
        .split(|byte| *byte == b'&')
        .filter(|sequence| !sequence.is_empty())
        .take(max_pairs.saturating_add(1))
        .enumerate()
        .map(move |(index, sequence)| if index < max_pairs { Ok(pair(sequence)) } else { Err(TooManyPairs) })
}

fn pair(sequence: &[u8]) -> Pair<'_> {
    let (name, value) = match sequence.iter().position(|byte| *byte == b'=') {
        Some(at) => (&sequence[..at], &sequence[at + 1..]),
        None => (sequence, &[][..]),
    };
    Pair { name: decode(name), value: decode(value) }
}

/// Plus signs become spaces before percent-decoding, so that `%2B` stays a plus sign. A `%` without two hexadecimal
/// digits behind it is literal.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    match Cow::from(percent_decode(&spaced)) {
        Cow::Owned(decoded) => Cow::Owned(decoded),
        Cow::Borrowed(_) => Cow::Owned(spaced),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(input: &str) -> Vec<(String, String)> {
        parse(input.as_bytes(), 100)
            .map(|pair| {
                let pair = pair.expect("few pairs");
                let name = String::from_utf8(pair.name.to_vec()).expect("a name in UTF-8");
                (name, pair.into_text().expect("a value in UTF-8"))
            })
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn s04_plus_is_a_space_and_an_encoded_plus_is_a_plus() {
        assert_eq!(texts("a+b=c+%2B+d"), pairs(&[("a b", "c + d")]));
    }

    #[test]
    fn s04_a_semicolon_is_no_separator() {
        assert_eq!(texts("match=a;match=b"), pairs(&[("match", "a;match=b")]));
    }

    #[test]
    fn s04_a_stray_percent_is_literal() {
        assert_eq!(texts("a=100%&b=%zz&c=%4"), pairs(&[("a", "100%"), ("b", "%zz"), ("c", "%4")]));
    }

    #[test]
    fn s04_a_name_without_equals_has_the_empty_value() {
        assert_eq!(texts("&&private&=x&a=b=c&"), pairs(&[("private", ""), ("", "x"), ("a", "b=c")]));
    }

    #[test]
    fn s04_names_and_values_are_decoded_once() {
        assert_eq!(texts("m%61tch=%2541&%26=%3D"), pairs(&[("match", "%41"), ("&", "=")]));
    }

    #[test]
    fn s04_invalid_utf8_is_found_after_decoding() {
        for input in [&b"a=%FF"[..], b"a=%C3%28", b"a=\xff", b"a=%ED%A0%80", b"a=%C0%80"] {
            let pair = parse(input, 1).next().expect("a pair").expect("within the bound");
            assert_eq!(pair.into_text(), Err(InvalidUtf8), "{input:?}");
        }
        // Valid only once its two halves are put together.
        assert_eq!(texts("a=%C3%A9"), pairs(&[("a", "é")]));
        // A byte order mark is a character like another; later checks refuse it as one of the set F.
        assert_eq!(texts("a=%EF%BB%BFx"), pairs(&[("a", "\u{feff}x")]));
    }

    #[test]
    fn the_number_of_pairs_is_bounded() {
        let results: Vec<_> = parse(b"a&&b&c&d", 2).collect();
        assert_eq!(results.len(), 3);
        assert!(results[0].is_ok() && results[1].is_ok());
        assert_eq!(results[2], Err(TooManyPairs));
        assert_eq!(parse(b"&&&&", 0).count(), 0);
    }

    proptest! {
        #[test]
        fn s04_any_form_survives(expected in proptest::collection::vec((any::<String>(), any::<String>()), 0..20)) {
            let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&expected).finish();
            prop_assert_eq!(texts(&encoded), expected);
        }

        #[test]
        fn s04_any_bytes_are_read_as_the_standard_says(input in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(b"&=+%;4aF".to_vec())], 0..200))
        {
            let ours: Vec<(String, String)> = parse(&input, usize::MAX)
                .map(|pair| {
                    let pair = pair.expect("no bound");
                    (String::from_utf8_lossy(&pair.name).into_owned(), String::from_utf8_lossy(&pair.value).into_owned())
                })
                .collect();
            let stock: Vec<(String, String)> = url::form_urlencoded::parse(&input).into_owned().collect();
            prop_assert_eq!(ours, stock);
        }
    }
}
