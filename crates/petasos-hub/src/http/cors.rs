//! Cross-origin fields (S14). They are on every response, errors included: without them a browser shows its page a
//! network error instead of the 401 or 413 that the hub answered.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use super::{
    origins::Origins,
    response::{Response, empty},
};

const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, QUERY");
const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, cache-control, content-type, last-event-id");
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static("Link, Mercure-Last-Event-ID");
/// With the field of the 0.x generation (L06).
const EXPOSE_HEADERS_OF_BOTH: HeaderValue =
    HeaderValue::from_static("Link, Mercure-Last-Event-ID, Last-Event-ID");
/// Two hours, the longest that browsers remember the answer to a preflight.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// What a request says about the page it comes from.
#[derive(Debug)]
pub(super) struct Caller {
    origin: Option<HeaderValue>,
}

impl Caller {
    /// The `Origin` field; a doubled one is none that could be listed.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self { origin: sole(headers, &ORIGIN).cloned() }
    }

    /// Adds the fields of S14 to a response. `compatible`: the 0.x generation is served as well.
    pub(super) fn allow(&self, allowed: &Origins, compatible: bool, headers: &mut HeaderMap) {
        if allowed.is_empty() {
            return;
        }
        let exposed = if compatible { EXPOSE_HEADERS_OF_BOTH } else { EXPOSE_HEADERS };
        if allowed.is_any() {
            // Never with credentials: any page on the web could then read with its visitor's cookie.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            return;
        }
        // Unlisted origins too: a cache must not hand their response to a listed one.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.origin.as_ref().filter(|origin| allowed.contains(origin.as_bytes())) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// Whether a request only asks what a later one may do.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight: 204. Without the fields of [`Caller::allow`] it allows nothing.
pub(super) fn preflight() -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
    response
}

/// The value of a field that stands there once.
pub(super) fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(allowed: &[&str], origin: Option<&'static str>) -> HeaderMap {
        let allowed = Origins::parse(allowed.iter().copied()).expect("origins");
        let mut request = HeaderMap::new();
        if let Some(origin) = origin {
            request.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let mut response = HeaderMap::new();
        response.insert(VARY, HeaderValue::from_static("Accept"));
        Caller::of(&request).allow(&allowed, false, &mut response);
        response
    }

    #[test]
    fn s14_a_listed_origin_may_read_with_credentials() {
        let headers = answer(&["https://app.example.com"], Some("https://app.example.com"));
        assert_eq!(headers["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["access-control-expose-headers"], "Link, Mercure-Last-Event-ID");
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Origin"]);
    }

    #[test]
    fn s14_an_unlisted_origin_gets_none_and_the_answer_still_varies() {
        for origin in [Some("https://evil.example"), Some("null"), None] {
            let headers = answer(&["https://app.example.com"], origin);
            assert_eq!(headers.len(), 2, "{origin:?}: {headers:?}");
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Origin"]);
        }
    }

    #[test]
    fn s14_the_star_never_comes_with_credentials() {
        for origin in [Some("https://app.example.com"), Some("null"), None] {
            let headers = answer(&["https://app.example.com", "*"], origin);
            assert_eq!(headers["access-control-allow-origin"], "*");
            assert!(!headers.contains_key("access-control-allow-credentials"));
        }
    }

    #[test]
    fn s14_a_doubled_origin_is_not_listed() {
        let mut request = HeaderMap::new();
        request.append(ORIGIN, HeaderValue::from_static("https://app.example.com"));
        request.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        let mut response = HeaderMap::new();
        let allowed = Origins::parse(["https://app.example.com"]).expect("origins");
        Caller::of(&request).allow(&allowed, false, &mut response);
        assert!(!response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    #[test]
    fn s14_without_a_list_nothing_is_said() {
        assert_eq!(answer(&[], Some("https://app.example.com")).len(), 1);
    }
}
