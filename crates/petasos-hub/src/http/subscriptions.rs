//! The subscription API: which subscriptions are active (E05 to E07, and L07 for clients of the 0.x generation).
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
    request::Parts,
};
use percent_encoding::percent_decode_str;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Shared, credentials,
    fault::Fault,
    generation::Habits,
    request_url::RequestUrl,
    response::{JSON, Rejection, Response, empty, quoted},
};
use crate::{
    EARLIEST,
    auth::{Generation, Reason, Refusal, RefusalKind, SubscribeGrant},
    presence_event::{OLD_CONTEXT, SUBSCRIPTIONS_PATH, old_subscription_json, subscription_json},
    topic::{MatchType, ParsedTopic},
    transport::{PresenceFilter, PresenceSnapshot},
};

/// The media type of the documents of the 0.x generation (L07).
const JSON_LD: HeaderValue = HeaderValue::from_static("application/ld+json");

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
    let selection = Selection::parse(path, shared.compatible())?;
    let grant = authorize(&shared, &parts, &url, path)
        .await
        .map_err(|refusal| Rejection::unauthorized(&refusal, &url))?;
    let form = selection.form(grant.generation());
    let snapshot = shared
        .hub
        .presence(&selection.filter())
        .await
        .map_err(|error| Rejection::new(Fault::Unavailable).because(error.to_string()).retry_after(1))?;
    let body = selection.json(path, form, &snapshot).ok_or_else(|| Rejection::new(Fault::NotFound))?;
    Ok(answer(&parts.headers, &url, &snapshot, form, body))
}

/// A `subscribe` grant on the path itself (E06). Anonymous subscribers have none.
async fn authorize(
    shared: &Shared,
    request: &Parts,
    url: &RequestUrl,
    path: &str,
) -> Result<SubscribeGrant, Refusal> {
    let habits = Habits::of(request);
    let credentials = credentials::read(shared, request, &habits)?;
    let verdict = match credentials.token() {
        None => Err(Refusal::new(RefusalKind::MissingToken, Reason::MissingToken)),
        token => shared.auth.subscriber(token, url.resource(), url.base()).await,
    };
    let grant = credentials::judged(shared, &credentials, &habits, verdict, SubscribeGrant::generation)?;
    if grant.allows_topic(&ParsedTopic::new(path)) {
        return Ok(grant);
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
    /// A first segment that is no match type is the topic of a 0.x path, where that generation is served (L07) and the path
    /// is short enough to be one.
    fn parse(path: &str, compatible: bool) -> Result<Self, Rejection> {
        let nothing = || Rejection::new(Fault::NotFound);
        let rest = path.strip_prefix(SUBSCRIPTIONS_PATH).ok_or_else(nothing)?;
        if rest.is_empty() {
            return Ok(Self::All);
        }
        let segments: Vec<&str> = rest.strip_prefix('/').ok_or_else(nothing)?.splitn(4, '/').collect();
        let named = segments.first().map(|name| decoded(name)).transpose()?;
        let match_type = named.and_then(|name| MatchType::parse(&name));
        let (match_type, value, subscriber) = match (match_type, &segments[..]) {
            (Some(match_type), [_, value]) => (match_type, *value, None),
            (Some(match_type), [_, value, subscriber]) => (match_type, *value, Some(*subscriber)),
            (None, [topic]) if compatible && !topic.is_empty() => (MatchType::Topic, *topic, None),
            (None, [topic, subscriber]) if compatible => (MatchType::Topic, *topic, Some(*subscriber)),
            (None, [_, _] | [_, _, _]) => return Err(Rejection::new(Fault::UnknownMatchType)),
            _ => return Err(nothing()),
        };
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

    /// In whose words to answer: where both kinds of subscriptions are listed, in those of the token's generation.
    fn form(&self, of_token: Generation) -> Generation {
        match self {
            Self::All => of_token,
            Self::Of { match_type: MatchType::Topic, .. }
            | Self::Single { match_type: MatchType::Topic, .. } => Generation::Old,
            Self::Of { .. } | Self::Single { .. } => Generation::New,
        }
    }

    /// The document; `None` for a single subscription that is not active.
    fn json(&self, path: &str, form: Generation, snapshot: &PresenceSnapshot) -> Option<String> {
        let newest = last_event_id(snapshot);
        if matches!(self, Self::Single { .. }) {
            let record = snapshot.subscriptions.first()?;
            return Some(match form {
                Generation::New => subscription_json(record, true),
                Generation::Old => old_subscription_json(record, true, Some(OLD_CONTEXT), Some(newest)),
            });
        }
        let told = snapshot.subscriptions.iter().map(|record| match form {
            Generation::New => subscription_json(record, true),
            Generation::Old => old_subscription_json(record, true, None, None),
        });
        let id = serde_json::Value::from(path);
        let mut json = match form {
            Generation::New => format!(r#"{{"id":{id},"type":"subscriptions","subscriptions":["#),
            Generation::Old => {
                let newest = serde_json::Value::from(newest);
                format!(
                    r#"{{"@context":"{OLD_CONTEXT}","id":{id},"type":"Subscriptions","lastEventID":{newest},"subscriptions":["#
                )
            }
        };
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

fn last_event_id(snapshot: &PresenceSnapshot) -> &str {
    snapshot.head.id.as_deref().unwrap_or(EARLIEST)
}

/// The document with its fields, or 304 where the client has it (E07).
fn answer(
    request: &HeaderMap,
    url: &RequestUrl,
    snapshot: &PresenceSnapshot,
    form: Generation,
    body: String,
) -> Response {
    let last_event_id = last_event_id(snapshot);
    let media_type = match form {
        Generation::New => JSON,
        Generation::Old => JSON_LD,
    };
    let tag = entity_tag(last_event_id, &body);
    let mut response = if is_known(request, &tag) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(CONTENT_TYPE, media_type.clone());
        response
    };
    // The data of the events that the link leads to is of the same form.
    let link = format!(
        r#"<{}>; rel="mercure"; last-event-id={}; type="mercure"; content-type="{}""#,
        url.base().as_str(),
        quoted(last_event_id),
        media_type.to_str().unwrap_or_default()
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
        Selection::parse(&format!("{S}{rest}"), false)
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
    fn l07_a_first_segment_that_is_no_match_type_is_a_topic_of_the_0x_generation() {
        let selection = |rest: &str| {
            Selection::parse(&format!("{S}{rest}"), true).map_err(|rejection| rejection.status().as_u16())
        };
        let of = |value: &str| Selection::Of { match_type: MatchType::Topic, value: value.into() };
        let single = |value: &str, subscriber: &str| Selection::Single {
            match_type: MatchType::Topic,
            value: value.into(),
            subscriber: subscriber.into(),
        };
        assert_eq!(selection("/https%3A%2F%2Fa.example%2F%7Bid%7D"), Ok(of("https://a.example/{id}")));
        assert_eq!(selection("/a%2Fb/urn%3Auuid%3A1"), Ok(single("a/b", "urn:uuid:1")));
        assert_eq!(selection("/topic/x"), Ok(single("topic", "x")));
        assert_eq!(selection("/Exact/x"), Ok(single("Exact", "x")));
        assert_eq!(selection("/a/b/c"), Err(400), "E05: an unknown match type");
        assert_eq!(selection("/a/b/c/d"), Err(404));
        assert_eq!(selection("/"), Err(404));
        // These two are the new form.
        assert_eq!(selection("/exact"), Err(404));
        assert_eq!(
            selection("/exact/x"),
            Ok(Selection::Of { match_type: MatchType::Exact, value: "x".into() })
        );
        for rest in ["", "/exact/x", "/x"] {
            let selection = selection(rest).unwrap_or_else(|status| panic!("{rest}: {status}"));
            let forms = [Generation::Old, Generation::New].map(|token| selection.form(token));
            let expected = match rest {
                "" => [Generation::Old, Generation::New],
                "/x" => [Generation::Old; 2],
                _ => [Generation::New; 2],
            };
            assert_eq!(forms, expected, "{rest}");
        }
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
