//! The bytes of the bench's requests: made once, with places for what changes.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::marker::{MARKER_BYTES, Marker, RunId};

/// Digits of a topic's number.
const TOPIC_DIGITS: usize = 7;
/// Digits of stream and number in the id of an update.
const ID_DIGITS: usize = 16;
/// What stands as it is in a form: the unreserved characters.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a query, the characters of URLs need no escape either; that keeps long lists of topics short.
const QUERY: &AsciiSet = &FORM.remove(b':').remove(b'/').remove(b'*');

/// Which topics a run publishes on, all of the same length.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    prefix: String,
    suffix: &'static str,
    /// All streams go to the topic of stream 0.
    shared: bool,
}

impl Topics {
    /// Topics that no other run has, one for each stream.
    pub(crate) fn of_run(run: RunId) -> Self {
        Self { prefix: format!("https://bench.example/{}/", run.as_str()), suffix: "", shared: false }
    }

    /// One topic for all streams.
    pub(crate) fn one(run: RunId) -> Self {
        Self { shared: true, ..Self::of_run(run) }
    }

    /// Topics with a further segment, so that the pattern of each can have a variable.
    pub(crate) fn with_segment(run: RunId) -> Self {
        Self { suffix: "/item", ..Self::of_run(run) }
    }

    /// The topic of a stream.
    pub(crate) fn topic(&self, stream: u32) -> String {
        format!("{}{:0TOPIC_DIGITS$}{}", self.prefix, self.number(stream), self.suffix)
    }

    fn number(&self, stream: u32) -> u32 {
        if self.shared { 0 } else { stream }
    }

    /// A URL pattern that matches the topic of this stream alone, with a variable.
    pub(crate) fn pattern(&self, stream: u32) -> String {
        format!("{}{stream:0TOPIC_DIGITS$}/:item", self.prefix)
    }
}

/// The query parameter for a topic, byte for byte.
pub(crate) fn match_exact(topic: &str) -> String {
    format!("match={}", utf8_percent_encode(topic, QUERY))
}

/// The query parameter for a URL pattern.
pub(crate) fn match_pattern(pattern: &str) -> String {
    format!("match_urlpattern={}", utf8_percent_encode(pattern, QUERY))
}

/// A request for a stream of events. `path` has the whole query.
pub(crate) fn subscribe(
    authority: &str,
    path: &str,
    token: Option<&HeaderValue>,
    last_event_id: Option<&str>,
) -> Vec<u8> {
    let mut request =
        format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n").into_bytes();
    if let Some(id) = last_event_id {
        request.extend(format!("Last-Event-ID: {id}\r\n").as_bytes());
    }
    authorize(&mut request, token);
    request.extend(b"\r\n");
    request
}

fn authorize(request: &mut Vec<u8>, token: Option<&HeaderValue>) {
    if let Some(token) = token {
        request.extend(b"Authorization: ");
        request.extend(token.as_bytes());
        request.extend(b"\r\n");
    }
}

/// How updates get their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// From the hub.
    OfTheHub,
    /// From the bench: this, a colon, and sixteen digits for stream and number.
    Named(String),
}

impl Ids {
    /// The id of an update, where the bench gives it.
    pub(crate) fn id(&self, stream: u32, number: u64) -> Option<String> {
        let Self::Named(name) = self else { return None };
        let mut digits = [0; ID_DIGITS];
        Marker { stream, number, sent_ns: 0 }.write_id(&mut digits);
        Some(format!("{name}:{}", String::from_utf8_lossy(&digits)))
    }
}

/// A publish whose marker, topic and id are written in before each send.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    bytes: Vec<u8>,
    run: RunId,
    /// `None` where all streams have one topic.
    topic_at: Option<usize>,
    id_at: Option<usize>,
    marker_at: usize,
}

/// What all publishes of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct PublishForm<'f> {
    /// The value of `Host`.
    pub(crate) authority: &'f str,
    /// The hub's path.
    pub(crate) path: &'f str,
    /// Where updates go.
    pub(crate) topics: &'f Topics,
    /// Who gives ids.
    pub(crate) ids: &'f Ids,
    /// Bytes of data, at least [`MARKER_BYTES`].
    pub(crate) data_bytes: usize,
    /// Whether updates are private.
    pub(crate) private: bool,
    /// The `Authorization` field.
    pub(crate) token: Option<&'f HeaderValue>,
}

impl Publish {
    /// The request, with nothing written in yet.
    pub(crate) fn new(run: RunId, form: &PublishForm<'_>) -> Self {
        let encoded = |text: &str| utf8_percent_encode(text, FORM).to_string();
        let mut body = format!("topic={}", encoded(&form.topics.prefix));
        let topic_at = body.len();
        body.extend(std::iter::repeat_n('0', TOPIC_DIGITS));
        body.push_str(&encoded(form.topics.suffix));
        let id_at = match form.ids {
            Ids::OfTheHub => None,
            Ids::Named(name) => {
                body.push_str(&format!("&id={}", encoded(&format!("{name}:"))));
                let at = body.len();
                body.extend(std::iter::repeat_n('0', ID_DIGITS));
                Some(at)
            }
        };
        if form.private {
            body.push_str("&private=on");
        }
        body.push_str("&data=");
        let marker_at = body.len();
        body.extend(std::iter::repeat_n('x', form.data_bytes.max(MARKER_BYTES)));
        let mut bytes = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.path,
            form.authority,
            body.len()
        )
        .into_bytes();
        authorize(&mut bytes, form.token);
        bytes.extend(b"\r\n");
        let head = bytes.len();
        bytes.extend(body.as_bytes());
        Self {
            bytes,
            run,
            topic_at: (!form.topics.shared).then_some(head + topic_at),
            id_at: id_at.map(|at| head + at),
            marker_at: head + marker_at,
        }
    }

    /// The bytes of this update.
    pub(crate) fn fill(&mut self, marker: &Marker) -> &[u8] {
        if let Some(at) = self.topic_at {
            let mut rest = marker.stream;
            for digit in self.bytes[at..at + TOPIC_DIGITS].iter_mut().rev() {
                *digit = b"0123456789"[(rest % 10) as usize];
                rest /= 10;
            }
        }
        if let Some(at) = self.id_at {
            marker.write_id(&mut self.bytes[at..at + ID_DIGITS]);
        }
        if let Some(place) = self.bytes[self.marker_at..].first_chunk_mut() {
            marker.write(self.run, place);
        }
        &self.bytes
    }

    /// As it was filled last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_a_form_with_topic_id_and_data() {
        let run = RunId::random();
        let topics = Topics::with_segment(run);
        let token = HeaderValue::from_static("Bearer t");
        let ids = Ids::Named("urn:bench:x".into());
        let form = PublishForm {
            authority: "hub:1",
            path: "/m",
            topics: &topics,
            ids: &ids,
            data_bytes: 50,
            private: true,
            token: Some(&token),
        };
        let mut publish = Publish::new(run, &form);
        for (stream, number) in [(0, 0), (1_234_567, (1 << 40) - 1)] {
            let marker = Marker { stream, number, sent_ns: 7 };
            let text = String::from_utf8(publish.fill(&marker).to_vec()).expect("ASCII");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("POST /m HTTP/1.1\r\nHost: hub:1\r\n"), "{head}");
            assert!(head.contains("\r\nAuthorization: Bearer t"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            let url = url::Url::parse(&format!("http://x/?{body}")).expect("a query");
            let field = |name: &str| {
                url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
            };
            assert_eq!(field("topic").as_ref(), Some(&topics.topic(stream)));
            assert_eq!(field("id"), ids.id(stream, number));
            assert_eq!(field("private").as_deref(), Some("on"));
            let data = field("data").expect("data");
            assert_eq!(data.len(), 50);
            let bytes = data.as_bytes().first_chunk().expect("a marker");
            assert_eq!((Marker::identity(bytes), Marker::sent_ns(bytes)), ((stream, number), 7));
        }
    }

    #[test]
    fn a_subscription_asks_for_what_the_topic_is() {
        let topic = "https://bench.example/a b/1";
        let query = match_exact(topic);
        let url = url::Url::parse(&format!("http://x/?{query}")).expect("a query");
        assert_eq!(url.query_pairs().next().expect("a pair"), ("match".into(), topic.into()));
        let text = subscribe("hub", &format!("/m?{query}"), None, Some("urn:1"));
        let text = String::from_utf8(text).expect("ASCII");
        assert!(
            text.starts_with("GET /m?match=https://bench.example/a%20b/1 HTTP/1.1\r\nHost: hub\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\nLast-Event-ID: urn:1\r\n\r\n"), "{text}");
    }
}
