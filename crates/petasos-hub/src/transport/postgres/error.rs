//! What PostgreSQL's errors mean for the hub and its operator.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::transport::{ErrorKind, TransportError};

/// The server refuses a group because its session is not the writer's newest one; see `schema_1.sql`.
pub(super) const FENCED: &str = "PT001";

/// Translates an error. `what` says what was being done, as in "cannot append to the log". The server's messages name
/// users and tables, never passwords.
pub(super) fn translate(error: &Error, what: &str) -> TransportError {
    let Some(database) = error.as_db_error() else {
        let cause = causes(error);
        let (kind, advice) = if is_about_tls(error) {
            (ErrorKind::Invalid, ": check sslmode, sslrootcert and the server's certificate")
        } else if is_refused_locally(error) {
            (ErrorKind::Invalid, "")
        } else {
            (ErrorKind::Unavailable, "")
        };
        return TransportError::new(kind, format!("{what}: {cause}{advice}"));
    };
    let (kind, advice) = advice(database.code());
    let message = database.message();
    TransportError::new(kind, format!("{what}: {message} (SQLSTATE {}){advice}", database.code().code()))
}

fn advice(code: &SqlState) -> (ErrorKind, &'static str) {
    use ErrorKind::{Corrupt, Invalid, Unavailable};
    match code.code() {
        "28P01" | "28000" => {
            (Invalid, ": check user and password in the transport URL, and the server's pg_hba.conf")
        }
        "3D000" => (Invalid, ": create the database, or name another one in the transport URL"),
        // On a running hub somebody can mend it.
        "42501" => (Unavailable, ": grant the hub's role what it needs; see docs/postgresql.md, roles"),
        "3F000" | "42P01" | "42883" | "42703" => {
            (Unavailable, ": the hub's tables are not there; `petasos check --apply` makes them")
        }
        class if class.starts_with("22") => (Invalid, ""),
        "25006" => {
            (Unavailable, ": this server is a standby or read-only; name the primary in the transport URL")
        }
        "53100" => (Unavailable, ": the server's disk is full: free space there, no restart is needed"),
        "53300" => (Unavailable, ": raise max_connections; a hub uses up to eight connections"),
        "57P01" | "57P02" | "57P03" => (Unavailable, ": the server stops or starts"),
        "55P03" => (Unavailable, ": another transaction holds the log for too long"),
        "XX001" | "XX002" => {
            (Corrupt, ": the database is damaged; restore it, or look at it with pg_amcheck")
        }
        _ => (Unavailable, ""),
    }
}

/// Whether it is about what was to be stored, so that another attempt ends the same way.
pub(super) fn is_about_data(error: &Error) -> bool {
    match error.as_db_error() {
        Some(database) => database.code().code().starts_with("22"),
        None => is_refused_locally(error),
    }
}

/// Whether the server may not have done what it was asked: the connection failed and nothing is known.
pub(super) fn is_lost(error: &Error) -> bool {
    error.as_db_error().is_none_or(|database| {
        // It ends the connection.
        matches!(database.code().code(), "57P01" | "57P02" | "57P03")
            || database.code().code().starts_with("08")
    })
}

/// The whole chain of an error on one line.
fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the two do not come to an understanding about TLS, which another attempt does not change.
fn is_about_tls(error: &Error) -> bool {
    if !error.to_string().starts_with("error performing TLS handshake") {
        return false;
    }
    match error.source().and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(io) => io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        None => true,
    }
}

/// Whether the client library refuses to ask: a password that is needed and not given, a text too long to send.
fn is_refused_locally(error: &Error) -> bool {
    let text = error.to_string();
    ["invalid configuration", "error encoding message", "error serializing", "authentication error"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}
