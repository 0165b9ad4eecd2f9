//! A13 to A15 and E04: what a token grants.

use super::*;
use crate::{
    auth::{PublishGrant, SubscribeGrant, details as limits},
    topic::{MatchType, ParsedTopic},
};

async fn publisher(token: Token) -> PublishGrant {
    hub().publisher(Some(&token.signed()), HUB, &base()).await.unwrap()
}

async fn subscriber(token: Token) -> SubscribeGrant {
    hub().subscriber(Some(&token.signed()), HUB, &base()).await.unwrap()
}

fn topics(names: &[&'static str]) -> Vec<ParsedTopic<'static>> {
    names.iter().copied().map(ParsedTopic::new).collect()
}

fn exact(values: &[&str]) -> Value {
    values.iter().map(|value| json!({"match": value})).collect()
}

#[tokio::test]
async fn a13_a_token_without_details_is_valid_and_grants_nothing() {
    for token in [token().without_claim("authorization_details"), token().details(json!([]))] {
        accepted(&hub(), &token.clone().signed()).await;
        assert!(!publisher(token.clone()).await.allows(&topics(&["a"])));
        assert!(subscriber(token).await.is_public_only());
    }
}

#[tokio::test]
async fn a13_details_of_other_types_are_ignored_whatever_they_hold() {
    for other in [
        json!({"type": "account_information", "actions": 1, "topics": null}),
        json!({"type": format!("{DETAIL}s")}),
        json!({"type": DETAIL.to_uppercase(), "actions": ["publish"], "topics": [{"match": "*"}]}),
        json!({"type": format!("{DETAIL}/"), "actions": ["publish"], "topics": [{"match": "*"}]}),
        json!({"TYPE": DETAIL, "actions": ["publish"], "topics": [{"match": "*"}]}),
        json!({"type": [DETAIL], "actions": ["publish"], "topics": [{"match": "*"}]}),
        json!({"type": null}),
        json!({}),
    ] {
        let token = token().details(json!([other, detail(&["publish"], exact(&["a"]))]));
        let grant = publisher(token).await;
        assert!(grant.allows(&topics(&["a"])) && !grant.allows(&topics(&["b"])));
    }
}

#[tokio::test]
async fn a13_anything_malformed_makes_the_whole_token_invalid() {
    let hub = hub();
    let good = || detail(&["publish", "subscribe"], exact(&["a"]));
    for claim in [
        json!(null),
        json!(1),
        json!("x"),
        json!(good()),
        json!({}),
        json!([null]),
        json!([[good()]]),
        json!(["x"]),
        json!([1]),
    ] {
        refused(&hub, &token().details(claim).signed(), Reason::MalformedDetails).await;
    }
    let actions = [
        json!(null),
        json!([]),
        json!("publish"),
        json!({"publish": true}),
        json!(["publish", 1]),
        json!([null]),
        json!([["publish"]]),
    ];
    let topics = [
        json!(null),
        json!([]),
        json!("a"),
        json!({"match": "a"}),
        json!(["a"]),
        json!([null]),
        json!([1]),
        json!([[]]),
        json!([{}]),
        json!([{"match": null}]),
        json!([{"match": 1}]),
        json!([{"match": ["a"]}]),
        json!([{"Match": "a"}]),
        json!([{"topic": "a"}]),
        json!([{"match": "a"}, "b"]),
        json!([{"match": "a", "match_type": null}]),
        json!([{"match": "a", "match_type": 1}]),
        json!([{"match": "a", "match_type": ""}]),
        json!([{"match": "a", "match_type": "Exact"}]),
        json!([{"match": "a", "match_type": "EXACT"}]),
        json!([{"match": "a", "match_type": "URLPattern"}]),
        json!([{"match": "a", "match_type": "urlPattern"}]),
        json!([{"match": "a", "match_type": "uritemplate"}]),
        json!([{"match": "a", "match_type": "regexp"}]),
    ];
    let payloads = [json!(null), json!(1), json!("x"), json!([]), json!([{}]), json!(true)];
    let bad = actions.into_iter().map(|value| ("actions", value));
    let bad = bad.chain(topics.into_iter().map(|value| ("topics", value)));
    let bad = bad.chain(payloads.into_iter().map(|value| ("payload", value)));
    for (name, value) in bad {
        let mut broken = good();
        broken[name] = value;
        // Among good ones, at each place, and also where the broken one grants nothing to either role.
        for details in [json!([broken]), json!([good(), broken]), json!([broken, good()])] {
            refused(&hub, &token().details(details).signed(), Reason::MalformedDetails).await;
        }
    }
    for name in ["actions", "topics"] {
        let mut broken = good();
        broken.as_object_mut().unwrap().remove(name);
        refused(&hub, &token().details(json!([broken])).signed(), Reason::MalformedDetails).await;
    }
}

#[tokio::test]
async fn a13_forbidden_characters_and_malformed_patterns_make_it_invalid_for_both_roles() {
    let hub = hub();
    for value in
        ["a\u{0}", "a\nb", "\u{7f}", "\u{80}", "a\u{ad}", "\u{200b}", "\u{202e}x", "\u{feff}", "\u{e0001}"]
    {
        for action in ["publish", "subscribe", "unknown"] {
            let details = json!([detail(&[action], exact(&[value]))]);
            refused(&hub, &token().details(details).signed(), Reason::MalformedDetails).await;
        }
    }
    for pattern in ["/(", "/:a:a", "https://example.com/{", "/*("] {
        let details = json!([detail(&["unknown"], json!([{"match": pattern, "match_type": "urlpattern"}]))]);
        refused(&hub, &token().details(details).signed(), Reason::MalformedDetails).await;
    }
}

#[tokio::test]
async fn a13_unknown_actions_and_members_do_no_harm() {
    let token = token().details(json!([
        {"type": DETAIL, "actions": ["delete", "PUBLISH", "", "publish"], "topics": exact(&["a"]), "locations": ["x"], "x": null},
        detail(&["Subscribe", "subscribe "], exact(&["b"])),
    ]));
    assert!(publisher(token.clone()).await.allows(&topics(&["a"])));
    assert!(subscriber(token).await.is_public_only());
}

#[tokio::test]
async fn a13_limits() {
    let hub = hub();
    let many = |count: usize| -> Value { (0..count).map(|n| json!({"match": n.to_string()})).collect() };
    let details =
        |count: usize| -> Value { (0..count).map(|_| detail(&["publish"], exact(&["a"]))).collect() };
    let check = |details: Value, reason: Option<Reason>| {
        let hub = &hub;
        async move {
            let expected = reason.map_or(Ok(()), Err);
            assert_eq!(outcome(hub, &token().details(details).signed()).await, expected);
        }
    };
    check(details(limits::MAX_DETAILS), None).await;
    check(details(limits::MAX_DETAILS + 1), Some(Reason::TooLarge)).await;
    check(json!([detail(&["publish"], many(limits::MAX_TOPICS))]), None).await;
    check(json!([detail(&["publish"], many(limits::MAX_TOPICS + 1))]), Some(Reason::TooLarge)).await;
    let split = json!([detail(&["publish"], many(limits::MAX_TOPICS)), detail(&["x"], many(1))]);
    check(split, Some(Reason::TooLarge)).await;
    check(json!([detail(&["publish"], exact(&[&"x".repeat(limits::MAX_TOPIC_BYTES)]))]), None).await;
    check(
        json!([detail(&["publish"], exact(&[&"x".repeat(limits::MAX_TOPIC_BYTES + 1)]))]),
        Some(Reason::TooLarge),
    )
    .await;
    check(json!([detail(&vec!["publish"; limits::MAX_ACTIONS], many(1))]), None).await;
    check(json!([detail(&vec!["publish"; limits::MAX_ACTIONS + 1], many(1))]), Some(Reason::TooLarge)).await;
    let mut heavy = detail(&["publish"], many(1));
    heavy["payload"] = json!({"x": "x".repeat(limits::MAX_PAYLOAD_BYTES)});
    check(json!([heavy]), Some(Reason::TooLarge)).await;
}

#[tokio::test]
async fn a14_every_topic_of_an_update_must_be_granted() {
    let grant = publisher(token().details(json!([
        detail(
            &["publish"],
            json!([{"match": "a"}, {"match": "https://example.com/books/:id", "match_type": "urlpattern"}])
        ),
        detail(&["subscribe"], exact(&["c"])),
    ])))
    .await;
    assert!(grant.allows(&topics(&["a"])));
    assert!(grant.allows(&topics(&["https://example.com/books/1", "a"])));
    assert!(!grant.allows(&topics(&["c"])), "subscribing is not publishing");
    assert!(!grant.allows(&topics(&["a", "c"])));
    assert!(!grant.allows(&topics(&["a", "https://example.com/books/1/2"])));
    assert!(!grant.allows(&topics(&["A"])));
}

#[tokio::test]
async fn a15_one_granted_topic_is_enough_to_read_a_private_update() {
    let grant = subscriber(token().details(json!([
        detail(
            &["subscribe"],
            json!([{"match": "a"}, {"match": "https://example.com/books/:id", "match_type": "urlpattern"}])
        ),
        detail(&["publish"], exact(&["c"])),
    ])))
    .await;
    assert!(grant.allows_private(&topics(&["x", "a"])));
    assert!(grant.allows_private(&topics(&["x", "https://example.com/books/7"])));
    assert!(!grant.allows_private(&topics(&["x", "c"])), "publishing is not subscribing");
    assert!(!grant.allows_private(&topics(&["x"])));
    assert!(!grant.allows_private(&[]));
    assert!(!grant.is_public_only() && !grant.is_anonymous());
}

#[tokio::test]
async fn m05_a_star_grants_every_topic_whatever_its_type() {
    for topic in [json!({"match": "*"}), json!({"match": "*", "match_type": "urlpattern"})] {
        let token = token().details(json!([detail(&["publish", "subscribe"], json!([topic]))]));
        assert!(publisher(token.clone()).await.allows(&topics(&[
            "anything",
            "http://[",
            "/.well-known/mercure/subscriptions/x"
        ])));
        assert!(subscriber(token).await.allows_private(&topics(&["http://["])));
    }
}

#[tokio::test]
async fn a13_many_exact_topics_are_each_found() {
    let values: Vec<String> = (0..limits::MAX_TOPICS).map(|n| format!("t{n}")).collect();
    let list: Value = values.iter().map(|value| json!({"match": value})).collect();
    let token = token().details(json!([detail(&["publish"], list)])).signed();
    let grant = hub().publisher(Some(&token), HUB, &base()).await.unwrap();
    for value in &values {
        assert!(grant.allows(&[ParsedTopic::new(value)]), "{value}");
    }
    for value in ["t", "t1000", "t-1", "t01", "T1", ""] {
        assert!(!grant.allows(&[ParsedTopic::new(value)]), "{value}");
    }
}

#[tokio::test]
async fn m06_the_same_token_means_what_the_requests_base_makes_of_it() {
    let hub = hub();
    let token = token()
        .details(json!([detail(&["publish"], json!([{"match": "/x/:id", "match_type": "urlpattern"}]))]))
        .signed();
    let other = Base::parse("https://other.example/.well-known/mercure").unwrap();
    let here = hub.publisher(Some(&token), HUB, &base()).await.unwrap();
    let there = hub.publisher(Some(&token), HUB, &other).await.unwrap();
    assert!(
        here.allows(&topics(&["https://hub.example/x/1"]))
            && !here.allows(&topics(&["https://other.example/x/1"]))
    );
    assert!(
        there.allows(&topics(&["https://other.example/x/1"]))
            && !there.allows(&topics(&["https://hub.example/x/1"]))
    );
    assert!(here.allows(&topics(&["/x/1"])) && there.allows(&topics(&["/x/1"])));
}

#[tokio::test]
async fn e04_the_payload_is_that_of_the_first_subscribe_detail_that_matches() {
    let with_payload = |actions: &[&str], topics: Value, payload: Value| {
        let mut detail = detail(actions, topics);
        detail["payload"] = payload;
        detail
    };
    let pattern = |value: &str| json!([{"match": value, "match_type": "urlpattern"}]);
    let grant = subscriber(token().details(json!([
        with_payload(&["publish"], exact(&["a"]), json!({"n": 0})),
        with_payload(&["subscribe"], exact(&["a"]), json!({"n": 1})),
        with_payload(&["subscribe"], exact(&["a", "b"]), json!({"n": 2})),
        detail(&["subscribe"], exact(&["c"])),
        with_payload(&["subscribe"], exact(&["c"]), json!({"n": 3})),
        with_payload(&["subscribe"], pattern("https://example.com/:x"), json!({"n": 4})),
        with_payload(&["subscribe"], pattern("https://example.org/*"), json!({"n": 5})),
    ])))
    .await;
    let exact_payload = |value: &str| grant.payload_for(MatchType::Exact, value);
    let pattern_payload = |value: &str| grant.payload_for(MatchType::UrlPattern, value);
    assert_eq!(exact_payload("a").as_deref(), Some("{\"n\":1}"));
    assert_eq!(exact_payload("b").as_deref(), Some("{\"n\":2}"));
    assert_eq!(exact_payload("c"), None, "the first that matches has none");
    assert_eq!(exact_payload("https://example.com/1").as_deref(), Some("{\"n\":4}"));
    assert_eq!(exact_payload("https://example.com/1/2"), None);
    // The subscription's own pattern is taken as a topic, and an identical string always matches.
    assert_eq!(pattern_payload("https://example.com/:x").as_deref(), Some("{\"n\":4}"));
    assert_eq!(pattern_payload("https://example.org/*").as_deref(), Some("{\"n\":5}"));
    assert_eq!(pattern_payload("https://example.org/a/:b").as_deref(), Some("{\"n\":5}"));
    assert_eq!(pattern_payload("https://example.net/*"), None);
    assert_eq!(exact_payload("*"), None);
}

#[tokio::test]
async fn e04_a_star_gives_its_payload_to_every_subscription() {
    let mut all = detail(&["subscribe"], exact(&["*"]));
    all["payload"] = json!({"all": true});
    let grant = subscriber(token().details(json!([all]))).await;
    for (match_type, value) in
        [(MatchType::Exact, "x"), (MatchType::Exact, "*"), (MatchType::UrlPattern, "/a/:b")]
    {
        assert_eq!(grant.payload_for(match_type, value).as_deref(), Some("{\"all\":true}"));
    }
}

#[tokio::test]
async fn e04_the_payload_is_kept_as_it_was_written() {
    let payload = r#"{"big": 12345678901234567890123, "float":1.0,"order":{"z":1,"a":"\u00e9"}}"#;
    let claim = format!(
        r#"[{{"type":"{DETAIL}","actions":["subscribe"],"topics":[{{"match":"a"}}],"payload":{payload}}}]"#
    );
    let token = signed_payload(claims_with_raw("authorization_details", &claim));
    let grant = hub().subscriber(Some(&token), HUB, &base()).await.unwrap();
    assert_eq!(grant.payload_for(MatchType::Exact, "a").as_deref(), Some(payload));
}

#[tokio::test]
async fn the_report_shows_what_is_granted_and_what_looks_misspelt() {
    let token = token()
        .details(json!([
            {"type": DETAIL, "actions": ["publish"], "topics": [{"match": "/x/*", "matchType": "urlpattern"}]},
            {"type": "https://mercure.rocks/authorization-details"},
        ]))
        .claim("mercure", json!({"publish": ["*"]}))
        .signed();
    let report = hub().explain(Role::Publisher, &token, HUB, &base()).await;
    assert!(report.is_accepted(), "{report}");
    assert_eq!(report.granted, [(MatchType::Exact, "/x/*".to_owned())]);
    for sign in ["matchType", "another type", "0.x"] {
        assert!(report.notes.iter().any(|note| note.contains(sign)), "{sign}: {report}");
    }
}

#[tokio::test]
async fn the_report_guesses_how_a_secret_was_misread() {
    use base64::engine::general_purpose::STANDARD;
    let encoded = STANDARD.encode(SECRET);
    for (configured, signed_with, sign) in [
        (encoded.as_bytes(), SECRET, "decoded from base64"),
        (&[SECRET, b"\n"].concat(), SECRET, "without the white space"),
    ] {
        let hub = hub_with(Signer::secret(Algorithm::HS256, configured).source());
        let token = token().signed_by(&Signer::secret(Algorithm::HS256, signed_with));
        refused(&hub, &token, Reason::BadSignature).await;
        let report = hub.explain(Role::Publisher, &token, HUB, &base()).await.to_string();
        assert!(report.contains(sign), "{report}");
    }
}

#[tokio::test]
async fn the_report_goes_on_after_a_failure() {
    let token = token()
        .header("typ", json!("JWT"))
        .claim("exp", json!(1))
        .claim("aud", json!("x"))
        .details(json!(1))
        .signed();
    let report = hub().explain(Role::Publisher, &token, HUB, &base()).await;
    let failed: Vec<_> = report
        .steps
        .iter()
        .filter(|step| matches!(step.outcome, Outcome::Failed { .. }))
        .map(|step| step.rule)
        .collect();
    assert_eq!(failed, ["A07", "A12", "A11", "A13"], "{report}");
    assert!(report.claims.unwrap().contains("alice"));
    let report = hub().explain(Role::Publisher, "nonsense", HUB, &base()).await;
    assert_eq!(
        report.steps.iter().filter(|step| step.outcome == Outcome::Skipped).count(),
        report.steps.len() - 1
    );
}
