//! Publishers of the 0.x generation: what they publish reaches subscribers of both generations, once.

use petasos_testkit::{
    EventStream,
    hub::{PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    matching,
};
use serde_json::{Value, json};

use crate::{
    driver::{Driver, event},
    generation::{Generation, old_publisher_token},
    hub::Hubs,
    node::subscriber,
};

/// The topic of all updates.
const TOPIC: &str = "https://example.com/books/1";

/// A selector of the old generation that matches it.
const SELECTOR: &str = "https://example.com/books/{id}";

/// A subscriber of the old generation that may read everything below [`SELECTOR`].
async fn old_subscriber(hubs: &Hubs) -> Driver {
    let headers = json!({ "Authorization": format!("Bearer {}", hubs.subscriber_token(&[SELECTOR])) });
    let mut client = subscriber("eventsource-2", &hubs.url(SELECTOR), &headers, "");
    client.expect("open").await;
    client
}

/// Tells a publisher to publish each of these, and asserts that both generations of subscribers see the same. `type` and
/// `id` of a command are expected of the event where they stand; the id is the answer in any case. Then its hub is killed
/// and started again, and the publisher goes on with the last of them.
async fn publishes(hubs: &mut Hubs, publisher: &mut Driver, updates: &[Value]) {
    let mut old = old_subscriber(hubs).await;
    let token = hubs.new_subscriber().may_subscribe(&[TOPIC]).mint();
    let mut new = hubs.hub().subscribe(matching(TOPIC)).with_token(&token).await;
    for command in updates {
        publishes_one(publisher, command, &mut old, &mut new).await;
    }

    let last = new.last_id().to_owned();
    let command = updates.last().unwrap();
    hubs.kill().await;
    publisher.ask(command, "error").await;
    hubs.start_again().await;
    let mut new = hubs.hub().subscribe(matching(TOPIC)).with_token(&token).after(&last).await;
    publishes_one(publisher, command, &mut old, &mut new).await;
    old.end().await;
}

async fn publishes_one(publisher: &mut Driver, command: &Value, old: &mut Driver, new: &mut EventStream) {
    let update = command.get("publish").unwrap_or(command);
    let options = update.get("options").unwrap_or(update);
    let published = publisher.ask(command, "published").await;
    let id = published["id"].as_str().unwrap();
    if let Some(wished) = options.get("id") {
        assert_eq!(wished, id);
    }
    let kind = options.get("type").and_then(Value::as_str).unwrap_or("message");
    let data = update["data"].as_str().unwrap();
    assert_eq!(old.expect("event").await, event(id, kind, data));
    let seen = new.next().await;
    let kind_of_new = if seen.kind.is_empty() { "message" } else { &seen.kind };
    assert_eq!((seen.id.as_str(), kind_of_new, seen.data.as_str()), (id, kind, data));
}

/// What an application publishes through Symfony's component.
pub(crate) fn symfony(hubs: &Hubs, publisher_token: &str) -> Driver {
    Driver::php(
        "php/symfony.php",
        &json!({
            "url": hubs.hub().url(),
            "public_url": format!("{}/.well-known/mercure", hubs.browsers_origin()),
            "publisher_jwt": publisher_token,
            "subscriber_key": SUBSCRIBER_SECRET,
        }),
    )
}

/// The cookie that the component makes for a page, as a client sends it.
pub(crate) async fn symfony_cookie(hubs: &Hubs, selector: &str) -> String {
    let mut application = symfony(hubs, &old_publisher_token(&["*"]));
    let page = format!("{}/page", hubs.browsers_origin());
    let command = json!({ "cookie": { "page": page, "subscribe": [selector] } });
    let cookie = application.ask(&command, "cookie").await;
    application.end().await;
    let (name, value) = (cookie["name"].as_str().unwrap(), cookie["value"].as_str().unwrap());
    assert_eq!(name, Generation::Old.cookie_name());
    format!("{name}={value}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_symfony_mercure_reaches_both_generations() {
    let mut hubs = Hubs::start(Generation::Old, &[]).await;
    let mut publisher = symfony(&hubs, &old_publisher_token(&["*"]));
    let updates = [
        json!({ "publish": { "topics": [TOPIC], "data": "{\"status\":\"public\"}" } }),
        json!({ "publish": { "topics": ["https://example.com/other", TOPIC], "data": "privé ✓\n\nend", "private": true,
            "id": "urn:x:symfony", "type": "odd", "retry": 500 } }),
        json!({ "publish": { "topics": [TOPIC], "data": "" } }),
    ];
    // An event without data is none to an EventSource; the last one is for the new generation only.
    publishes(&mut hubs, &mut publisher, &updates[..2]).await;
    assert_eq!(publisher.ask(&updates[2], "published").await["id"].as_str().map(str::is_empty), Some(false));
    publisher.end().await;
}

/// With the issuer of new tokens named, old ones go on working where the mode is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_symfony_mercure_reaches_both_generations_while_they_move() {
    let mut hubs = Hubs::start(Generation::Moving, &[]).await;
    let mut publisher = symfony(&hubs, &old_publisher_token(&["*"]));
    publishes(
        &mut hubs,
        &mut publisher,
        &[json!({ "publish": { "topics": [TOPIC], "data": "1", "private": true } })],
    )
    .await;
    publisher.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_symfony_mercure_is_refused_what_its_token_does_not_grant() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let mut publisher = symfony(&hubs, &old_publisher_token(&["https://example.com/mine/{id}"]));
    let granted = json!({ "publish": { "topics": ["https://example.com/mine/1"], "data": "1" } });
    publisher.ask(&granted, "published").await;
    for private in [false, true] {
        let foreign = json!({ "publish": { "topics": [TOPIC], "data": "2", "private": private } });
        let error = publisher.ask(&foreign, "error").await;
        assert!(error["message"].as_str().unwrap().contains("403"), "{error}");
    }
    publisher.end().await;
}

/// Without the mode: a clear refusal, and an exception in the application.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_symfony_mercure_with_a_token_of_the_old_form_is_refused_by_a_hub_without_the_mode() {
    let hubs = Hubs::start(Generation::New, &[]).await;
    let mut publisher = symfony(&hubs, &old_publisher_token(&["*"]));
    let update = json!({ "publish": { "topics": [TOPIC], "data": "1" } });
    let error = publisher.ask(&update, "error").await;
    assert!(error["message"].as_str().unwrap().contains("401"), "{error}");
    publisher.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_npm_mercure_reaches_both_generations() {
    let mut hubs = Hubs::start(Generation::Old, &[]).await;
    let address = hubs.hub().address();
    let settings = json!({
        "host": address.ip(),
        "port": address.port(),
        "jwt": old_publisher_token(&["*"]),
    });
    let mut publisher = Driver::node("node/publish.cjs", &settings);
    let updates = [
        json!({ "topics": [TOPIC], "data": "{\"hello\":\"wörld\"}" }),
        json!({ "topics": [TOPIC, "https://example.com/other"], "data": "2",
            "options": { "id": "urn:x:npm", "type": "odd", "retry": 500 } }),
    ];
    publishes(&mut hubs, &mut publisher, &updates).await;
    publisher.end().await;
}

async fn python_publishes(library: &str, updates: &[Value]) {
    let mut hubs = Hubs::start(Generation::Old, &[]).await;
    let settings = json!({
        "library": library,
        "url": hubs.hub().url(),
        "key": PUBLISHER_SECRET,
        "publish": ["https://example.com/{+any}"],
    });
    let mut publisher = Driver::python("python/publish.py", &settings);
    publishes(&mut hubs, &mut publisher, updates).await;
    let foreign = json!({ "topics": ["urn:not-granted"], "data": "3" });
    let error = publisher.ask(&foreign, "error").await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("403") || message.starts_with("PublishRejectedError"), "{error}");
    publisher.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_pypi_mercure_publisher_reaches_both_generations() {
    let updates = [
        json!({ "topics": [TOPIC], "data": "{\"hello\":\"wörld\"}" }),
        json!({ "topics": [TOPIC, "https://example.com/other"], "data": "2", "private": true, "id": "urn:x:python",
            "type": "odd", "retry": 500 }),
    ];
    python_publishes("mercure-publisher", &updates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l03_pypi_pymercure_reaches_both_generations() {
    let updates = [
        json!({ "topics": [TOPIC], "data": "{\"hello\":\"wörld\"}" }),
        json!({ "topics": [TOPIC, "https://example.com/other"], "data": "2", "id": "urn:x:python", "type": "odd" }),
    ];
    python_publishes("pymercure", &updates).await;
}

/// The reverse: what a publisher of the new generation says, clients of the old one see, with their cookie of Symfony.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l04_a_new_publisher_reaches_an_old_subscriber_with_the_cookie_of_symfony() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let headers = json!({ "Cookie": symfony_cookie(&hubs, SELECTOR).await });
    let mut old = subscriber("eventsource-2", &hubs.url("*"), &headers, "");
    old.expect("open").await;
    let token = hubs.new_publisher().may_publish(&["*"]).mint();
    let hub = hubs.hub();
    hub.publish("https://example.com/authors/1", "not granted").with_token(&token).private().await;
    let private = hub.publish(TOPIC, "private").with_token(&token).private().await;
    let public = hub.publish("https://example.com/authors/1", "public").with_token(&token).await;
    assert_eq!(old.expect("event").await, event(&private, "message", "private"));
    assert_eq!(old.expect("event").await, event(&public, "message", "public"));
    old.end().await;
}
