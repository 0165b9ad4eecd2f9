//! E05 to E07: the subscription API.

use petasos_testkit::{
    Answer, DETAIL_TYPE, HUB_PATH, Protocol, SUBSCRIPTIONS, TestHub, form, matching, matching_pattern,
    matching_raw, token::grant_pattern,
};
use serde_json::{Value, json};

use crate::{common::Engine, support::eventually};

async fn hub(engine: Engine) -> TestHub {
    engine.hub_with(|config| config.hub.subscriptions = true).await
}

async fn list(hub: &TestHub, path: &str) -> Answer {
    hub.get(path).bearer(&hub.subscriber().may_subscribe(&["*"]).mint()).send().await
}

fn values(list: &Value) -> Vec<(&str, &str)> {
    let entries = list["subscriptions"].as_array().unwrap().iter();
    entries.map(|entry| (entry["match_type"].as_str().unwrap(), entry["match"].as_str().unwrap())).collect()
}

pub(crate) async fn e05_collections_list_what_is_active(engine: Engine) {
    let hub = hub(engine).await;
    assert_eq!(
        list(&hub, SUBSCRIPTIONS).await.expect(200).json(),
        json!({ "id": SUBSCRIPTIONS, "type": "subscriptions", "subscriptions": [] })
    );
    let first = hub.subscribe(matching("a").or(matching_pattern("/b/*"))).await;
    let _second = hub.subscribe(matching("a")).over(Protocol::Http2).await;
    let answer = list(&hub, SUBSCRIPTIONS).await.expect(200);
    assert_eq!(answer.required("content-type").split(';').next(), Some("application/json"));
    let all = answer.json();
    assert_eq!((&all["id"], &all["type"]), (&json!(SUBSCRIPTIONS), &json!("subscriptions")));
    assert_eq!(values(&all), [("exact", "a"), ("exact", "a"), ("urlpattern", "/b/*")]);
    let path = format!("{SUBSCRIPTIONS}/exact/a");
    let of_matcher = list(&hub, &path).await.expect(200).json();
    assert_eq!(of_matcher["id"], path);
    assert_eq!(values(&of_matcher), [("exact", "a"), ("exact", "a")]);
    let path = format!("{SUBSCRIPTIONS}/urlpattern/%2Fb%2F%2A");
    assert_eq!(values(&list(&hub, &path).await.expect(200).json()), [("urlpattern", "/b/*")]);
    for path in ["exact/b", "urlpattern/a", "exact/%2Fb%2F%2A"] {
        let empty = list(&hub, &format!("{SUBSCRIPTIONS}/{path}")).await.expect(200).json();
        assert_eq!(values(&empty), []);
    }
    drop(first);
    let one = hub.subscriber().may_subscribe(&["*"]).mint();
    eventually(200, || async {
        let mut answer = hub.get(SUBSCRIPTIONS).bearer(&one).send().await;
        if answer.json()["subscriptions"].as_array().map(Vec::len) != Some(1) {
            answer.status = 0;
        }
        answer
    })
    .await;
}

pub(crate) async fn e05_a_single_subscription_has_a_path_of_its_own(engine: Engine) {
    let hub = hub(engine).await;
    let detail = json!({
        "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{ "match": "*" }], "payload": { "user": 1 },
    });
    let token = hub.subscriber().detail(detail).mint();
    let subscriber = hub.subscribe(matching("https://example.com/\u{e9} x")).with_token(&token).await;
    let all = list(&hub, SUBSCRIPTIONS).await.expect(200).json();
    let entry = &all["subscriptions"][0];
    let path = entry["id"].as_str().unwrap();
    let single = list(&hub, path).await.expect(200);
    assert_eq!(single.required("content-type").split(';').next(), Some("application/json"));
    assert_eq!(&single.json(), entry, "it reads the same in the collection and alone");
    assert_eq!(entry["payload"], json!({ "user": 1 }));
    assert_eq!(entry["active"], true);
    assert_eq!(entry["type"], "subscription");
    drop(subscriber);
    eventually(404, || list(&hub, path)).await;
}

pub(crate) async fn e05_the_path_may_be_spelled_in_other_ways(engine: Engine) {
    let hub = hub(engine).await;
    let _subscriber = hub.subscribe(matching("a:b")).await;
    for spelling in ["a%3Ab", "a%3ab", "a:b", "%61%3A%62"] {
        let path = format!("{SUBSCRIPTIONS}/exact/{spelling}");
        let answer = list(&hub, &path).await.expect(200).json();
        assert_eq!(answer["id"], path, "the id is the requested path");
        assert_eq!(values(&answer), [("exact", "a:b")]);
    }
}

pub(crate) async fn e05_what_is_not_there_is_404_and_what_is_no_type_400(engine: Engine) {
    let hub = hub(engine).await;
    let _subscriber = hub.subscribe(matching("a")).await;
    let single = list(&hub, SUBSCRIPTIONS).await.expect(200).json()["subscriptions"][0].clone();
    let subscriber = form::escape(single["subscriber"].as_str().unwrap());
    for path in [
        "exact/a/urn%3Auuid%3A0",
        "exact/a/x",
        &format!("exact/b/{subscriber}"),
        &format!("urlpattern/a/{subscriber}"),
    ] {
        list(&hub, &format!("{SUBSCRIPTIONS}/{path}")).await.expect(404);
    }
    for path in ["Exact/a", "uritemplate/a", "URLPattern/a", "unknown/a/x", "regex/a/urn%3Auuid%3A0"] {
        // L07: where the 0.x generation is served, another first segment is a topic of that generation. Its paths have two
        // segments at most.
        let is_old = engine.is_compatible() && path.split('/').count() == 2;
        let status = if is_old { 404 } else { 400 };
        list(&hub, &format!("{SUBSCRIPTIONS}/{path}")).await.expect(status);
    }
}

pub(crate) async fn e05_without_the_feature_there_is_nothing(engine: Engine) {
    let hub = engine.hub().await;
    for path in ["", "/exact/a", "/exact/a/urn%3Auuid%3A0"] {
        list(&hub, &format!("{SUBSCRIPTIONS}{path}")).await.expect(404);
    }
}

pub(crate) async fn e06_the_path_must_be_granted(engine: Engine) {
    let hub = engine
        .hub_with(|config| {
            config.hub.subscriptions = true;
            // Anonymous subscribers may not look who else is there.
            config.auth.anonymous = true;
        })
        .await;
    let of_a = format!("{SUBSCRIPTIONS}/exact/a");
    let of_slash = format!("{SUBSCRIPTIONS}/exact/a%2Fb");
    for path in [SUBSCRIPTIONS, &of_a] {
        let answer = hub.get(path).send().await.expect(401);
        assert_eq!(answer.challenge().error(), None);
    }
    let ask = |path: &str, token: String| hub.get(path).bearer(&token).send();
    let with = |topic: &str| hub.subscriber().may_subscribe(&[topic]).mint();
    ask(SUBSCRIPTIONS, with(SUBSCRIPTIONS)).await.expect(200);
    ask(&of_a, with(&of_a)).await.expect(200);
    ask(&format!("{of_a}?x=1"), with(&of_a)).await.expect(200);
    ask(&of_slash, with(&of_slash)).await.expect(200);
    ask(&of_slash, with(&format!("{SUBSCRIPTIONS}/exact/a/b"))).await.expect(403);
    ask(&of_a, with(SUBSCRIPTIONS)).await.expect(403);
    ask(SUBSCRIPTIONS, with(&of_a)).await.expect(403);
    ask(SUBSCRIPTIONS, with("a")).await.expect(403);
    ask(SUBSCRIPTIONS, hub.subscriber().may_publish(&["*"]).mint()).await.expect(403);
    let pattern =
        hub.subscriber().detail(grant_pattern(&["subscribe"], &format!("{SUBSCRIPTIONS}/exact/:a"))).mint();
    ask(&of_a, pattern.clone()).await.expect(200);
    ask(&of_slash, pattern.clone()).await.expect(200);
    ask(SUBSCRIPTIONS, pattern).await.expect(403);
}

pub(crate) async fn e07_the_link_leads_to_the_hub_and_its_newest_event(engine: Engine) {
    let hub = hub(engine).await;
    let link = |id: &str| {
        format!(
            "<{}>; rel=\"mercure\"; last-event-id=\"{id}\"; type=\"mercure\"; content-type=\"application/json\"",
            hub.url()
        )
    };
    let answer = list(&hub, SUBSCRIPTIONS).await.expect(200);
    assert_eq!(same_link(answer.required("link")), same_link(&link("earliest")));
    for (id, escaped) in [("urn:x:1", "urn:x:1"), ("a \"quoted\" \\ id", "a \\\"quoted\\\" \\\\ id")] {
        hub.publish("a", "").id(id).await;
        for path in [SUBSCRIPTIONS.to_owned(), format!("{SUBSCRIPTIONS}/exact/a")] {
            let answer = list(&hub, &path).await.expect(200);
            assert_eq!(same_link(answer.required("link")), same_link(&link(escaped)));
        }
    }
}

/// The hub may be named by its path alone.
fn same_link(link: &str) -> String {
    let (target, rest) = link.split_once('>').unwrap();
    assert!(target.ends_with(HUB_PATH), "{link}");
    rest.replace("; ", ";")
}

pub(crate) async fn e07_the_list_is_where_its_cursor_says(engine: Engine) {
    let hub = hub(engine).await;
    let _subscriber = hub.subscribe(matching("a")).await;
    let answer = list(&hub, SUBSCRIPTIONS).await.expect(200);
    let link = answer.required("link");
    let id = link.split("last-event-id=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_ne!(id, "earliest", "the event of the subscription itself is in the log");
    let mut updates = hub
        .subscribe(matching_raw("match_urlpattern=/.well-known/mercure/subscriptions/exact/*"))
        .after(id)
        .await;
    let _later = hub.subscribe(matching("later")).await;
    let data: Value = serde_json::from_str(&updates.next_data().await).unwrap();
    assert_eq!(data["match"], "later", "what is in the list does not come again, and what is not, does");
}

pub(crate) async fn e07_the_etag_follows_the_log(engine: Engine) {
    let hub = hub(engine).await;
    let ask = |etag: &str| {
        let token = hub.subscriber().may_subscribe(&["*"]).mint();
        hub.get(SUBSCRIPTIONS).bearer(&token).header("If-None-Match", etag).send()
    };
    hub.publish("a", "").await;
    let answer = list(&hub, SUBSCRIPTIONS).await.expect(200);
    assert_eq!(answer.required("cache-control"), "must-revalidate");
    let etag = answer.required("etag").to_owned();
    assert!(etag.ends_with('"') && etag.trim_start_matches("W/").starts_with('"'), "{etag} is no entity tag");
    for condition in
        [etag.clone(), format!("\"x\", {etag}"), format!("W/{}", etag.trim_start_matches("W/")), "*".into()]
    {
        let unchanged = ask(&condition).await.expect(304);
        assert_eq!(unchanged.required("etag"), etag);
        assert!(unchanged.body.is_empty());
    }
    ask("\"x\"").await.expect(200);
    hub.publish("a", "").await;
    let changed = ask(&etag).await.expect(200);
    assert_ne!(changed.required("etag"), etag);
}

pub(crate) async fn e07_a_head_of_the_list_has_no_body(engine: Engine) {
    let hub = hub(engine).await;
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let answer = hub.request("HEAD", SUBSCRIPTIONS).bearer(&token).send().await.expect(200);
    assert!(answer.header("etag").is_some() && answer.header("link").is_some(), "{answer:?}");
}
