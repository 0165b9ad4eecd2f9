//! `POST` on the hub: publishing (section P).
//!
//! The order of the checks: where the request is for, who asks (before any of the body is read, so that a body without a
//! token costs nothing), the media type, the size, the fields (P03 to P11), and last whether the token grants the topics
//! (A14).

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_ENCODING, header::CONTENT_TYPE, request::Parts};

use super::{
    HttpLimits, Shared,
    body::RequestBody,
    cors::sole,
    credentials,
    fault::Fault,
    form,
    generation::Habits,
    order::Turn,
    publish_origin::check_publish_origin,
    request_url::RequestUrl,
    response::{self, Rejection, Response},
};
use crate::{
    Draft, PublishError,
    auth::{PublishGrant, Reason, Refusal, RefusalKind},
    transport::ErrorKind,
};

/// Fields besides the topics that a body may have. Unknown ones are ignored (P01), but not without end.
const MAX_OTHER_FIELDS: usize = 1_000;

/// When a publisher may try again after a 503: a store that is busy or an engine that is restarting is soon back.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Publishes one update and answers its id (P02).
pub(super) async fn publish(shared: &Shared, mut request: Request) -> Result<Response, Rejection> {
    let turn = request.extensions_mut().remove::<Turn>();
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(body, &parts.headers);
    match accept(shared, &parts, &mut body, turn).await {
        Ok(id) => Ok(response::text(StatusCode::OK, id)),
        Err(rejection) => Err(body.refuse(rejection).await),
    }
}

/// Everything between the head of the request and the id. The turn is dropped, and the next publish of the connection
/// goes on, however this ends.
async fn accept(
    shared: &Shared,
    parts: &Parts,
    body: &mut RequestBody,
    turn: Option<Turn>,
) -> Result<String, Rejection> {
    let url = shared.urls.of(parts)?;
    let unauthorized = |refusal: Refusal| Rejection::unauthorized(&refusal, &url);
    let grant = authorize(shared, parts, &url).await.map_err(unauthorized)?;
    require_form(&parts.headers)?;
    let limits = &shared.config.limits;
    let update = {
        let form = body.read(limits.body_bytes).await?;
        let draft = draft(&form, limits)?;
        draft.validate(url.base(), &limits.update).map_err(|error| {
            // These texts are made for the caller: they name the rule and nothing of the hub.
            Rejection::new(Fault::from(&error)).saying(format!("The update is refused: {error}."))
        })?
    };
    if let Some(turn) = &turn {
        turn.wait().await;
    }
    let receipt = shared.hub.enqueue(&grant, update).await;
    if let Some(turn) = turn {
        turn.release();
    }
    let stored = match receipt {
        Ok(receipt) => receipt.stored().await,
        Err(error) => Err(error),
    };
    stored.map_err(|error| match error {
        PublishError::NotGranted => {
            unauthorized(Refusal::new(RefusalKind::InsufficientScope, Reason::TopicNotGranted).because(
                match grant.subject() {
                    Some(subject) => format!("the token of {subject:?} does not grant one of the topics"),
                    None => "the token does not grant one of the topics".to_owned(),
                },
            ))
        }
        // Nothing but its size tells an update that was let in from others that an engine takes.
        PublishError::Unavailable(error) if error.kind() == ErrorKind::Invalid => {
            Rejection::new(Fault::BodyTooLarge).because(error.to_string())
        }
        PublishError::Unavailable(error) => {
            Rejection::new(Fault::Unavailable).because(error.to_string()).retry_after(RETRY_AFTER_SECONDS)
        }
        PublishError::Stopping => Rejection::new(Fault::Stopping).retry_after(RETRY_AFTER_SECONDS).closing(),
    })
}

async fn authorize(shared: &Shared, request: &Parts, url: &RequestUrl) -> Result<PublishGrant, Refusal> {
    let habits = Habits::of(request);
    let credentials = credentials::read(shared, request, &habits)?;
    if credentials.is_cookie() {
        check_publish_origin(&request.headers, &shared.config.publish_origins)?;
    }
    let verdict = shared.auth.publisher(credentials.token(), url.resource(), url.base()).await;
    credentials::judged(shared, &credentials, &habits, verdict, PublishGrant::generation)
}

/// Only one media type, in any charset that the field may name: the bytes must be UTF-8 anyway (P01).
///
/// # Errors
/// 415.
pub(super) fn require_form(headers: &HeaderMap) -> Result<(), Rejection> {
    let is_form = sole(headers, &CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    let is_plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    if is_form && is_plain { Ok(()) } else { Err(Rejection::new(Fault::UnsupportedMediaType)) }
}

/// Sorts the fields. Of the single ones the first counts.
fn draft(form: &Bytes, limits: &HttpLimits) -> Result<Draft, Rejection> {
    let max_fields = limits.update.topics.saturating_add(MAX_OTHER_FIELDS);
    let mut draft = Draft::default();
    for pair in form::parse(form, max_fields) {
        let pair = pair.map_err(|_| Rejection::new(Fault::TooManyFields))?;
        let (name, field) = match &*pair.name {
            b"topic" => {
                draft.topics.push(text("topic", pair)?);
                continue;
            }
            b"private" => {
                draft.private = true;
                continue;
            }
            b"data" => ("data", &mut draft.data),
            b"id" => ("id", &mut draft.id),
            b"type" => ("type", &mut draft.event_type),
            b"retry" => ("retry", &mut draft.retry),
            _ => continue,
        };
        let text = text(name, pair)?;
        field.get_or_insert(text);
    }
    Ok(draft)
}

fn text(name: &'static str, pair: form::Pair<'_>) -> Result<String, Rejection> {
    pair.into_text().map_err(|_| {
        Rejection::new(Fault::InvalidUtf8)
            .saying(format!("The field {name} is not UTF-8 after percent-decoding."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(form: &str) -> Draft {
        draft(&Bytes::copy_from_slice(form.as_bytes()), &HttpLimits::default()).expect("a form")
    }

    fn fault(form: &[u8]) -> &'static str {
        let limits = HttpLimits {
            update: crate::UpdateLimits { topics: 2, ..Default::default() },
            ..HttpLimits::default()
        };
        draft(&Bytes::copy_from_slice(form), &limits).expect_err("a fault").code()
    }

    #[test]
    fn p03_topics_keep_their_order_and_p01_unknown_fields_are_ignored() {
        let draft = fields("topic=b&x=%FF&topic=a&Topic=c&data=d&data=e");
        assert_eq!(draft.topics, ["b", "a"]);
        assert_eq!(draft.data.as_deref(), Some("d"));
    }

    #[test]
    fn p08_private_is_a_matter_of_presence() {
        for form in ["private", "private=", "private=off", "private=%FF"] {
            assert!(fields(form).private, "{form}");
        }
        assert!(!fields("data=private").private);
    }

    #[test]
    fn p04_p07_p09_p10_p11_invalid_utf8_is_refused() {
        for form in
            [&b"topic=%FF"[..], b"data=\xff", b"id=%C3%28", b"type=%FF", b"retry=%FF", b"topic=a&topic=%FF"]
        {
            assert_eq!(fault(form), "invalid_utf8", "{form:?}");
        }
    }

    #[test]
    fn p12_the_number_of_fields_is_bounded() {
        assert_eq!(fault("x&".repeat(1_003).as_bytes()), "too_many_fields");
        assert_eq!(Fault::TooManyFields.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn p01_the_media_type() {
        let check = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, http::HeaderValue::from_static(value));
            }
            require_form(&headers).is_ok()
        };
        assert!(check(&["application/x-www-form-urlencoded"]));
        assert!(check(&["Application/X-WWW-Form-Urlencoded ; charset=UTF-8"]));
        assert!(!check(&["application/json"]));
        assert!(!check(&["application/x-www-form-urlencodedx"]));
        assert!(!check(&[]));
        assert!(!check(&["application/x-www-form-urlencoded", "text/plain"]));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        assert!(require_form(&headers).is_err());
    }
}
