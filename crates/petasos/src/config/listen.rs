//! Addresses to listen on: our own plain ones, and the site addresses of `SERVER_NAME`.

use std::net::IpAddr;

use super::{Listener, TlsFiles, layers::Raw, origin::Origin, reader::Reader, value};

/// The variable of the reference hub's image with site addresses.
const SERVER_NAME: &str = "SERVER_NAME";

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// Reads the addresses to listen on.
pub(super) fn build(reader: &mut Reader<'_>, tls: Option<&TlsFiles>) -> Vec<Listener> {
    let origin = reader.origin("listen");
    let entries = reader.list("listen");
    let is_server_name = origin == Origin::Variable(SERVER_NAME.to_owned());
    let mut listeners: Vec<Listener> = Vec::new();
    for entry in &entries {
        let result = if is_server_name { site(reader, entry, tls.is_some()) } else { address(entry) };
        let Some(address) = reader.problems.check(&origin, result) else { continue };
        let listener = Listener { address };
        if !listeners.contains(&listener) {
            listeners.push(listener);
        }
    }
    if entries.is_empty() {
        reader.problems.at(&origin, "no address to listen on");
    }
    let speaks_tls_on_http_port =
        tls.is_some() && listeners.iter().any(|listener| port_is(listener, HTTP_PORT));
    if speaks_tls_on_http_port {
        reader.problems.warn(format!(
            "TLS is spoken on port 80, where clients expect plain HTTP: set PETASOS_LISTEN=:443 ({origin})"
        ));
    }
    listeners
}

/// Whether only this machine can connect. An empty host is all interfaces.
pub(super) fn is_loopback(listener: &Listener) -> bool {
    let host = listener.address.rsplit_once(':').map_or("", |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The addresses as one text, for `check --print`.
pub(super) fn shown(listeners: &[Listener]) -> String {
    Raw::Many(listeners.iter().map(|listener| listener.address.clone()).collect()).shown()
}

fn port_is(listener: &Listener, port: u16) -> bool {
    listener.address.ends_with(&format!(":{port}"))
}

/// `host:port`, `:port`, `[v6]:port` or a port alone.
pub(super) fn address(entry: &str) -> Result<String, String> {
    if entry.contains("://") {
        return Err(format!(
            "{entry:?} is a URL: write host:port, and set public_urls to what the outside sees"
        ));
    }
    if entry.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(format!(":{}", port(entry)?));
    }
    let (host, number) = split_port(entry)?;
    let number = number.ok_or_else(|| format!("{entry:?} has no port: write {entry}:80"))?;
    Ok(format!("{host}:{}", port(number)?))
}

/// One site address of `SERVER_NAME`. Its name selects neither interface nor requests; only its port counts.
fn site(reader: &mut Reader<'_>, entry: &str, tls: bool) -> Result<String, String> {
    let (scheme, rest) = match entry.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, entry),
    };
    if !matches!(scheme, None | Some("http" | "https")) {
        return Err(format!("{entry:?}: the scheme must be http or https"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return Err(format!("{entry:?}: a path is not possible here"));
    }
    let (host, number) = split_port(rest)?;
    let number = number.map(port).transpose()?;
    if tls {
        if scheme == Some("http") {
            return Err(format!("{entry:?} asks for plain HTTP, but TLS files are configured (tls.cert)"));
        }
        return Ok(format!(":{}", number.unwrap_or(HTTPS_PORT)));
    }
    let implies_tls = match (scheme, number) {
        (Some("http"), _) | (None, Some(HTTP_PORT)) => false,
        (Some(_), _) => true,
        (None, number) => !host.is_empty() || number == Some(HTTPS_PORT),
    };
    let number = number.unwrap_or(HTTP_PORT);
    if implies_tls {
        reader.problems.warn(format!(
            "{SERVER_NAME}: {entry} would mean automatic HTTPS, which Petasos cannot do yet: it speaks plain HTTP on port \
             {number}. Set PETASOS_TLS_CERT and PETASOS_TLS_KEY for HTTPS, or write http://{rest} if a proxy does it"
        ));
    }
    Ok(format!(":{number}"))
}

/// Splits off a port. The host keeps its brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    let wrong = || format!("{text:?} is no address: write host:port or :port; IPv6 addresses in brackets");
    let host_bytes = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, _) = inside.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            address.len() + 2
        }
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_bytes);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*[]:".contains(&byte);
    if !host.bytes().all(is_plain) {
        return Err(wrong());
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        Some(number) if !number.contains(':') => Ok((host, Some(number))),
        _ => Err(wrong()),
    }
}

fn port(digits: &str) -> Result<u16, String> {
    let number = value::count(digits).ok().and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| format!("{digits:?} is no port: 0 to 65535"))
}
