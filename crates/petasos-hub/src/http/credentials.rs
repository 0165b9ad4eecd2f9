//! Where a request carries its token: as [`credentials`] says (A02), and for tokens of the 0.x generation also the URL and
//! another cookie (L04, L05), where the compatibility mode is on.

use http::request::Parts;

use super::{
    Shared, form,
    generation::{Habits, OldHabit},
};
use crate::auth::{
    AccessToken, Credentials, Generation, Reason, Refusal, RefusalKind, credentials, has_old_form,
};

/// The cookie of the 0.x generation (L04).
const OLD_COOKIE: &str = "mercureAuthorization";

/// The parameter of the 0.x generation (L05). Nothing that logs or reports a request shows its query.
const AUTHORIZATION_PARAMETER: &[u8] = b"authorization";

/// Parameters that are looked through for it.
const MAX_PARAMETERS: usize = 2_000;

/// Finds the token. An `Authorization` field goes before everything; then a token in the URL, which the client has put
/// there for this request; then the cookie, and the old one only in its absence.
///
/// # Errors
/// A malformed `Authorization` field (A06).
pub(super) fn read(shared: &Shared, request: &Parts, habits: &Habits) -> Result<Credentials, Refusal> {
    let found = credentials::from_headers(&request.headers, &shared.config.cookie_name)?;
    if matches!(found, Credentials::Bearer(_)) {
        return Ok(found);
    }
    // One of the 1.0 generation is never read from there (A02): as if there were none.
    if let Some(token) = request.uri.query().and_then(from_query).filter(|token| has_old_form(token.as_str()))
    {
        habits.note(OldHabit::AuthorizationParameter);
        if shared.compatible() {
            return Ok(Credentials::Parameter(token));
        }
    }
    if found == Credentials::None
        && let Some(token) = credentials::cookie(&request.headers, OLD_COOKIE)
    {
        habits.note(OldHabit::Cookie);
        if shared.compatible() {
            return Ok(Credentials::Cookie(token));
        }
    }
    Ok(found)
}

fn from_query(query: &str) -> Option<AccessToken> {
    let mut pairs = form::parse(query.as_bytes(), MAX_PARAMETERS).map_while(Result::ok);
    let text = pairs.find(|pair| *pair.name == *AUTHORIZATION_PARAMETER)?.into_text().ok()?;
    (!text.is_empty()).then(|| AccessToken::new(text))
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
