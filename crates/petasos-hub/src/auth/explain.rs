//! Why a token is accepted or refused, rule by rule: for `petasos token check`. It runs the checks of `verify` in their
//! order, but goes on after a failure. Tokens of the 0.x generation are `explain_old`'s business.

use std::{fmt, time::SystemTime};

use super::{
    Algorithm, Generation, Reason, Role,
    cache::Use,
    claims::Claims,
    details,
    explain_old::{explain_old, needs_of_new, needs_of_old},
    finding::{Finding, shown},
    issuers::{Issuers, Source},
    legacy,
    token::{Header, Parts},
    verify::{check_signature, select_keys},
};
use crate::topic::{MatchType, forbidden_character};

/// A token, rule by rule.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the token was checked for.
    pub role: Role,
    /// Of which generation the token is. Only a hub in the compatibility mode reads those of 0.x.
    pub generation: Generation,
    /// What the token lacks for the other generation; empty where it lacks nothing, or cannot be read.
    pub other_needs: Vec<String>,
    /// The header as JSON text, if it could be decoded; characters that change a terminal are escaped.
    pub header: Option<String>,
    /// The claims as JSON text, likewise. Nobody vouches for them unless all steps passed.
    pub claims: Option<String>,
    /// The checks, in the order in which a request's token meets them.
    pub steps: Vec<Step>,
    /// What is no failure and yet may not be meant so.
    pub notes: Vec<String>,
    /// What the token grants to the role, if its details could be read: type and value of each matcher.
    pub granted: Vec<(MatchType, String)>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule in `docs/protocol.md`.
    pub rule: &'static str,
    /// What is checked.
    pub title: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Fine.
    Passed {
        /// What is there.
        found: String,
    },
    /// The token is refused.
    Failed {
        /// The code that callers get.
        reason: Reason,
        /// What is there.
        found: String,
        /// What must be there.
        expected: String,
        /// What to do about it; may be empty.
        next_step: String,
    },
    /// Not checked, because it needs something that an earlier check did not find.
    Skipped,
}

impl Explanation {
    /// Whether the hub accepts the token. What it grants is another question: [`Self::granted`].
    pub fn is_accepted(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.outcome, Outcome::Passed { .. }))
    }

    /// The check that a request with this token fails.
    pub fn first_failure(&self) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step.outcome, Outcome::Failed { .. }))
    }

    /// Notes the outcome of a check and gives its value. `None` as the check means that it needs what is not there.
    pub(super) fn step<T>(
        &mut self,
        (rule, title): (&'static str, &'static str),
        check: Option<Result<(T, String), Finding>>,
    ) -> Option<T> {
        let (value, outcome) = match check {
            None => (None, Outcome::Skipped),
            Some(Ok((value, found))) => (Some(value), Outcome::Passed { found }),
            Some(Err(Finding { reason, found, expected, next_step })) => {
                (None, Outcome::Failed { reason, found, expected, next_step })
            }
        };
        self.steps.push(Step { rule, title, outcome });
        value
    }
}

impl fmt::Display for Explanation {
    /// One line for each check and note.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(out, "{step}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "note     {note}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, title, outcome } = self;
        match outcome {
            Outcome::Passed { found } => write!(out, "ok   {rule} {title}: {found}"),
            Outcome::Skipped => write!(out, "-    {rule} {title}: not checked"),
            Outcome::Failed { reason, found, expected, next_step } => {
                write!(out, "FAIL {rule} {title}: {found}; expected {expected}")?;
                if !next_step.is_empty() {
                    write!(out, "; {next_step}")?;
                }
                write!(out, " [{}]", reason.as_str())
            }
        }
    }
}

pub(super) async fn explain(issuers: &Issuers, wanted: &Use<'_>, now: SystemTime) -> Explanation {
    let mut report = Explanation {
        role: wanted.role,
        generation: Generation::New,
        other_needs: Vec::new(),
        header: None,
        claims: None,
        steps: Vec::new(),
        notes: Vec::new(),
        granted: Vec::new(),
    };
    let split =
        Parts::split(wanted.token).map(|parts| (parts, format!("three parts, {} bytes", wanted.token.len())));
    let parts = report.step(("A07", "form"), Some(split));
    let header = report.step(("C08", "header"), parts.as_ref().map(|parts| readable(parts.header())));
    let header = header.map(|(text, header)| {
        report.header = Some(printable(&text));
        header
    });
    if let (Some(parts), Some(header)) = (&parts, &header)
        && let Ok((_, payload)) = parts.payload()
    {
        let claims = Claims(payload);
        report.generation = legacy::generation(header, &claims);
        if report.generation == Generation::Old {
            report.other_needs = needs_of_new(issuers, wanted, header, &claims);
            if issuers.reads_old_tokens() {
                explain_old(&mut report, issuers, wanted, now, parts, header).await;
                return report;
            }
        } else {
            report.other_needs = needs_of_old(&claims);
        }
    }
    let algorithm = explain_header(&mut report, issuers, header.as_ref(), parts.as_ref());
    let claims = explain_payload(&mut report, parts.as_ref());
    let source = claims.as_ref().map(|claims| {
        let source = select_keys(issuers, claims, wanted.role)?;
        let found = format!("iss is {}, {}", shown(&claims.issuer()?), source.describe());
        Ok((source, found))
    });
    let source = report.step(("A10", "issuer and its keys"), source);
    let signature = match (source, &header, algorithm, &parts) {
        (Some(source), Some(header), Some(algorithm), Some(parts)) => Some(
            explain_signature(issuers, wanted.role, source, header, algorithm, parts, claims.as_ref()).await,
        ),
        _ => None,
    };
    report.step(("A08", "signature"), signature);
    explain_claims(&mut report, claims.as_ref(), wanted, now);
    report
}

pub(super) fn explain_payload(report: &mut Explanation, parts: Option<&Parts<'_>>) -> Option<Claims> {
    let (text, claims) = report.step(("C08", "payload"), parts.map(|parts| readable(parts.payload())))?;
    report.claims = Some(printable(&text));
    Some(Claims(claims))
}

fn explain_header(
    report: &mut Explanation,
    issuers: &Issuers,
    header: Option<&Header>,
    parts: Option<&Parts<'_>>,
) -> Option<Algorithm> {
    let refuse = |header: &Header, finding: Finding| {
        let payload = parts.and_then(|parts| parts.payload().ok()).filter(|_| !issuers.reads_old_tokens());
        payload.and_then(|(_, payload)| legacy::refusal(header, &Claims(payload))).unwrap_or(finding)
    };
    let typ = header.map(|header| {
        header
            .check_type()
            .map(|()| ((), "an access token".into()))
            .map_err(|finding| refuse(header, finding))
    });
    report.step(("A07", "typ"), typ);
    explain_algorithm(report, header)
}

/// What both generations have in common in a header.
pub(super) fn explain_algorithm(report: &mut Explanation, header: Option<&Header>) -> Option<Algorithm> {
    let extensions = header.map(|header| header.check_extensions().map(|()| ((), "none that matter".into())));
    report.step(("A08", "extensions"), extensions);
    let algorithm =
        header.map(|header| header.algorithm().map(|algorithm| (algorithm, algorithm.to_string())));
    let ignored = header.map(Header::embedded_keys).unwrap_or_default();
    report.notes.extend(
        ignored
            .into_iter()
            .map(|name| format!("the header's {name} is ignored: keys come from configuration")),
    );
    report.step(("A09", "alg"), algorithm)
}

fn explain_claims(report: &mut Explanation, claims: Option<&Claims>, wanted: &Use<'_>, now: SystemTime) {
    let validity = claims.map(|claims| {
        let validity = claims.validity()?;
        validity.check(now)?;
        Ok(((), "exp is ahead, nbf is not".to_owned()))
    });
    report.step(("A12", "exp and nbf"), validity);
    let audience = claims.map(|claims| {
        claims.check_audience(wanted.audience).map(|()| ((), format!("contains {}", shown(wanted.audience))))
    });
    report.step(("A11", "aud"), audience);
    let subject = claims.map(|claims| {
        claims.subject().map(|subject| ((), subject.map_or("none".to_owned(), |subject| shown(&subject))))
    });
    report.step(("A05", "sub"), subject);
    let details = claims.map(|claims| {
        let details = details::parse(claims.details(), wanted.base)?;
        let found = format!("{} detail(s) for this hub", details.len());
        Ok((details, found))
    });
    let details = report.step(("A13", "authorization_details"), details).unwrap_or_default();
    let for_role =
        details.iter().filter(|detail| detail.is_for(wanted.role)).flat_map(|detail| &detail.matchers);
    report.granted = for_role.map(|matcher| (matcher.match_type(), matcher.value().to_owned())).collect();
    let Some(claims) = claims else { return };
    if report.granted.is_empty() {
        report.notes.push(match wanted.role {
            Role::Publisher => "the token grants publishing on no topic".to_owned(),
            Role::Subscriber => {
                "the token grants no private update: its bearer reads public ones only".to_owned()
            }
        });
    }
    report.notes.extend(details::suspicious_members(claims.details()));
    report.notes.extend(claims.suspicious_names());
}

async fn explain_signature(
    issuers: &Issuers,
    role: Role,
    source: &Source,
    header: &Header,
    algorithm: Algorithm,
    parts: &Parts<'_>,
    claims: Option<&Claims>,
) -> Result<((), String), Finding> {
    match check_signature(source, header, algorithm, parts).await {
        Ok(_) => Ok(((), "verified".to_owned())),
        Err(finding) if finding.reason == Reason::BadSignature => {
            let guess = guess(issuers, role, source, header, algorithm, parts, claims).await;
            Err(match guess {
                Some(guess) => finding.next_step(guess),
                None => finding,
            })
        }
        Err(finding) => Err(finding),
    }
}

/// Which mistake makes the signature wrong, if it is one of the usual ones.
async fn guess(
    issuers: &Issuers,
    role: Role,
    source: &Source,
    header: &Header,
    algorithm: Algorithm,
    parts: &Parts<'_>,
    claims: Option<&Claims>,
) -> Option<String> {
    if let Source::Static { key, .. } = source {
        let message = parts.signed.as_bytes();
        let mut readings = key.misread_secrets().into_iter();
        if let Some((how, _)) = readings.find(|(_, key)| key.verify(algorithm, message, &parts.signature)) {
            return Some(format!(
                "the token is signed with the configured secret {how}; secrets count byte for byte, so configure it that way"
            ));
        }
    }
    let other = match role {
        Role::Publisher => Role::Subscriber,
        Role::Subscriber => Role::Publisher,
    };
    let keys = issuers.keys(&claims?.issuer().ok()?, other)??;
    check_signature(keys, header, algorithm, parts).await.ok()?;
    Some(format!("the token is signed with the issuer's key for {other}s; this is checked for {role}s"))
}

fn readable<T>(part: Result<(String, T), Finding>) -> Result<((String, T), String), Finding> {
    part.map(|part| (part, "strict JSON".to_owned()))
}

/// Escapes what could change a terminal. Such characters stand only inside strings of a JSON text.
fn printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let mut buffer = [0; 4];
        let white_space = matches!(character, '\t' | '\n');
        if character == '\r' {
            text.push(' ');
        } else if white_space || forbidden_character(character.encode_utf8(&mut buffer)).is_none() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}
