//! What proxies say of the request they forward: `X-Forwarded-For`, `-Proto`, `-Host`, or the `Forwarded` field of
//! RFC 7239. Only proxies that the operator trusts are believed, and only as far as the chain of them reaches: whatever
//! stands to the left of the first address that is not one of theirs may have been written by the client.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// More hops than any deployment has. Those further away are not looked at.
const MAX_HOPS: usize = 32;

/// The request as the outermost trusted proxy got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// The address of the client.
    pub(super) client: Option<IpAddr>,
    /// `Some(true)` for HTTPS, `None` where nothing was said.
    pub(super) tls: Option<bool>,
    /// The host, unchecked.
    pub(super) host: Option<String>,
}

/// Reads the fields of a request that came from `peer`.
pub(super) fn read(headers: &HeaderMap, peer: Option<IpAddr>, trusted: &[IpNet]) -> Forwarded {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let Some(peer) = peer.filter(|peer| is_trusted(*peer)) else {
        return Forwarded { client: peer, ..Forwarded::default() };
    };
    // A proxy that writes one family passes the other on as the client sent it. Nearly all write this one.
    let x_forwarded = [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST];
    if x_forwarded.iter().any(|name| headers.contains_key(*name)) {
        let addresses = list(headers, &X_FORWARDED_FOR);
        let (client, hops) = walk(peer, addresses.iter().map(|text| address(text)), is_trusted);
        let of_hop = |name| {
            let values = list(headers, name);
            values.len().checked_sub(hops.clamp(1, values.len().max(1))).map(|index| values[index].clone())
        };
        return Forwarded {
            client: Some(client),
            tls: of_hop(&X_FORWARDED_PROTO).and_then(|proto| is_https(&proto)),
            host: of_hop(&X_FORWARDED_HOST),
        };
    }
    let elements: Vec<Element> = list(headers, &FORWARDED).iter().map(|text| Element::parse(text)).collect();
    let (client, hops) = walk(peer, elements.iter().map(|element| element.address), is_trusted);
    let told = elements.len().checked_sub(hops.max(1)).map(|index| &elements[index]);
    Forwarded {
        client: Some(client),
        tls: told.and_then(|element| element.tls),
        host: told.and_then(|element| element.host.clone()),
    }
}

/// Follows the chain from the nearest hop outwards while it is trusted. Returns the first address that is not, or the
/// last one known, and how many entries of the chain were believed.
fn walk(
    peer: IpAddr,
    chain: impl DoubleEndedIterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> (IpAddr, usize) {
    let mut client = peer;
    let mut hops = 0;
    for address in chain.rev() {
        if !is_trusted(client) {
            break;
        }
        let Some(address) = address else { break };
        client = address;
        hops += 1;
    }
    (client, hops)
}

/// The elements of a list field, over all its lines, in order; commas in quotes do not separate. Only the last
/// [`MAX_HOPS`] are kept.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let mut elements = Vec::new();
    for line in headers.get_all(name).iter().filter_map(|line| line.to_str().ok()) {
        elements.extend(split(line, ',').map(|element| element.trim_matches([' ', '\t']).to_owned()));
    }
    elements.retain(|element| !element.is_empty());
    let surplus = elements.len().saturating_sub(MAX_HOPS);
    elements.split_off(surplus)
}

/// Splits at `separator` outside of quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |character: char| {
        if escaped {
            escaped = false;
        } else if quoted && character == '\\' {
            escaped = true;
        } else if character == '"' {
            quoted = !quoted;
        } else {
            return !quoted && character == separator;
        }
        false
    })
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

fn is_https(proto: &str) -> Option<bool> {
    if proto.eq_ignore_ascii_case("https") {
        Some(true)
    } else if proto.eq_ignore_ascii_case("http") {
        Some(false)
    } else {
        None
    }
}

/// One element of a `Forwarded` field.
#[derive(Debug, Default)]
struct Element {
    address: Option<IpAddr>,
    tls: Option<bool>,
    host: Option<String>,
}

impl Element {
    fn parse(text: &str) -> Self {
        let mut element = Self::default();
        for (name, value) in split(text, ';').filter_map(|pair| pair.split_once('=')) {
            let value = unquoted(value.trim_matches([' ', '\t']));
            match name.trim_matches([' ', '\t']).to_ascii_lowercase().as_str() {
                "for" => element.address = address(&value),
                "proto" => element.tls = is_https(&value),
                "host" => element.host = Some(value),
                _ => {}
            }
        }
        element
    }
}

/// The content of a quoted string, or the token as it is.
fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inside.len());
    let mut escaped = false;
    for character in inside.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn told(peer: &str, fields: &[(&'static str, &str)]) -> (Option<String>, Option<bool>, Option<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field value"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")];
        let forwarded = read(&headers, Some(peer.parse().expect("an address")), &trusted);
        (forwarded.client.map(|client| client.to_string()), forwarded.tls, forwarded.host)
    }

    fn known(
        client: &str,
        tls: Option<bool>,
        host: Option<&str>,
    ) -> (Option<String>, Option<bool>, Option<String>) {
        (Some(client.to_owned()), tls, host.map(str::to_owned))
    }

    #[test]
    fn d02_a_peer_that_is_not_trusted_is_not_believed() {
        let fields = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
            ("forwarded", "for=1.1.1.1;proto=https;host=a.example"),
        ];
        assert_eq!(told("192.0.2.1", &fields), known("192.0.2.1", None, None));
        assert_eq!(read(&HeaderMap::new(), None, &[]), Forwarded::default());
    }

    #[test]
    fn d02_one_proxy() {
        let fields = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "HTTPS"),
            ("x-forwarded-host", "a.example:8443"),
        ];
        assert_eq!(told(PROXY, &fields), known("192.0.2.7", Some(true), Some("a.example:8443")));
        assert_eq!(told(PROXY, &[("x-forwarded-proto", "https")]), known(PROXY, Some(true), None));
        assert_eq!(told(PROXY, &[]), known(PROXY, None, None));
        assert_eq!(told(PROXY, &[("x-forwarded-proto", "gopher")]), known(PROXY, None, None));
    }

    #[test]
    fn d02_what_the_client_wrote_itself_is_not_believed() {
        let fields = [
            ("x-forwarded-for", "6.6.6.6, 10.9.9.9"),
            ("x-forwarded-for", "192.0.2.7, 10.0.0.2"),
            ("x-forwarded-proto", "https, http, http"),
            ("x-forwarded-host", "evil.example, outer.example, inner.example"),
        ];
        // 10.0.0.1 got it from 10.0.0.2, and that from 192.0.2.7: two hops are believed.
        assert_eq!(told(PROXY, &fields), known("192.0.2.7", Some(false), Some("outer.example")));
        let fields =
            [("forwarded", "for=6.6.6.6;host=evil.example, for=192.0.2.7;host=outer.example;proto=https")];
        assert_eq!(told(PROXY, &fields), known("192.0.2.7", Some(true), Some("outer.example")));
    }

    #[test]
    fn d02_a_single_value_holds_for_the_whole_chain() {
        let fields = [("x-forwarded-for", "192.0.2.7, 10.0.0.2"), ("x-forwarded-proto", "https")];
        assert_eq!(told(PROXY, &fields), known("192.0.2.7", Some(true), None));
    }

    #[test]
    fn d02_the_standard_field_with_quotes_ports_and_other_parameters() {
        let field = r#"For="[2001:db8::7]:4711";by=x;secret="a,b;c\"d=";Proto=https;host="a.example:8443""#;
        assert_eq!(
            told(PROXY, &[("forwarded", field)]),
            known("2001:db8::7", Some(true), Some("a.example:8443"))
        );
        let fields = [("forwarded", field), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(told(PROXY, &fields), known("192.0.2.7", None, None), "one family is read, not both");
    }

    #[test]
    fn d02_an_unreadable_hop_ends_the_chain() {
        let fields = [("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.2")];
        assert_eq!(told(PROXY, &fields).0.as_deref(), Some("10.0.0.2"));
        assert_eq!(told(PROXY, &[("forwarded", "for=_hidden;proto=https")]), known(PROXY, Some(true), None));
    }

    #[test]
    fn addresses_come_in_many_spellings() {
        for text in ["192.0.2.7", "192.0.2.7:80", "::ffff:192.0.2.7", "[::ffff:192.0.2.7]:80"] {
            assert_eq!(
                address(text).map(|address| address.to_string()).as_deref(),
                Some("192.0.2.7"),
                "{text}"
            );
        }
        assert_eq!(address("[::1]"), address("::1"));
        assert_eq!(address("x"), None);
    }

    #[test]
    fn a_chain_of_any_length_is_cheap() {
        let long = vec!["10.0.0.3"; 5_000].join(",");
        assert_eq!(told(PROXY, &[("x-forwarded-for", &long)]).0.as_deref(), Some("10.0.0.3"));
    }
}
