//! Allowlists of origins: who may read across origins (S14) and who may publish by cookie (A03).

use std::net::Ipv6Addr;

/// An allowlist of origins: exact ones, patterns with a wildcard for the first labels of the host
/// (`https://*.example.com`), or all (`*`).
///
/// Scheme and host are compared without regard to case, and a port that is the scheme's own may be written or not. The
/// origin `null` cannot be listed, as any page can make itself one; only `*` includes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    rules: Vec<Rule>,
}

/// An entry that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: it must be scheme://host[:port] without a path, https://*.example.com, or *"
)]
pub struct OriginError(pub String);

impl Origins {
    /// Reads a list. Where it contains `*`, the other entries say nothing more.
    ///
    /// # Errors
    /// The entry that is no origin, for the operator.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        for entry in entries {
            if entry == "*" {
                origins.any = true;
            } else {
                origins.rules.push(Rule::parse(entry).ok_or_else(|| OriginError(entry.to_owned()))?);
            }
        }
        Ok(origins)
    }

    /// Whether every origin is listed (`*`).
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Whether no origin is listed.
    pub fn is_empty(&self) -> bool {
        !self.any && self.rules.is_empty()
    }

    /// Whether the value of an `Origin` field is listed.
    pub(super) fn contains(&self, origin: &[u8]) -> bool {
        if self.any {
            return true;
        }
        if self.rules.is_empty() {
            return false;
        }
        let origin = std::str::from_utf8(origin).ok().and_then(Origin::parse);
        origin.is_some_and(|origin| self.rules.iter().any(|rule| rule.covers(&origin)))
    }

    /// Whether the origin of a URL, such as that of a `Referer` field, is listed.
    pub(super) fn contains_origin_of(&self, url: &url::Url) -> bool {
        match url.origin() {
            origin @ url::Origin::Tuple(..) => self.contains(origin.ascii_serialization().as_bytes()),
            url::Origin::Opaque(_) => self.any,
        }
    }
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Exactly(Origin),
    /// The origins whose host ends with this one's and has more labels before it.
    Below(Origin),
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        match entry.split_once("://*.") {
            Some((scheme, rest)) => Origin::parse(&format!("{scheme}://{rest}")).map(Self::Below),
            None => Origin::parse(entry).map(Self::Exactly),
        }
    }

    fn covers(&self, origin: &Origin) -> bool {
        match self {
            Self::Exactly(listed) => listed == origin,
            Self::Below(listed) => {
                listed.scheme == origin.scheme
                    && listed.port == origin.port
                    && origin
                        .host
                        .strip_suffix(listed.host.as_str())
                        .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
            }
        }
    }
}

/// An origin in the one spelling that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    /// `None` where it is the scheme's own.
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let starts_with_letter = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let scheme_characters =
            scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if !starts_with_letter || !scheme_characters {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_port(authority)?;
        let host = normal_host(&scheme, host)?;
        let port = port.filter(|port| own_port(&scheme) != Some(*port));
        Some(Self { scheme, host, port })
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_bytes = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_bytes);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        // `parse` alone would take a sign as well.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    Some((host, port))
}

/// The host in lower case and, where the scheme is one of the web's, in its canonical form. Applications that carry a
/// web view have schemes of their own (`capacitor://localhost`).
fn normal_host(scheme: &str, host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    if host.is_empty() || host.contains(['*', '%']) {
        return None;
    }
    if own_port(scheme).is_some() {
        return url::Host::parse(host).ok().map(|host| host.to_string());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    host.bytes().all(plain).then(|| host.to_ascii_lowercase())
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(entries: &[&str]) -> Origins {
        Origins::parse(entries.iter().copied()).expect("a list of origins")
    }

    #[test]
    fn s14_scheme_and_host_have_no_case_and_own_ports_may_be_left_out() {
        let listed = origins(&["HTTPS://App.Example.com:443", "http://localhost:3000", "http://[::1]:80"]);
        for origin in [
            "https://app.example.com",
            "https://APP.example.com:443",
            "http://localhost:3000",
            "http://[::1]",
        ] {
            assert!(listed.contains(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://example.com",
            "https://evil.app.example.com",
            "https://app.example.com.evil.org",
            "http://localhost",
            "https://app.example.com/",
            "https://user@app.example.com",
            "null",
            "",
        ] {
            assert!(!listed.contains(origin.as_bytes()), "{origin}");
        }
        assert!(!listed.contains(b"https://app.example.com\xff"));
    }

    #[test]
    fn s14_a_wildcard_stands_for_one_or_more_first_labels() {
        let listed = origins(&["https://*.example.com", "https://*.example.org:8443"]);
        for origin in ["https://a.example.com", "https://a.b.Example.com", "https://x.example.org:8443"] {
            assert!(listed.contains(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.org",
            "https://a.example.com.evil.org",
            "https://*.example.com",
        ] {
            assert!(!listed.contains(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn s14_the_star_is_everybody_and_only_it_includes_null() {
        assert!(origins(&["https://a.example", "*"]).contains(b"null"));
        assert!(origins(&["*"]).is_any());
        assert!(origins(&[]).is_empty() && !origins(&["*"]).is_empty());
        assert!(!origins(&[]).contains(b"https://a.example"));
    }

    #[test]
    fn schemes_of_applications_and_international_names_are_origins() {
        let listed = origins(&["capacitor://localhost", "https://bücher.example"]);
        assert!(listed.contains(b"capacitor://LOCALHOST"));
        assert!(listed.contains(b"https://xn--bcher-kva.example"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for entry in [
            "example.com",
            "null",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example?x",
            "https://a.example#x",
            "https://user@a.example",
            "https://a b.example",
            "https://a.example:",
            "https://a.example:+80",
            "https://a.example:70000",
            "https://a.*.example",
            "https://*",
            "https://*example.com",
            "*.example.com",
            "https://[::1",
            "https://[::1]x",
            "1x://a",
            "",
            " ",
        ] {
            assert_eq!(Origins::parse([entry]), Err(OriginError(entry.to_owned())), "{entry}");
        }
    }

    #[test]
    fn a03_the_origin_of_a_referer_counts() {
        let listed = origins(&["https://app.example.com"]);
        let url = |text: &str| url::Url::parse(text).expect("a URL");
        assert!(listed.contains_origin_of(&url("https://app.example.com/page?x#y")));
        assert!(!listed.contains_origin_of(&url("https://other.example.com/https://app.example.com")));
        assert!(!listed.contains_origin_of(&url("data:text/html,x")));
    }
}
