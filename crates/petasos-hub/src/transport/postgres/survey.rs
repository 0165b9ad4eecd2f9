//! Looking at a log without opening it, and making its tables by hand: what `petasos check` does.

use tokio_postgres::Client;

use super::{
    config::{DEFAULT_PORT, PostgresConfig},
    connect::Session,
    error::translate,
    schema::{self, Found},
    sql::Sql,
};
use crate::transport::{Durability, TransportError};

/// What a commit survives, as the server says.
#[derive(Debug)]
pub(super) struct Durable {
    synchronous_commit: String,
    fsync: bool,
    /// Whether a commit waits for a standby.
    standbys: bool,
}

impl Durable {
    /// What an acknowledged append survives.
    pub(super) fn promise(&self) -> Durability {
        if self.fsync && self.synchronous_commit != "off" { Durability::Disk } else { Durability::Process }
    }

    fn told(&self) -> &'static str {
        match (self.fsync, self.synchronous_commit.as_str(), self.standbys) {
            (false, _, _) => "fsync is off: a power loss may destroy it",
            (_, "off", _) => "synchronous_commit is off: a crash of the server may take the newest updates",
            (_, "local", true) | (_, _, false) => {
                "an update survives power loss; a fail-over to a standby may take the newest ones"
            }
            _ => "an update survives power loss and a fail-over to a synchronous standby",
        }
    }
}

/// Reads the settings of a session.
pub(super) async fn durability(client: &Client) -> Result<Durable, TransportError> {
    let fail = |error: tokio_postgres::Error| translate(&error, "cannot read the server's settings");
    let sql = "SELECT current_setting('synchronous_commit'), current_setting('fsync'), \
               current_setting('synchronous_standby_names') <> ''";
    let row = client.query_one(sql, &[]).await.map_err(fail)?;
    Ok(Durable {
        synchronous_commit: row.try_get(0).map_err(fail)?,
        fsync: row.try_get::<_, &str>(1).map_err(fail)? == "on",
        standbys: row.try_get(2).map_err(fail)?,
    })
}

/// Says whether the log could be opened, and changes nothing.
///
/// # Errors
/// What keeps it from being opened, and the next step.
pub async fn examine(config: &PostgresConfig) -> Result<String, TransportError> {
    let session = Session::open(config, None).await?;
    let found = schema::look(&session.client, config).await?;
    let fail = |error: tokio_postgres::Error| translate(&error, "cannot look at the log");
    let version: String = session
        .client
        .query_one("SELECT current_setting('server_version')", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(fail)?;
    let version = version.split(' ').next().unwrap_or_default();
    let tables = match found {
        Found::Nothing => format!("no tables in schema {} yet: the hub makes them", config.schema),
        Found::Version(version) if version < schema::newest() => {
            format!(
                "its tables in schema {} have version {version}: the hub brings them to {}",
                config.schema,
                schema::newest()
            )
        }
        Found::Version(version) => {
            let statement = Sql::new(&config.quoted_schema()).stats;
            let row = session.client.query_one(&statement, &[&config.quoted_schema()]).await.map_err(fail)?;
            let events: i64 = row.try_get(0).map_err(fail)?;
            format!("schema {}, version {version}, {events} events", config.schema)
        }
    };
    let durability = durability(&session.client).await?;
    let address = config.address.shown(DEFAULT_PORT);
    Ok(format!("the log: {address}, PostgreSQL {version}, {tables}; {}", durability.told()))
}

/// Makes or migrates the hub's tables, lets `role` use them where one is named, and says what was done.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::transport::ErrorKind::Invalid) where this role may not.
pub async fn apply(config: &PostgresConfig, role: Option<&str>) -> Result<Vec<String>, TransportError> {
    let mut session = Session::open(config, None).await?;
    let mut done = schema::prepare(&mut session.client, config).await?;
    if let Some(role) = role {
        let fail = |error: tokio_postgres::Error| translate(&error, "cannot grant the role what it needs");
        session.client.batch_execute(&schema::grants(role, config)).await.map_err(fail)?;
        done.push(format!("let the role {role} use them"));
    }
    if done.is_empty() {
        done.push("nothing: its tables are there".to_owned());
    }
    Ok(done)
}

/// The SQL that [`apply`] would run, for those who run it themselves.
///
/// # Errors
/// As [`examine`].
pub async fn sql_to_apply(config: &PostgresConfig, role: Option<&str>) -> Result<String, TransportError> {
    let session = Session::open(config, None).await?;
    let found = schema::look(&session.client, config).await?;
    let mut sql = if found.version() < schema::newest() { schema::sql(found, config) } else { String::new() };
    if let Some(role) = role {
        sql.push_str(&schema::grants(role, config));
    }
    Ok(sql)
}
