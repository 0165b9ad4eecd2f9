//! A topic on its way through matchers.

use std::sync::OnceLock;

use url::Url;

use super::{Base, pattern::Parts};

/// For how many bases a relative topic keeps its URL. More are handled, but parsed at every use.
const MAX_CACHED_BASES: usize = 16;

/// A topic on its way through matchers: it keeps what URL parsing gave, per base, so that many matchers cost one parse.
///
/// Nothing is parsed before a URL pattern asks. It may be shared between threads.
#[derive(Debug)]
pub struct ParsedTopic<'a> {
    text: &'a str,
    /// Set when a URL pattern first asks.
    absolute: OnceLock<Absolute>,
    resolved: OnceLock<Box<Resolved>>,
}

/// What a topic is without a base.
#[derive(Debug)]
enum Absolute {
    /// The same URL on every base; `None` if it does not parse (M03).
    Url(Option<Box<Url>>),
    /// A base is needed to tell.
    Relative,
}

/// A relative topic on one base. Further bases follow as a list, which only ever grows at its end and so needs no lock.
#[derive(Debug)]
struct Resolved {
    base: Base,
    url: Option<Url>,
    next: OnceLock<Box<Resolved>>,
}

impl<'a> ParsedTopic<'a> {
    /// Parses nothing yet.
    pub fn new(text: &'a str) -> Self {
        Self { text, absolute: OnceLock::new(), resolved: OnceLock::new() }
    }

    /// The topic.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Calls `use_parts` with the parts of the topic's URL on this base, or `None` if it does not parse (M03).
    pub(super) fn with_parts<R>(&self, base: &Base, use_parts: impl FnOnce(Option<&Parts<'_>>) -> R) -> R {
        let absolute = self.absolute.get_or_init(|| {
            if needs_base(self.text) {
                Absolute::Relative
            } else {
                Absolute::Url(Url::parse(self.text).ok().map(Box::new))
            }
        });
        if let Absolute::Url(url) = absolute {
            return use_parts(url.as_deref().map(Parts::of).as_ref());
        }
        let mut slot = &self.resolved;
        for _ in 0..MAX_CACHED_BASES {
            let resolved = slot.get_or_init(|| Box::new(Resolved::new(self.text, base)));
            if resolved.base.is(base) {
                return use_parts(resolved.url.as_ref().map(Parts::of).as_ref());
            }
            slot = &resolved.next;
        }
        let resolved = Resolved::new(self.text, base);
        use_parts(resolved.url.as_ref().map(Parts::of).as_ref())
    }
}

impl Resolved {
    fn new(text: &str, base: &Base) -> Self {
        let url = Url::options().base_url(Some(base.url())).parse(text).ok();
        Self { base: base.clone(), url, next: OnceLock::new() }
    }
}

/// Whether what `text` means may depend on the base: it has no scheme, or a special one without two slashes, which is
/// relative to a base of the same scheme (`https:x` beside `https://hub.example/` is `https://hub.example/x`).
fn needs_base(text: &str) -> bool {
    // As the URL parser does, leave out what it ignores.
    let text = text.trim_start_matches(|character| character <= ' ');
    let mut characters = text.chars().filter(|character| !matches!(character, '\t' | '\n' | '\r'));
    let mut scheme = String::new();
    loop {
        match characters.next() {
            Some(character) if character.is_ascii_alphabetic() => scheme.push(character.to_ascii_lowercase()),
            Some(character @ ('0'..='9' | '+' | '-' | '.')) if !scheme.is_empty() => scheme.push(character),
            Some(':') if !scheme.is_empty() => break,
            _ => return true,
        }
    }
    let is_special = matches!(scheme.as_str(), "http" | "https" | "ws" | "wss" | "ftp" | "file");
    let mut is_slash = || matches!(characters.next(), Some('/' | '\\'));
    is_special && !(is_slash() && is_slash())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_shareable<T: Send + Sync>(_: &T) {}

    fn url_on(topic: &ParsedTopic<'_>, base: &Base) -> Option<String> {
        topic.with_parts(base, |parts| parts.map(|parts| format!("{parts:?}")))
    }

    fn expected(text: &str, base: &Base) -> Option<String> {
        base.url().join(text).ok().map(|url| format!("{:?}", Parts::of(&url)))
    }

    #[test]
    fn m02_a_topic_is_resolved_against_each_base() {
        let bases: Vec<Base> = (0..40)
            .map(|n| Base::parse(&format!("https://hub{n}.example/.well-known/mercure")).unwrap())
            .collect();
        for text in [
            "name", "/path", "//host/x", "", "?q", "#f", "https:x", "https:/x", "http:x", "data:x",
            "ftp://h/",
        ] {
            let topic = ParsedTopic::new(text);
            is_shareable(&topic);
            for _ in 0..2 {
                for base in &bases {
                    assert_eq!(url_on(&topic, base), expected(text, base), "{text} on {}", base.as_str());
                }
            }
        }
    }

    #[test]
    fn m03_a_topic_that_does_not_parse_has_no_parts() {
        let base = Base::parse("https://hub.example/.well-known/mercure").unwrap();
        for text in ["https://[", "https://a b/", "//h:99999/", "https://%zz/"] {
            assert_eq!(url_on(&ParsedTopic::new(text), &base), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn m02_what_is_taken_for_absolute_is_so_on_every_base(
            text in r"( |\t)?((https|http|file|ws|data|foo|HTTPS):?)?[/\\:.?#a@\t%é\[\]0-9 -]{0,10}",
            scheme in "https|http|file|ws|foo",
        ) {
            let base = Base::parse(&format!("{scheme}://hub.example/.well-known/mercure?q")).unwrap();
            prop_assert_eq!(url_on(&ParsedTopic::new(&text), &base), expected(&text, &base));
        }

        #[test]
        fn m02_the_parts_of_a_url_are_ascii(text in any::<String>(), start in "(https?:|foo:|data:)?(//)?") {
            let base = Base::parse("https://hub.example/.well-known/mercure").unwrap();
            let text = start + &text;
            if let Some(parts) = url_on(&ParsedTopic::new(&text), &base) {
                prop_assert!(parts.is_ascii(), "{}", parts);
            }
        }
    }
}
