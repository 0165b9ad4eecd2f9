//! Under which URL a request reached the hub: its resource identifier (D02), the base of relative references (M06), and
//! the address of the client. All of it follows from the connection, the `Host` and what trusted proxies say.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Version, header::HOST, request::Parts};

use super::{
    ConnectionInfo, HUB_PATH, HttpConfig, METADATA_PATH,
    cors::sole,
    fault::Fault,
    forwarded::{self, Forwarded},
    response::Rejection,
};
use crate::topic::Base;

/// Longer names do not exist in the DNS; with brackets and a port.
const MAX_HOST_BYTES: usize = 300;

/// The hub as this request addressed it.
#[derive(Clone, Debug)]
pub(super) struct RequestUrl {
    resource: Arc<str>,
    base: Base,
    client: Option<IpAddr>,
}

impl RequestUrl {
    /// The resource identifier: what `aud` must contain.
    pub(super) fn resource(&self) -> &str {
        &self.resource
    }

    /// What relative topics and patterns are resolved against.
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// The address of the client: the peer's, or what trusted proxies forwarded.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Where the metadata of D01 is: on the origin of the resource identifier.
    pub(super) fn metadata_url(&self) -> String {
        let base = self.base.as_str();
        let host = base.find("://").map_or(0, |at| at + 3);
        let origin_bytes = base[host..].find('/').map_or(base.len(), |at| host + at);
        format!("{}{METADATA_PATH}", &base[..origin_bytes])
    }
}

/// How URLs of requests are made out: the part of the configuration that does, parsed once.
#[derive(Debug)]
pub(super) struct RequestUrls {
    config: Arc<HttpConfig>,
    pinned: Option<Pinned>,
}

#[derive(Debug)]
struct Pinned {
    resource: Arc<str>,
    /// `None` where the identifier is no URL that could be a base (`urn:…`): the base follows from the request then.
    base: Option<Base>,
}

impl RequestUrls {
    pub(super) fn new(config: Arc<HttpConfig>) -> Self {
        let pinned = config
            .resource_identifier
            .as_ref()
            .map(|url| Pinned { resource: url.as_str().into(), base: Base::parse(url.as_str()).ok() });
        Self { config, pinned }
    }

    /// The URL of one request.
    ///
    /// # Errors
    /// A `Host` that is missing, doubled or none (400); an origin that this hub does not answer on (421).
    pub(super) fn of(&self, request: &Parts) -> Result<RequestUrl, Rejection> {
        let connection = request.extensions.get::<ConnectionInfo>();
        let peer = connection.map(|connection| connection.peer.ip().to_canonical());
        let Forwarded { client, tls, host } =
            forwarded::read(&request.headers, peer, &self.config.trusted_proxies);
        let own_host = own_host(request)?;
        let url = match (host.as_deref().or(own_host), &self.pinned) {
            // Nothing has to be known of the request's own URL; a request of HTTP/1.0 may come without a host.
            (_, Some(Pinned { resource, base: Some(base) })) if self.config.public_urls.is_empty() => {
                return Ok(RequestUrl { resource: Arc::clone(resource), base: base.clone(), client });
            }
            (None, _) => return Err(malformed_host("the request names no host")),
            (Some(host), _) => {
                let tls = tls.unwrap_or_else(|| connection.is_some_and(|connection| connection.tls));
                hub_url(tls, host).ok_or_else(|| malformed_host("the host of the request is none"))?
            }
        };
        self.check_public(&url)?;
        let own_base =
            || Base::parse(url.as_str()).map_err(|_| malformed_host("the host of the request is none"));
        match &self.pinned {
            Some(pinned) => {
                let base = pinned.base.clone().map_or_else(own_base, Ok)?;
                Ok(RequestUrl { resource: Arc::clone(&pinned.resource), base, client })
            }
            None => {
                let base = own_base()?;
                Ok(RequestUrl { resource: url.as_str().into(), base, client })
            }
        }
    }

    fn check_public(&self, url: &url::Url) -> Result<(), Rejection> {
        let public = &self.config.public_urls;
        if public.is_empty() || public.iter().any(|listed| listed.origin() == url.origin()) {
            return Ok(());
        }
        Err(Rejection::new(Fault::Misdirected).because(format!(
            "the request is for {}, which public_urls does not list; behind a proxy that ends TLS or rewrites Host, list \
             the proxy in trusted_proxies",
            url.origin().ascii_serialization()
        )))
    }
}

/// The host that the request itself names: the authority of its target, else its `Host` field.
fn own_host(request: &Parts) -> Result<Option<&str>, Rejection> {
    if let Some(authority) = request.uri.authority() {
        check_single_host(&request.headers)?;
        return Ok(Some(authority.as_str()));
    }
    if !request.headers.contains_key(HOST) {
        // RFC 9112, section 3.2: such a request of HTTP/1.1 is answered 400.
        let may_lack_it = request.version < Version::HTTP_11;
        return if may_lack_it { Ok(None) } else { Err(malformed_host("the request has no Host field")) };
    }
    check_single_host(&request.headers)?;
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    host.map(Some).ok_or_else(|| malformed_host("the Host field is not ASCII"))
}

/// Two of them are how requests are smuggled past a proxy that looks at the other one.
fn check_single_host(headers: &HeaderMap) -> Result<(), Rejection> {
    if headers.contains_key(HOST) && sole(headers, &HOST).is_none() {
        return Err(malformed_host("the request has more than one Host field"));
    }
    Ok(())
}

fn malformed_host(detail: &'static str) -> Rejection {
    Rejection::new(Fault::MalformedHost).because(detail).closing()
}

/// The hub's URL on `host`, in canonical form; `None` where that is no `host[:port]`.
fn hub_url(tls: bool, host: &str) -> Option<url::Url> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.bytes().all(plain) {
        return None;
    }
    let scheme = if tls { "https" } else { "http" };
    // None of the characters allowed above can end the authority, so the path stays what it is.
    url::Url::parse(&format!("{scheme}://{host}{HUB_PATH}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d02_the_canonical_url_of_the_hub() {
        let url = |tls, host| hub_url(tls, host).map(|url| url.to_string());
        assert_eq!(
            url(true, "Hub.Example.com:443").as_deref(),
            Some("https://hub.example.com/.well-known/mercure")
        );
        assert_eq!(
            url(false, "localhost:3000").as_deref(),
            Some("http://localhost:3000/.well-known/mercure")
        );
        assert_eq!(url(false, "[::1]:80").as_deref(), Some("http://[::1]/.well-known/mercure"));
        for host in [
            "", "a/b", "a?b", "a#b", "a@b", "a\\b", "a b", "a\tb", "a:b", "a:70000", "[::1", "é", ":80",
            "a%2fb",
        ] {
            assert_eq!(url(false, host), None, "{host}");
        }
    }
}
