//! Publishing, as a sentence: `hub.publish(topic("a"), "1").private().await`.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use crate::{Answer, HUB_PATH, Protocol, Request, TestHub, form};

/// The topics of an update, canonical first.
#[derive(Clone, Debug)]
pub struct Topics(Vec<String>);

/// One topic.
pub fn topic(name: impl Into<String>) -> Topics {
    Topics(vec![name.into()])
}

impl From<&str> for Topics {
    fn from(name: &str) -> Self {
        topic(name)
    }
}

impl Topics {
    /// And an alternate one.
    #[must_use]
    pub fn and(mut self, name: impl Into<String>) -> Self {
        self.0.push(name.into());
        self
    }
}

/// An update to be published. Awaiting it gives its id; [`Self::answer`] the whole answer.
#[derive(Clone)]
pub struct Publish<'a> {
    hub: &'a TestHub,
    topics: Topics,
    fields: Vec<(String, String)>,
    token: Option<String>,
    headers: Vec<(String, String)>,
    protocol: Protocol,
}

impl<'a> Publish<'a> {
    pub(crate) fn new(hub: &'a TestHub, topics: Topics, data: &str) -> Self {
        Self {
            hub,
            topics,
            fields: vec![("data".into(), data.into())],
            token: Some(hub.publisher().may_publish(&["*"]).mint()),
            headers: Vec::new(),
            protocol: Protocol::Http1,
        }
    }

    /// Only for those whose token grants one of the topics.
    #[must_use]
    pub fn private(self) -> Self {
        self.field("private", "on")
    }

    /// With this id.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.field("id", id)
    }

    /// With this SSE type.
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        self.field("type", kind)
    }

    /// With any further field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With any header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a token that grants these topics only.
    #[must_use]
    pub fn granted(self, topics: &[&str]) -> Self {
        let token = self.hub.publisher().may_publish(topics).mint();
        self.with_token(&token)
    }

    /// With a token of the 0.x generation that grants these selectors only.
    #[must_use]
    pub fn granted_as_before(self, selectors: &[&str]) -> Self {
        let token = self.hub.old_publisher().old_publish(selectors).mint();
        self.with_token(&token)
    }

    /// With this token in `Authorization`.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Without any token.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// Over this protocol.
    #[must_use]
    pub fn over(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The request that this comes to.
    pub fn request(&self) -> Request {
        let topics = self.topics.0.iter().map(|topic| ("topic", topic.as_str()));
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let form = form::encode(topics.chain(fields));
        let mut request = self.hub.request("POST", HUB_PATH).over(self.protocol).form(form);
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// Publishes and returns the whole answer.
    pub async fn answer(self) -> Answer {
        self.request().send().await
    }
}

impl<'a> IntoFuture for Publish<'a> {
    type Output = String;
    type IntoFuture = Pin<Box<dyn Future<Output = String> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.answer().await.expect(200).text().to_owned() })
    }
}
