//! `petasos check`: whether a log could be opened, without making or changing anything.

use super::{Engine, config::RedisConfig, connect::connect, history, server::durability};
use crate::transport::{Durability, TransportError};

/// Looks at the server and the log, and says what is there.
///
/// # Errors
/// What keeps the log from being opened, and the next step.
pub async fn examine(config: &RedisConfig) -> Result<String, TransportError> {
    let mut link = connect(config, Some(std::time::Duration::from_secs(5)), &mut Vec::new()).await?;
    let engine = Engine::new(config.clone());
    let held = match history::events(&engine).await? {
        None => "no log yet".to_owned(),
        Some(1) => "1 event".to_owned(),
        Some(count) => format!("{count} events"),
    };
    let durability = durability(config, &link.server, &mut link.connection).await;
    let survives = match durability {
        Durability::Disk => "an acknowledged update survives power loss",
        Durability::Process => "an acknowledged update survives the death of the server's process",
        Durability::Memory => "an acknowledged update is in the server's memory only",
    };
    let mut text = format!(
        "the log: {}, {} at {}, {held}{}; {survives}",
        config.location,
        link.server.name,
        link.place,
        link.server.memory()
    );
    for warning in link.server.warnings(durability) {
        text.push_str("; warning: ");
        text.push_str(&warning);
    }
    Ok(text)
}
