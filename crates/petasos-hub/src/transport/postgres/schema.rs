//! The hub's tables: making them, migrating them, and saying what is missing. Two hubs may do so at the same moment: a lock
//! of the database lets one go first.

use tokio_postgres::Client;

use super::{
    config::PostgresConfig,
    error::{is_lost, translate},
};
use crate::transport::{ErrorKind, TransportError};

/// Each entry brings the schema from its index to the next version. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql")];

/// The class of the advisory lock that guards migrations.
const MIGRATION_LOCK: i32 = 1_348_826_464;

/// The oldest server that has what the schema uses.
const OLDEST_SERVER: i32 = 130_000;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No tables of a hub.
    Nothing,
    /// Tables of this version that this program can serve.
    Version(i32),
}

/// The version that this program brings.
pub(super) fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Looks, and changes nothing.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the tables are too new for this program, or the server too old.
pub(super) async fn look(client: &Client, config: &PostgresConfig) -> Result<Found, TransportError> {
    let fail = |error: tokio_postgres::Error| {
        let failure = translate(&error, "cannot look at the hub's tables");
        match error.code() {
            Some(code) if code.code() == "42501" => {
                TransportError::new(ErrorKind::Invalid, failure.to_string())
            }
            _ => failure,
        }
    };
    let server: String = client
        .query_one("SHOW server_version_num", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(fail)?;
    let server: i32 = server.parse().unwrap_or_default();
    if server < OLDEST_SERVER {
        let message =
            format!("the server is of version {}: PostgreSQL 13 or newer is needed", server / 10_000);
        return Err(TransportError::new(ErrorKind::Invalid, message));
    }
    let table = format!("{}.schema_version", config.quoted_schema());
    // Not `to_regclass`: it may remember, within a transaction, that there was none.
    let sql = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = 'schema_version')";
    let exists: bool =
        client.query_one(sql, &[&config.schema]).await.and_then(|row| row.try_get(0)).map_err(fail)?;
    if !exists {
        return Ok(Found::Nothing);
    }
    let row = client.query_opt(&format!("SELECT version, oldest FROM {table}"), &[]).await.map_err(fail)?;
    let Some(row) = row else { return Ok(Found::Nothing) };
    let (version, oldest): (i32, i32) = (row.try_get(0).map_err(fail)?, row.try_get(1).map_err(fail)?);
    if oldest > newest() {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "the tables in schema {} were made by a newer version of Petasos (schema {version}, this one knows {}): \
                 run that version",
                config.schema,
                newest()
            ),
        ));
    }
    Ok(Found::Version(version))
}

/// Makes or migrates the tables, and says what was done: nothing where everything is there.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the role may not.
pub(super) async fn prepare(
    client: &mut Client,
    config: &PostgresConfig,
) -> Result<Vec<String>, TransportError> {
    if look(client, config).await? >= Found::Version(newest()) {
        return Ok(Vec::new());
    }
    migrate(client, config).await
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.version().cmp(&other.version()))
    }
}

impl Found {
    /// Zero where there is nothing.
    pub(super) fn version(self) -> i32 {
        match self {
            Self::Nothing => 0,
            Self::Version(version) => version,
        }
    }
}

async fn migrate(client: &mut Client, config: &PostgresConfig) -> Result<Vec<String>, TransportError> {
    let fail = |error: tokio_postgres::Error| not_allowed(&error, config);
    let transaction = client.transaction().await.map_err(fail)?;
    // Others may be at it; whoever comes second finds it done. They take as long as they take.
    transaction
        .batch_execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        .await
        .map_err(fail)?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", &[&MIGRATION_LOCK, &config.schema])
        .await
        .map_err(fail)?;
    let before = look(transaction.client(), config).await?;
    let mut done = Vec::new();
    if before == Found::Nothing {
        let exists: bool = transaction
            .query_one("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", &[&config.schema])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(fail)?;
        if !exists {
            transaction
                .batch_execute(&format!("CREATE SCHEMA {}", config.quoted_schema()))
                .await
                .map_err(fail)?;
            done.push(format!("made the schema {}", config.schema));
        }
    }
    for (version, sql) in (1..).zip(MIGRATIONS).skip(usize::try_from(before.version()).unwrap_or(0)) {
        transaction.batch_execute(&migration(version, sql, config)).await.map_err(fail)?;
        done.push(format!("brought its tables to version {version}"));
    }
    transaction.commit().await.map_err(fail)?;
    Ok(done)
}

/// All that `petasos check --apply` runs from this version on, for those who run it themselves.
pub(super) fn sql(from: Found, config: &PostgresConfig) -> String {
    let mut text = String::from("BEGIN;\n");
    if from == Found::Nothing {
        // Not `IF NOT EXISTS`, which asks for the right to make one even where it is there.
        let schema = config.quoted_schema();
        text.push_str(&format!(
            "DO $$ BEGIN IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF; END $$;\n"
        ));
    }
    for (version, sql) in (1..).zip(MIGRATIONS).skip(usize::try_from(from.version()).unwrap_or(0)) {
        text.push_str(&migration(version, sql, config));
        text.push('\n');
    }
    text.push_str("COMMIT;\n");
    text
}

fn migration(version: i32, sql: &str, config: &PostgresConfig) -> String {
    let schema = config.quoted_schema();
    let sql = sql.replace("{schema}", &schema).replace("{channel}", &config.channel());
    // `oldest` is the least version of a program that can serve these tables.
    let note = if version == 1 {
        format!(
            "CREATE TABLE {schema}.schema_version (version integer NOT NULL, oldest integer NOT NULL);\n\
             INSERT INTO {schema}.schema_version VALUES (1, 1);"
        )
    } else {
        format!("UPDATE {schema}.schema_version SET version = {version};")
    };
    format!("{sql}\n{note}")
}

/// Lets a role use the log, and nothing more.
pub(super) fn grants(role: &str, config: &PostgresConfig) -> String {
    let (schema, role) = (config.quoted_schema(), format!("\"{}\"", role.replace('"', "\"\"")));
    format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role};\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};\n\
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};\n"
    )
}

fn not_allowed(error: &tokio_postgres::Error, config: &PostgresConfig) -> TransportError {
    if !is_lost(error) && error.code().is_some_and(|code| code.code() == "42501") {
        let user = config.address.username.as_deref().unwrap_or("of the hub");
        return TransportError::new(
            ErrorKind::Invalid,
            format!(
                "the role {user} may not make the hub's tables in schema {}: run `petasos check --apply --grant {user}` once, \
                 with the transport URL of a role that may, or `GRANT CREATE ON DATABASE … TO {user}`",
                config.schema
            ),
        );
    }
    translate(error, "cannot make the hub's tables")
}
