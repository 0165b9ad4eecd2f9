//! “Did you mean …?” for names that nobody knows.

/// How alike two names must be, from 0 to 1, before one is suggested for the other. Found by trying: a letter too many,
/// a missing or swapped one and a plural pass, unrelated names of the same length do not.
const LIKENESS: f64 = 0.6;

/// The candidate that `name` was most probably meant to be. Letter case and the choice of separator are forgiven.
pub(super) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normal(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&name, &normal(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        // The first of equals, so that the answer does not depend on more than the order of the candidates.
        .fold(None, |best: Option<(f64, &str)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, to be put behind a sentence.
pub(super) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(name, candidates).map(|candidate| format!("; did you mean {candidate}?"))
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let names = ["heartbeat", "write_timeout", "cors_origins", "publish_origins"];
        assert_eq!(closest("hartbeat", names), Some("heartbeat"));
        assert_eq!(closest("HEARTBEATS", names), Some("heartbeat"));
        assert_eq!(closest("write-timeout", names), Some("write_timeout"));
        assert_eq!(closest("cors_allowed_origins", names), Some("cors_origins"));
        assert_eq!(closest("reverse_proxy", names), None);
        assert_eq!(closest("x", []), None);
    }
}
