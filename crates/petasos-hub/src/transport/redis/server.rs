//! What a server says about itself (`INFO`).

use redis::{aio::MultiplexedConnection, cmd};

use super::config::RedisConfig;
use crate::transport::Durability;

/// A server, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// Another one at each start: a log that is found under another one may have lost its newest events.
    pub(super) run_id: String,
    /// Engine and version.
    pub(super) name: String,
    /// The version of Redis that it is compatible with.
    pub(super) version: Option<(u32, u32)>,
    pub(super) is_replica: bool,
    /// It was a replica, and took over.
    pub(super) was_promoted: bool,
    pub(super) is_cluster: bool,
    pub(super) is_sentinel: bool,
    has_append_only_file: Option<bool>,
    eviction: String,
    used_memory: Option<u64>,
    max_memory: Option<u64>,
}

impl Server {
    pub(super) fn read(info: &str) -> Self {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let version = field("redis_version").unwrap_or_default();
        let mut numbers = version.split('.').map(|part| part.parse().ok());
        let mode = field("redis_mode").or_else(|| field("server_mode"));
        let name = match field("valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {version}"),
        };
        Self {
            run_id: field("run_id").unwrap_or_default().to_owned(),
            name,
            version: match (numbers.next().flatten(), numbers.next().flatten()) {
                (Some(major), Some(minor)) => Some((major, minor)),
                _ => None,
            },
            is_replica: field("role") == Some("slave"),
            was_promoted: field("second_repl_offset").is_some_and(|offset| offset != "-1"),
            is_cluster: field("cluster_enabled") == Some("1") || mode == Some("cluster"),
            is_sentinel: mode == Some("sentinel"),
            has_append_only_file: field("aof_enabled").map(|value| value == "1"),
            eviction: field("maxmemory_policy").unwrap_or_default().to_owned(),
            used_memory: field("used_memory").and_then(|value| value.parse().ok()),
            max_memory: field("maxmemory").and_then(|value| value.parse().ok()).filter(|bytes| *bytes > 0),
        }
    }

    /// What endangers the log, a sentence each.
    pub(super) fn warnings(&self, durability: Durability) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.eviction.starts_with("allkeys") {
            warnings.push(format!(
                "the server evicts keys when its memory is full (maxmemory-policy {}): that destroys the log; set noeviction",
                self.eviction
            ));
        }
        if durability == Durability::Memory {
            warnings.push(
                "the server keeps the log in memory only: set appendonly yes, or wait for replicas with replicas=N"
                    .to_owned(),
            );
        }
        warnings
    }

    /// How full it is, for people.
    pub(super) fn memory(&self) -> String {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        match (self.used_memory, self.max_memory) {
            (Some(used), Some(limit)) => {
                format!(", {} of {} MiB of memory used", mebibytes(used), mebibytes(limit))
            }
            (Some(used), None) => format!(", {} MiB of memory used", mebibytes(used)),
            _ => String::new(),
        }
    }
}

/// What an acknowledged append survives there.
pub(super) async fn durability(
    config: &RedisConfig,
    server: &Server,
    connection: &mut MultiplexedConnection,
) -> Durability {
    if config.fsync {
        return Durability::Disk;
    }
    match server.has_append_only_file {
        Some(false) if config.replicas == 0 => Durability::Memory,
        Some(true) => {
            let mut command = cmd("CONFIG");
            command.arg("GET").arg("appendfsync");
            // Servers that others look after do not let clients see their configuration.
            match command.query_async::<Vec<String>>(connection).await {
                Ok(answer) if answer.get(1).is_some_and(|value| value == "always") => Durability::Disk,
                _ => Durability::Process,
            }
        }
        _ => Durability::Process,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_what_it_says() {
        let text = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\nredis_mode:cluster\r\nrun_id:abc\r\n\
                    role:slave\r\naof_enabled:0\r\nmaxmemory_policy:allkeys-lru\r\nused_memory:1\r\nmaxmemory:3145728\r\n";
        let server = Server::read(text);
        assert_eq!((server.run_id.as_str(), server.name.as_str()), ("abc", "Valkey 8.1.0"));
        assert_eq!(server.version, Some((7, 2)));
        assert!(server.is_replica && server.is_cluster && !server.is_sentinel);
        assert_eq!(server.memory(), ", 1 of 3 MiB of memory used");
        assert_eq!(server.warnings(Durability::Memory).len(), 2);
        assert!(Server::read("server_mode:sentinel\r\n").is_sentinel);
        assert_eq!(Server::read("").warnings(Durability::Disk).len(), 0);
        assert_eq!(Server::read("").version, None);
    }
}
