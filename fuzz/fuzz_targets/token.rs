//! A05 to A13, C08: no token makes the hub panic, and none is accepted whose claims are not the issuer's good ones.
//! The signature is made here, so that what lies behind it is reached. A hub that serves the 0.x generation as well takes no
//! token of the 1.0 generation that the other one refuses.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use petasos_hub::{
    auth::{AuthConfig, Authenticator, Compatibility, Generation},
    topic::Base,
};
use petasos_testkit::{
    Token,
    hub::{ISSUER, SUBSCRIBER_SECRET, default_auth},
    keys::SigningKey,
};
use tokio::runtime::{Builder, Runtime};

const HUB: &str = "https://hub.example/.well-known/mercure";

static FIXTURE: LazyLock<(Runtime, [Authenticator; 2], Base, [Token; 2])> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let both = AuthConfig { compatibility: Some(Compatibility::default()), ..default_auth() };
    let authenticators = [default_auth(), both].map(|config| Authenticator::new(config).expect("fixed keys"));
    let base = Base::parse(HUB).expect("a fixed URL");
    let key = SigningKey::secret(SUBSCRIBER_SECRET);
    (runtime, authenticators, base, [Token::new(ISSUER, HUB, &key), Token::old(&key)])
});

fuzz_target!(|bytes: &[u8]| {
    let (runtime, [strict, both], base, made) = &*FIXTURE;
    let mut tokens = Vec::new();
    for token in made {
        tokens.push(token.mint_with_claims(bytes));
        tokens.push(token.mint_with_header(bytes));
        // Valid claims, and then whatever comes.
        tokens.push(token.mint_with_claims([token.open_claims().as_bytes(), b",", bytes, b"}"].concat()));
        if let Ok(text) = std::str::from_utf8(bytes) {
            tokens.push(
                token.mint_with_claims(format!("{},\"authorization_details\":{text}}}", token.open_claims())),
            );
            tokens.push(token.mint_with_claims(format!("{{\"mercure\":{text}}}")));
        }
    }
    tokens.extend(std::str::from_utf8(bytes).map(str::to_owned));
    for token in tokens {
        // Accepting is fine where the claims are good; what counts is that it decides.
        let strictly = runtime.block_on(strict.subscriber(Some(&token), HUB, base));
        match runtime.block_on(both.subscriber(Some(&token), HUB, base)) {
            Ok(grant) if grant.generation() == Generation::New => assert!(strictly.is_ok(), "{token}"),
            Ok(_) => assert!(strictly.is_err(), "{token}"),
            Err(_) => assert!(strictly.is_err(), "{token}"),
        }
    }
});
