//! The claims of a token and what each must be (A10 to A12, C08). Leeway is zero.

use std::time::{Duration, SystemTime};

use super::{
    Reason,
    finding::{Finding, shown},
    json::{self, Object, WrongType},
};

/// The end of the year 9999 in seconds since the epoch. A later `exp` is read as this, so that no arithmetic on it
/// overflows anywhere.
const LATEST_S: f64 = 253_402_300_799.0;

/// What times must be.
const A_TIME: &str = "a number of seconds since 1970";

/// The claims of a token.
#[derive(Debug)]
pub(super) struct Claims(pub(super) Object);

/// When a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// First moment at which it is valid, if it says so.
    pub(super) not_before: Option<SystemTime>,
    /// First moment at which it is not valid any more. Only old tokens may lack it.
    pub(super) expires_at: Option<SystemTime>,
}

impl Claims {
    /// A10: who made the token.
    pub(super) fn issuer(&self) -> Result<String, Finding> {
        const EXPECTED: &str = "iss to be the id of a configured issuer";
        match self.0.string("iss") {
            Ok(Some(issuer)) => Ok(issuer),
            Ok(None) => Err(Finding::new(Reason::UnknownIssuer, "the token has no iss", EXPECTED)
                .next_step("let the issuer set iss; tokens of a Mercure 0.x hub have none")),
            Err(WrongType) => Err(Finding::new(Reason::MalformedClaim, "iss is no string", EXPECTED)),
        }
    }

    /// A12, as times. Whether now is between them is asked again for every use: [`Validity::check`].
    pub(super) fn validity(&self) -> Result<Validity, Finding> {
        let validity = self.old_validity()?;
        if validity.expires_at.is_none() {
            return Err(Finding::new(Reason::MissingExpiry, "the token has no exp", A_TIME)
                .next_step("let the issuer set exp; tokens without an end are not accepted"));
        }
        Ok(validity)
    }

    /// The same for old tokens, which may have no end (L03).
    pub(super) fn old_validity(&self) -> Result<Validity, Finding> {
        let read = |name: &str| {
            self.0.number(name).map(|seconds| seconds.map(time)).map_err(|WrongType| {
                let found = format!("{name} is no number, or one that overflows");
                Finding::new(Reason::MalformedClaim, found, A_TIME)
            })
        };
        let expires_at = read("exp")?;
        Ok(Validity { not_before: read("nbf")?, expires_at })
    }

    /// A11: `aud` names this hub, byte for byte.
    pub(super) fn check_audience(&self, hub: &str) -> Result<(), Finding> {
        let expected = format!("aud to contain {}", shown(hub));
        let wrong = |found: String| {
            Err(Finding::new(Reason::WrongAudience, found, expected.clone()).next_step(
                "let the issuer name this hub, or set resource_identifier if a proxy changes Host or scheme on the way",
            ))
        };
        let Some(text) = self.0.raw("aud") else { return wrong("the token has no aud".into()) };
        let malformed = Finding::new(
            Reason::MalformedClaim,
            "aud is neither a string nor an array of strings",
            &expected,
        );
        if let Ok(one) = json::as_string(text) {
            return if one == hub { Ok(()) } else { wrong(format!("aud is {}", shown(&one))) };
        }
        let Ok(elements) = json::as_array(text) else { return Err(malformed) };
        let Ok(audiences) =
            elements.iter().map(|element| json::as_string(element.get())).collect::<Result<Vec<_>, _>>()
        else {
            return Err(malformed);
        };
        if audiences.iter().any(|audience| audience == hub) {
            return Ok(());
        }
        let some: Vec<_> = audiences.iter().take(4).map(|audience| shown(audience)).collect();
        wrong(format!("aud has {} values: {}", audiences.len(), some.join(", ")))
    }

    /// Who the token is about, if it says so.
    pub(super) fn subject(&self) -> Result<Option<String>, Finding> {
        self.0.string("sub").map_err(|WrongType| {
            Finding::new(Reason::MalformedClaim, "sub is no string", "a string, or no sub")
        })
    }

    /// Members that look like claims and are none, for the report of `petasos token check`.
    pub(super) fn suspicious_names(&self) -> Vec<String> {
        const CLAIMS: [&str; 6] = ["iss", "aud", "exp", "nbf", "sub", "authorization_details"];
        let mut notes = Vec::new();
        for name in self.0.names() {
            if let Some(claim) =
                CLAIMS.iter().find(|claim| **claim != name && claim.eq_ignore_ascii_case(name))
            {
                notes.push(format!("the member {} is not {claim}: names are case-sensitive", shown(name)));
            }
            if name == "mercure" || name == "https://mercure.rocks/" {
                notes.push(format!(
                    "the claim {name:?} is of Mercure 0.x; rights are granted by authorization_details"
                ));
            }
        }
        notes
    }

    /// The text of `authorization_details` (A13).
    pub(super) fn details(&self) -> Option<&str> {
        self.0.raw("authorization_details")
    }
}

impl Validity {
    /// Whether a token with these times is valid now.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), Finding> {
        if let Some(expires_at) = self.expires_at.filter(|expires_at| now >= *expires_at) {
            let ago = now.duration_since(expires_at).unwrap_or_default();
            return Err(Finding::new(
                Reason::Expired,
                format!("exp passed {} ago", span(ago)),
                "an exp that is ahead (the hub allows no leeway)",
            )
            .next_step("get a new token; if it is new, compare the clocks of issuer and hub"));
        }
        match self
            .not_before
            .and_then(|start| start.duration_since(now).ok())
            .filter(|ahead| !ahead.is_zero())
        {
            None => Ok(()),
            Some(ahead) => Err(Finding::new(
                Reason::NotYetValid,
                format!("nbf is {} ahead", span(ahead)),
                "an nbf that has come (the hub allows no leeway)",
            )
            .next_step("wait, or compare the clocks of issuer and hub")),
        }
    }
}

/// A JSON number of seconds as a time. What lies before 1970 is 1970, what lies after 9999 is 9999.
fn time(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds.clamp(0.0, LATEST_S))
}

/// A duration as people say it.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
