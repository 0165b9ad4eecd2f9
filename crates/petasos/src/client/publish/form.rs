//! The body of a publish (P01): an update's fields as a form.

use bytes::Bytes;
use url::form_urlencoded::{Serializer, byte_serialize};

/// The fields that all updates of one command share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// At least one; the first is the canonical topic.
    pub topics: Vec<String>,
    /// Whether the update is private (P08).
    pub private: bool,
    /// The event type (P10).
    pub event_type: Option<String>,
    /// The reconnection time in milliseconds (P11).
    pub retry_ms: Option<u64>,
}

/// A form with everything in it but the id and the data. Made once, because thousands of lines share it.
#[derive(Clone, Debug)]
pub struct Form {
    shared: String,
}

impl Form {
    /// Encodes the shared fields.
    pub fn new(fields: &Fields) -> Self {
        let mut form = Serializer::new(String::new());
        for topic in &fields.topics {
            form.append_pair("topic", topic);
        }
        if fields.private {
            form.append_pair("private", "on");
        }
        if let Some(event_type) = &fields.event_type {
            form.append_pair("type", event_type);
        }
        if let Some(retry_ms) = fields.retry_ms {
            form.append_pair("retry", &retry_ms.to_string());
        }
        Self { shared: form.finish() }
    }

    /// The body of one update. Without `data` the field is left out.
    pub fn body(&self, id: &str, data: Option<&str>) -> Bytes {
        let data_bytes = data.map_or(0, str::len);
        let mut body =
            String::with_capacity(self.shared.len() + id.len() * 2 + data_bytes + data_bytes / 2 + 16);
        body.push_str(&self.shared);
        body.push_str("&id=");
        body.extend(byte_serialize(id.as_bytes()));
        if let Some(data) = data {
            body.push_str("&data=");
            body.extend(byte_serialize(data.as_bytes()));
        }
        body.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p01_all_fields_are_in_the_form() {
        let fields = Fields {
            topics: vec!["https://a.test/{x}?q=1&r".into(), "b c".into()],
            private: true,
            event_type: Some("tick".into()),
            retry_ms: Some(1500),
        };
        let body = Form::new(&fields).body("urn:x:1", Some("1+1=2 é\n"));
        assert_eq!(
            body,
            "topic=https%3A%2F%2Fa.test%2F%7Bx%7D%3Fq%3D1%26r&topic=b+c&private=on&type=tick&retry=1500\
             &id=urn%3Ax%3A1&data=1%2B1%3D2+%C3%A9%0A"
        );
    }

    #[test]
    fn p07_no_data_and_empty_data_are_two_things() {
        let form = Form::new(&Fields { topics: vec!["t".into()], ..Fields::default() });
        assert_eq!(form.body("1", None), "topic=t&id=1");
        assert_eq!(form.body("1", Some("")), "topic=t&id=1&data=");
    }

    proptest! {
        #[test]
        fn any_text_survives_the_form(topic in any::<String>(), id in any::<String>(), data in any::<String>()) {
            let body = Form::new(&Fields { topics: vec![topic.clone()], ..Fields::default() }).body(&id, Some(&data));
            let read: Vec<_> = url::form_urlencoded::parse(&body).into_owned().collect();
            prop_assert_eq!(read, [("topic".into(), topic), ("id".into(), id), ("data".into(), data)]);
        }
    }
}
