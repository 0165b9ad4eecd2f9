//! Tests of [`super`]: shapes by hand, and all shapes that a generator finds.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Feeds `text` in pieces of every size, and returns what is passed on: always the same.
fn passed(text: &str) -> (String, bool) {
    let mut results = Vec::new();
    for piece_bytes in 1..=text.len() {
        let mut framing = Framing::default();
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(piece_bytes) {
            let mut piece = piece.to_vec();
            let passed = framing.inspect(&mut piece);
            out.extend_from_slice(&piece[..passed]);
            if framing.is_refused() {
                break;
            }
            assert_eq!(passed, piece.len());
        }
        results.push((String::from_utf8(out).expect("ASCII"), framing.is_between_messages()));
    }
    results.dedup();
    assert_eq!(results.len(), 1, "the pieces matter: {results:?}");
    results.remove(0)
}

#[track_caller]
fn accepted(text: &str) {
    assert_eq!(passed(text), (text.to_owned(), true));
}

#[track_caller]
fn refused(text: &str, at: &str) {
    let (out, _) = passed(text);
    assert_eq!(out.strip_suffix('\0'), Some(at));
}

#[test]
fn messages_of_every_framing_follow_each_other() {
    accepted("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    accepted("\r\n\r\nPOST / HTTP/1.1\r\ncontent-LENGTH: \t5 \r\n\r\n\0\r\n\r\rGET / HTTP/1.1\r\n\r\n");
    accepted("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    accepted(concat!(
        "POST / HTTP/1.1\r\nTransfer-Encoding:\tChunked \r\n\r\n",
        "1\r\n\n\r\n00a ;x=\"y\"\r\n0123456789\r\n0\t\r\nDigest: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n"
    ));
}

#[test]
fn lengths_must_be_single_and_plain() {
    let head = "POST / HTTP/1.1\r\nContent-Length:";
    for value in [" +5", " -1", " 5, 5", " 5 5", " 0x5", "", " ", " 18446744073709551616", " 5\u{b}"] {
        let (out, _) = passed(&format!("{head}{value}\r\n\r\n12345"));
        assert!(out.ends_with('\0'), "{value:?} passed as {out:?}");
    }
    let both = format!("{head} 5\r\nContent-Length");
    refused(&format!("{both}: 5\r\n\r\n12345"), &both);
    refused(&format!("{both}: 6\r\n\r\n12345"), &both);
}

#[test]
fn codings_must_be_chunked_and_stand_alone() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding:";
    for value in
        ["", "xchunked", "chunkedx", "chunked, identity", "gzip, chunked", "chunked chunked", "identity"]
    {
        let (out, _) = passed(&format!("{head} {value}\r\n\r\n0\r\n\r\n"));
        assert!(out.ends_with('\0'), "{value:?} passed as {out:?}");
    }
    let twice = format!("{head} chunked\r\ntransfer-encoding");
    refused(&format!("{twice}: chunked\r\n\r\n"), &twice);
    let length_after = format!("{head} chunked\r\nContent-Length");
    refused(&format!("{length_after}: 5\r\n\r\n"), &length_after);
    let length_before = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding";
    refused(&format!("{length_before}: chunked\r\n\r\n"), length_before);
}

#[test]
fn lines_end_with_cr_lf_and_nothing_else() {
    refused("GET / HTTP/1.1\n\n", "GET / HTTP/1.1");
    refused("GET / HTTP/1.1\r\r\n", "GET / HTTP/1.1\r");
    refused("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r");
    refused("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", "GET / HTTP/1.1\r\nA: b");
    refused("GET / HTTP/1.1\r\nA: b\r\n\n", "GET / HTTP/1.1\r\nA: b\r\n");
    refused("\nGET / HTTP/1.1\r\n\r\n", "");
}

#[test]
fn fields_are_not_folded_and_have_no_space_before_the_colon() {
    refused("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n");
    refused("GET / HTTP/1.1\r\n A: b\r\n\r\n", "GET / HTTP/1.1\r\n");
    refused("GET / HTTP/1.1\r\nA : b\r\n\r\n", "GET / HTTP/1.1\r\nA");
    refused("GET / HTTP/1.1\r\nA\r\n\r\n", "GET / HTTP/1.1\r\nA");
    refused("GET / HTTP/1.1\r\nA: \u{0}b\r\n\r\n", "GET / HTTP/1.1\r\nA: ");
}

#[test]
fn chunks_are_followed_exactly() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "\r\n",
        "x\r\n",
        "+1\r\n",
        "-1\r\n",
        "0x1\r\n",
        "1 1\r\n",
        "1\n",
        "1;a\n",
        "1\r\nabc",
        "1\r\na\n",
        "fffffffffffffffff\r\n",
        "0000000000000000001\r\n",
        "0\r\nContent-Length: 1\r\n\r\n",
        "0\r\n \r\n",
    ] {
        let (out, _) = passed(&format!("{head}{body}"));
        assert!(out.ends_with('\0'), "{body:?} passed as {out:?}");
    }
}

#[test]
fn a_head_has_begun_with_its_first_byte_and_ends_with_its_last() {
    let mut framing = Framing::default();
    let mut begun = |text: &str| {
        framing.inspect(&mut text.as_bytes().to_vec());
        framing.in_head()
    };
    assert!(!begun(""));
    assert!(begun("\r"));
    assert!(!begun("\n"));
    assert!(begun("P"));
    assert!(begun("OST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r"));
    assert!(!begun("\n"));
    assert!(!begun("0\r\nTrailer: x"));
    assert!(!begun("\r\n\r\n"));
}

/// A request: its bytes, as they may be written in various ways.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let field = ("[A-Za-z0-9-]{1,20}", "[ -~\t]{0,20}").prop_filter("framing is added below", |(name, _)| {
        !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("transfer-encoding")
    });
    let body = prop_oneof![
        Just(Vec::new()),
        vec(any::<u8>(), 0..40).prop_map(|body| {
            let mut text = format!("CONTENT-length:{} \r\n\r\n", body.len()).into_bytes();
            text.extend(body);
            text
        }),
        vec((vec(any::<u8>(), 1..40), "(;[a-z]{0,5}(=\"[a-z ]{0,5}\")?)?"), 0..4).prop_map(|chunks| {
            let mut text = b"transfer-Encoding: Chunked\r\n\r\n".to_vec();
            for (data, extension) in chunks {
                text.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
                text.extend(data);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\nA: b\r\n\r\n");
            text
        }),
    ];
    ("(\r\n){0,2}", "[A-Z]{1,7}", "/[!-~]{0,30}", vec(field, 0..4), body).prop_map(
        |(empty, method, target, fields, body)| {
            let mut text = format!("{empty}{method} {target} HTTP/1.1\r\n");
            for (name, value) in fields {
                text.push_str(&format!("{name}:{value}\r\n"));
            }
            let mut bytes = text.into_bytes();
            bytes.extend(if body.is_empty() { b"\r\n".to_vec() } else { body });
            bytes
        },
    )
}

/// Feeds pieces of these lengths, over and over, and returns what is passed on and how it ended.
fn fed(bytes: &[u8], lengths: &[usize]) -> (Vec<u8>, u64, bool, bool) {
    let mut framing = Framing::default();
    let mut out = Vec::new();
    let (mut left, mut lengths) = (bytes, lengths.iter().cycle());
    while !left.is_empty() && !framing.is_refused() {
        let length = lengths.next().map_or(1, |length| *length).min(left.len());
        let mut piece = left[..length].to_vec();
        let passed = framing.inspect(&mut piece);
        out.extend_from_slice(&piece[..passed]);
        left = &left[length..];
    }
    (out, framing.heads(), framing.is_between_messages(), framing.is_refused())
}

proptest! {
    #[test]
    fn well_formed_requests_pass_unchanged_however_they_are_cut(
        requests in vec(request(), 1..4),
        lengths in vec(1_usize..60, 1..10),
    ) {
        let bytes = requests.concat();
        let (out, heads, between, refused) = fed(&bytes, &lengths);
        prop_assert!(!refused, "{:?}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(out, bytes);
        prop_assert_eq!((heads, between), (requests.len() as u64, true));
    }

    #[test]
    fn damaged_requests_come_to_the_same_however_they_are_cut(
        requests in vec(request(), 1..4),
        at in any::<proptest::sample::Index>(),
        damage in vec(any::<u8>(), 0..3),
        lengths in vec(1_usize..60, 1..10),
    ) {
        let mut bytes = requests.concat();
        let at = at.index(bytes.len());
        bytes.splice(at..=at, damage);
        let whole = fed(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(&fed(&bytes, &lengths), &whole);
        let (out, _, _, refused) = whole;
        let unchanged = out.len() - usize::from(refused);
        prop_assert_eq!(&out[..unchanged], &bytes[..unchanged]);
        prop_assert!(!refused || out.ends_with(&[0]));
    }
}
