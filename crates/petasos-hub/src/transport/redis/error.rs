//! What an error of Redis means here: whether waiting, connecting anew or changing a configuration can help.

use redis::RedisError;

use crate::transport::{ErrorKind, TransportError};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The connection is gone, or leads to a server that does not keep the log any more, or not yet.
    Reconnect,
    /// The server has forgotten the scripts.
    Load,
    /// The server refuses this, and would again.
    Refused,
}

/// Codes that old servers put into the text of an error of a script.
const CODES: &[&str] =
    &["READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOPERM", "BUSY"];

/// The code of an error, also of one inside a script on Redis 6.2.
fn code(error: &RedisError) -> Option<&str> {
    match error.code() {
        Some("ERR") => {
            let detail = error.detail().unwrap_or_default();
            let inner = CODES.iter().find(|code| detail.contains(&format!("-{code} ")));
            Some(inner.copied().unwrap_or("ERR"))
        }
        code => code,
    }
}

/// Whether the server is there and only takes no writes now.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(code(error), Some("OOM" | "MISCONF" | "NOREPLICAS"))
}

/// What helps against `error`.
pub(super) fn remedy(error: &RedisError) -> Remedy {
    match code(error) {
        Some("NOSCRIPT") => Remedy::Load,
        Some(
            "READONLY" | "MOVED" | "ASK" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN"
            | "UNBLOCKED" | "NOAUTH" | "BUSY",
        ) => Remedy::Reconnect,
        Some(_) => Remedy::Refused,
        None => Remedy::Reconnect,
    }
}

/// For callers and for the operator.
pub(super) fn translate(error: &RedisError) -> TransportError {
    let advice = match code(error) {
        Some("OOM") => {
            "the server is out of memory: raise its maxmemory, or let the hubs keep less (max_bytes, size)"
        }
        Some("MISCONF") => {
            "the server refuses writes because it cannot save them: look at its log and its disk"
        }
        Some("NOREPLICAS") => {
            "the server refuses writes because too few replicas are connected (min-replicas-to-write)"
        }
        Some("READONLY") => "this server is a replica now",
        Some("LOADING") => "the server is still loading its data",
        Some("CLUSTERDOWN") => "the cluster does not serve the slot of the log",
        Some("NOPERM") => {
            let text = "the user may not do what the hub needs, see docs/redis.md for the rules of an ACL";
            return TransportError::new(ErrorKind::Unavailable, format!("{text}: {error}"));
        }
        Some("WRONGPASS" | "NOAUTH") => "the user name or the password is wrong",
        _ if error.is_timeout() => "the server did not answer in time",
        _ => return TransportError::unavailable(error.to_string()),
    };
    TransportError::unavailable(format!("{advice} ({error})"))
}

/// Whether the server does not know whoever logs in: a configuration to change.
pub(super) fn is_login_refused(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
}

/// What a script found wrong with the log.
pub(super) fn wrong_log(problem: &str, prefix: &str) -> TransportError {
    let message = match problem {
        "format" => format!(
            "the log with the prefix {prefix} was written by a later version of this program: use that version, or \
             another prefix"
        ),
        "foreign" => format!(
            "keys that begin with {{{prefix}}} hold something else than a log: another program uses them; choose another \
             prefix"
        ),
        _ => format!(
            "keys of the log with the prefix {prefix} are missing: the server has evicted them, or somebody has removed \
             them. Set maxmemory-policy to noeviction, and remove all keys that begin with {{{prefix}}}"
        ),
    };
    TransportError::new(ErrorKind::Corrupt, message)
}

/// An answer that no server gives to what was asked.
pub(super) fn unexpected(what: &str) -> TransportError {
    TransportError::unavailable(format!("the server's answer about {what} is not understood"))
}
