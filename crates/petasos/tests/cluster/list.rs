//! The subscription API, as tests of presence read it.

use std::collections::BTreeSet;

use petasos_testkit::{SUBSCRIPTIONS, TestHub, form, patiently};

/// What a node lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    /// The ids of the subscriptions.
    pub(crate) ids: BTreeSet<String>,
    /// The newest event at that moment.
    pub(crate) last_event_id: String,
}

/// The active subscriptions to a topic that a node lists; `None` where it cannot ask the engine now.
pub(crate) async fn listed(hub: &TestHub, topic: &str) -> Option<List> {
    let token = hub.subscriber().may_subscribe(&["*"]).mint();
    let request = hub.get(&format!("{SUBSCRIPTIONS}/exact/{}", form::escape(topic))).bearer(&token).send();
    let answer = patiently("the list", request).await;
    if answer.status == 503 {
        return None;
    }
    let answer = answer.expect(200);
    let link = answer.required("link").to_owned();
    let last_event_id = link.split("last-event-id=\"").nth(1).unwrap().split('"').next().unwrap();
    let list = answer.json();
    let subscriptions = list["subscriptions"].as_array().unwrap().iter();
    Some(List {
        ids: subscriptions.map(|subscription| subscription["id"].as_str().unwrap().to_owned()).collect(),
        last_event_id: last_event_id.to_owned(),
    })
}
