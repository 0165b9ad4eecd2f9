//! From the values in force to the [`Config`] that the rest of the program reads.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use petasos_hub::{
    HubConfig, UpdateLimits,
    http::{HttpConfig, HttpLimits, Origins},
};

use super::{
    Config, DevMode, LogConfig, LogFormat, ServerConfig, TlsFiles, auth, dev, listen,
    reader::Reader,
    surroundings::Files,
    transport::{self, Location},
};

/// The longest request target that the listener can take, in bytes.
const LONGEST_TARGET_BYTES: usize = 60 << 10;

/// What `private` stands for among the trusted proxies: loopback, RFC 1918 and unique local addresses.
const PRIVATE_NETWORKS: [&str; 6] =
    ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"];

/// Makes the configuration. Everything that is wrong is recorded in the reader's problems; what comes back is only good
/// if there are none.
pub(super) fn build(
    reader: &mut Reader<'_>,
    dev: Option<DevMode>,
    location: Option<Location>,
    files: &dyn Files,
) -> Config {
    let tls = tls(reader, files);
    let listeners = listen::build(reader, tls.as_ref());
    if dev.is_some() {
        dev::check(&listeners, reader);
    }
    let auth = auth::build(reader, dev.as_ref(), files);
    Config {
        listeners,
        admin_address: admin_address(reader),
        tls,
        transport: transport::build(reader, location, files),
        hub: hub(reader),
        http: http(reader),
        auth,
        server: server(reader),
        log: log(reader),
        name: name(reader),
        dev,
        notices: Vec::new(),
    }
}

fn tls(reader: &mut Reader<'_>, files: &dyn Files) -> Option<TlsFiles> {
    let mut path = |option| {
        let path = PathBuf::from(reader.text(option)?);
        if !files.is_file(&path) {
            let origin = reader.origin(option);
            reader.problems.at(&origin, format!("{} is no file", path.display()));
        }
        Some(path)
    };
    match (path("tls.cert"), path("tls.key")) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let (given, missing) = match certificate {
                Some(_) => ("tls.cert", "PETASOS_TLS_KEY (tls.key)"),
                None => ("tls.key", "PETASOS_TLS_CERT (tls.cert)"),
            };
            let origin = reader.origin(given);
            reader.problems.at(&origin, format!("TLS needs both files: {missing} is missing"));
            None
        }
    }
}

fn admin_address(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text("admin.address")?;
    if text == "off" {
        return None;
    }
    let origin = reader.origin("admin.address");
    reader.problems.check(&origin, listen::address(&text))
}

fn hub(reader: &mut Reader<'_>) -> HubConfig {
    let at_least_one = |reader: &mut Reader<'_>, option| {
        let bytes = reader.bytes(option);
        reader.not_zero(option, bytes)
    };
    HubConfig {
        heartbeat: reader.duration("hub.heartbeat"),
        write_timeout: reader.duration("hub.write_timeout"),
        dispatch_timeout: reader.duration("hub.dispatch_timeout"),
        subscriptions: reader.switch("hub.subscriptions"),
        backlog_bytes: at_least_one(reader, "hub.backlog"),
        backlog_total_bytes: at_least_one(reader, "hub.backlog_total"),
        event_loops: reader.number("hub.event_loops"),
        recent_bytes: reader.bytes("hub.recent"),
        fanout_lag_bytes: at_least_one(reader, "hub.fanout_lag"),
        publish_wait: reader.duration("hub.publish_wait"),
        lease: reader.duration_of("hub.lease", Duration::from_secs(1)),
    }
}

fn http(reader: &mut Reader<'_>) -> HttpConfig {
    HttpConfig {
        cors_origins: origins(reader, "cors.origins"),
        publish_origins: publish_origins(reader),
        cookie_name: cookie_name(reader),
        public_urls: public_urls(reader),
        resource_identifier: resource_identifier(reader),
        trusted_proxies: trusted_proxies(reader),
        limits: limits(reader),
    }
}

fn origins(reader: &mut Reader<'_>, option: &str) -> Origins {
    let origin = reader.origin(option);
    let entries = reader.list(option);
    // One by one, so that all that are wrong are told.
    for entry in &entries {
        if let Err(error) = Origins::parse([entry.as_str()]) {
            reader.problems.at(&origin, error.to_string());
        }
    }
    let origins = Origins::parse(entries.iter().map(String::as_str)).unwrap_or_default();
    if origins.is_any() && entries.len() > 1 {
        reader.problems.warn(format!("{origin}: beside *, the other origins in {option} say nothing"));
    }
    origins
}

fn publish_origins(reader: &mut Reader<'_>) -> Origins {
    let origins = origins(reader, "auth.publish_origins");
    if origins.is_any() {
        let origin = reader.origin("auth.publish_origins");
        reader.problems.warn(format!("{origin}: every page that a user with the cookie visits can publish"));
    }
    origins
}

fn cookie_name(reader: &mut Reader<'_>) -> String {
    let name = reader.text("auth.cookie_name").unwrap_or_default();
    // A token of RFC 9110, 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        let origin = reader.origin("auth.cookie_name");
        reader.problems.at(&origin, format!("{name:?} cannot be the name of a cookie"));
    }
    name
}

fn public_urls(reader: &mut Reader<'_>) -> Vec<url::Url> {
    let origin = reader.origin("public_urls");
    let entries = reader.list("public_urls");
    entries.iter().filter_map(|entry| reader.problems.check(&origin, web_url(entry))).collect()
}

fn resource_identifier(reader: &mut Reader<'_>) -> Option<url::Url> {
    let text = reader.text("resource_identifier")?;
    let origin = reader.origin("resource_identifier");
    let url = reader.problems.check(&origin, web_url(&text))?;
    if url.as_str() != text {
        reader.problems.warn(format!(
            "{origin}: the identifier is {url}, byte for byte, and so must be the aud of tokens"
        ));
    }
    Some(url)
}

/// Reads a URL of the web. It is not quoted where it may carry credentials.
fn web_url(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text)
        .map_err(|error| format!("this is no URL ({error}): write https://hub.example.com"))?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || url.fragment().is_some() || has_credentials {
        return Err("a URL with http or https is expected, without user, password and fragment".to_owned());
    }
    Ok(url)
}

fn trusted_proxies(reader: &mut Reader<'_>) -> Vec<IpNet> {
    let origin = reader.origin("server.trusted_proxies");
    let mut networks = Vec::new();
    for entry in reader.list("server.trusted_proxies") {
        let parsed = match entry.as_str() {
            "private" => Some(PRIVATE_NETWORKS.iter().filter_map(|network| network.parse().ok()).collect()),
            _ => entry
                .parse::<IpNet>()
                .or_else(|_| entry.parse::<std::net::IpAddr>().map(IpNet::from))
                .map(|network| vec![network])
                .ok(),
        };
        match parsed {
            Some(parsed) => networks.extend(parsed),
            None => {
                let text =
                    format!("{entry:?} is neither an address nor a network: write 10.0.0.0/8, or private");
                reader.problems.at(&origin, text);
            }
        }
    }
    networks
}

fn limits(reader: &mut Reader<'_>) -> HttpLimits {
    let target_bytes = reader.bytes("limits.target");
    if target_bytes == 0 || target_bytes > LONGEST_TARGET_BYTES {
        let origin = reader.origin("limits.target");
        reader.problems.at(&origin, "limits.target must be between 1 byte and 60KiB");
    }
    let number = |reader: &mut Reader<'_>, option| {
        let number = reader.number(option);
        reader.not_zero(option, number)
    };
    let bytes = |reader: &mut Reader<'_>, option| {
        let bytes = reader.bytes(option);
        reader.not_zero(option, bytes)
    };
    HttpLimits {
        body_bytes: reader.bytes("limits.body"),
        matchers: number(reader, "limits.matchers"),
        matcher_bytes: bytes(reader, "limits.matcher_length"),
        target_bytes,
        streams: reader.number("limits.streams"),
        streams_per_address: reader.number("limits.streams_per_address"),
        streams_per_subject: reader.number("limits.streams_per_subject"),
        update: UpdateLimits {
            topics: number(reader, "limits.topics"),
            field_bytes: bytes(reader, "limits.field_length"),
        },
    }
}

fn server(reader: &mut Reader<'_>) -> ServerConfig {
    let second = Duration::from_secs(1);
    ServerConfig {
        head_timeout: reader.duration_of("server.head_timeout", second),
        idle_timeout: reader.duration_of("server.idle_timeout", second),
        connections: reader.number("limits.connections"),
        peer_timeout: reader.duration_of("server.peer_timeout", second),
        drain_timeout: reader.duration("server.drain_timeout"),
        shutdown_delay: reader.duration("server.shutdown_delay"),
        reuse_port: reader.switch("server.reuse_port"),
        send_buffer_bytes: reader.bytes("server.send_buffer"),
    }
}

fn log(reader: &mut Reader<'_>) -> LogConfig {
    let format = match reader.choice("log.format", &["text", "json"]) {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let filter = reader.text("log.filter").unwrap_or_default();
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        let origin = reader.origin("log.filter");
        reader.problems.at(&origin, format!("{filter:?} is no filter: {error}"));
    }
    LogConfig { format, filter }
}

/// The name stands in a path.
fn name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.text("name")?;
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !name.bytes().all(is_unreserved) {
        let origin = reader.origin("name");
        reader.problems.at(&origin, format!("{name:?} may only have letters, digits, -, ., _ and ~"));
    }
    Some(name)
}
