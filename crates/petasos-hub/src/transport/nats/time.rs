//! The times that JetStream writes: RFC 3339 in UTC with up to nine digits after the seconds.

/// Milliseconds since the Unix epoch.
pub(super) fn parse_ms(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = seconds.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days of a year that begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + millis)
}

#[cfg(test)]
mod tests {
    use super::parse_ms;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500)),
            ("2026-11-27T20:49:36.123456789Z", Some(1_795_812_576_123)),
            ("2024-12-31T23:59:59.999999999Z", Some(1_735_689_599_999)),
            ("2026-11-27 20:49:36Z", None),
            ("2026-13-27T20:49:36Z", None),
            ("", None),
        ] {
            assert_eq!(parse_ms(text), expected, "{text}");
        }
    }
}
