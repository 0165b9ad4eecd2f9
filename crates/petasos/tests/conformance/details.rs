//! A13: authorization details, and how little it takes to make a whole token invalid.

use petasos_testkit::{DETAIL_TYPE, TestHub, grant, topic};
use serde_json::{Value, json};

use crate::{common::Engine, support::bare_get};

async fn status_with(hub: &TestHub, details: &Value) -> u16 {
    let token = hub.subscriber().claim("authorization_details", details.clone()).mint();
    bare_get(hub).bearer(&token).send().await.status
}

pub(crate) async fn a13_well_formed_details_are_taken(engine: Engine) {
    let hub = engine.hub().await;
    let good = grant(&["subscribe"], &["a"]);
    for details in [
        json!([]),
        json!([good]),
        json!([good, good]),
        json!([grant(&["subscribe", "publish", "subscribe"], &["a", "a"])]),
        json!([grant(&["unknown", "SUBSCRIBE", ""], &["a"])]),
        json!([{ "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{ "match": "a" }], "payload": {} }]),
        json!([{ "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{ "match": "a" }], "unknown": 1 }]),
        json!([{ "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{ "match": "/:a", "match_type": "urlpattern" }] }]),
        json!([{ "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{ "match": "/(", "match_type": "exact" }] }]),
    ] {
        assert_eq!(status_with(&hub, &details).await, 200, "{details}");
    }
}

pub(crate) async fn a13_details_of_other_types_are_ignored(engine: Engine) {
    let hub = engine.hub().await;
    for other in [
        "payment",
        "https://mercure.rocks/authorization-detail/",
        "HTTPS://MERCURE.ROCKS/authorization-detail",
    ] {
        let details = json!([{ "type": other, "actions": "x", "topics": 1 }, grant(&["subscribe"], &["a"])]);
        assert_eq!(status_with(&hub, &details).await, 200, "{details}");
    }
    // And grant nothing.
    let mut other = grant(&["publish"], &["*"]);
    other["type"] = json!(format!("{DETAIL_TYPE}s"));
    let token = hub.publisher().detail(other).mint();
    hub.publish(topic("a"), "").with_token(&token).answer().await.expect(403);
}

pub(crate) async fn a13_malformed_details_make_the_token_invalid(engine: Engine) {
    let hub = engine.hub().await;
    let detail =
        |actions: Value, topics: Value| json!({ "type": DETAIL_TYPE, "actions": actions, "topics": topics });
    let topics = |topic: Value| detail(json!(["subscribe"]), json!([topic]));
    let with_payload = |payload: Value| {
        let mut good = grant(&["subscribe"], &["a"]);
        good["payload"] = payload;
        good
    };
    let mut malformed = vec![
        json!({ "type": DETAIL_TYPE, "topics": [{ "match": "a" }] }),
        json!({ "type": DETAIL_TYPE, "actions": ["subscribe"] }),
        detail(json!([]), json!([{ "match": "a" }])),
        detail(json!("subscribe"), json!([{ "match": "a" }])),
        detail(json!([1]), json!([{ "match": "a" }])),
        detail(json!(["subscribe", null]), json!([{ "match": "a" }])),
        detail(json!(null), json!([{ "match": "a" }])),
        detail(json!(["subscribe"]), json!([])),
        detail(json!(["subscribe"]), json!("a")),
        detail(json!(["subscribe"]), json!({ "match": "a" })),
        topics(json!("a")),
        topics(json!({})),
        topics(json!(null)),
        topics(json!({ "match": 1 })),
        topics(json!({ "match": ["a"] })),
        topics(json!({ "Match": "a" })),
        topics(json!({ "match": "a", "match_type": "Exact" })),
        topics(json!({ "match": "a", "match_type": "URLPattern" })),
        topics(json!({ "match": "a", "match_type": "uritemplate" })),
        topics(json!({ "match": "a", "match_type": "" })),
        topics(json!({ "match": "a", "match_type": 1 })),
        topics(json!({ "match": "a\n" })),
        topics(json!({ "match": "a\u{200b}" })),
        topics(json!({ "match": "/(", "match_type": "urlpattern" })),
        topics(json!({ "match": "/\u{ad}", "match_type": "urlpattern" })),
        with_payload(json!("x")),
        with_payload(json!([])),
        with_payload(json!(1)),
    ];
    // An action that the hub does not know excuses nothing.
    malformed.push(detail(json!(["unknown"]), json!(["a"])));
    let good = grant(&["subscribe"], &["a"]);
    for detail in malformed {
        for details in [json!([detail]), json!([good, detail])] {
            assert_eq!(status_with(&hub, &details).await, 401, "{details}");
        }
    }
    for details in
        [json!({}), json!("x"), json!(1), json!(true), json!(["x"]), json!([1]), json!([[]]), good.clone()]
    {
        assert_eq!(status_with(&hub, &details).await, 401, "{details}");
    }
}

pub(crate) async fn a13_invalid_details_are_refused_for_publishers_too(engine: Engine) {
    let hub = engine.hub().await;
    let token = hub.publisher().may_publish(&["*"]).detail(json!({ "type": DETAIL_TYPE })).mint();
    let answer = hub.publish(topic("a"), "").with_token(&token).answer().await;
    assert_eq!(answer.expect_refusal(401, "invalid_token").description(), Some("malformed_details"));
}
