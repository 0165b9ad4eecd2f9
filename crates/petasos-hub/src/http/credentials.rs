//! Where a request carries its token: as [`credentials`] says (A02), and for tokens of the 0.x generation also the URL and
//! another cookie (L04, L05), where the compatibility mode is on.

use http::request::Parts;

use super::{
    Shared, form,
    generation::{Habits, OldHabit},
};
use crate::auth::{
    AccessToken, Credentials, Generation, Reason, Refusal, RefusalKind, credentials, generation_of,
    has_old_form,
};

/// The cookie of the 0.x generation (L04).
const OLD_COOKIE: &str = "mercureAuthorization";

/// The parameter of the 0.x generation (L05). Nothing that logs or reports a request shows its query.
const AUTHORIZATION_PARAMETER: &[u8] = b"authorization";

/// Parameters that are looked through for it: more than the longest request target has, so that none is overlooked.
const MAX_PARAMETERS: usize = 64 << 10;

/// Finds the token. An `Authorization` field goes before everything; then a token in the URL, which the client has put
/// there for this request; then the cookie, and the old one only where that is absent (L04): one that was emptied is not.
///
/// Where the parameter has a meaning, a request is never served as if it were not there: its sender would take a stream
/// without private updates for one with them.
///
/// # Errors
/// A malformed `Authorization` field (A06). Where the 0.x generation is served, a token in the URL that is of the 1.0
/// generation, or none that can be read (A05).
pub(super) fn read(shared: &Shared, request: &Parts, habits: &Habits) -> Result<Credentials, Refusal> {
    let found = credentials::from_headers(&request.headers, &shared.config.cookie_name)?;
    if matches!(found, Credentials::Bearer(_)) {
        return Ok(found);
    }
    if let Some(text) = request.uri.query().and_then(from_query) {
        // Text that is not UTF-8 is no token.
        let token = text.ok().map(AccessToken::new);
        let generation = token.as_ref().and_then(|token| generation_of(token.as_str()));
        // Elsewhere anything may be called so (S08), but such a token belongs to an old client beyond doubt.
        if shared.compatible() || generation == Some(Generation::Old) {
            habits.note(OldHabit::AuthorizationParameter);
        }
        if shared.compatible() {
            return match (token, generation) {
                (Some(token), Some(Generation::Old)) => Ok(Credentials::Parameter(token)),
                (_, Some(Generation::New)) => Err(Refusal::invalid_token(Reason::TokenInUrl).because(
                    "the parameter authorization has a token of version 1.0, which is never read from the URL (A02): \
                     send it in the Authorization field, or in the cookie",
                )),
                _ => Err(Refusal::invalid_token(Reason::MalformedToken)
                    .because("the parameter authorization is there, and is no token")),
            };
        }
    }
    if found == Credentials::None
        && !credentials::has_cookie(&request.headers, &shared.config.cookie_name)
        && let Some(token) = credentials::cookie(&request.headers, OLD_COOKIE)
    {
        habits.note(OldHabit::Cookie);
        if shared.compatible() {
            return Ok(Credentials::Cookie(token));
        }
    }
    Ok(found)
}

/// The first such parameter that is not empty.
fn from_query(query: &str) -> Option<Result<String, form::InvalidUtf8>> {
    let pairs = form::parse(query.as_bytes(), MAX_PARAMETERS).map_while(Result::ok);
    let values = pairs.filter(|pair| *pair.name == *AUTHORIZATION_PARAMETER).map(form::Pair::into_text);
    values.into_iter().find(|text| text.as_ref().map_or(true, |text| !text.is_empty()))
}

/// What became of the token of a request: notes that it was an old one, and words the refusal of a client whose token was
/// not looked for.
pub(super) fn judged<G>(
    shared: &Shared,
    credentials: &Credentials,
    habits: &Habits,
    verdict: Result<G, Refusal>,
    generation: impl FnOnce(&G) -> Generation,
) -> Result<G, Refusal> {
    let is_old = match &verdict {
        Ok(grant) => generation(grant) == Generation::Old,
        Err(refusal) if shared.compatible() => {
            refusal.kind() == RefusalKind::InvalidToken && credentials.token().is_some_and(has_old_form)
        }
        Err(refusal) => refusal.reason() == Reason::OldToken,
    };
    if is_old {
        habits.note(OldHabit::Token);
    }
    verdict.map_err(|refusal| {
        let reason = if habits.has(OldHabit::Cookie) {
            Reason::OldCookie
        } else if habits.has(OldHabit::AuthorizationParameter) {
            Reason::AuthorizationParameter
        } else {
            return refusal;
        };
        if refusal.kind() != RefusalKind::MissingToken {
            return refusal;
        }
        Refusal::new(RefusalKind::MissingToken, reason).because(refusal.detail())
    })
}
