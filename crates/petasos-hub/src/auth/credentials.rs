//! Where a request carries its token (A02): the `Authorization` field, else the cookie. Never the URL, but for tokens of the
//! 0.x generation (L05), and who takes them from there is not this module.

use std::fmt;

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};
use zeroize::Zeroizing;

use super::{Reason, Refusal, RefusalKind};

/// What a request carries. The kind matters: publishing by cookie needs a known origin (A03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// `Authorization: Bearer`.
    Bearer(AccessToken),
    /// The cookie.
    Cookie(AccessToken),
    /// A parameter of the URL (L05).
    Parameter(AccessToken),
}

impl Credentials {
    /// The token, as [`Authenticator::publisher`](super::Authenticator::publisher) takes it.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Bearer(token) | Self::Cookie(token) | Self::Parameter(token) => Some(token.as_str()),
        }
    }

    /// Whether a browser may have sent it without its user's doing (A03).
    pub fn is_cookie(&self) -> bool {
        matches!(self, Self::Cookie(_))
    }
}

/// A token as it came: unverified, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Zeroizing::new(token.into()))
    }

    /// The token. For verification only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

/// Takes the token out of a request's fields. If there is an `Authorization` field it is used, and the cookie ignored
/// (A02): also where it is malformed, so that a request never runs with other rights than its sender thinks.
///
/// An empty cookie is no token: that is what is left of one that was logged out.
///
/// # Errors
/// [`RefusalKind::InvalidRequest`] where there are several `Authorization` fields, or one that is not `Bearer`, spaces
/// and one token (A06).
pub fn from_headers(headers: &HeaderMap, cookie_name: &str) -> Result<Credentials, Refusal> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => bearer(field).map(Credentials::Bearer),
        (Some(_), Some(_)) => Err(malformed("the request has more than one Authorization field")),
        (None, _) => Ok(cookie(headers, cookie_name).map_or(Credentials::None, Credentials::Cookie)),
    }
}

fn bearer(field: &HeaderValue) -> Result<AccessToken, Refusal> {
    let text =
        field.to_str().map_err(|_| malformed("the Authorization field has bytes that are not ASCII"))?;
    let text = text.trim_matches([' ', '\t']);
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed(other_scheme(scheme)));
    }
    let token = rest.trim_start_matches(' ');
    if token.is_empty() {
        return Err(malformed("the Authorization field has no token after \"Bearer\""));
    }
    if !is_token68(token) {
        return Err(malformed(
            "what follows \"Bearer\" in the Authorization field is not one token (RFC 6750, 2.1): it contains a space or \
             a character that no token has",
        ));
    }
    Ok(AccessToken::new(token))
}

/// The scheme is named only if it is a registered one: what stands there may as well be a token without `Bearer`.
fn other_scheme(scheme: &str) -> String {
    const KNOWN: [&str; 7] = ["Basic", "Digest", "DPoP", "HOBA", "Negotiate", "NTLM", "Token"];
    match KNOWN.iter().find(|known| known.eq_ignore_ascii_case(scheme)) {
        Some(known) => format!(
            "the Authorization field has the scheme {known}, the hub takes Bearer only; if a proxy in front of the hub asks \
             for it, let the proxy remove the field"
        ),
        None => "the Authorization field does not begin with \"Bearer \"".to_owned(),
    }
}

/// The characters a bearer token may have (RFC 6750, 2.1).
fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// The token in the first cookie called `name`; `None` where it is empty, too.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<AccessToken> {
    let value = cookie_value(headers, name)?;
    // Bytes that are no text make no token either; verification says so.
    (!value.is_empty()).then(|| AccessToken::new(String::from_utf8_lossy(value)))
}

/// Whether there is a cookie called `name`, an empty one included.
pub fn has_cookie(headers: &HeaderMap, name: &str) -> bool {
    cookie_value(headers, name).is_some()
}

/// Looks into all `Cookie` fields (HTTP/2 splits them). Bytes, because other cookies may hold any.
fn cookie_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    for pair in pairs {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if pair[..at].trim_ascii() != name.as_bytes() {
            continue;
        }
        let value = pair[at + 1..].trim_ascii();
        return Some(value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value));
    }
    None
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::InvalidRequest, Reason::MalformedAuthorization).because(detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const COOKIE_NAME: &str = "__Secure-mercure_access_token";

    fn read(fields: &[(&'static str, &str)]) -> Result<Credentials, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        from_headers(&headers, COOKIE_NAME)
    }

    fn bearer_of(token: &str) -> Result<Credentials, Refusal> {
        Ok(Credentials::Bearer(AccessToken::new(token)))
    }

    fn cookie_of(token: &str) -> Result<Credentials, Refusal> {
        Ok(Credentials::Cookie(AccessToken::new(token)))
    }

    #[test]
    fn a02_the_scheme_is_read_in_any_case() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            assert_eq!(read(&[("authorization", &format!("{scheme} a.b.c"))]), bearer_of("a.b.c"));
        }
        assert_eq!(read(&[("authorization", "Bearer   a.b.c ")]), bearer_of("a.b.c"));
        assert_eq!(read(&[("authorization", "Bearer aA0-._~+/==")]), bearer_of("aA0-._~+/=="));
    }

    #[test]
    fn a02_the_field_wins_over_the_cookie_even_where_it_is_malformed() {
        let cookie = format!("{COOKIE_NAME}=cookie");
        assert_eq!(read(&[("cookie", &cookie), ("authorization", "Bearer field")]), bearer_of("field"));
        let refusal = read(&[("cookie", &cookie), ("authorization", "Basic dTpw")]).unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::InvalidRequest);
    }

    #[test]
    fn a06_a_malformed_field_is_an_invalid_request() {
        for value in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer\ta.b.c",
            "Bearera.b.c",
            "a.b.c",
            "Basic dTpw",
            "Bearer a.b.c d",
            "Bearer a,b",
            "Bearer \"a.b.c\"",
            "Bearer =",
            "Bearer a=b",
            "Bearer a.b.c, Bearer a.b.c",
            "Bearer ä",
            "Bearer: a.b.c",
        ] {
            let refusal = read(&[("authorization", value)]).unwrap_err();
            assert_eq!(refusal.kind(), RefusalKind::InvalidRequest, "{value:?}");
            assert_eq!(refusal.reason(), Reason::MalformedAuthorization, "{value:?}");
        }
    }

    #[test]
    fn a06_a_repeated_field_is_an_invalid_request() {
        let refusal =
            read(&[("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")]).unwrap_err();
        assert_eq!(refusal.reason(), Reason::MalformedAuthorization);
    }

    #[test]
    fn a06_the_detail_names_a_known_scheme_and_never_what_may_be_a_token() {
        let detail = |value: &str| read(&[("authorization", value)]).unwrap_err().detail().to_owned();
        assert!(detail("basic c2VjcmV0").contains("Basic"));
        assert!(!detail("basic c2VjcmV0").contains("c2VjcmV0"));
        assert!(!detail("eyJhbGciOi.eyJ.sig").contains("eyJ"));
        assert!(!detail("Bearer eyJhbGciOi eyJ").contains("eyJ"));
    }

    #[test]
    fn a02_the_cookie_is_found_among_others() {
        for (fields, token) in [
            (vec![format!("{COOKIE_NAME}=a.b.c")], "a.b.c"),
            (vec![format!("x=1; {COOKIE_NAME}=a.b.c; y=2")], "a.b.c"),
            (vec!["x=1".into(), "y".into(), format!("z=\u{e4};{COOKIE_NAME}=a.b.c")], "a.b.c"),
            (vec![format!("{COOKIE_NAME}=\"a.b.c\"")], "a.b.c"),
            (vec![format!("{COOKIE_NAME}=first; {COOKIE_NAME}=second")], "first"),
            (vec![format!("{COOKIE_NAME}=a=b")], "a=b"),
            (vec![format!(" {COOKIE_NAME} = a.b.c ")], "a.b.c"),
        ] {
            let fields: Vec<_> = fields.iter().map(|value| ("cookie", value.as_str())).collect();
            assert_eq!(read(&fields), cookie_of(token), "{fields:?}");
        }
    }

    #[test]
    fn a02_other_names_and_empty_values_are_no_token() {
        for value in [
            "",
            "x=1",
            "__secure-mercure_access_token=a",
            "mercure_access_token=a",
            "x__Secure-mercure_access_token=a",
            "__Secure-mercure_access_token",
            "__Secure-mercure_access_token=",
            "__Secure-mercure_access_token=\"\"",
        ] {
            assert_eq!(read(&[("cookie", value)]), Ok(Credentials::None), "{value}");
        }
        assert_eq!(read(&[]), Ok(Credentials::None));
    }

    #[test]
    fn tokens_are_never_shown() {
        let shown = format!("{:?}", read(&[("authorization", "Bearer abc.def.ghi")]));
        assert!(!shown.contains("abc"), "{shown}");
    }
}
