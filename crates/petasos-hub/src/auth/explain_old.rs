//! Why a token of the 0.x generation is accepted or refused, and what a token of either generation lacks for the other.

use std::time::SystemTime;

use super::{
    Role,
    cache::Use,
    claims::Claims,
    explain::{Explanation, explain_algorithm, explain_payload},
    finding::shown,
    issuers::Issuers,
    legacy::CLAIM_NAMES,
    token::{Header, Parts},
    verify::{OldSignature, check_old_claim, check_old_signature},
};
use crate::topic::Matcher;

/// Runs the checks of `verify` for an old token, in their order.
pub(super) async fn explain_old(
    report: &mut Explanation,
    issuers: &Issuers,
    wanted: &Use<'_>,
    now: SystemTime,
    parts: &Parts<'_>,
    header: &Header,
) {
    let typ = header.check_old_type().map(|()| ((), "of no account in version 0.x".to_owned()));
    report.step(("L03", "typ"), Some(typ));
    let algorithm = explain_algorithm(report, Some(header));
    let Some(claims) = explain_payload(report, Some(parts)) else { return };
    let signature = match algorithm {
        None => None,
        Some(algorithm) => {
            Some(check_old_signature(issuers, wanted.role, &claims, header, algorithm, parts).await.map(
                |OldSignature { source, of_issuer, .. }| {
                    let whose = if of_issuer { "an issuer's" } else { "no issuer's" };
                    (of_issuer, format!("verified; the keys are {whose}: {}", source.describe()))
                },
            ))
        }
    };
    let of_issuer = report.step(("L08", "signature"), signature);
    let validity = claims.old_validity().and_then(|validity| {
        validity.check(now)?;
        let end = if validity.expires_at.is_some() { "exp is ahead" } else { "it never expires" };
        Ok(((), end.to_owned()))
    });
    report.step(("L03", "exp and nbf"), Some(validity));
    let subject =
        claims.subject().map(|subject| ((), subject.map_or("none".to_owned(), |subject| shown(&subject))));
    report.step(("A05", "sub"), Some(subject));
    let claim = check_old_claim(&claims, wanted.base, of_issuer.unwrap_or(false)).map(|rights| {
        let found =
            format!("{} for publishing, {} for subscribing", rights.publish.len(), rights.subscribe.len());
        (rights, found)
    });
    let rights = report.step(("L03", "claim mercure"), Some(claim)).unwrap_or_default();
    let told = |matcher: &Matcher| (matcher.match_type(), matcher.value().to_owned());
    report.granted = match wanted.role {
        Role::Publisher => rights.publish.iter().map(told).collect(),
        Role::Subscriber => rights.subscribe.iter().map(|element| told(&element.matcher)).collect(),
    };
    if report.granted.is_empty() {
        report.notes.push(match wanted.role {
            Role::Publisher => "the token grants publishing on no topic".to_owned(),
            Role::Subscriber => {
                "the token grants no private update: its bearer reads public ones only".to_owned()
            }
        });
    }
}

/// What a hub without the compatibility mode misses in an old token.
pub(super) fn needs_of_new(
    issuers: &Issuers,
    wanted: &Use<'_>,
    header: &Header,
    claims: &Claims,
) -> Vec<String> {
    let mut needs = Vec::new();
    if !header.is_access_token() {
        needs.push("the header typ \"at+jwt\"".to_owned());
    }
    let issuer = claims.0.string("iss").ok().flatten();
    if issuer.is_none_or(|id| issuers.keys(&id, wanted.role).is_none()) {
        let ids: Vec<_> = issuers.ids().into_iter().take(8).map(shown).collect();
        needs.push(if ids.is_empty() {
            "an iss that the hub trusts".to_owned()
        } else {
            format!("an iss that the hub trusts: {}", ids.join(" or "))
        });
    }
    if claims.check_audience(wanted.audience).is_err() {
        needs.push(format!("an aud that contains {}", shown(wanted.audience)));
    }
    if claims.0.raw("exp").is_none() {
        needs.push("an exp".to_owned());
    }
    if claims.details().is_none() {
        needs.push("authorization_details, with what the claim mercure grants".to_owned());
    }
    needs
}

/// What a hub of version 0.x misses in a new token.
pub(super) fn needs_of_old(claims: &Claims) -> Vec<String> {
    let has_claim = CLAIM_NAMES.iter().any(|name| claims.0.raw(name).is_some());
    if has_claim {
        return Vec::new();
    }
    vec!["a claim mercure, with publish and subscribe as lists of topic selectors".to_owned()]
}
