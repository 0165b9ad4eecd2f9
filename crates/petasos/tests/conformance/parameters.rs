//! S05, S06 and S08: which parameters are refused and which are ignored.

use petasos_testkit::{form, matching, matching_raw};

use crate::{
    common::Engine,
    support::{FORBIDDEN, NOT_UTF8, nothing_more, shows_internals},
};

/// Names that are `match` or begin with it, in any letter case, and are none of the three.
const REFUSED_NAMES: [&str; 16] = [
    "Match",
    "MATCH",
    "mAtCh",
    "match_Exact",
    "Match_exact",
    "MATCH_URLPATTERN",
    "match_urlPattern",
    "matchURLPattern",
    "matchExact",
    "match_uritemplate",
    "match_regexp",
    "matcher",
    "match-exact",
    "match[]",
    "match ",
    "%4Datch",
];

/// What the URL Pattern standard does not take, each for another reason.
const MALFORMED_PATTERNS: [&str; 9] =
    ["/(", "/(a", "/{a", "/a}", "/:a/:a", "/(?a)", "/((a))", "/(\u{e9})", "https://example.com/([)"];

pub(crate) async fn s05_other_names_in_the_match_namespace_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    for name in REFUSED_NAMES {
        let spelled = if name.starts_with('%') { name.to_owned() } else { form::escape(name) };
        let parameter = format!("{spelled}=b");
        let beside = hub.subscribe(matching_raw(format!("match=a&{parameter}")));
        assert_eq!(beside.clone().answer().await.status, 400, "GET with {name:?}");
        assert_eq!(beside.head_only().answer().await.status, 400, "HEAD with {name:?}");
        let in_body = hub.subscribe(matching("a")).with_body(parameter).answer().await;
        assert_eq!(in_body.status, 400, "QUERY with {name:?}");
    }
}

pub(crate) async fn s05_no_matcher_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    for query in ["", "x=1", "last_event_id=a", "amatch=1", "_match=1"] {
        assert_eq!(hub.subscribe(matching_raw(query)).answer().await.status, 400, "GET with {query:?}");
        let head = hub.subscribe(matching_raw(query)).head_only().answer().await;
        assert_eq!(head.status, 400, "HEAD with {query:?}");
        let by_query = hub.subscribe(matching_raw(query)).with_body("").answer().await;
        assert_eq!(by_query.status, 400, "QUERY with {query:?}");
    }
}

pub(crate) async fn s06_forbidden_characters_in_matchers_are_refused(engine: Engine) {
    let hub = engine.hub().await;
    for name in ["match", "match_exact", "match_urlpattern"] {
        for character in FORBIDDEN {
            let value = form::escape(format!("https://example.com/{character}x"));
            let answer = hub.subscribe(matching_raw(format!("{name}={value}"))).answer().await;
            assert_eq!(answer.status, 400, "{name} with U+{:04X}", u32::from(character));
        }
    }
}

pub(crate) async fn s06_invalid_utf8_in_matchers_is_refused(engine: Engine) {
    let hub = engine.hub().await;
    for name in ["match", "match_exact", "match_urlpattern"] {
        for value in NOT_UTF8 {
            let query = format!("{name}={value}");
            assert_eq!(hub.subscribe(matching_raw(query.clone())).answer().await.status, 400, "GET {query}");
            let by_query = hub.subscribe(matching("a")).with_body(query.clone()).answer().await;
            assert_eq!(by_query.status, 400, "QUERY {query}");
        }
    }
}

pub(crate) async fn s06_malformed_patterns_are_refused_without_internals(engine: Engine) {
    let hub = engine.hub().await;
    for pattern in MALFORMED_PATTERNS {
        let query = form::encode([("match_urlpattern", pattern)]);
        let answer = hub.subscribe(matching_raw(query)).answer().await;
        assert_eq!(answer.status, 400, "{pattern} is no URL pattern");
        assert!(!shows_internals(answer.text()), "{pattern}: {answer:?}");
    }
}

pub(crate) async fn s06_what_is_no_pattern_may_be_an_exact_value(engine: Engine) {
    let hub = engine.hub().await;
    for pattern in MALFORMED_PATTERNS {
        let mut stream = hub.subscribe(matching(pattern)).await;
        nothing_more(&hub, &mut stream, pattern).await;
    }
}

pub(crate) async fn s08_unknown_parameters_are_ignored(engine: Engine) {
    let hub = engine.hub().await;
    let query = "x=1&Last_Event_Id=a&%00=%01&y&=z&amatch=%0A&match=a";
    let mut stream = hub.subscribe(matching_raw(query)).await;
    assert_eq!(stream.header("mercure-last-event-id"), None, "parameter names are case-sensitive");
    nothing_more(&hub, &mut stream, "a").await;
}
