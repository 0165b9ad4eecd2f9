//! Whatever is done to a token, it never becomes another one that is accepted.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::topic::ParsedTopic;

/// One token of each kind of key, with a hub that accepts it.
static TOKENS: LazyLock<Vec<(Authenticator, String)>> = LazyLock::new(|| {
    [Algorithm::HS256, Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA]
        .map(|algorithm| {
            let signer = key_for(algorithm);
            (hub_with(signer.source()), token().claim("exp", json!(4_000_000_000_u64)).signed_by(&signer))
        })
        .into()
});

fn verified(hub: &Authenticator, token: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let grant = runtime.block_on(hub.publisher(Some(token), HUB, &base()));
    grant.is_ok_and(|grant| {
        assert!(grant.allows(&[ParsedTopic::new("https://example.com/books/1")]));
        true
    })
}

#[test]
fn the_untouched_tokens_are_accepted() {
    for (hub, token) in TOKENS.iter() {
        assert!(verified(hub, token));
    }
}

#[test]
fn a05_no_single_letter_can_be_another() {
    let (hub, token) = &TOKENS[0];
    for at in 0..token.len() {
        for letter in ["A", "B", "-", ".", "="] {
            let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            assert!(changed == *token || !verified(hub, &changed), "{letter} at {at}");
        }
    }
}

proptest! {
    #[test]
    fn a05_a_token_with_one_byte_changed_is_refused(which in 0..5_usize, at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let (hub, token) = &TOKENS[which];
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        prop_assert!(!verified(hub, std::str::from_utf8(&bytes).unwrap()));
    }

    #[test]
    fn a05_a_token_with_a_piece_cut_out_or_put_in_is_refused(
        which in 0..5_usize,
        from in any::<prop::sample::Index>(),
        bytes in 0..40_usize,
        insert in "[A-Za-z0-9_.=-]{0,8}",
    ) {
        let (hub, token) = &TOKENS[which];
        let from = from.index(token.len());
        let to = (from + bytes).min(token.len());
        let changed = format!("{}{insert}{}", &token[..from], &token[to..]);
        prop_assume!(changed != *token);
        prop_assert!(!verified(hub, &changed));
    }

    #[test]
    fn a05_any_text_is_an_answer_and_no_panic(text in "\\PC{0,200}", header in "\\PC{0,60}", payload in "\\PC{0,60}") {
        let (hub, _) = &TOKENS[0];
        prop_assert!(!verified(hub, &text));
        prop_assert!(!verified(hub, &key_for(Algorithm::HS256).token(&header, &payload)));
        let _ = crate::auth::credentials::from_headers(&http::HeaderMap::from_iter(
            http::HeaderValue::from_bytes(text.as_bytes()).ok().map(|value| (http::header::COOKIE, value)),
        ), "c");
    }
}
