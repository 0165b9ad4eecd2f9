//! P04 to P06: topics that cannot be published, whatever the token grants.

use petasos_testkit::{TestHub, matching, topic};

use crate::{
    common::Engine,
    support::{FORBIDDEN, NOT_UTF8, nothing_more},
};

/// Spellings of the reserved namespace (P05).
const RESERVED: [&str; 41] = [
    "mercure",
    "mercure/",
    "mercure/x",
    "mercure?x",
    "mercure#x",
    "?x",
    "#x",
    "?",
    "",
    "./mercure",
    "x/../mercure",
    "mercure/../mercure/y",
    "../.well-known/mercure",
    "/.well-known/mercure",
    "/.well-known/mercure/",
    "/.well-known/mercure/subscriptions/exact/a/urn:uuid:0",
    "/.well-known/mercure?x",
    "/.well-known/mercure#x",
    "/.well-known/./mercure",
    "/.well-known/x/../mercure",
    "/.well-known/%2e/mercure",
    "/.well-known/x/%2E%2e/mercure",
    "/.well-known/x/.%2E/mercure",
    "/x/../.well-known/mercure",
    "/.well-known/%6Dercure/x",
    "/.well-known/%6D%65%72%63%75%72%65",
    "/%2Ewell-known/mercure",
    "/.well%2Dknown/mercur%65",
    "\\.well-known\\mercure",
    "/.well-known\\mercure\\x",
    "//other.example/.well-known/mercure",
    "\\\\other.example\\.well-known\\mercure",
    "https://other.example/.well-known/mercure/x",
    "HTTPS://OTHER.EXAMPLE:8443/.well-known/mercure",
    "https://user:password@other.example/.well-known/mercure",
    "ftp://other.example/.well-known/mercure",
    "custom://other/.well-known/mercure",
    "custom:/.well-known/mercure",
    "http:mercure",
    "  /.well-known/mercure  ",
    "http:/.well-known/mercure",
];

/// What looks like it and is not.
const NOT_RESERVED: [&str; 17] = [
    "/.well-known/mercurex",
    "mercurex",
    "xmercure",
    "/.WELL-KNOWN/mercure",
    "/.well-known/Mercure",
    "/.well-known%2Fmercure/x",
    "/.well-known/mercure%2Fx",
    "/.well-known/%256Dercure",
    "/.well-known//mercure",
    "/x/.well-known/mercure",
    "/mercure",
    "x/mercure",
    "https://other.example/?/.well-known/mercure",
    "https://other.example/#/.well-known/mercure",
    "urn:/x/.well-known/mercure",
    "mailto:.well-known/mercure",
    "http://[bad/.well-known/mercure",
];

/// Asserts that the topic is refused as the first, as a later one, and whatever the token grants.
async fn is_refused(hub: &TestHub, name: &str) {
    for topics in [topic(name), topic("a").and(name)] {
        let publish = hub.publish(topics, "");
        assert_eq!(publish.clone().answer().await.status, 400, "{name:?}");
        let granted_something_else = publish.clone().granted(&["something else"]).answer().await;
        assert_eq!(granted_something_else.status, 400, "{name:?} is refused before any grant matters");
        let granted_nothing = publish.with_token(&hub.publisher().mint()).answer().await;
        assert_eq!(granted_nothing.status, 400, "{name:?} is refused before any grant matters");
    }
}

pub(crate) async fn p04_topics_with_forbidden_characters_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for character in FORBIDDEN {
        is_refused(&hub, &format!("https://example.com/{character}x")).await;
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p04_topics_that_are_not_utf8_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for bytes in NOT_UTF8 {
        assert_eq!(hub.post_form(format!("topic={bytes}")).send().await.status, 400, "{bytes}");
        assert_eq!(hub.post_form(format!("topic=a&topic={bytes}")).send().await.status, 400, "{bytes}");
    }
    // Raw bytes, not escaped.
    assert_eq!(hub.post_form(&b"topic=\xFF"[..]).send().await.status, 400);
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p05_the_reserved_namespace_is_refused_in_every_spelling(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    for name in RESERVED {
        is_refused(&hub, name).await;
    }
    nothing_more(&hub, &mut stream, "a").await;
}

pub(crate) async fn p05_the_own_origin_is_reserved_by_its_full_url(engine: Engine) {
    let hub = engine.hub().await;
    is_refused(&hub, &hub.url()).await;
    is_refused(&hub, &format!("{}/x", hub.url())).await;
}

pub(crate) async fn p05_what_only_looks_reserved_is_published(engine: Engine) {
    let hub = engine.hub().await;
    for name in NOT_RESERVED {
        let mut stream = hub.subscribe(matching(name)).await;
        let answer = hub.publish(name, name).answer().await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(stream.next_data().await, name);
    }
}

pub(crate) async fn p05_a_pinned_resource_identifier_is_the_base(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.http.resource_identifier =
                Some("https://hub.example/.well-known/mercure".parse().unwrap());
        })
        .await;
    for name in ["mercure", "/.well-known/mercure", "https://hub.example/.well-known/mercure/x"] {
        is_refused(&hub, name).await;
    }
}

pub(crate) async fn p06_the_wildcard_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    let mut stream = hub.subscribe(matching("a")).await;
    is_refused(&hub, "*").await;
    nothing_more(&hub, &mut stream, "a").await;
    // Exactly that.
    for name in ["**", "* ", "/*"] {
        hub.publish(name, "").await;
    }
}
