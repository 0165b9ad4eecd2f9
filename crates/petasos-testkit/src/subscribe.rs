//! Subscribing, as a sentence: `hub.subscribe(matching("a")).after("urn:x:1").await`.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use crate::{Answer, EventStream, HUB_PATH, Protocol, Request, TestHub, form};

/// What is asked for: the query of the request, already encoded.
#[derive(Clone, Debug)]
pub struct Matchers(String);

/// `match`: byte for byte.
pub fn matching(value: &str) -> Matchers {
    Matchers(form::encode([("match", value)]))
}

/// `match_exact`.
pub fn matching_exactly(value: &str) -> Matchers {
    Matchers(form::encode([("match_exact", value)]))
}

/// `match_urlpattern`.
pub fn matching_pattern(value: &str) -> Matchers {
    Matchers(form::encode([("match_urlpattern", value)]))
}

/// `topic`: a selector of the 0.x generation (L01).
pub fn matching_topic(selector: &str) -> Matchers {
    Matchers(form::encode([("topic", selector)]))
}

/// This query, as it is.
pub fn matching_raw(query: impl Into<String>) -> Matchers {
    Matchers(query.into())
}

impl Matchers {
    /// Also these.
    #[must_use]
    pub fn or(mut self, more: Matchers) -> Self {
        self.0.push('&');
        self.0.push_str(&more.0);
        self
    }
}

/// A subscription to be opened. Awaiting it gives the stream; [`Self::answer`] the answer to a refused one.
///
/// Without more words its token reads every private update.
#[derive(Clone)]
pub struct Subscribe<'a> {
    hub: &'a TestHub,
    query: String,
    method: &'static str,
    body: Option<String>,
    token: Option<String>,
    headers: Vec<(String, String)>,
    host: Option<String>,
    protocol: Protocol,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn new(hub: &'a TestHub, matchers: Matchers) -> Self {
        Self {
            hub,
            query: matchers.0,
            method: "GET",
            body: None,
            token: Some(hub.subscriber().may_subscribe(&["*"]).mint()),
            headers: Vec::new(),
            host: None,
            protocol: Protocol::Http1,
        }
    }

    /// Resumes behind this event, by `Last-Event-ID`.
    #[must_use]
    pub fn after(self, id: &str) -> Self {
        self.header("Last-Event-ID", id)
    }

    /// Resumes behind this event, by the query parameter (C05).
    #[must_use]
    pub fn after_in_query(self, id: &str) -> Self {
        self.parameter("last_event_id", id)
    }

    /// With any further parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.query.push('&');
        self.query.push_str(&form::encode([(name, value)]));
        self
    }

    /// With a token of the 0.x generation that reads private updates on these selectors only.
    #[must_use]
    pub fn granted_as_before(self, selectors: &[&str]) -> Self {
        let token = self.hub.old_subscriber().old_subscribe(selectors).mint();
        self.with_token(&token)
    }

    /// With a token that reads private updates on these topics only.
    #[must_use]
    pub fn granted(self, topics: &[&str]) -> Self {
        let token = self.hub.subscriber().may_subscribe(topics).mint();
        self.with_token(&token)
    }

    /// With a valid token that grants nothing: public updates only.
    #[must_use]
    pub fn granted_nothing(self) -> Self {
        let token = self.hub.subscriber().mint();
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

    /// With any header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On another name of the hub than its address.
    #[must_use]
    pub fn on_host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// By `QUERY`, with this form beside the query component (S02).
    #[must_use]
    pub fn with_body(mut self, form: impl Into<String>) -> Self {
        self.method = "QUERY";
        self.body = Some(form.into());
        self
    }

    /// By `HEAD`.
    #[must_use]
    pub fn head_only(mut self) -> Self {
        self.method = "HEAD";
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
        let target =
            if self.query.is_empty() { HUB_PATH.to_owned() } else { format!("{HUB_PATH}?{}", self.query) };
        let mut request = self.hub.request(self.method, &target).over(self.protocol);
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        if let Some(host) = &self.host {
            request = request.host(host);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match &self.body {
            Some(body) => request.form(body.clone()),
            None => request,
        }
    }

    /// Sends it and returns the answer; of a stream that opened only the head.
    pub async fn answer(self) -> Answer {
        self.request().send().await
    }
}

impl<'a> IntoFuture for Subscribe<'a> {
    type Output = EventStream;
    type IntoFuture = Pin<Box<dyn Future<Output = EventStream> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.request().stream().await })
    }
}
