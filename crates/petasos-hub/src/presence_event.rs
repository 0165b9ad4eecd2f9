//! The words in which a subscription is told (E01, E02): the topic of its events, and its JSON, in the events as in the
//! subscription API. Knows nothing of HTTP, tokens or logs.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    topic::{self, MatchType},
    transport::SubscriptionRecord,
};

/// `S` of the protocol: the path of the subscription API, and what every topic of a subscription event begins with.
pub(crate) const SUBSCRIPTIONS_PATH: &str = "/.well-known/mercure/subscriptions";

/// The topic of a subscription, which is also its id (E01): each variable percent-encoded exactly once, as a whole.
pub(crate) fn subscription_topic(match_type: MatchType, value: &str, subscriber: &str) -> String {
    format!(
        "{SUBSCRIPTIONS_PATH}/{}/{}/{}",
        match_type.as_str(),
        topic::encode_segment(value),
        topic::encode_segment(subscriber)
    )
}

/// A subscription as JSON (E02), with its payload as the token has it.
pub(crate) fn subscription_json(record: &SubscriptionRecord, active: bool) -> String {
    let told = Told {
        id: subscription_topic(record.match_type, &record.match_value, &record.subscriber),
        kind: "subscription",
        match_type: record.match_type.as_str(),
        match_value: &record.match_value,
        subscriber: &record.subscriber,
        active,
        // It was JSON when the token was verified. Were it not any more, the rest is still worth telling.
        payload: record.payload.as_deref().and_then(|payload| serde_json::from_str(payload).ok()),
    };
    // Strings and a raw value: there is nothing in it that could fail.
    serde_json::to_string(&told).unwrap_or_default()
}

#[derive(Serialize)]
struct Told<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    match_type: &'static str,
    #[serde(rename = "match")]
    match_value: &'a str,
    subscriber: &'a str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
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
    fn e04_the_payload_is_told_as_it_is() {
        let payload = r#"{"n": 1.50, "a": [null, "é"]}"#;
        let told = subscription_json(&record(Some(payload)), false);
        assert!(told.ends_with(&format!(r#""active":false,"payload":{payload}}}"#)), "{told}");
        assert!(!subscription_json(&record(Some("{broken")), false).contains("payload"));
    }
}
