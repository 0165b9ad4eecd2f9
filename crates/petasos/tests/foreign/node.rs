//! EventSources of npm, of both generations.

use serde_json::{Value, json};

use crate::{
    driver::Driver,
    generation::Generation,
    hub::Hubs,
    survival::{TOPIC, survives},
};

/// How a client shows its token.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Field,
    Cookie,
}

/// Opens a stream with this library. `cursor` is the name of the query parameter by which the polyfill resumes.
pub(crate) fn subscriber(library: &str, url: &str, headers: &Value, cursor: &str) -> Driver {
    let settings = json!({
        "library": library,
        "url": url,
        "headers": headers,
        "types": ["odd", "mercure"],
        "cursor": cursor,
    });
    Driver::node("node/subscribe.cjs", &settings)
}

async fn subscriber_survives(library: &str, generation: Generation, shown: Shown, cursor: &str) {
    let mut hubs = Hubs::start(generation, &[]).await;
    let token = hubs.subscriber_token(&[TOPIC]);
    let headers = match shown {
        Shown::Field => json!({ "Authorization": format!("Bearer {token}") }),
        Shown::Cookie => json!({ "Cookie": format!("{}={token}", generation.cookie_name()) }),
    };
    let mut client = subscriber(library, &hubs.url(TOPIC), &headers, cursor);
    survives(&mut client, &mut hubs).await;
    client.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_npm_eventsource() {
    subscriber_survives("eventsource", Generation::New, Shown::Field, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_r01_npm_eventsource_2() {
    subscriber_survives("eventsource-2", Generation::New, Shown::Cookie, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c02_c03_c05_r01_npm_event_source_polyfill() {
    subscriber_survives("event-source-polyfill", Generation::New, Shown::Field, "last_event_id").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_l03_npm_eventsource_of_the_old_generation() {
    subscriber_survives("eventsource", Generation::Old, Shown::Field, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_l04_npm_eventsource_2_of_the_old_generation_with_its_cookie() {
    subscriber_survives("eventsource-2", Generation::Old, Shown::Cookie, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_l06_npm_event_source_polyfill_with_the_cursor_of_version_8() {
    subscriber_survives("event-source-polyfill", Generation::Old, Shown::Field, "lastEventID").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_l06_npm_event_source_polyfill_with_the_cursor_of_version_7() {
    subscriber_survives("event-source-polyfill", Generation::Old, Shown::Field, "Last-Event-ID").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_l06_npm_event_source_polyfill_with_the_cursor_as_its_readme_spells_it() {
    subscriber_survives("event-source-polyfill", Generation::Old, Shown::Field, "Last-Event-Id").await;
}

/// The answer tells a 0.x client its cursor under the name that it knows, and a new one under the new name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l06_the_answer_carries_the_cursor_under_both_names() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let first = hubs.publish(TOPIC, "first", &[]).await;
    hubs.publish(TOPIC, "second", &[]).await;
    let headers = json!({ "Authorization": format!("Bearer {}", hubs.subscriber_token(&[TOPIC])) });
    for name in ["lastEventID", "Last-Event-ID", "last_event_id"] {
        let after = petasos_testkit::form::encode([(name, first.as_str())]);
        let url = format!("{}&{after}", hubs.url(TOPIC));
        let mut client = subscriber("eventsource", &url, &headers, "");
        let answer = client.expect("answer").await;
        assert_eq!(answer, json!({ "status": 200, "cursor": first, "old_cursor": first }), "{name}");
        assert_eq!(client.expect("event").await["data"], "second", "{name}");
        client.end().await;
    }
}

/// Without the mode, a 0.x client does not wait for ever on a stream that stays silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l02_npm_eventsource_of_the_old_generation_is_refused_by_a_hub_without_the_mode() {
    let hubs = Hubs::start(Generation::New, &[]).await;
    let url = format!("{}?{}", hubs.hub().url(), Generation::Old.query(TOPIC));
    let headers = json!({ "Authorization": format!("Bearer {}", hubs.subscriber_token(&[TOPIC])) });
    for library in ["eventsource", "eventsource-2", "event-source-polyfill"] {
        let mut client = subscriber(library, &url, &headers, "Last-Event-ID");
        let mut report = client.next_or_final().await;
        if report.get("answer").is_some() {
            report = client.next_or_final().await;
        }
        assert_eq!(report, json!({ "failure": { "status": 400, "final": true } }), "{library}");
        client.end().await;
    }
}
