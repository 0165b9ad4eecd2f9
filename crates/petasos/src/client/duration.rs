//! Durations as people type them: `500ms`, `30s`, `1h30m`, `7d`.

use std::time::Duration;

/// Units and their lengths in milliseconds, longest name first where one begins with another.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads one or more numbers with a unit, such as `1h30m`. A plain `0` is a duration too; any other number without a
/// unit is refused, because nobody could tell seconds from milliseconds.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("{text:?} is no duration; write it like 500ms, 30s, 10m, 1h30m or 7d");
    let mut total_ms: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit_ms =
            UNITS.iter().find(|(name, _)| *name == &rest[..letters]).map(|(_, ms)| *ms).ok_or_else(wrong)?;
        rest = &rest[letters..];
        total_ms = number.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(wrong)?;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total_ms)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_their_sums_are_read() {
        for (text, ms) in
            [("0", 0), ("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "5", "s", "5 s", "1h30", "-1s", "1.5h", "5S", "99999999999999999999s", "9999999999999999w"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
