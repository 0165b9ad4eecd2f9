//! Whether an issuer's key signed a token (A08, A10), and with that the way from a token to rights.

use std::{sync::Arc, time::SystemTime};

use super::{
    Algorithm, Generation, Reason, Refusal, Role,
    algorithm::list,
    cache::{KeyVersion, Use, Verified},
    claims::Claims,
    details,
    finding::{Finding, shown},
    grant::Rights,
    issuers::{Issuers, OldKeys, Source},
    jwks::{KeySet, Loaded},
    legacy::{self, OldRights},
    token::{Header, Parts},
};
use crate::topic::Base;

/// Keys of a set that are tried for a token that names none, and keys of issuers for an old token that names no issuer.
/// Each costs up to a quarter of a millisecond, for anybody who makes up a token.
pub(super) const MAX_KEYS_TRIED: usize = 16;

/// Checks everything about a token. In this order: what needs no key; the issuer, which selects the keys; the
/// signature; then the other claims, so that nobody but the issuer learns what the hub thinks of them.
pub(super) async fn verify(
    issuers: &Issuers,
    wanted: &Use<'_>,
    now: SystemTime,
) -> Result<Verified, Refusal> {
    let parts = Parts::split(wanted.token)?;
    let (_, header) = parts.header()?;
    if header.is_access_token() {
        return verify_new(issuers, wanted, now, &parts, &header).await;
    }
    // What cannot be read is of no generation.
    let claims = parts.payload().ok().map(|(_, payload)| Claims(payload));
    match claims {
        Some(claims)
            if issuers.reads_old_tokens() && legacy::generation(&header, &claims) == Generation::Old =>
        {
            verify_old(issuers, wanted, now, &parts, &header, &claims).await
        }
        claims => {
            let refusal = claims.and_then(|claims| legacy::refusal(&header, &claims));
            if !issuers.reads_old_tokens()
                && let Some(finding) = refusal
            {
                return Err(finding.into());
            }
            verify_new(issuers, wanted, now, &parts, &header).await
        }
    }
}

/// By the rules A07 to A13.
async fn verify_new(
    issuers: &Issuers,
    wanted: &Use<'_>,
    now: SystemTime,
    parts: &Parts<'_>,
    header: &Header,
) -> Result<Verified, Refusal> {
    header.check_type()?;
    header.check_extensions()?;
    let algorithm = header.algorithm()?;
    let (_, payload) = parts.payload()?;
    let claims = Claims(payload);
    let source = select_keys(issuers, &claims, wanted.role)?;
    let set = check_signature(source, header, algorithm, parts).await?;
    let validity = claims.validity()?;
    validity.check(now)?;
    claims.check_audience(wanted.audience)?;
    let subject = claims.subject()?;
    let details = details::parse(claims.details(), wanted.base)?;
    let rights = Rights::from_token(wanted.role, subject, validity.expires_at, details);
    Ok(Verified { rights: Arc::new(rights), validity, keys: KeyVersion { epoch: issuers.epoch, set } })
}

/// By the rule L03.
async fn verify_old(
    issuers: &Issuers,
    wanted: &Use<'_>,
    now: SystemTime,
    parts: &Parts<'_>,
    header: &Header,
    claims: &Claims,
) -> Result<Verified, Refusal> {
    header.check_old_type()?;
    header.check_extensions()?;
    let algorithm = header.algorithm()?;
    let OldSignature { of_issuer, set, .. } =
        check_old_signature(issuers, wanted.role, claims, header, algorithm, parts).await?;
    let validity = claims.old_validity()?;
    validity.check(now)?;
    let subject = claims.subject()?;
    let rights = check_old_claim(claims, wanted.base, of_issuer)?;
    let rights = Rights::from_old_token(wanted.role, subject, validity.expires_at, rights);
    Ok(Verified { rights: Arc::new(rights), validity, keys: KeyVersion { epoch: issuers.epoch, set } })
}

/// By which keys an old token is signed.
pub(super) struct OldSignature<'a> {
    pub(super) source: &'a Source,
    pub(super) of_issuer: bool,
    pub(super) set: Option<(Arc<KeySet>, u64)>,
}

/// Whether one of the keys for old tokens of this role signed the token.
pub(super) async fn check_old_signature<'a>(
    issuers: &'a Issuers,
    role: Role,
    claims: &Claims,
    header: &Header,
    algorithm: Algorithm,
    parts: &Parts<'_>,
) -> Result<OldSignature<'a>, Finding> {
    // Nobody asks old tokens for an issuer, so whatever stands there is at most a hint.
    let named = claims.0.string("iss").ok().flatten();
    let mut telling: Option<Finding> = None;
    let mut tried = 0;
    for OldKeys { source, of_issuer } in issuers.old_keys(named.as_deref(), role) {
        if source.allows(algorithm) {
            if tried == MAX_KEYS_TRIED {
                break;
            }
            tried += 1;
        }
        match check_signature(source, header, algorithm, parts).await {
            Ok(set) => return Ok(OldSignature { source, of_issuer, set }),
            // That a key of another algorithm did not sign it says less than anything else.
            Err(finding)
                if telling.as_ref().is_none_or(|first| first.reason == Reason::AlgorithmNotAllowed) =>
            {
                telling = Some(finding);
            }
            Err(_) => {}
        }
    }
    Err(telling.unwrap_or_else(|| {
        Finding::new(
            Reason::NoKey,
            format!("there is no key that verifies tokens of version 0.x of {role}s"),
            format!("a key for {role}s"),
        )
        .next_step("keys of publishers and subscribers are configured apart: add them, or use the token for the other role")
    }))
}

/// What the claim grants. A token without one is no more than the proof that its bearer knows the issuer; issuers that have
/// a name sign other things than tokens for this hub, and those grant nothing here.
pub(super) fn check_old_claim(claims: &Claims, base: &Base, of_issuer: bool) -> Result<OldRights, Finding> {
    let rights = legacy::parse(claims, base)?;
    if of_issuer && !rights.claimed {
        return Err(Finding::new(
            Reason::WrongType,
            "the token has neither the typ at+jwt nor a claim mercure",
            "an access token, or a token of version 0.x for this hub",
        )
        .next_step("let the issuer make access tokens, or say in the claim mercure what the token is for"));
    }
    Ok(rights)
}

/// The keys of the issuer that the token names, for the role (A10). No other key is ever tried.
pub(super) fn select_keys<'a>(
    issuers: &'a Issuers,
    claims: &Claims,
    role: Role,
) -> Result<&'a Source, Finding> {
    let id = claims.issuer()?;
    let Some(keys) = issuers.keys(&id, role) else {
        let ids: Vec<_> = issuers.ids().into_iter().take(8).map(shown).collect();
        let expected =
            if ids.is_empty() { "nothing: no issuer is configured".into() } else { ids.join(" or ") };
        return Err(Finding::new(Reason::UnknownIssuer, format!("iss is {}", shown(&id)), expected)
            .next_step(
                "configure this issuer, or let it use an id that is; ids are compared byte for byte",
            ));
    };
    keys.ok_or_else(|| {
        Finding::new(
            Reason::NoKey,
            format!("issuer {} has no keys for {role}s", shown(&id)),
            format!("keys for {role}s"),
        )
        .next_step("keys of publishers and subscribers are configured apart: add them, or use the token for the other role")
    })
}

/// Whether one of `source`'s keys signed the token. Gives the set and generation of the key, if it was in one.
pub(super) async fn check_signature(
    source: &Source,
    header: &Header,
    algorithm: Algorithm,
    parts: &Parts<'_>,
) -> Result<Option<(Arc<KeySet>, u64)>, Finding> {
    match source {
        Source::Static { key, algorithm: only } => {
            header.key_id()?;
            if algorithm != *only {
                return Err(not_allowed(algorithm, only.to_string()));
            }
            if key.verify(algorithm, parts.signed.as_bytes(), &parts.signature) {
                Ok(None)
            } else {
                Err(bad_signature("the configured key did not sign the token"))
            }
        }
        Source::Set { set, algorithms } => {
            let kid = header.key_id()?;
            if !algorithms.contains(&algorithm) {
                return Err(not_allowed(algorithm, format!("one of {}", list(algorithms))));
            }
            let loaded = set.current().await.map_err(|error| {
                Finding::new(Reason::KeysUnavailable, error.0, "a key set")
                    .next_step("see to it that the hub can read the set; it tries again by itself")
            })?;
            let (finding, may_be_new) = match loaded.verify(kid.as_deref(), algorithm, parts) {
                Ok(()) => return Ok(Some((Arc::clone(set), loaded.generation))),
                Err(miss) => miss,
            };
            if !may_be_new {
                return Err(finding);
            }
            let Some(newer) = set.newer_than(loaded.generation).await else { return Err(finding) };
            match newer.verify(kid.as_deref(), algorithm, parts) {
                Ok(()) => Ok(Some((Arc::clone(set), newer.generation))),
                Err((finding, _)) => Err(finding),
            }
        }
    }
}

impl Loaded {
    /// Tries the keys that come into question. The error tells whether a newer state of the set may have another.
    fn verify(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        parts: &Parts<'_>,
    ) -> Result<(), (Finding, bool)> {
        let named = kid.is_some_and(|kid| self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)));
        // A name that no key has may be meant for keys without names: it is a hint, not a claim (A08).
        let candidates = self.keys.iter().filter(|key| match kid {
            Some(kid) if named => key.kid.as_deref() == Some(kid),
            Some(_) => key.kid.is_none(),
            None => true,
        });
        let mut fitting = candidates.filter(|key| key.allows(algorithm)).take(MAX_KEYS_TRIED).peekable();
        let names = || {
            let names: Vec<_> = self
                .keys
                .iter()
                .take(8)
                .map(|key| key.kid.as_deref().map_or("one without kid".into(), shown))
                .collect();
            format!("one of the set's {} keys: {}", self.keys.len(), names.join(", "))
        };
        if fitting.peek().is_none() {
            let finding = match kid {
                Some(kid) if named => {
                    not_allowed(algorithm, format!("an algorithm of the key {}", shown(kid)))
                }
                Some(kid) => Finding::new(Reason::NoKey, format!("kid is {}", shown(kid)), names()),
                None => Finding::new(
                    Reason::NoKey,
                    format!("the token has no kid and alg is {algorithm}"),
                    names(),
                ),
            };
            return Err((finding, !named));
        }
        if fitting.any(|key| key.key.verify(algorithm, parts.signed.as_bytes(), &parts.signature)) {
            return Ok(());
        }
        let finding = match kid {
            Some(kid) if named => bad_signature(&format!("the key {} did not sign the token", shown(kid))),
            _ => bad_signature("no key of the set signed the token"),
        };
        Err((finding, !named))
    }
}

fn not_allowed(algorithm: Algorithm, expected: String) -> Finding {
    Finding::new(Reason::AlgorithmNotAllowed, format!("alg is {algorithm}"), expected).next_step(
        "let the issuer sign with an algorithm that is configured for its keys, or configure this one",
    )
}

fn bad_signature(found: &str) -> Finding {
    Finding::new(Reason::BadSignature, found, "a signature by a key of the issuer for this role").next_step(
        "compare the issuer's key with the configured one; a secret counts byte for byte and is not decoded",
    )
}
