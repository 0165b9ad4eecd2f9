//! P04 to P06: whatever a topic is, it is judged without a panic, and what is reserved is so in every spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use petasos_hub::{
    Draft, UpdateLimits,
    topic::{Base, encode_segment, forbidden_character, is_reserved},
};

fuzz_target!(|topic: &str| {
    let base = Base::parse("https://hub.example/.well-known/mercure").expect("a fixed URL");
    let reserved = is_reserved(topic, &base);
    let draft = Draft { topics: vec![topic.to_owned()], ..Draft::default() };
    let update = draft.validate(&base, &UpdateLimits::default());
    assert!(update.is_err() || (!reserved && topic != "*" && forbidden_character(topic).is_none()));
    // E01: encoded once as a whole, a variable has no character that would end it.
    let segment = encode_segment(topic);
    assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
    // What lies below the hub is reserved, whatever follows. Alone, the segment could be `..`.
    assert!(is_reserved(&format!("/.well-known/mercure/x{segment}"), &base));
});
