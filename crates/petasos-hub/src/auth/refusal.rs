//! An error with two faces: what the caller may see (kind, reason code) and what the operator must know.

use std::fmt;

/// What the caller is told: decides status and `error` of the challenge (A04 to A06), which `http` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A token is needed and none came (A04).
    MissingToken,
    /// The token fails a check (A05).
    InvalidToken,
    /// The token is fine and does not grant this (A06).
    InsufficientScope,
    /// The request itself is malformed (A03, A06).
    InvalidRequest,
}

/// A stable, documented code for the caller (`docs/authorization.md`). It discloses no claim values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No token came.
    MissingToken,
    /// The `Authorization` field is not `Bearer` and one token.
    MalformedAuthorization,
    /// A cookie `POST` without a listed origin (A03).
    OriginNotAllowed,
    /// Not three base64url parts with JSON in the first two, or a doubled member.
    MalformedToken,
    /// The header's `typ` is not `at+jwt` (A07).
    WrongType,
    /// A token of the 0.x generation, which this hub does not read (L03).
    OldToken,
    /// No token came but in the cookie of the 0.x generation, which this hub does not read (L04).
    OldCookie,
    /// No token came but in the URL, as in the 0.x generation, where this hub does not look for it (L05).
    AuthorizationParameter,
    /// A token of the 1.0 generation in the URL, where it is never read (A02).
    TokenInUrl,
    /// `alg` is unknown, `none`, or not allowed for the key (A08).
    AlgorithmNotAllowed,
    /// An unknown `crit`, `b64` or `zip` (A08, C08).
    UnsupportedHeader,
    /// `iss` is missing or not configured (A10).
    UnknownIssuer,
    /// The issuer has no key for this role, or none with this `kid`.
    NoKey,
    /// The issuer's key set could not be loaded, so nothing can be verified now.
    KeysUnavailable,
    /// The signature does not verify.
    BadSignature,
    /// `aud` does not contain this hub (A11).
    WrongAudience,
    /// `exp` is missing (A12).
    MissingExpiry,
    /// `exp` has passed (A12).
    Expired,
    /// `nbf` is ahead (A12).
    NotYetValid,
    /// A registered claim has the wrong JSON type.
    MalformedClaim,
    /// `authorization_details` breaks A13.
    MalformedDetails,
    /// A limit of A13 is exceeded.
    TooLarge,
    /// The token does not grant this topic.
    TopicNotGranted,
}

impl Reason {
    /// The code as callers see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::MalformedAuthorization => "malformed_authorization",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::MalformedToken => "malformed_token",
            Self::WrongType => "wrong_type",
            Self::OldToken => "old_token",
            Self::OldCookie => "old_cookie",
            Self::AuthorizationParameter => "authorization_parameter",
            Self::TokenInUrl => "token_in_url",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::UnsupportedHeader => "unsupported_header",
            Self::UnknownIssuer => "unknown_issuer",
            Self::NoKey => "no_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::BadSignature => "bad_signature",
            Self::WrongAudience => "wrong_audience",
            Self::MissingExpiry => "missing_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::MalformedClaim => "malformed_claim",
            Self::MalformedDetails => "malformed_details",
            Self::TooLarge => "token_too_large",
            Self::TopicNotGranted => "topic_not_granted",
        }
    }
}

/// A request that is not allowed. The caller sees [`Self::kind`] and [`Self::reason`]; the operator's log also gets
/// [`Self::detail`], which may name claims and settings, never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    reason: Reason,
    detail: String,
}

impl Refusal {
    /// A refusal that says no more than its reason.
    pub fn new(kind: RefusalKind, reason: Reason) -> Self {
        Self { kind, reason, detail: String::new() }
    }

    /// A token that fails a check.
    pub fn invalid_token(reason: Reason) -> Self {
        Self::new(RefusalKind::InvalidToken, reason)
    }

    /// Adds what the operator must know: the cause, and the next step where there is one.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// What the caller is told.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The code the caller is told.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// For the operator.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.reason.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(out, ": {}", self.detail) }
    }
}

impl std::error::Error for Refusal {}
