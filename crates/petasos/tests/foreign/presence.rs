//! Active subscriptions in the form of the 0.x generation, as its clients read them.

use petasos_testkit::{
    SUBSCRIPTIONS, form,
    hub::{PUBLISHER_SECRET, SUBSCRIBER_SECRET},
    matching,
};
use serde_json::{Value, json};

use crate::{driver::Driver, generation::Generation, hub::Hubs, node::subscriber};

const TOPIC: &str = "https://example.com/rooms/1";

/// A topic for flask-mercure-sse, which does not escape slashes in the paths that it asks for.
const ROOM: &str = "room 1";

/// How 0.x clients ask for all subscription events.
const ALL_SUBSCRIPTIONS: &str = "/.well-known/mercure/subscriptions{/topic}{/subscriber}";

/// A Flask application whose hub this is.
fn flask(hubs: &Hubs) -> Driver {
    let settings = json!({
        "url": hubs.hub().url(),
        "publisher_key": PUBLISHER_SECRET,
        "subscriber_key": SUBSCRIBER_SECRET,
    });
    Driver::python("python/flask_app.py", &settings)
}

/// The document of a subscription in the form of 0.x, apart from its id and subscriber, which are made up by the hub.
fn assert_old_form(document: &Value, topic: &str, active: bool, payload: &Value) {
    let subscriber = document["subscriber"].as_str().unwrap_or_else(|| panic!("no subscriber in {document}"));
    let id = format!("{SUBSCRIPTIONS}/{}/{}", form::escape(topic), form::escape(subscriber));
    let expected = json!({
        "id": id,
        "type": "Subscription",
        "subscriber": subscriber,
        "topic": topic,
        "active": active,
        "payload": payload,
    });
    let mut document = document.clone();
    // In a collection it stands once, above.
    if let Some(context) = document.as_object_mut().unwrap().remove("@context") {
        assert_eq!(context, "https://mercure.rocks/");
    }
    assert_eq!(document, expected);
}

/// C07: flask-mercure-sse needs `payload` on every entry, and sends tokens in the URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_l05_l07_flask_mercure_sse_sees_who_is_connected() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let mut application = flask(&hubs);
    let payload = json!({ "user_id": 42 });
    let connected = json!({ "connected": { "topic": ROOM, "filter": payload } });
    assert_eq!(application.ask(&connected, "connected").await, false);
    // It looks into the payload of every entry, also of those who have none.
    let mut anonymous = subscriber("eventsource", &hubs.url(ROOM), &json!({}), "");
    anonymous.expect("open").await;
    assert_eq!(application.ask(&connected, "connected").await, false);

    let url = application.ask(&json!({ "url": { "topic": ROOM, "payload": payload } }), "url").await;
    let url = url.as_str().unwrap();
    assert!(url.contains("authorization="), "{url}");
    let mut client = subscriber("eventsource-2", url, &json!({}), "");
    client.expect("open").await;
    assert_eq!(application.ask(&connected, "connected").await, true);
    let other = json!({ "connected": { "topic": ROOM, "filter": { "user_id": 43 } } });
    assert_eq!(application.ask(&other, "connected").await, false);

    let list = application.ask(&json!({ "subscriptions": { "topic": ROOM } }), "subscriptions").await;
    assert_eq!(list["@context"], "https://mercure.rocks/");
    assert_eq!(list["id"], format!("{SUBSCRIPTIONS}/{}", form::escape(ROOM)));
    assert_eq!(list["type"], "Subscriptions");
    assert!(list["lastEventID"].is_string(), "{list}");
    let entries = list["subscriptions"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{list}");
    for payload in [json!({}), payload] {
        let entry = entries.iter().find(|entry| entry["payload"] == payload);
        assert_old_form(entry.unwrap_or_else(|| panic!("{payload} in {list}")), ROOM, true, &payload);
    }

    // It may read private updates, with the token of its URL.
    let command = json!({ "publish": { "topic": ROOM, "data": "hello", "private": true } });
    let published = application.ask(&command, "published").await;
    assert_eq!(client.expect("event").await["id"], published["id"]);
    client.end().await;
    anonymous.end().await;
    application.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l07_an_old_client_sees_old_subscriptions_begin_and_end() {
    let hubs = Hubs::start(Generation::Old, &[]).await;
    let watching =
        json!({ "Authorization": format!("Bearer {}", hubs.subscriber_token(&[ALL_SUBSCRIPTIONS])) });
    let mut watcher = subscriber("eventsource-2", &hubs.url(ALL_SUBSCRIPTIONS), &watching, "");
    watcher.expect("open").await;
    // Its own one, which it may see, comes first.
    let own = presence_event(&mut watcher).await;
    assert_old_form(&own, ALL_SUBSCRIPTIONS, true, &json!({}));

    let anonymous = subscriber("eventsource", &hubs.url(TOPIC), &json!({}), "");
    let begun = presence_event(&mut watcher).await;
    assert_old_form(&begun, TOPIC, true, &json!({}));
    anonymous.end().await;
    let ended = presence_event(&mut watcher).await;
    assert_old_form(&ended, TOPIC, false, &json!({}));
    assert_eq!(ended["id"], begun["id"]);

    // A subscription of the new generation has the new form, and another name.
    let token = hubs.new_subscriber().mint();
    let stream = hubs.hub().subscribe(matching(TOPIC)).with_token(&token).await;
    let list = hubs.hub().get(SUBSCRIPTIONS).bearer(&hubs.subscriber_token(&[SUBSCRIPTIONS])).send().await;
    let list = list.expect(200).json();
    let entries = list["subscriptions"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "both kinds are listed: {list}");
    drop(stream);
    watcher.end().await;
}

/// The document of the next subscription event. 0.x clients get them with `onmessage`.
async fn presence_event(watcher: &mut Driver) -> Value {
    let event = watcher.expect("event").await;
    assert_eq!(event["type"], "message", "{event}");
    let document: Value = serde_json::from_str(event["data"].as_str().unwrap()).unwrap();
    assert_eq!(document["@context"], "https://mercure.rocks/", "{document}");
    document
}
