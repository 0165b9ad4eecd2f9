//! What `petasos --dev` prints when it serves: everything a person needs to see it work, ready to paste.

use std::net::SocketAddr;

use petasos_hub::http::HUB_PATH;

use crate::{
    config::Config,
    token::mint::{MintError, demo_token},
};

/// The topic of the examples.
const TOPIC: &str = "https://example.com/books/1";

/// The text, or nothing without demo mode.
///
/// # Errors
/// Where no token can be minted.
pub(super) fn text(config: &Config, addresses: &[SocketAddr]) -> Result<String, MintError> {
    let Some(dev) = &config.dev else { return Ok(String::new()) };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let url = match &config.http.resource_identifier {
        Some(pinned) => pinned.to_string(),
        None => format!("{scheme}://{}{HUB_PATH}", authority(config, addresses)),
    };
    let token = demo_token(&dev.secret, &dev.issuer, &url)?;
    let (curl, topic) = (if config.tls.is_some() { "curl -k" } else { "curl" }, TOPIC);
    Ok(format!(
        "
  Petasos is up, in demo mode: {url}

  Subscribe, in a terminal:

    {curl} -N '{url}?match={topic}'

  or on a page:

    new EventSource('{url}?match=' + encodeURIComponent('{topic}')).onmessage = e => console.log(e.data)

  Publish, in another terminal:

    TOKEN={token}
    {curl} -H \"Authorization: Bearer $TOKEN\" -d topic={topic} -d data=hello '{url}'

  The token may publish and read everything. Its key is the same in every demo hub: nothing here is secret.

"
    ))
}

/// The host as the examples write it. Clients must use the same one, because it is what tokens are made for (A11).
fn authority(config: &Config, addresses: &[SocketAddr]) -> String {
    let port = addresses.first().map_or(0, SocketAddr::port);
    let configured = config.listeners.first().and_then(|listener| listener.address.rsplit_once(':'));
    match configured {
        Some((host, _)) if !host.is_empty() && host != "*" => format!("{host}:{port}"),
        _ => format!("localhost:{port}"),
    }
}
