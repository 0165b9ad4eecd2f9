//! The words in which a subscription is told (E01, E02, and L07 for those of the 0.x generation): the topic of its events,
//! and its JSON, in the events as in the subscription API. Knows nothing of HTTP, tokens or logs.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    topic::{self, MatchType},
    transport::SubscriptionRecord,
    update::HUB_EVENT_TYPE,
};

/// `S` of the protocol: the path of the subscription API, and what every topic of a subscription event begins with.
pub(crate) const SUBSCRIPTIONS_PATH: &str = "/.well-known/mercure/subscriptions";

/// What JSON-LD of the 0.x generation names as its context (L07).
pub(crate) const OLD_CONTEXT: &str = "https://mercure.rocks/";

/// The topic of a subscription, which is also its id (E01): each variable percent-encoded exactly once, as a whole. One that
/// was made with `topic` names no type (L07).
pub(crate) fn subscription_topic(match_type: MatchType, value: &str, subscriber: &str) -> String {
    let (value, subscriber) = (topic::encode_segment(value), topic::encode_segment(subscriber));
    match match_type {
        MatchType::Topic => format!("{SUBSCRIPTIONS_PATH}/{value}/{subscriber}"),
        MatchType::Exact | MatchType::UrlPattern => {
            format!("{SUBSCRIPTIONS_PATH}/{}/{value}/{subscriber}", match_type.as_str())
        }
    }
}

/// The SSE type of the events of a subscription. Those of the 0.x generation have none: its clients listen for messages.
pub(crate) fn subscription_event_type(match_type: MatchType) -> Option<String> {
    (match_type != MatchType::Topic).then(|| HUB_EVENT_TYPE.to_owned())
}

/// The data of the event that announces a subscription or its end: in the form of its own generation.
pub(crate) fn subscription_event(record: &SubscriptionRecord, active: bool) -> String {
    match record.match_type {
        MatchType::Topic => old_subscription_json(record, active, Some(OLD_CONTEXT), None),
        MatchType::Exact | MatchType::UrlPattern => subscription_json(record, active),
    }
}

/// What stands in place of a payload.
const NO_PAYLOAD: &str = "{}";

/// A subscription as JSON-LD of the 0.x generation (L07). A client of that generation looks into the `payload` of every
/// subscription, so that one without any has an empty object (C07).
pub(crate) fn old_subscription_json(
    record: &SubscriptionRecord,
    active: bool,
    context: Option<&'static str>,
    last_event_id: Option<&str>,
) -> String {
    let told = ToldAsBefore {
        context,
        id: subscription_topic(record.match_type, &record.match_value, &record.subscriber),
        kind: "Subscription",
        subscriber: &record.subscriber,
        topic: &record.match_value,
        active,
        payload: payload(record).or_else(|| serde_json::from_str(NO_PAYLOAD).ok()),
        last_event_id,
    };
    // Strings and a raw value: there is nothing in it that could fail.
    serde_json::to_string(&told).unwrap_or_default()
}

/// A subscription as JSON (E02), with its payload as the token has it.
pub(crate) fn subscription_json(record: &SubscriptionRecord, active: bool) -> String {
    let told = Told {
        id: subscription_topic(record.match_type, &record.match_value, &record.subscriber),
        kind: "subscription",
        match_type: record.match_type.as_str(),
        match_value: &record.match_value,
        topic: (record.match_type == MatchType::Topic).then_some(&*record.match_value),
        subscriber: &record.subscriber,
        active,
        payload: payload(record),
    };
    // Strings and a raw value: there is nothing in it that could fail.
    serde_json::to_string(&told).unwrap_or_default()
}

/// It was JSON when the token was verified. Were it not any more, the rest is still worth telling.
fn payload(record: &SubscriptionRecord) -> Option<&RawValue> {
    record.payload.as_deref().and_then(|payload| serde_json::from_str(payload).ok())
}

#[derive(Serialize)]
struct Told<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    match_type: &'static str,
    #[serde(rename = "match")]
    match_value: &'a str,
    /// Of subscriptions that were made with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    subscriber: &'a str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ToldAsBefore<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subscriber: &'a str,
    topic: &'a str,
    active: bool,
    payload: Option<&'a RawValue>,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::NodeId;

    fn record(payload: Option<&str>) -> SubscriptionRecord {
        SubscriptionRecord {
            node: NodeId::random(),
            subscriber: "urn:uuid:1".into(),
            match_type: MatchType::UrlPattern,
            match_value: "https://example.com/\"é\"/:id".into(),
            payload: payload.map(Into::into),
        }
    }

    #[test]
    fn e01_each_variable_is_encoded_once_as_a_whole() {
        assert_eq!(
            subscription_topic(MatchType::Exact, "https://a.example/%2F?x=1 2~", "urn:uuid:1"),
            "/.well-known/mercure/subscriptions/exact/https%3A%2F%2Fa.example%2F%252F%3Fx%3D1%202~/urn%3Auuid%3A1"
        );
    }

    #[test]
    fn e02_the_members_and_their_order() {
        assert_eq!(
            subscription_json(&record(None), true),
            r#"{"id":"/.well-known/mercure/subscriptions/urlpattern/https%3A%2F%2Fexample.com%2F%22%C3%A9%22%2F%3Aid/urn%3Auuid%3A1","type":"subscription","match_type":"urlpattern","match":"https://example.com/\"é\"/:id","subscriber":"urn:uuid:1","active":true}"#
        );
    }

    #[test]
    fn l07_a_subscription_of_the_0x_generation_is_told_as_that_told_it() {
        let mut record = record(None);
        (record.match_type, record.match_value) = (MatchType::Topic, "https://a.example/{id}".into());
        let id = "/.well-known/mercure/subscriptions/https%3A%2F%2Fa.example%2F%7Bid%7D/urn%3Auuid%3A1";
        assert_eq!(subscription_topic(MatchType::Topic, "https://a.example/{id}", "urn:uuid:1"), id);
        assert_eq!(
            subscription_event(&record, true),
            format!(
                r#"{{"@context":"https://mercure.rocks/","id":"{id}","type":"Subscription","subscriber":"urn:uuid:1","topic":"https://a.example/{{id}}","active":true,"payload":{{}}}}"#
            )
        );
        record.payload = Some(r#""any JSON""#.into());
        assert_eq!(
            old_subscription_json(&record, false, None, Some("urn:x:1")),
            format!(
                r#"{{"id":"{id}","type":"Subscription","subscriber":"urn:uuid:1","topic":"https://a.example/{{id}}","active":false,"payload":"any JSON","lastEventID":"urn:x:1"}}"#
            )
        );
        assert_eq!(
            subscription_json(&record, true),
            format!(
                r#"{{"id":"{id}","type":"subscription","match_type":"topic","match":"https://a.example/{{id}}","topic":"https://a.example/{{id}}","subscriber":"urn:uuid:1","active":true,"payload":"any JSON"}}"#
            )
        );
        assert_eq!(subscription_event_type(MatchType::Topic), None);
        assert_eq!(subscription_event_type(MatchType::Exact).as_deref(), Some("mercure"));
    }

    #[test]
    fn e04_the_payload_is_told_as_it_is() {
        let payload = r#"{"n": 1.50, "a": [null, "é"]}"#;
        let told = subscription_json(&record(Some(payload)), false);
        assert!(told.ends_with(&format!(r#""active":false,"payload":{payload}}}"#)), "{told}");
        assert!(!subscription_json(&record(Some("{broken")), false).contains("payload"));
    }
}
