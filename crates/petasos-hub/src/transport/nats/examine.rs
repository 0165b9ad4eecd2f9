//! Looks at a log without making or changing anything.

use std::sync::Arc;

use serde_json::Value;

use super::{Api, Link, NatsConfig, Streams};
use crate::transport::TransportError;

/// What the hub takes for a body unless it is told otherwise, with room for what a message holds beside it.
const USUAL_PAYLOAD_BYTES: usize = (1 << 20) + (64 << 10);

/// Says whether a log could be opened, without making or changing anything there: a sentence for the operator, with what is
/// weak about it.
///
/// # Errors
/// What keeps it from being opened, and the next step.
pub async fn examine(config: &NatsConfig) -> Result<String, TransportError> {
    let link = Arc::new(Link::connect(config, "check").await?);
    let server = link.client.server_info();
    let api = Api::new(Arc::clone(&link), config.domain.as_deref());
    let streams = Streams::new(config);
    // Refused in words that help where JetStream is off.
    api.call::<Value>("INFO", &Value::Null).await?;
    let mut text = format!("the log: {}, NATS {}", config.location, server.version);
    match api.stream(&streams.log).await? {
        None => text.push_str(", no stream yet: the hub makes it"),
        Some(info) => {
            streams.check(&info, &streams.log, &streams.event_subjects())?;
            let storage = info.config["storage"].as_str().unwrap_or_default();
            let replicas = info.config["num_replicas"].as_u64().unwrap_or(1);
            text.push_str(&format!(
                ", {} events, {storage} storage, {}",
                info.state.messages,
                if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") }
            ));
            if storage == "memory" && replicas == 1 {
                text.push_str("; the end of the server loses everything");
            } else if replicas == 1 {
                text.push_str("; a power cut loses what the server has not synced: see sync_interval");
            }
        }
    }
    if server.max_payload < USUAL_PAYLOAD_BYTES {
        text.push_str(&format!(
            "; updates over {} bytes are refused: raise the server's max_payload above the hub's limit of bodies",
            server.max_payload.saturating_sub(1 << 10)
        ));
    }
    if info_is_old(&server.version) {
        text.push_str("; this version is old: 2.10 and later are better tested in clusters");
    }
    Ok(text)
}

fn info_is_old(version: &str) -> bool {
    let mut numbers =
        version.trim_start_matches('v').split('.').map(|number| number.parse().unwrap_or(0_u32));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (2, 10)
}
