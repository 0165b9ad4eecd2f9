//! What a hub's answer means to a client: done, refused, not authorized, try again later, or not a hub at all.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

/// How much of the body of an answer is kept, in bytes. An id or an explanation is shorter.
pub const MAX_BODY_BYTES: usize = 16 << 10;

/// The longest wait that a server can ask for. More is taken for a mistake, since nobody waits for it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How many characters of a server's explanation are shown.
const SHOWN_CHARACTERS: usize = 300;

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body, as far as [`MAX_BODY_BYTES`].
    pub body: Vec<u8>,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done. For a publish this is the id (P02).
    Accepted(String),
    /// This request breaks a rule; another one may not (P03 to P12), or the token does not grant it (A14).
    Refused(Refused),
    /// The token is not accepted, or none came (A04, A05): no other request would fare better.
    NotAuthorized(Refused),
    /// Not now. Trying the same again later may work.
    Later {
        /// Why.
        why: Refused,
        /// How long to wait at least, where the server says so.
        after: Option<Duration>,
    },
    /// What answers here is no hub, or not at this URL: no request would fare better.
    NoHub(Refused),
}

/// What the server said when it did not accept a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// The stable code, where the server named one.
    pub code: Option<String>,
    /// Its explanation, or where there was none the meaning of the status. Fit for a terminal.
    pub text: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.status.as_u16())?;
        if let Some(code) = &self.code {
            write!(out, " {code}")?;
        }
        if !self.text.is_empty() {
            write!(out, ": {}", self.text)?;
        }
        Ok(())
    }
}

impl Answer {
    /// What it means for the request that it answers.
    pub fn verdict(&self) -> Verdict {
        let status = self.status;
        match status.as_u16() {
            200..=299 => Verdict::Accepted(printable(String::from_utf8_lossy(&self.body).trim_end())),
            401 => Verdict::NotAuthorized(self.refused()),
            408 | 425 | 429 | 502 | 503 | 504 => {
                Verdict::Later { why: self.refused(), after: self.retry_after() }
            }
            300..=399 | 404 | 405 | 407 | 410 | 415 | 421 | 501 | 505 | 511 => Verdict::NoHub(self.refused()),
            _ => Verdict::Refused(self.refused()),
        }
    }

    /// What stands between the hub and us, if it says so. The hub itself sends neither of these fields.
    pub fn intermediary(&self) -> Option<String> {
        let field = self.headers.get(header::VIA).or_else(|| self.headers.get(header::SERVER))?;
        Some(printable(&String::from_utf8_lossy(field.as_bytes())))
    }

    fn refused(&self) -> Refused {
        let body = String::from_utf8_lossy(&self.body);
        let code = self.challenge_code().or_else(|| body.lines().map(str::trim).find_map(as_code));
        let markup = body.trim_start().starts_with('<');
        let mut text = if markup {
            String::new()
        } else {
            let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
            lines
                .filter(|line| as_code(line).is_none() || as_code(line) != code)
                .collect::<Vec<_>>()
                .join(" ")
        };
        if let Some(location) = self.headers.get(header::LOCATION).filter(|_| self.status.is_redirection()) {
            text = format!("the server points to {}", String::from_utf8_lossy(location.as_bytes()));
        }
        if text.is_empty() && code.is_none() {
            text = self.status.canonical_reason().unwrap_or_default().to_owned();
        }
        Refused { status: self.status, code, text: printable(&text) }
    }

    /// The code of a challenge is in its `error_description`.
    fn challenge_code(&self) -> Option<String> {
        self.headers.get_all(header::WWW_AUTHENTICATE).iter().find_map(|challenge| {
            let (_, rest) = challenge.to_str().ok()?.split_once("error_description=\"")?;
            as_code(rest.split('"').next()?)
        })
    }

    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }
}

/// A stable code looks like `reserved_topic` or `unavailable`.
fn as_code(text: &str) -> Option<String> {
    let code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(code)).then(|| text.to_owned())
}

/// A text from the network as it may be shown on a terminal: one line, no control characters, not too long.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == SHOWN_CHARACTERS {
            shown.push('…');
            break;
        }
        shown.push(if character.is_control() || is_bidi_control(character) { '\u{fffd}' } else { character });
    }
    shown
}

/// Characters that make a terminal show a text in another order than it has.
pub fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        Answer { status: StatusCode::from_u16(status).expect("a status"), headers, body: body.into() }
    }

    #[test]
    fn p02_the_body_of_a_success_is_the_id() {
        assert_eq!(answer(200, &[], "urn:uuid:1").verdict(), Verdict::Accepted("urn:uuid:1".into()));
    }

    #[test]
    fn the_code_comes_from_the_challenge_or_stands_alone_in_the_body() {
        let challenge =
            r#"Bearer resource_metadata="x", error="invalid_token", error_description="wrong_audience""#;
        let Verdict::NotAuthorized(refused) =
            answer(401, &[("www-authenticate", challenge)], "Nope.\n").verdict()
        else {
            panic!("a 401 is about authorization")
        };
        assert_eq!(refused.to_string(), "401 wrong_audience: Nope.");
        let Verdict::Refused(refused) =
            answer(400, &[], "reserved_topic\nThe topic is reserved.\n").verdict()
        else {
            panic!("a 400 is about one request")
        };
        assert_eq!(refused.to_string(), "400 reserved_topic: The topic is reserved.");
    }

    #[test]
    fn an_answer_without_words_is_named_by_its_status() {
        for body in ["", "<html><body>nginx</body></html>"] {
            let Verdict::NoHub(refused) = answer(404, &[], body).verdict() else { panic!("a 404 is no hub") };
            assert_eq!(refused.to_string(), "404: Not Found");
        }
    }

    #[test]
    fn statuses_mean_what_a_client_can_do_about_them() {
        let kind = |status: u16| match answer(status, &[], "").verdict() {
            Verdict::Accepted(_) => "accepted",
            Verdict::Refused(_) => "refused",
            Verdict::NotAuthorized(_) => "not authorized",
            Verdict::Later { .. } => "later",
            Verdict::NoHub(_) => "no hub",
        };
        for (status, expected) in [
            (204, "accepted"),
            (301, "no hub"),
            (400, "refused"),
            (401, "not authorized"),
            (403, "refused"),
            (404, "no hub"),
            (413, "refused"),
            (421, "no hub"),
            (429, "later"),
            (500, "refused"),
            (503, "later"),
        ] {
            assert_eq!(kind(status), expected, "{status}");
        }
    }

    #[test]
    fn a_server_says_how_long_to_wait_within_reason() {
        for (value, seconds) in [("3", Some(3)), ("99999999", Some(300)), ("soon", None), ("-1", None)] {
            let Verdict::Later { after, .. } = answer(503, &[("retry-after", value)], "").verdict() else {
                panic!("a 503 passes")
            };
            assert_eq!(after, seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn what_a_server_says_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b"), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), SHOWN_CHARACTERS + 1);
    }
}
