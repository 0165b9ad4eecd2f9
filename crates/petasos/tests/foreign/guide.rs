//! What `docs/migrate.md` promises: the pattern that takes a selector's place matches what the selector matched, and the
//! metric tells who is left.

use petasos_testkit::{HUB_PATH, form, matching, matching_raw, topic};
use serde_json::json;

use crate::{generation::Generation, hub::Hubs, node::subscriber, publishers::symfony_cookie};

/// The guide.
const GUIDE: &str = include_str!("../../../../docs/migrate.md");

/// Rows of its table, each with a topic that both sides match.
const ROWS: [(&str, &str, &str); 9] = [
    ("https://example.com/books/1", "match=https://example.com/books/1", "https://example.com/books/1"),
    (
        "https://example.com/books/{id}",
        "match_urlpattern=https://example.com/books/:id",
        "https://example.com/books/42",
    ),
    ("https://example.com/{+path}", "match_urlpattern=https://example.com/*", "https://example.com/a/b?c=d"),
    (
        "https://example.com/books{/id}",
        "match_urlpattern=https://example.com/books/:id",
        "https://example.com/books/42",
    ),
    (
        "https://example.com/books{?page,sort}",
        "match_urlpattern=https://example.com/books?*",
        "https://example.com/books?page=2&sort=title",
    ),
    ("https://{host}/books/1", "match_urlpattern=https://*/books/1", "https://example.com/books/1"),
    ("urn:book:{id}", r"match_urlpattern=urn\:book\::id", "urn:book:42"),
    ("*", "match=*", "anything"),
    ("plain-name", "match=plain-name", "plain-name"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_m02_the_patterns_of_the_guide_match_what_the_selectors_match() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let hub = hubs.hub();
    let token = hubs.new_publisher().may_publish(&["*"]).mint();
    for (selector, new, sample) in ROWS {
        let row = GUIDE.lines().find(|line| line.starts_with(&format!("| `topic={selector}`")));
        let row = row.unwrap_or_else(|| panic!("the guide says nothing of {selector}"));
        assert!(row.ends_with(&format!("| `{new}` |")), "{row}");
        let (name, value) = new.split_once('=').unwrap();
        for query in [form::encode([("topic", selector)]), form::encode([(name, value)])] {
            let mut stream = hub.subscribe(matching_raw(query.clone())).without_token().await;
            hub.publish(topic("https://other.example/"), "of no other").with_token(&token).await;
            let id = hub.publish(topic(sample), sample).with_token(&token).await;
            let mut seen = stream.next().await;
            if selector == "*" && seen.data == "of no other" {
                seen = stream.next().await;
            }
            assert_eq!(seen.id, id, "{HUB_PATH}?{query}");
        }
    }
}

/// What makes a client one of the old generation.
const KINDS: [&str; 5] =
    ["topic_parameter", "old_token", "old_cookie", "authorization_parameter", "old_cursor"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l04_l05_l06_the_metric_of_the_guide_counts_each_kind_of_old_client() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let count = async |kind: &str| -> u64 {
        let metrics = hubs.hub().admin_get("/metrics").await.expect(200);
        let generation = if kind == "none" { "1.0" } else { "0.x" };
        let name =
            format!("petasos_requests_by_generation_total{{generation=\"{generation}\",kind=\"{kind}\"}} ");
        metrics.text().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    };
    let token = hubs.new_subscriber().mint();
    hubs.hub().subscribe(matching("a")).with_token(&token).await;
    for kind in KINDS {
        assert!(GUIDE.contains(&format!("\n| `{kind}` | ")), "the guide says nothing of {kind}");
        assert_eq!(count(kind).await, 0, "{kind}");
    }
    assert_eq!(count("none").await, 1);

    let cookie = symfony_cookie(&hubs, "a").await;
    let mut old = subscriber("eventsource-2", &hubs.url("a"), &json!({ "Cookie": cookie }), "");
    old.expect("open").await;
    let counted = [1, 1, 1, 0, 0];
    for (kind, counted) in KINDS.into_iter().zip(counted) {
        assert_eq!(count(kind).await, counted, "{kind}");
    }
    let more =
        form::encode([("authorization", &*hubs.subscriber_token(&["a"])), ("lastEventID", "earliest")]);
    let mut older = subscriber("eventsource", &format!("{}&{more}", hubs.url("a")), &json!({}), "");
    older.expect("open").await;
    let counted = [2, 2, 1, 1, 1];
    for (kind, counted) in KINDS.into_iter().zip(counted) {
        assert_eq!(count(kind).await, counted, "{kind}");
    }
    assert_eq!(count("none").await, 1);
    old.end().await;
    older.end().await;
}
