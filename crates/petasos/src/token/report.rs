//! How the result of `petasos token check` is shown.

use std::{fmt::Write, time::SystemTime};

use petasos_hub::auth::{Explanation, Generation, Outcome, Role};
use serde_json::Value;

/// Header and claims, as far as they can be read, and the version of the protocol that they belong to.
pub(super) fn contents(explanation: &Explanation) -> String {
    let mut text = String::new();
    for (name, json) in [("Header", &explanation.header), ("Claims", &explanation.claims)] {
        let shown = json.as_ref().map_or("cannot be read".to_owned(), |json| indented(json));
        let _ = writeln!(text, "{name}: {shown}");
    }
    if let Some(times) = explanation.claims.as_deref().and_then(times) {
        let _ = writeln!(text, "Times: {times}");
    }
    if explanation.claims.is_some() {
        let generation = explanation.generation;
        let other = match generation {
            Generation::Old => Generation::New,
            Generation::New => Generation::Old,
        };
        let needs = match explanation.other_needs.as_slice() {
            [] => "lacks nothing".to_owned(),
            needs => format!("lacks {}", needs.join("; ")),
        };
        let _ = writeln!(text, "Version: {generation}; for version {other} it {needs}");
    }
    text
}

/// The claims that are seconds since 1970, in words.
fn times(claims: &str) -> Option<String> {
    let claims: Value = serde_json::from_str(claims).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    let words = [
        ("iat", "issued", "to be issued"),
        ("nbf", "valid since", "not valid before"),
        ("exp", "expired", "expires"),
    ];
    let told: Vec<String> = words
        .into_iter()
        .filter_map(|(claim, past, future)| {
            let ahead = claims.get(claim)?.as_f64()? - now;
            let span = span(ahead.abs());
            Some(if ahead < 0.0 { format!("{past} {span} ago") } else { format!("{future} in {span}") })
        })
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// A span of time, as exactly as one wants to know.
fn span(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// Every rule, what the hub would answer, and what the token grants.
pub(super) fn verdict(explanation: &Explanation, audience: &str, topics: &[(String, bool)]) -> String {
    let (role, action) = match explanation.role {
        Role::Publisher => ("publisher", "publish on"),
        Role::Subscriber => ("subscriber", "read private updates of"),
    };
    let mut text = format!("\nAs a {role} of {audience}:\n");
    for step in &explanation.steps {
        let (rule, title) = (step.rule, step.title);
        let _ = match &step.outcome {
            Outcome::Passed { found } => writeln!(text, "  ✓ {rule} {title}: {found}"),
            Outcome::Skipped => {
                writeln!(text, "  - {rule} {title}: not checked, for want of what failed above")
            }
            Outcome::Failed { reason, found, expected, next_step } => {
                let _ = writeln!(text, "  ✗ {rule} {title}: {found}");
                let _ = writeln!(text, "      expected: {expected}");
                if !next_step.is_empty() {
                    let _ = writeln!(text, "      next step: {next_step}");
                }
                writeln!(text, "      the hub answers: 401 invalid_token, {}", reason.as_str())
            }
        };
    }
    for note in &explanation.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    match explanation.first_failure() {
        Some(step) => {
            let _ = writeln!(text, "Refused by rule {} ({}).", step.rule, step.title);
        }
        None => {
            let _ = writeln!(text, "Accepted.");
        }
    }
    if explanation.granted.is_empty() {
        let _ = writeln!(text, "It grants nothing to a {role}.");
    } else {
        let condition = if explanation.is_accepted() { "It may" } else { "If it were accepted, it could" };
        let _ = writeln!(text, "{condition} {action}:");
        for (match_type, value) in &explanation.granted {
            let _ = writeln!(text, "  {} {}", match_type.as_str(), value.escape_debug());
        }
    }
    for (topic, granted) in topics {
        let (mark, word) =
            if *granted { ('✓', "granted") } else { ('✗', "not granted (403 topic_not_granted)") };
        let _ = writeln!(text, "{mark} topic {}: {word}", topic.escape_debug());
    }
    text
}

/// JSON for people. The text comes with everything escaped that could steer a terminal; what cannot be parsed again is
/// shown as it is.
fn indented(json: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return json.to_owned() };
    let Ok(pretty) = serde_json::to_string_pretty(&value) else { return json.to_owned() };
    // Parsing has undone the escapes.
    let mut text = String::with_capacity(pretty.len());
    for character in pretty.chars() {
        let mut buffer = [0; 4];
        if character == '\n'
            || petasos_hub::topic::forbidden_character(character.encode_utf8(&mut buffer)).is_none()
        {
            text.push(character);
        } else {
            text.extend(character.escape_unicode());
        }
    }
    text
}
