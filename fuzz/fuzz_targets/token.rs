//! A05 to A13, C08: no token makes the hub panic, and none is accepted whose claims are not the issuer's good ones.
//! The signature is made here, so that what lies behind it is reached.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use petasos_hub::{auth::Authenticator, topic::Base};
use petasos_testkit::{
    Token,
    hub::{ISSUER, SUBSCRIBER_SECRET, default_auth},
    keys::SigningKey,
};
use tokio::runtime::{Builder, Runtime};

const HUB: &str = "https://hub.example/.well-known/mercure";

static FIXTURE: LazyLock<(Runtime, Authenticator, Base, Token)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let authenticator = Authenticator::new(default_auth()).expect("fixed keys");
    let base = Base::parse(HUB).expect("a fixed URL");
    (runtime, authenticator, base, Token::new(ISSUER, HUB, &SigningKey::secret(SUBSCRIBER_SECRET)))
});

fuzz_target!(|bytes: &[u8]| {
    let (runtime, authenticator, base, token) = &*FIXTURE;
    let mut tokens = vec![
        token.mint_with_claims(bytes),
        token.mint_with_header(bytes),
        // Valid claims, and then whatever comes.
        token.mint_with_claims([token.open_claims().as_bytes(), b",", bytes, b"}"].concat()),
    ];
    if let Ok(text) = std::str::from_utf8(bytes) {
        tokens.push(text.to_owned());
        tokens.push(token.mint_with_claims(format!(
            "{},\"authorization_details\":{text}}}",
            token.open_claims()
        )));
    }
    for token in tokens {
        // Accepting is fine where the claims are good; what counts is that it decides.
        let _ = runtime.block_on(authenticator.subscriber(Some(&token), HUB, base));
    }
});
