//! Whether a page may publish with its visitor's cookie (A03).

use http::{
    HeaderMap,
    header::{ORIGIN, REFERER},
};

use super::{cors::sole, origins::Origins};
use crate::auth::{Reason, Refusal, RefusalKind};

/// Refuses a publish by cookie unless a listed page made it (A03). A browser sends such a request without asking first,
/// so CORS alone does not keep it out (C06).
///
/// # Errors
/// Where neither `Origin` nor, lacking it, `Referer` names a listed origin.
pub(super) fn check_publish_origin(headers: &HeaderMap, allowed: &Origins) -> Result<(), Refusal> {
    let refusal =
        |detail: String| Refusal::new(RefusalKind::InvalidRequest, Reason::OriginNotAllowed).because(detail);
    if headers.contains_key(ORIGIN) {
        let origin = sole(headers, &ORIGIN);
        return match origin {
            Some(origin) if allowed.contains(origin.as_bytes()) => Ok(()),
            _ => Err(refusal(format!(
                "a cookie publish from the origin {origin:?}, which publish_origins does not list"
            ))),
        };
    }
    let Some(referer) = sole(headers, &REFERER) else {
        return Err(refusal("a cookie publish without an Origin or a Referer field".into()));
    };
    let url = referer.to_str().ok().and_then(|url| url::Url::parse(url).ok());
    match url {
        Some(url) if allowed.contains_origin_of(&url) => Ok(()),
        Some(url) => Err(refusal(format!(
            "a cookie publish from a page of {}, which publish_origins does not list",
            url.origin().ascii_serialization()
        ))),
        None => Err(refusal("a cookie publish with a Referer that is no URL".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field value"));
        }
        headers
    }

    #[test]
    fn a03_a_cookie_publish_needs_a_listed_origin_or_lacking_it_a_listed_referer() {
        let allowed = Origins::parse(["https://app.example.com"]).expect("origins");
        let check = |fields: &[(&'static str, &str)]| {
            check_publish_origin(&headers(fields), &allowed)
                .map_err(|refusal| (refusal.kind(), refusal.reason()))
        };
        assert_eq!(check(&[("origin", "https://app.example.com")]), Ok(()));
        assert_eq!(check(&[("referer", "https://app.example.com/page")]), Ok(()));
        let refused = Err((RefusalKind::InvalidRequest, Reason::OriginNotAllowed));
        assert_eq!(check(&[]), refused);
        assert_eq!(check(&[("origin", "https://evil.example")]), refused);
        assert_eq!(check(&[("origin", "null")]), refused);
        assert_eq!(check(&[("origin", "null"), ("referer", "https://app.example.com/")]), refused);
        assert_eq!(check(&[("referer", "https://evil.example/https://app.example.com/")]), refused);
        assert_eq!(check(&[("referer", "/relative")]), refused);
        assert_eq!(
            check(&[("origin", "https://app.example.com"), ("origin", "https://evil.example")]),
            refused
        );
    }
}
