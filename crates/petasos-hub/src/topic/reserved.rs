//! The namespace of the hub, which no publisher may write into (P05).

use url::Url;

use super::Base;

/// Where the hub lives, on any scheme and host.
const NAMESPACE: &str = "/.well-known/mercure";

/// Whether the topic lies in the namespace of the hub, `/.well-known/mercure`, in any spelling (P05).
pub fn is_reserved(topic: &str, base: &Base) -> bool {
    let Ok(url) = Url::options().base_url(Some(base.url())).parse(topic) else {
        return false;
    };
    let path = url.path();
    // The parser has removed dot segments in every spelling, so that decoding cannot make a new one.
    if path.contains('%') { in_namespace(&decode_unreserved(path)) } else { in_namespace(path) }
}

fn in_namespace(path: &str) -> bool {
    path.strip_prefix(NAMESPACE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Decodes percent-encoded unreserved characters, once; `%2F` and `%25` stay what they are.
fn decode_unreserved(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        match tail.get(..2).and_then(unreserved) {
            Some(character) => {
                decoded.push(character);
                rest = &tail[2..];
            }
            None => {
                decoded.push('%');
                rest = tail;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn unreserved(digits: &str) -> Option<char> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let character = char::from(u8::from_str_radix(digits, 16).ok()?);
    (character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')).then_some(character)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base::parse("https://hub.example/.well-known/mercure").unwrap()
    }

    #[test]
    fn p05_every_spelling_of_the_namespace_is_reserved() {
        for topic in [
            "mercure",
            "mercure/",
            "mercure/x",
            "mercure?x",
            "mercure#x",
            "./mercure",
            "../.well-known/mercure",
            "x/../mercure",
            "?x",
            "#x",
            "",
            " ",
            "  mercure  ",
            "/.well-known/mercure",
            "/.well-known/mercure/",
            "/.well-known/mercure//x",
            "/.well-known/mercure/subscriptions/exact/a/b",
            "/.well-known/mercure?topic=x",
            "/.well-known/mercure#x",
            "/.well-known/%6Dercure/x",
            "/.well-known/%6dercure",
            "/%2Ewell-known/mercure",
            "/%2ewell%2Dknown/mercur%65",
            "/.well-known/x/../mercure",
            "/.well-known/x/%2e%2E/mercure",
            "/.well-known/./mercure",
            "/.well-known/%2e/mercure/x",
            "/../../.well-known/mercure",
            "\\.well-known\\mercure",
            "\\.well-known/mercure\\x",
            ".\\mercure",
            "/.well-known/mer\tcure",
            "/.well-known/mercure\n/x",
            "//other.example/.well-known/mercure",
            "\\\\other.example\\.well-known\\mercure",
            "https://other.example/.well-known/mercure/x",
            "HTTPS://OTHER.example:8443/.well-known/mercure",
            "https:\\\\other.example\\.well-known\\mercure",
            "https:/.well-known/mercure",
            "https:mercure",
            "https:///other.example/.well-known/mercure",
            "https://user:pass@other.example/.well-known/mercure",
            "http://other.example/.well-known/mercure",
            "wss://other.example/.well-known/mercure",
            "file:///.well-known/mercure",
            "custom:/.well-known/mercure",
            "custom://host/.well-known/mercure/x",
            "custom://host/x/../.well-known/%6dercure",
        ] {
            assert!(is_reserved(topic, &base()), "{topic:?}");
        }
    }

    #[test]
    fn p05_other_topics_are_not_reserved() {
        for topic in [
            "/.well-known/mercurex",
            "/.well-known/mercure.x",
            "/.well-known/mercure;x",
            "/.well-known/mercure%20",
            "/.WELL-KNOWN/mercure",
            "/.well-known/Mercure",
            "/.well-known%2Fmercure/x",
            "/.well-known/mercure%2Fx",
            "/.well-known%5Cmercure",
            "/.well-known/%256Dercure",
            "/.well-known/%6",
            "/.well-known/%",
            "/.well-known//mercure",
            "//.well-known/mercure",
            "/x/.well-known/mercure",
            "/.well-known/mercure/..",
            "/.well-known/mercure/../x",
            "/mercure",
            "../mercure",
            "plain-name",
            "mercurex",
            ".well-known/mercure",
            "https://other.example/?/.well-known/mercure",
            "https://other.example/#/.well-known/mercure",
            "custom:.well-known/mercure",
            "custom:\\.well-known\\mercure",
            "custom://host/.well-known\\mercure",
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "data:/.well-known/mercurex",
            "http:mercure",
        ] {
            assert!(!is_reserved(topic, &base()), "{topic:?}");
        }
    }

    #[test]
    fn p05_a_topic_that_does_not_parse_is_not_reserved() {
        for topic in [
            "http://[/.well-known/mercure",
            "https://a b/.well-known/mercure",
            "//:99999/.well-known/mercure",
        ] {
            assert!(!is_reserved(topic, &base()), "{topic:?}");
        }
    }

    #[test]
    fn p05_the_base_decides_what_a_relative_topic_means() {
        let base = Base::parse("http://hub.example/hub").unwrap();
        assert!(is_reserved(".well-known/mercure", &base));
        assert!(is_reserved("http:.well-known/mercure", &base));
        assert!(!is_reserved("mercure", &base));
        assert!(!is_reserved("", &base));
        assert!(!is_reserved("https:.well-known/mercure", &base));
    }
}
