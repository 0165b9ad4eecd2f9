//! How values are written: durations, sizes, numbers, switches, lists. Pure; knows nothing of where a value comes from.

use std::time::Duration;

use petasos_hub::auth::Algorithm;

use super::suggest;

/// Units of time and their lengths in nanoseconds, longest name first where one begins with another. Those of Go,
/// days and weeks.
const TIME_UNITS: [(&str, u128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOSECONDS_PER_SECOND),
    ("m", 60 * NANOSECONDS_PER_SECOND),
    ("h", 3_600 * NANOSECONDS_PER_SECOND),
    ("d", 86_400 * NANOSECONDS_PER_SECOND),
    ("w", 604_800 * NANOSECONDS_PER_SECOND),
];

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;

/// A hundred years. More would overflow the clock where a deadline is computed.
const LONGEST_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Units of size in bytes, in lower case.
const SIZE_UNITS: [(&str, u128); 18] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
    ("t", 1_000_000_000_000),
    ("ti", 1 << 40),
];

/// Digits after a point that count; more would overflow and say nothing.
const FRACTION_DIGITS: usize = 9;

/// The signature algorithms by their names in `alg`.
const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Reads `40s`, `1m30s`, `1.5h`, `2d` or `0`. Another number without a unit is refused: nobody could tell seconds from
/// milliseconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("{text:?} is no duration: write it like 500ms, 40s, 1m30s, 2d or 0s");
    let mut total_ns: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after_number) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after_unit) = split_while(after_number, char::is_alphabetic);
        let (_, unit_ns) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part_ns = scaled(number, *unit_ns).ok_or_else(wrong)?;
        total_ns = total_ns.checked_add(part_ns).ok_or_else(wrong)?;
        rest = after_unit;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    if total_ns > LONGEST_DURATION.as_nanos() {
        return Err(format!("{text:?} is longer than a hundred years"));
    }
    let seconds = u64::try_from(total_ns / NANOSECONDS_PER_SECOND).map_err(|_| wrong())?;
    let nanoseconds = u32::try_from(total_ns % NANOSECONDS_PER_SECOND).map_err(|_| wrong())?;
    Ok(Duration::new(seconds, nanoseconds))
}

/// Reads `1MiB`, `1MB`, `64KiB`, `1.5GiB` or a number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write it like 512KB, 64KiB, 1MiB, or as a number of bytes");
    let (number, unit) = split_while(text, |c| c.is_ascii_digit() || c == '.' || c == '_');
    let unit = unit.trim().to_ascii_lowercase();
    let (_, unit_bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let bytes = scaled(&number.replace('_', ""), *unit_bytes).ok_or_else(wrong)?;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// Reads a whole number that is not negative; `1_000_000` is one too.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).ok_or_else(|| format!("{text:?} is no number: digits are expected"))
}

/// Reads `true` or `false` in the ways in which people write them.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Splits a list at commas and white space.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// Reads one of `allowed`.
pub(super) fn choice<'a>(text: &str, allowed: &[&'a str]) -> Result<&'a str, String> {
    allowed
        .iter()
        .find(|name| **name == text)
        .copied()
        .ok_or_else(|| format!("{text:?} is not possible here: write {}", any_of(allowed)))
}

/// Reads the name of a signature algorithm (A09), exactly as tokens write it.
pub(super) fn algorithm(text: &str) -> Result<Algorithm, String> {
    ALGORITHMS.iter().find(|(name, _)| *name == text).map(|(_, algorithm)| *algorithm).ok_or_else(|| {
        let names = ALGORITHMS.map(|(name, _)| name);
        let hint = suggest::hint(text, names).unwrap_or_else(|| format!("; there are {}", names.join(", ")));
        format!("{text:?} is no signature algorithm of this hub{hint}")
    })
}

/// `a, b or c`.
pub(super) fn any_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches(keep).len())
}

/// `number`, which may have a fraction, times `unit`.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let fraction = fraction.get(..FRACTION_DIGITS).unwrap_or(fraction);
    let digits =
        |text: &str| text.parse::<u128>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let denominator = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = digits(fraction)?.checked_mul(unit)? / denominator;
    digits(whole)?.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_people_and_of_go_are_read() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500_000_000),
            ("40s", 40_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2d", 172_800_000_000_000),
            ("1w", 604_800_000_000_000),
            ("1m0.5s", 60_500_000_000),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("7ns", 7),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "1h30",
            "-1s",
            "+1s",
            "5S",
            ".s",
            "1.s",
            "1..5s",
            "forty",
            "101w1000w10000w",
            "99999999999999999999999999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("36501d").is_err_and(|text| text.contains("hundred years")));
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("1_000", 1_000),
            ("64KiB", 64 << 10),
            ("512KB", 512_000),
            ("512 kB", 512_000),
            ("1MiB", 1 << 20),
            ("1MB", 1_000_000),
            ("1.5MiB", 3 << 19),
            ("1GiB", 1 << 30),
            ("1g", 1_000_000_000),
            ("2Ti", 2 << 40),
            ("5B", 5),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1 2", "1XB", "0x10", "1,5MB", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_digits_only() {
        assert_eq!(count("1_000_000"), Ok(1_000_000));
        for text in ["", "_", "-1", "+1", "1.5", "many", "18446744073709551616"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn switches_have_many_spellings_but_not_any() {
        for text in ["true", "1", "Yes", "ON"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "0", "No", "OFF"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        for text in ["", "2", "y", "enabled"] {
            assert!(switch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_are_split_at_commas_and_white_space() {
        assert_eq!(list(" a, b\tc\n,,d "), ["a", "b", "c", "d"]);
        assert!(list(" ,").is_empty());
    }

    #[test]
    fn a09_algorithms_are_read_exactly_and_near_misses_suggested() {
        for (name, read) in ALGORITHMS {
            assert_eq!(algorithm(name), Ok(read));
        }
        assert!(algorithm("hs256").is_err_and(|text| text.contains("did you mean HS256?")));
        assert!(algorithm("none").is_err_and(|text| text.contains("there are HS256")));
    }
}
