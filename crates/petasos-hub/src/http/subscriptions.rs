//! The subscription API: which subscriptions are active (E05 to E07).
//!
//! Paths are taken as they came: the grant is matched against the encoded form, and each segment is decoded exactly once,
//! so that an encoded slash stays part of its segment.

use std::{fmt::Write, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK},
};
use percent_encoding::percent_decode_str;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Shared,
    fault::Fault,
    request_url::RequestUrl,
    response::{JSON, Rejection, Response, empty, quoted},
};
use crate::{
    EARLIEST,
    auth::{Reason, Refusal, RefusalKind, credentials},
    presence_event::{SUBSCRIPTIONS_PATH, subscription_json},
    topic::{MatchType, ParsedTopic},
    transport::{PresenceFilter, PresenceSnapshot},
};

/// `GET` and `HEAD` of the collections and of single subscriptions.
pub(super) async fn subscriptions(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Rejection> {
    if !shared.hub.config().subscriptions {
        return Err(Rejection::new(Fault::NotFound).because("the subscription API is off"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return super::other_method(request.method(), "GET, HEAD, OPTIONS");
    }
    let (parts, _) = request.into_parts();
    let url = shared.urls.of(&parts)?;
    let path = parts.uri.path();
    let selection = Selection::parse(path)?;
    authorize(&shared, &parts.headers, &url, path)
        .await
        .map_err(|refusal| Rejection::unauthorized(&refusal, &url))?;
    let snapshot = shared
        .hub
        .presence(&selection.filter())
        .await
        .map_err(|error| Rejection::new(Fault::Unavailable).because(error.to_string()).retry_after(1))?;
    let body = selection.json(path, &snapshot).ok_or_else(|| Rejection::new(Fault::NotFound))?;
    Ok(answer(&parts.headers, &url, &snapshot, body))
}

/// A `subscribe` grant on the path itself (E06). Anonymous subscribers have none.
async fn authorize(
    shared: &Shared,
    headers: &HeaderMap,
    url: &RequestUrl,
    path: &str,
) -> Result<(), Refusal> {
    let credentials = credentials::from_headers(headers, &shared.config.cookie_name)?;
    if credentials.token().is_none() {
        return Err(Refusal::new(RefusalKind::MissingToken, Reason::MissingToken));
    }
    let grant = shared.auth.subscriber(credentials.token(), url.resource(), url.base()).await?;
    if grant.allows_topic(&ParsedTopic::new(path)) {
        return Ok(());
    }
    let refusal = Refusal::new(RefusalKind::InsufficientScope, Reason::TopicNotGranted);
    Err(refusal.because("the token does not grant subscribe on the path of the subscriptions asked for"))
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Selection {
    All,
    Of { match_type: MatchType, value: String },
    Single { match_type: MatchType, value: String, subscriber: String },
}

impl Selection {
    fn parse(path: &str) -> Result<Self, Rejection> {
        let nothing = || Rejection::new(Fault::NotFound);
        let rest = path.strip_prefix(SUBSCRIPTIONS_PATH).ok_or_else(nothing)?;
        if rest.is_empty() {
            return Ok(Self::All);
        }
        let segments: Vec<&str> = rest.strip_prefix('/').ok_or_else(nothing)?.splitn(4, '/').collect();
        let (name, value, subscriber) = match segments[..] {
            [name, value] => (name, value, None),
            [name, value, subscriber] => (name, value, Some(subscriber)),
            _ => return Err(nothing()),
        };
        let match_type =
            MatchType::parse(&decoded(name)?).ok_or_else(|| Rejection::new(Fault::UnknownMatchType))?;
        let value = decoded(value)?;
        Ok(match subscriber {
            None => Self::Of { match_type, value },
            Some(subscriber) => Self::Single { match_type, value, subscriber: decoded(subscriber)? },
        })
    }

    fn filter(&self) -> PresenceFilter {
        match self {
            Self::All => PresenceFilter::default(),
            Self::Of { match_type, value } => {
                PresenceFilter { matcher: Some((*match_type, value.clone())), ..PresenceFilter::default() }
            }
            Self::Single { match_type, value, subscriber } => PresenceFilter {
                matcher: Some((*match_type, value.clone())),
                subscriber: Some(subscriber.clone()),
                ..PresenceFilter::default()
            },
        }
    }

    /// The document; `None` for a single subscription that is not active.
    fn json(&self, path: &str, snapshot: &PresenceSnapshot) -> Option<String> {
        let mut told = snapshot.subscriptions.iter().map(|record| subscription_json(record, true));
        if matches!(self, Self::Single { .. }) {
            return told.next();
        }
        let id = serde_json::Value::from(path);
        let mut json = format!(r#"{{"id":{id},"type":"subscriptions","subscriptions":["#);
        for (index, subscription) in told.enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(&subscription);
        }
        json.push_str("]}");
        Some(json)
    }
}

/// A segment, decoded once.
fn decoded(segment: &str) -> Result<String, Rejection> {
    percent_decode_str(segment).decode_utf8().map(Into::into).map_err(|_| {
        Rejection::new(Fault::InvalidUtf8)
            .saying("A segment of the path is not UTF-8 after percent-decoding.")
    })
}

/// The document with its fields, or 304 where the client has it (E07).
fn answer(request: &HeaderMap, url: &RequestUrl, snapshot: &PresenceSnapshot, body: String) -> Response {
    let last_event_id = snapshot.head.id.as_deref().unwrap_or(EARLIEST);
    let tag = entity_tag(last_event_id, &body);
    let mut response = if is_known(request, &tag) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    };
    let link = format!(
        r#"<{}>; rel="mercure"; last-event-id={}; type="mercure"; content-type="application/json""#,
        url.base().as_str(),
        quoted(last_event_id)
    );
    let headers = response.headers_mut();
    // Bytes, as an id may have any character that is no control character.
    if let Ok(link) = HeaderValue::from_bytes(link.as_bytes()) {
        headers.insert(LINK, link);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("must-revalidate"));
    response
}

/// Made from the newest event's id, which alone would not do: it may have characters that an entity tag must not, and
/// publishers may use an id again after a subscription has changed (R05).
fn entity_tag(last_event_id: &str, body: &str) -> String {
    let mut text = String::with_capacity(last_event_id.len() + 1 + body.len());
    // No id contains the separator.
    let _ = write!(text, "{last_event_id}\n{body}");
    format!("\"{:032x}\"", xxh3_128(text.as_bytes()))
}

/// Whether `If-None-Match` names the tag: weak comparison, as RFC 9110 wants it for this field.
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    // Our tags have no comma, so a tag that has one can only be split into pieces that are none of ours.
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim_matches([' ', '\t']))
        .any(|candidate| candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = SUBSCRIPTIONS_PATH;

    fn selection(rest: &str) -> Result<Selection, (u16, &'static str)> {
        Selection::parse(&format!("{S}{rest}"))
            .map_err(|rejection| (rejection.status().as_u16(), rejection.code()))
    }

    #[test]
    fn e05_each_segment_is_decoded_exactly_once() {
        assert_eq!(selection(""), Ok(Selection::All));
        assert_eq!(
            selection("/exact/https%3A%2F%2Fa.example%2F%252F+x"),
            Ok(Selection::Of { match_type: MatchType::Exact, value: "https://a.example/%2F+x".into() })
        );
        assert_eq!(
            selection("/urlpattern/%2F:id/urn:uuid:1"),
            Ok(Selection::Single {
                match_type: MatchType::UrlPattern,
                value: "/:id".into(),
                subscriber: "urn:uuid:1".into()
            })
        );
        assert_eq!(
            selection("/exact/*"),
            Ok(Selection::Of { match_type: MatchType::Exact, value: "*".into() })
        );
    }

    #[test]
    fn e05_unknown_match_types_are_400_and_other_shapes_404() {
        for rest in ["/regex/x", "/Exact/x", "/exact%2F/x", "//x", "/foo/x/y"] {
            assert_eq!(selection(rest), Err((400, "unknown_match_type")), "{rest}");
        }
        for rest in ["/", "/exact", "/exact/a/b/c", "/exact/a/b/", "x"] {
            assert_eq!(selection(rest), Err((404, "not_found")), "{rest}");
        }
        assert_eq!(selection("/exact/%FF"), Err((400, "invalid_utf8")));
    }

    #[test]
    fn e07_if_none_match_is_a_list_with_weak_comparison() {
        let tag = entity_tag("urn:x:1", "{}");
        let known = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, value.parse().expect("a value"));
            }
            is_known(&headers, &tag)
        };
        assert!(known(&[&tag]));
        assert!(known(&[&format!("W/{tag}")]));
        assert!(known(&[&format!("\"a,b\", W/\"c\" , {tag}")]));
        assert!(known(&["\"a\"", &tag]));
        assert!(known(&["*"]));
        assert!(!known(&[]));
        assert!(!known(&["\"a\", \"*\""]));
        assert!(!known(&[tag.trim_matches('"')]));
    }

    #[test]
    fn e07_the_tag_changes_with_the_newest_event_and_with_the_document() {
        let tag = entity_tag("urn:x:1", "{}");
        assert_eq!(tag, entity_tag("urn:x:1", "{}"));
        assert_ne!(tag, entity_tag("urn:x:2", "{}"));
        assert_ne!(tag, entity_tag("urn:x:1", "{ }"));
    }
}
