//! Any form survives: random updates, in random spellings, published over HTTP and read back from the stream. And any
//! bytes where a form or a query is expected are answered by the rules, never by a 500.

#![allow(clippy::unwrap_used)]

mod common;

use petasos_testkit::{
    HUB_PATH, SUBSCRIPTIONS, TestHub,
    form::{self, Spelling},
    matching,
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::common::Engine;

/// How many random forms each engine takes.
const FORMS: u32 = 300;

#[derive(Clone, Debug)]
struct Form {
    topics: Vec<String>,
    data: Option<String>,
    kind: Option<String>,
    id: Option<String>,
    retry: Option<u32>,
    private: Option<String>,
    unknown: Vec<(String, String)>,
    spelling: Spelling,
    /// Mixes the order of the fields; topics keep theirs.
    shuffle: u64,
}

/// No control and format characters; nothing that a rule reserves.
fn clean() -> impl Strategy<Value = String> {
    "[^\\p{C}\\p{Zl}\\p{Zp}]{1,30}".prop_map(|text| format!("x{text}"))
}

fn form() -> impl Strategy<Value = Form> {
    let topic = prop_oneof![clean(), "https://example\\.com/[a-zA-Z0-9/%?&=+;#~]{0,30}"];
    let unknown = prop::collection::vec(("[a-zA-Z_]{1,10}", any::<String>()), 0..3);
    let data = prop_oneof![any::<String>(), "[\\x00-\\x7f]{0,200}", "[ +&=%;\\r\\n]{0,40}"];
    (
        prop::collection::vec(topic, 1..5),
        prop::option::of(data),
        prop::option::of(clean()),
        prop::option::of(clean()),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<String>()),
        unknown.prop_map(|fields| {
            fields.into_iter().map(|(name, value)| (format!("unknown-{name}"), value)).collect()
        }),
        prop_oneof![Just(Spelling::Escaped), Just(Spelling::Plus), Just(Spelling::Everything)],
        any::<u64>(),
    )
        .prop_map(|(topics, data, kind, id, retry, private, unknown, spelling, shuffle)| Form {
            topics,
            data,
            kind,
            id,
            retry,
            private,
            unknown,
            spelling,
            shuffle,
        })
}

impl Form {
    fn encode(&self) -> String {
        let mut fields: Vec<(&str, String)> = Vec::new();
        let given = [
            ("data", self.data.clone()),
            ("type", self.kind.clone()),
            ("id", self.id.clone()),
            ("retry", self.retry.map(|milliseconds| milliseconds.to_string())),
            ("private", self.private.clone()),
        ];
        fields.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
        fields.extend(self.unknown.iter().map(|(name, value)| (name.as_str(), value.clone())));
        for (index, topic) in self.topics.iter().enumerate() {
            let place = self.shuffle.rotate_left(index as u32) as usize % (fields.len() + 1);
            fields.insert(place, ("topic", topic.clone()));
        }
        form::encode_as(self.spelling, fields.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

async fn survives(hub: &TestHub, form: Form) {
    let topic = &form.topics[form.shuffle as usize % form.topics.len()];
    let mut reader = hub.subscribe(matching(topic)).granted(&[topic]).await;
    let mut stranger = hub.subscribe(matching(topic)).granted_nothing().await;
    let answer = hub.post_form(form.encode()).send().await.expect(200);
    assert!(form.id.as_deref().is_none_or(|id| id == answer.text()));
    let event = reader.next().await;
    assert_eq!(event.id, answer.text());
    assert_eq!(event.kind, form.kind.clone().unwrap_or_default());
    assert_eq!(event.retry_ms, form.retry.map(u64::from));
    let data = form.data.clone().unwrap_or_default();
    assert_eq!(event.data, data.replace("\r\n", "\n").replace('\r', "\n"));
    if form.private.is_some() {
        nothing_but_a_marker(hub, &mut stranger, topic).await;
    } else {
        assert_eq!(stranger.next().await, event);
    }
}

async fn nothing_but_a_marker(hub: &TestHub, stranger: &mut petasos_testkit::EventStream, topic: &str) {
    hub.publish(topic, "a public marker").await;
    assert_eq!(stranger.next_data().await, "a public marker", "a private update reached a stranger");
}

fn every_form_survives(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let hub = runtime.block_on(engine.hub());
    let config = ProptestConfig { cases: FORMS, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&form(), |form| {
        runtime.block_on(survives(&hub, form));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    runtime.block_on(hub.stop());
}

/// Bytes that are nearly a form: names that mean something, raw and escaped bytes of every kind.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"topic=".to_vec()),
        Just(b"match=".to_vec()),
        Just(b"match_urlpattern=".to_vec()),
        Just(b"last_event_id=".to_vec()),
        Just(b"data=".to_vec()),
        Just(b"&".to_vec()),
        Just(b"%".to_vec()),
        "[:/(){}*+?\\\\\\[\\]a-z]{1,12}".prop_map(String::into_bytes),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..15).prop_map(|pieces| pieces.concat())
}

async fn is_answered_by_the_rules(hub: &TestHub, garbage: Vec<u8>) {
    let published = hub.post_form(garbage.clone()).send().await;
    assert!([200, 400].contains(&published.status), "POST: {published:?}");
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let query = hub.request("QUERY", HUB_PATH).bearer(&token).form(garbage.clone()).send().await;
    assert!([200, 400].contains(&query.status), "QUERY: {query:?}");
    // What can stand in a request target at all.
    let target: String =
        garbage.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect();
    let got = hub.get(&format!("{HUB_PATH}?{target}")).bearer(&token).send().await;
    assert!([200, 400].contains(&got.status), "GET {target}: {got:?}");
    let listed = hub.get(&format!("{SUBSCRIPTIONS}/{target}")).bearer(&token).send().await;
    assert!([200, 400, 404].contains(&listed.status), "GET of the list at {target}: {listed:?}");
    // What can stand in a field at all: the framing of a head with control characters is another test's subject.
    let text = String::from_utf8_lossy(&garbage).replace(|character: char| character.is_ascii_control(), "");
    let with_fields =
        hub.get(&format!("{HUB_PATH}?match=a")).header("Authorization", &text).header("Cookie", &text);
    let refused = with_fields.header("Last-Event-ID", &text).header("Origin", &text).send().await;
    assert!([400, 401].contains(&refused.status), "{refused:?}");
}

fn any_bytes_are_answered(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let hub = runtime.block_on(engine.hub_with(|config| config.hub.subscriptions = true));
    let config = ProptestConfig { cases: FORMS, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&garbage(), |garbage| {
        runtime.block_on(is_answered_by_the_rules(&hub, garbage));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    runtime.block_on(hub.stop());
}

#[test]
fn s04_any_bytes_are_answered_by_the_rules_in_memory() {
    any_bytes_are_answered(Engine::Local);
}

#[test]
fn s04_any_bytes_are_answered_by_the_rules_on_sqlite() {
    any_bytes_are_answered(Engine::Sqlite);
}

#[test]
fn p01_every_form_survives_in_memory() {
    every_form_survives(Engine::Local);
}

#[test]
fn p01_every_form_survives_on_sqlite() {
    every_form_survives(Engine::Sqlite);
}
